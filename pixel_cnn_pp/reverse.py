"""Observed later pixels -> context features: the forward stack between two 180-degree turns."""

import keras
from keras import ops

from pixel_cnn_pp import checks, shifts
from pixel_cnn_pp.blocks import ELU
from pixel_cnn_pp.streams import TwoStreams


@keras.saving.register_keras_serializable("pixel_cnn_pp")
class ReversePixelCNN(keras.layers.Layer):
    """Y^r of eq. (3): features at (i, j) from the context pixels after (i, j) in raster order.

    Pixels in the hole are zeroed before anything is computed, and the mask says which they are.
    """

    def __init__(
        self,
        blocks: int = 5,
        filters: int = 100,
        features: int = 100,
        dropout: float = 0.5,
        activation: str = ELU,
        weight_norm: bool = False,
        field: tuple[int, int] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        checks.positive(features=features)
        self.features = features
        self.streams = TwoStreams(
            blocks,
            filters,
            features,
            dropout,
            activation=activation,
            weight_norm=weight_norm,
            field=field,
            dtype=self.dtype_policy,
            name="streams",
        )

    def build(self, context_pm1_shape, context_mask_shape=None):
        self.streams.build((*context_pm1_shape[:-1], context_pm1_shape[-1] + 2))

    def call(self, context_pm1, context_mask, training=False):
        checks.images(context_pm1, "context_pm1")
        checks.mask(context_mask)
        checks.same_place(context_pm1, context_mask, "context_pm1", "context_mask")
        observed = ops.cast(context_mask, context_pm1.dtype)
        x = ops.concatenate([context_pm1 * observed, observed, ops.ones_like(observed)], axis=-1)
        return shifts.turn(self.streams(shifts.turn(x), training=training))

    def get_config(self):
        config = self.streams.get_config()
        return super().get_config() | {
            "features": self.features,
            **{key: config[key] for key in config if key in _STREAM_OPTIONS},
        }


_STREAM_OPTIONS = ("blocks", "filters", "dropout", "activation", "weight_norm", "field")
