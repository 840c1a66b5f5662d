"""Partly observed image -> q(z | x_c, m): Table 1, left."""

import math
from typing import Any

import keras
from keras import ops


def normalisation(**kwargs: Any) -> keras.layers.BatchNormalization:
    """BatchNorm as in the authors' code, with statistics of the whole batch on all replicas."""
    return keras.layers.BatchNormalization(
        momentum=0.99,
        epsilon=1e-3,
        synchronized=keras.backend.backend() == "tensorflow",
        **kwargs,
    )


def halvings(size: int) -> int:
    """Stride-2 layers between an image and 4x4: three at 32x32, one more for each doubling."""
    count = int(math.log2(size)) - 2 if size > 4 else 0
    if size != 4 * 2**count or count < 1:
        raise ValueError(
            f"image_size {size} does not halve down to 4: Table 1 is for 32, and its extension for"
            " 16, 64, 128 or 256."
        )
    return count


def widths(size: int, filters: int) -> list[int]:
    """Channels after each stride-2 layer: 64, 128, 256 of Table 1, and 256 for any further one."""
    return [filters * min(2 ** (k + 1), 8) for k in range(halvings(size))]


class Encoder(keras.layers.Layer):
    """(image with its hole filled, context mask) -> mean and log-variance of the latents."""

    def __init__(self, latent_dim: int = 32, size: int = 32, filters: int = 32, **kwargs: Any):
        super().__init__(**kwargs)
        policy = self.dtype_policy

        # Names say where weights belong in a file, whatever else this process has made.
        self.body: list[Any] = []

        def conv(channels: int, kernel: int, stride: int, padding: str) -> None:
            number = len(self.body) // 2
            self.body += [
                keras.layers.Conv2D(
                    channels, kernel, stride, padding, dtype=policy, name=f"conv_{number}"
                ),
                normalisation(dtype=policy, name=f"norm_{number}"),
            ]

        conv(filters, 1, 1, "same")
        for channels in widths(size, filters):
            conv(channels, 4, 2, "same")
        conv(16 * filters, 4, 1, "valid")
        # The latents are float32 whatever the compute dtype: the objectives are made of them.
        self.heads = [
            [
                keras.layers.Dense(latent_dim, dtype="float32", name=f"{name}_dense"),
                normalisation(dtype="float32", name=f"{name}_norm"),
            ]
            for name in ("mean", "logvar")
        ]

    def build(self, filled_pm1_shape: Any, context_mask_shape: Any = None) -> None:
        shape = (*filled_pm1_shape[:-1], filled_pm1_shape[-1] + 1)
        for layer in self.body:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        features = (shape[0], shape[-1])
        for dense, norm in self.heads:
            dense.build(features)
            norm.build(dense.compute_output_shape(features))

    def call(self, filled_pm1: Any, context_mask: Any, training: bool = False) -> tuple[Any, Any]:
        mask = ops.cast(context_mask, filled_pm1.dtype)
        x = ops.concatenate([filled_pm1, mask], axis=-1)
        for conv, norm in zip(self.body[::2], self.body[1::2], strict=True):
            x = ops.elu(norm(conv(x), training=training))
        x = ops.reshape(x, (-1, x.shape[-1]))
        mean, logvar = (norm(dense(x), training=training) for dense, norm in self.heads)
        return mean, logvar
