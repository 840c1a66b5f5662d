"""Features that KID and FID are taken of: those of a small classifier of ours, or Inception's.

The classifier tells the attributes of the data set, and its last hidden layer is the features. They
compare models of one data set and size, evaluated with the same seed and --train_images, and mean
nothing beyond that.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from csi_tf import files, logs, randomness
from csi_tf.data.base import ImageArrays
from csi_tf.errors import RunFailed
from csi_tf.evaluation.regressors import USEFUL_ACCURACY
from csi_tf.pixels import pm1

FILTERS, WIDTH = (32, 64, 128), 64
EPOCHS, BATCH, RATE = 8, 64, 1e-3
# An attribute that fewer images than this have, or lack, is neither learnt nor judged by a few
# thousand of them.
FREQUENT = 0.05
INCEPTION_SIZE = 299
_CHUNK = 64  # pictures at once, some hundreds of megabytes inside Inception


@dataclass(frozen=True, eq=False)
class Features:
    name: str  # what the keys of measures begin with
    about: str
    extract: Callable[[np.ndarray], np.ndarray]  # uint8 (N, H, W, 3) to (N, D)

    def __call__(self, images_u8: np.ndarray) -> np.ndarray:
        """(..., D) float32 of uint8 (..., H, W, 3)."""
        flat = images_u8.reshape(-1, *images_u8.shape[-3:])
        return _in_chunks(self.extract, flat).reshape(*images_u8.shape[:-3], -1)


def features(
    train: ImageArrays, held_out: ImageArrays, seed: int, cache: Path | None = None
) -> Features:
    """Of a classifier trained for the attributes; RunFailed where there is no useful one.

    With `cache`, a directory, it is trained once for these images and this seed.
    """
    labels, held_labels, names = _labels(train, held_out)
    body = _body(train.images.shape[1:], seed)
    head = _dense(len(names), seed, "head")
    network = keras.Sequential([body, head])
    key = randomness.fold(
        seed, str((FILTERS, WIDTH, EPOCHS, BATCH, RATE)), train.images.tobytes(), labels.tobytes()
    )
    file = None if cache is None else cache / f"proxy-{key:016x}.npz"
    if file is not None and file.exists():
        with np.load(file) as kept:
            network.set_weights([kept[name] for name in kept.files])
    else:
        _fit(network, train.images, labels, seed)
        if file is not None:
            _write(file, network.get_weights())

    def raw(images_u8: np.ndarray) -> np.ndarray:
        return np.asarray(body(pm1(images_u8)))

    def logits(images_u8: np.ndarray) -> np.ndarray:
        return np.asarray(network(pm1(images_u8)))

    accuracy = balanced_accuracy(_in_chunks(logits, held_out.images), held_labels == 1)
    found = f"balanced accuracy {accuracy:.2f} on held-out images"
    if accuracy < USEFUL_ACCURACY:
        raise RunFailed(
            f"the classifier of attributes behind the proxy features has {found},"
            f" {USEFUL_ACCURACY} being of use: raise --train_images"
        )
    about = (
        f"proxy: {WIDTH} features of a classifier of {len(names)} attributes ({found}, trained on"
        f" {len(train)}); comparable only under the same classifier"
    )
    # One scale for all of them, so that KID is of one size whatever the classifier.
    seen = _in_chunks(raw, train.images)
    centre = seen.mean(0)
    scale = np.sqrt(np.square(seen - centre).mean())
    return Features("proxy", about, lambda images_u8: (raw(images_u8) - centre) / scale)


def inception() -> Features:
    """Of Inception v3 trained on ImageNet, if its weights are there or can be downloaded."""
    try:
        network = keras.applications.InceptionV3(
            include_top=False,
            weights="imagenet",
            pooling="avg",
            input_shape=(INCEPTION_SIZE, INCEPTION_SIZE, 3),
        )
    except Exception as error:  # of many kinds, a bare Exception among them
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise RunFailed(
            f"the weights of Inception cannot be had ({why}): repeat that with a connection, or"
            " give --features=proxy"
        ) from None

    def extract(images_u8: np.ndarray) -> np.ndarray:
        large = ops.image.resize(pm1(images_u8), (INCEPTION_SIZE, INCEPTION_SIZE))
        return np.asarray(network(large, training=False))

    about = (
        "inception: Inception v3 of keras.applications on pictures resized to"
        f" {INCEPTION_SIZE}x{INCEPTION_SIZE}; not comparable with other implementations"
    )
    return Features("inception", about, extract)


def balanced_accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """The shares of yes and of no that are told right, averaged over the columns (N, A)."""
    right = (logits > 0) == labels
    yes, no = ((right & which).sum(0) / which.sum(0) for which in (labels, ~labels))
    return float((yes + no).mean() / 2)


def _in_chunks(extract: Callable[[np.ndarray], np.ndarray], images_u8: np.ndarray) -> np.ndarray:
    starts = range(0, len(images_u8), _CHUNK)
    return np.concatenate([extract(images_u8[i : i + _CHUNK]) for i in starts])


def _labels(
    train: ImageArrays, held_out: ImageArrays
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Of the attributes that are frequent enough in both."""
    labels, held_labels = train.attributes, held_out.attributes
    if labels is None or held_labels is None:
        raise RunFailed(
            "proxy features need attributes, which these images do not have: give data with"
            " attributes, or --features=inception"
        )
    shares = np.stack([each.mean(0) for each in (labels, held_labels)])
    kept = (np.minimum(shares, 1 - shares) >= FREQUENT).all(0)
    if not kept.any():
        raise RunFailed(
            f"proxy features need an attribute that between {FREQUENT:.0%} and {1 - FREQUENT:.0%}"
            " of the images have: give such data, or --features=inception"
        )
    names = tuple(name for name, keep in zip(train.attribute_names, kept, strict=True) if keep)
    return labels[:, kept], held_labels[:, kept], names


