"""Beyond the paper: z of the whole picture, guessed from the part of it that is seen.

Under an MMD, q(z | x_c, m) is nearly a point. Of what a hole hides altogether, a smile under the
lower half, it says the average, so all completions have about the average smile. Here z is drawn
as q of the whole picture might have had it: from a Gaussian whose mean and precision a small
network tells from the mean of q(z | x_c, m) and the mask. --mode=whole fits it to the encoder's
own answers for training pictures and writes it beside the model; `inpaint` draws from it where z
is "whole".
"""

import hashlib
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from csi_tf import checkpoints, randomness
from csi_tf.model import CSIModel, named_weights

FILE = "whole.safetensors"
CELLS, WIDTH, LAYERS = 8, 256, 2  # the mask is told as shares of 8x8 cells


class WholeLatents(keras.layers.Layer):
    """N(mu, (U^T U)^-1), U lower triangular, of z given the mean (B,D) of q and the mask."""

    def __init__(self, latent_dim: int, seed: int = 0, **kwargs: Any):
        super().__init__(**{"name": "whole", "dtype": "float32"} | kwargs)

        def dense(name: str, units: int, scale: float, activation: str | None = None) -> Any:
            start = keras.initializers.VarianceScaling(
                scale, seed=randomness.fold(seed, "whole", name) % 2**31
            )
            return keras.layers.Dense(
                units, activation, kernel_initializer=start, name=name, dtype="float32"
            )

        self.latent_dim = latent_dim
        self.body = [dense(f"hidden_{i}", WIDTH, 1.0, "elu") for i in range(LAYERS)]
        # Nearly 0, so that it begins at N(the mean, I).
        self.shift = dense("shift", latent_dim, 1e-4)
        self.factor = dense("factor", latent_dim**2, 1e-4)

    def build(self, mean_shape: Any, mask_shape: Any = None) -> None:
        width = self.latent_dim + CELLS**2
        for layer in self.body:
            layer.build((None, width))
            width = WIDTH
        for layer in (self.shift, self.factor):
            layer.build((None, width))
        self.built = True

    def call(self, mean: Any, context_mask: Any) -> tuple[Any, Any]:
        """mu (B,D) and U (B,D,D)"""
        cells = ops.shape(context_mask)[1] // CELLS
        seen = ops.average_pool(context_mask, cells, cells) if cells > 1 else context_mask
        x = ops.concatenate([mean, ops.reshape(seen, (-1, CELLS**2))], axis=1)
        for layer in self.body:
            x = layer(x)
        square = ops.reshape(self.factor(x), (-1, self.latent_dim, self.latent_dim))
        eye = ops.eye(self.latent_dim)
        # Entries off the diagonal are of any size: none is to overflow in what is thrown away.
        diagonal = eye * ops.exp(eye * square)
        return mean + self.shift(x), diagonal + ops.tril(square, -1)

    def nats(self, z: Any, mean: Any, context_mask: Any) -> Any:
        """(B,) -log p(z)"""
        centre, factor = self(mean, context_mask)
        normal = ops.einsum("bij,bj->bi", factor, z - centre)
        log_volume = ops.sum(ops.log(ops.diagonal(factor, axis1=1, axis2=2)), axis=1)
        constant = 0.5 * self.latent_dim * math.log(2 * math.pi)
        return 0.5 * ops.sum(ops.square(normal), axis=1) - log_volume + constant

    def draw(self, mean: np.ndarray, context_mask: np.ndarray, normal: np.ndarray) -> np.ndarray:
        """(B,D) float32 from standard normal numbers (B,D)."""
        centre, factor = (np.asarray(each, np.float64) for each in self(mean, context_mask))
        away = np.linalg.solve(factor, normal[..., None].astype(np.float64))[..., 0]
        return (centre + away).astype(np.float32)


def beside(model_file: Path, model: CSIModel) -> WholeLatents | None:
    """What was fitted to the encoder of a model file; None if nothing was."""
    path = model_file.parent / FILE
    if model.encoder is None or not path.exists():
        return None
    arrays, info = checkpoints.read(path)
    if info.get("encoder") != encoder_digest(model):
        raise ValueError(
            f"{path} was fitted to another encoder than that of {model_file}: delete it;"
            f" --mode=whole --model={model_file} makes one for this."
        )
    law = WholeLatents(model.config.latent_dim)
    law.build(None)
    named = named_weights(law)
    arrays = checkpoints.import_half(arrays)
    checkpoints.match(arrays, named)
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
