"""Latents -> spatial feature maps Y^z: Table 1, right."""

from typing import Any

import keras
from keras import ops

from csi_tf.encoder import normalisation, widths


@keras.saving.register_keras_serializable("csi_tf")
class Decoder(keras.layers.Layer):
    """(B, latents) -> (B, size, size, filters) maps. They are no picture: the PixelCNN makes one."""

    def __init__(self, latent_dim: int = 32, size: int = 32, filters: int = 32, **kwargs: Any):
        super().__init__(**kwargs)
        self._config = {"latent_dim": latent_dim, "size": size, "filters": filters}
        policy = self.dtype_policy

        def deconv(channels: int, stride: int, padding: str) -> list[Any]:
            return [
                keras.layers.Conv2DTranspose(channels, 4, stride, padding, dtype=policy),
                normalisation(dtype=policy),
            ]

        self.first = [keras.layers.Dense(16 * filters, dtype=policy), normalisation(dtype=policy)]
        # The encoder's widths on the way back.
        outward = widths(size, filters)[::-1]
        self.body = deconv(outward[0], 1, "valid")
        for channels in [*outward[1:], filters]:
            self.body += deconv(channels, 2, "same")

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

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | self._config