def _body(shape: tuple[int, ...], seed: int) -> keras.Sequential:
    layers: list[Any] = [keras.layers.Input(shape)]
    for i, filters in enumerate(FILTERS):
        layers.append(
            keras.layers.Conv2D(
                filters,
                5 if i == 0 else 3,
                strides=2,
                padding="same",
                activation="elu",
                kernel_initializer=_initializer(seed, f"convolution {i}"),
                dtype="float32",
            )
        )
    # Bounded: under KID's cubes a few far pictures would drown the rest.
    layers += [keras.layers.Flatten(), _dense(WIDTH, seed, "features", activation="tanh")]
    return keras.Sequential(layers)


def _dense(units: int, seed: int, name: str, activation: str | None = None) -> Any:
    return keras.layers.Dense(
        units, activation, kernel_initializer=_initializer(seed, name), dtype="float32"
    )


def _initializer(seed: int, name: str) -> Any:
    return keras.initializers.HeNormal(randomness.fold(seed, "proxy", name) % 2**31)


def _fit(network: keras.Sequential, images: np.ndarray, labels: np.ndarray, seed: int) -> None:
    share = labels.mean(0)
    # Yes and no have the same weight however rare one is; the sign is the answer.
    signed = np.where(labels == 1, 0.5 / share, -0.5 / (1 - share)).astype(np.float32)

    def loss(signed: Any, logits: Any) -> Any:
        return ops.mean(ops.abs(signed) * ops.softplus(-ops.sign(signed) * logits))

    # XLA gains nothing here, but JAX does not compile without it.
    compiled = keras.backend.backend() == "jax"
    network.compile(keras.optimizers.Adam(RATE), loss, jit_compile=compiled)
    order = list(_batches(len(images), seed))
    with logs.progress(len(order), description="Proxy classifier") as bar:
        for rows in order:
            value = network.train_on_batch(pm1(images[rows]), signed[rows])
            bar.advance(scalars={"loss": value})


def _batches(count: int, seed: int) -> Iterator[np.ndarray]:
    """Rows of each step. What does not fill a batch waits for the next epoch's order."""
    size = min(BATCH, count)
    for epoch in range(EPOCHS):
        order = randomness.permutation(seed, f"proxy/epoch {epoch}", count)
        for start in range(0, count - size + 1, size):
            yield order[start : start + size]


def _write(file: Path, weights: list[np.ndarray]) -> None:
    content = io.BytesIO()
    np.savez(content, *weights)
    with files.explained(f"cannot make the directory {file.parent}"):
        file.parent.mkdir(parents=True, exist_ok=True)
    files.write(file, content.getvalue())
