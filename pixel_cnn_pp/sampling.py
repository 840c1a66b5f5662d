"""Drawing the pixels of a hole in raster order, each given those before it.

"cached" computes every feature of every layer once (`pixel_cnn_pp.cached`); "naive" runs the whole
network for each pixel and is the oracle the other must equal.
"""

import hashlib
import weakref
from collections import Counter
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from pixel_cnn_pp import cached, checks, mixture
from pixel_cnn_pp.forward import ForwardPixelCNN, as_maps

METHODS = ("cached", "naive")


def sample(
    network,
    images_pm1,
    context_mask,
    conditioning=None,
    seed: int | np.ndarray = 0,
    truncation: float | None = 1.0,
    method: str = "cached",
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Completions of a batch: observed pixels as they were, the others drawn on the 8-bit grid.

    A draw depends on (seed, picture, mask, maps) alone, not on the batch it is in; a batch that
    holds the same picture and mask more than once gets different draws of it. To say which draw is
    wanted, give an array of seeds, one for each picture, which then alone decide the noise.
    `progress(done, total)` is called after each row that had a hole; what it raises ends the draw.
    """
    checks.choice("method", method, METHODS)
    if not isinstance(network, ForwardPixelCNN):
        raise ValueError(f"network is a {type(network).__name__}, expected a ForwardPixelCNN.")
    checks.images(images_pm1)
    checks.mask(context_mask)
    checks.same_place(images_pm1, context_mask, "images_pm1", "context_mask")
    maps = as_maps(conditioning)
    for i, each in enumerate(maps):
        checks.same_place(images_pm1, each, "images_pm1", f"conditioning[{i}]")
    images, mask = np.asarray(images_pm1, "float32"), np.asarray(context_mask, "float32")
    noise = noise_of(keys(seed, images, mask), images.shape[1:3], network.mixtures, truncation)
    drawn = draws(network, images, mask, maps, noise, method=method, progress=progress).image
    # Compilers may divide by 127.5 in their own ways, to the last bit; a level is a level.
    drawn = np.rint((drawn + 1) * np.float32(127.5)) / np.float32(127.5) - np.float32(1)
    return np.where(mask == 1, images, drawn)


def draws(
    network, images, mask, maps, noise, given=None, method="cached", progress=None
) -> mixture.Draw:
    """The draw of every pixel of the holes, from `mixture.noise` (B, H, W, K + 3); what it says of
    other pixels means nothing.

    `given` (B, H, W, 3) are pixels that take the place of the drawn ones as input of later ones:
    with it two samplers can be compared without one's first difference spreading through the rest.
    """
    if not network.built:
        network(images[:1], tuple(each[:1] for each in maps) or None)
    network.check_maps(maps)  # the cached way never calls the network, which would
    draw = cached.draw if method == "cached" else _naive
    return draw(network, images, mask, maps, noise, given, progress)


def _naive(network, images, mask, maps, noise, given, progress) -> mixture.Draw:
    if given is not None:
        raw = network(np.where(mask == 1, images, given), maps or None)
        return mixture.Draw(*map(np.asarray, mixture.combine(raw, noise)))
    run = _one_pass(network)
    noise = ops.convert_to_tensor(noise)
    hole = mask[..., 0] != 1
    image = np.where(mask == 1, images, np.float32(0))
    exact = np.copy(image)
    rows = np.flatnonzero(hole.any(axis=(0, 2)))
    for done, row in enumerate(rows, 1):
        for column in np.flatnonzero(hole[:, row].any(axis=0)):
            place = ops.convert_to_tensor(np.array([row, column], "int32"))
            drawn = run(ops.convert_to_tensor(image), maps, noise, place)
            for array, values in zip((image, exact), drawn, strict=True):
                here = hole[:, row, column, None]
                array[:, row, column] = np.where(here, values, array[:, row, column])
        if progress is not None:
            progress(done, len(rows))
    return mixture.Draw(image, exact)


_passes: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def _one_pass(network):
    """(images, maps, noise, place) -> the draw of one pixel; compiled once for each shape."""
    if network not in _passes:
        # What is kept must not keep the network, or neither would ever go.
        known = weakref.ref(network)

        def run(images, maps, noise, place):
            network = known()

            def here(x):
                return ops.slice(
                    x, (0, place[0], place[1], 0), (images.shape[0], 1, 1, x.shape[-1])
                )

            drawn = mixture.combine(here(network(images, maps or None)), here(noise))
            return mixture.Draw(*(each[:, 0, 0] for each in drawn))

        if keras.backend.backend() == "jax":
            _passes[network] = run
        else:
            import tensorflow as tf

            _passes[network] = tf.function(run, autograph=False)
    return _passes[network]


def noise_of(keys, size: tuple[int, int], mixtures: int, truncation: float | None) -> np.ndarray:
    shape = (*size, mixtures + 3)
    each = [np.random.Generator(np.random.Philox(key=int(key))).random(shape) for key in keys]
    return np.asarray(mixture.noise(ops.convert_to_tensor(np.stack(each), "float32"), truncation))


def keys(seed, images, mask) -> np.ndarray:
    """One key for each picture: the seeds given, or made of the seed and what is observed."""
    if not isinstance(seed, bool) and isinstance(seed, int | np.integer):
        seen: Counter[bytes] = Counter()
        keys = []
        for picture, observed in zip(images, mask, strict=True):
            content = np.where(observed == 1, picture, np.float32(0)).tobytes() + observed.tobytes()
            digest = hashlib.blake2b(content, digest_size=8, key=str(int(seed)).encode()).digest()
            text = digest + seen[digest].to_bytes(8, "little")
            seen[digest] += 1
            keys.append(hashlib.blake2b(text, digest_size=8).digest())
        return np.array([int.from_bytes(key, "little") for key in keys], "uint64")
    keys = np.asarray(seed)
    if keys.dtype.kind not in "iu" or keys.shape != (len(images),):
        raise ValueError(
            f"seed is {seed!r}, expected a whole number or an array of {len(images)} of them, one"
            " for each picture."
        )
    return keys.astype("uint64")
