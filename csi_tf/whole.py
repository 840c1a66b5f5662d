"""Beyond the paper: z of the whole picture, guessed from the part of it that is seen.

Under an MMD, q(z | x_c, m) is nearly a point. Of what a hole hides altogether, a smile under the
lower half, it says the average, so all completions have about the average smile. Here z is drawn
as q of the whole picture might have had it, from a law that a small network tells from the mean of
q(z | x_c, m) and the mask. --mode=whole fits it to the encoder's own answers for training pictures
and writes it beside the model; `inpaint` draws from it where z is "whole".
"""

import hashlib
import math
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from csi_tf import checkpoints, randomness
from csi_tf.model import CSIModel, named_weights

FILE = "whole.safetensors"
CELLS, WIDTH, LAYERS = 8, 384, 3  # the mask is told as shares of 8x8 cells
COMPONENTS = 6
_SMALLEST = -5.0  # log of a scale: a component may not become a point
_FURTHEST = 6.0  # of a number of the noise, as the next ones see it
_UNLIKE = 10.0  # size of a number of z that no picture has which is like the training ones
_SCALES = (1.0, 1.0, 1e-3)  # of the chain: at the end nearly 0, so that all noise begins alike


class Told(NamedTuple):
    """What the mean of q and the mask tell."""

    centre: Any  # (B,D)
    factor: Any  # (B,D,D) U, lower triangular
    context: Any  # (B,WIDTH)


class WholeLatents(keras.layers.Layer):
    """p(z | mean of q, mask): U (z - centre) is noise, each number of which is of a mixture of
    logistics that depends on the numbers before it, so that a beard may be there or not."""

    def __init__(self, latent_dim: int, seed: int = 0, **kwargs: Any):
        super().__init__(**{"name": "whole", "dtype": "float32"} | kwargs)
        self.latent_dim = latent_dim
        self._seed = seed
        self.body = [self._dense(f"hidden_{i}", WIDTH, 1.0, "elu") for i in range(LAYERS)]
        # Nearly 0, so that it begins at the mean and U = 1.
        self.shift = self._dense("shift", latent_dim, 1e-4)
        self.factor = self._dense("factor", latent_dim**2, 1e-4)
        # The places up to which a unit sees the noise: what is said of a number sees none of it.
        places = np.arange(latent_dim)
        hidden = np.arange(WIDTH) % max(latent_dim - 1, 1)
        said = np.repeat(places - 1, 3 * COMPONENTS)
        self._sees = [
            (before[:, None] <= after).astype(np.float32)
            for before, after in ((places, hidden), (hidden, hidden), (hidden, said))
        ]
        self.chain = [
            self._dense(f"chain_{i}", sees.shape[1], scale)
            for i, (sees, scale) in enumerate(zip(self._sees, _SCALES, strict=True))
        ]

    def _start(self, name: str, scale: float) -> Any:
        seed = randomness.fold(self._seed, "whole", name) % 2**31
        return keras.initializers.VarianceScaling(scale, seed=seed)

    def _dense(self, name: str, units: int, scale: float, activation: str | None = None) -> Any:
        return keras.layers.Dense(
            units,
            activation,
            kernel_initializer=self._start(name, scale),
            name=name,
            dtype="float32",
        )

    def build(self, mean_shape: Any, mask_shape: Any = None) -> None:
        width = self.latent_dim + CELLS**2
        for layer in self.body:
            layer.build((None, width))
            width = WIDTH
        for layer in (self.shift, self.factor, *self.chain):
            layer.build((None, width))
        self.kernels = [
            self.add_weight(
                shape=sees.shape,
                initializer=self._start(f"noise_{i}", scale),
                name=f"noise_{i}",
            )
            for i, (sees, scale) in enumerate(zip(self._sees, _SCALES, strict=True))
        ]
        self.built = True

    def call(self, mean: Any, context_mask: Any) -> Told:
        x = ops.concatenate([mean, ops.reshape(shares(context_mask), (-1, CELLS**2))], axis=1)
        for layer in self.body:
            x = layer(x)
        square = ops.reshape(self.factor(x), (-1, self.latent_dim, self.latent_dim))
        eye = ops.eye(self.latent_dim)
        # Entries off the diagonal are of any size: none is to overflow in what is thrown away.
        diagonal = eye * ops.exp(eye * square)
        return Told(mean + self.shift(x), diagonal + ops.tril(square, -1), x)

    def mixtures(self, noise: Any, told: Told) -> tuple[Any, Any, Any]:
        """Log weights, means and log scales (B,D,K) of each number of the noise (B,D), given those
        before it."""

        def layer(i: int, x: Any) -> Any:
            kernel = self.kernels[i] * self._sees[i]
            return ops.matmul(x, kernel) + self.chain[i](told.context)

        x = ops.elu(layer(0, ops.clip(noise, -_FURTHEST, _FURTHEST) / 2))
        x = x + ops.elu(layer(1, x))
        said = ops.reshape(layer(2, x), (-1, self.latent_dim, 3, COMPONENTS))
        apart = np.linspace(-1, 1, COMPONENTS, dtype=np.float32)
        log_scales = ops.maximum(said[:, :, 2] - 0.8, _SMALLEST)
        return ops.log_softmax(said[:, :, 0]), said[:, :, 1] + apart, log_scales

    def nats(self, z: Any, told: Told) -> Any:
        """(B,) -log p(z)"""
        noise = ops.einsum("bij,bj->bi", told.factor, z - told.centre)
        log_weights, means, log_scales = self.mixtures(noise, told)
        x = (noise[..., None] - means) * ops.exp(-log_scales)
        each = ops.logsumexp(log_weights - x - 2 * ops.softplus(-x) - log_scales, axis=2)
        log_volume = ops.sum(ops.log(ops.diagonal(told.factor, axis1=1, axis2=2)), axis=1)
        return -ops.sum(each, axis=1) - log_volume

    def draw(self, mean: np.ndarray, context_mask: np.ndarray, normal: np.ndarray) -> np.ndarray:
        """(B,D) float32 from standard normal numbers (B,D).

        Of a picture unlike all that it was fitted to the law may tell what is without bounds: where
        a number would lie beyond 10, z is the mean.
        """
        told = self(mean, context_mask)
        below = _normal_cdf(normal)
        noise = np.zeros(normal.shape, np.float32)
        for i in range(self.latent_dim):
            mixture = (np.asarray(x, np.float64)[:, i] for x in self.mixtures(noise, told))
            noise[:, i] = _quantile(below[:, i], *mixture)
        centre, factor = (np.asarray(x, np.float64) for x in (told.centre, told.factor))
        away = np.linalg.solve(factor, noise[..., None].astype(np.float64))[..., 0]
        unlike = ~(np.abs(centre + away) <= _UNLIKE).all(axis=1, keepdims=True)
        return np.where(unlike, mean, centre + away).astype(np.float32)


