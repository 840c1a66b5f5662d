"""Latents -> spatial feature maps Y^z: Table 1, right."""

from typing import Any

import keras
from keras import ops

from csi_tf.encoder import normalisation, widths


class Decoder(keras.layers.Layer):
    """(B, latents) -> (B, size, size, filters) maps, of which the PixelCNN makes a picture."""

    def __init__(self, latent_dim: int = 32, size: int = 32, filters: int = 32, **kwargs: Any):
        super().__init__(**kwargs)
        policy = self.dtype_policy

        self.first = [
            keras.layers.Dense(16 * filters, dtype=policy, name="dense"),
            normalisation(dtype=policy, name="dense_norm"),
        ]
        self.body: list[Any] = []

        def deconv(channels: int, stride: int, padding: str) -> None:
            number = len(self.body) // 2
            self.body += [
                keras.layers.Conv2DTranspose(
                    channels, 4, stride, padding, dtype=policy, name=f"deconv_{number}"
                ),
                normalisation(dtype=policy, name=f"norm_{number}"),
            ]

        # The encoder's widths on the way back.
        outward = widths(size, filters)[::-1]
        deconv(outward[0], 1, "valid")
        for channels in [*outward[1:], filters]:
            deconv(channels, 2, "same")

    def build(self, z_shape: Any) -> None:
        shape = z_shape
        for layer in self.first:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        shape = (shape[0], 1, 1, shape[-1])
        for layer in self.body:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, z: Any, training: bool = False) -> Any:
        dense, norm = self.first
        x = ops.elu(norm(dense(z), training=training))
        x = ops.reshape(x, (-1, 1, 1, x.shape[-1]))
        for conv, norm in zip(self.body[::2], self.body[1::2], strict=True):
            x = ops.elu(norm(conv(x), training=training))
        return x