def shares(context_mask: Any) -> Any:
    """(B,8,8,1) how much of each cell is seen; of such shares, they themselves."""
    side = ops.shape(context_mask)[1] // CELLS
    return ops.average_pool(context_mask, side, side) if side > 1 else context_mask


def _normal_cdf(x: np.ndarray) -> np.ndarray:
    below = 0.5 * np.vectorize(math.erfc)(-x.astype(np.float64) / math.sqrt(2))
    return np.clip(below, 1e-12, 1 - 1e-12)


def _quantile(
    below: np.ndarray, log_weights: np.ndarray, means: np.ndarray, log_scales: np.ndarray
) -> np.ndarray:
    """(B,) that a share `below` (B,) of mixtures of logistics (B,K) lies below."""
    weights, scales = np.exp(log_weights), np.exp(log_scales)
    weights /= weights.sum(axis=1, keepdims=True)  # float32 before
    of_each = means + scales * np.log(below / (1 - below))[:, None]
    low, high = of_each.min(axis=1), of_each.max(axis=1)  # between them, then by halves
    for _ in range(40):
        middle = (low + high) / 2
        share = np.sum(weights / 2 * (1 + np.tanh((middle[:, None] - means) / scales / 2)), axis=1)
        low, high = np.where(share < below, middle, low), np.where(share < below, high, middle)
    return (low + high) / 2


def beside(model_file: Path, model: CSIModel) -> WholeLatents | None:
    """What was fitted to the encoder of a model file; None if nothing was."""
    path = model_file.parent / FILE
    if model.encoder is None or not path.exists():
        return None
    arrays, info = checkpoints.read(path)
    if info.get("encoder") != encoder_digest(model):
        raise ValueError(
            f"{path} was fitted to another encoder than that of {model_file}:"
            f" --mode=whole --model={model_file} makes one for this. Only z='whole' needs it; all"
            " else is there once it is moved away."
        )
    law = WholeLatents(model.config.latent_dim)
    law.build(None)
    named = named_weights(law)
    arrays = checkpoints.import_half(arrays)
    try:
        checkpoints.match(arrays, named)
    except ValueError as error:
        raise ValueError(
            f"{path} is not of this version of csi-tf: --mode=whole --model={model_file} makes one"
            f" that is. Only z='whole' needs it; all else is there once it is moved away. {error}"
        ) from error
    for name, variable in named.items():
        variable.assign(arrays[name])
    return law


def encoder_digest(model: CSIModel) -> str:
    """The same for a model and its export in half precision."""
    digest = hashlib.sha256()
    for name, variable in sorted(named_weights(model.encoder).items()):
        with np.errstate(over="ignore"):
            digest.update(name.encode() + np.asarray(variable).astype(np.float16).tobytes())
    return digest.hexdigest()
