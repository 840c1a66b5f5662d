"""The two streams that both networks share: everything between their inputs and their last 1x1."""

import keras

from pixel_cnn_pp import checks, shifts
from pixel_cnn_pp.blocks import ELU, LINEAR, GatedBlock, nonlinearity
from pixel_cnn_pp.convolutions import DOWN, DOWN_RIGHT, CausalConv
from pixel_cnn_pp.receptive_field import Plan


@keras.saving.register_keras_serializable("pixel_cnn_pp")
class TwoStreams(keras.layers.Layer):
    """Features at each pixel from the pixels before it in raster order, never from itself.

    The vertical stream sees the rows above, the horizontal stream the pixels to the left as well,
    and takes the vertical one as auxiliary input in each block. `field` is None for the kernels of
    PixelCNN++, or (rows, columns) for an exact field.
    """

    def __init__(
        self,
        blocks: int,
        filters: int,
        outputs: int,
        dropout: float = 0.0,
        conditioning_form: str = LINEAR,
        activation: str = ELU,
        weight_norm: bool = False,
        field: tuple[int, int] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        checks.positive(blocks=blocks, filters=filters, outputs=outputs)
        if field is not None:
            checks.pair(field=field)
        self._config = {
            "blocks": blocks,
            "filters": filters,
            "outputs": outputs,
            "dropout": dropout,
            "conditioning_form": conditioning_form,
            "activation": activation,
            "weight_norm": weight_norm,
            "field": field and tuple(field),
        }
        plan = Plan.exact(blocks, *field) if field else Plan.published(blocks)
        self.plan = plan
        self.activation, self.conditioning_form = activation, conditioning_form
        conv = {"weight_norm": weight_norm, "dtype": self.dtype_policy}
        self.first_down = CausalConv(filters, plan.first_down, DOWN, name="first_down", **conv)
        self.first_row = CausalConv(filters, plan.first_row, DOWN, name="first_row", **conv)
        self.first_left = None
        if plan.first_left:
            self.first_left = CausalConv(
                filters, plan.first_left, DOWN_RIGHT, name="first_left", **conv
            )

        def gated(kernels, direction):
            return [
                GatedBlock(
                    filters,
                    pair,
                    direction,
                    dropout,
                    conditioning_form,
                    activation,
                    weight_norm,
                    dtype=self.dtype_policy,
                    name=f"{direction}_{k}",
                )
                for k, pair in enumerate(kernels)
            ]

        self.down = gated(plan.down, DOWN)
        self.down_right = gated(plan.down_right, DOWN_RIGHT)
        # What leaves the network is float32 whatever the compute dtype: likelihoods are made of it.
        self.last = CausalConv(outputs, name="last", weight_norm=weight_norm, dtype="float32")

    def build(self, x_shape, conditioning_shape=None):
        filters = self._config["filters"]
        features = (*x_shape[:-1], filters)
        for layer in (self.first_down, self.first_row, self.first_left):
            if layer is not None:
                layer.build(x_shape)
        for down, down_right in zip(self.down, self.down_right, strict=True):
            down.build(features, None, conditioning_shape)
            down_right.build(features, features, conditioning_shape)
        self.last.build((*x_shape[:-1], filters * (1 if self.activation == ELU else 2)))

    def call(self, x, conditioning=None, training=False):
        # Shifting the picture is shifting the features, and there is far less of it.
        below, right = shifts.shift_down(x), shifts.shift_right(x)
        vertical = self.first_down(below)
        horizontal = self.first_row(below)
        if self.first_left is not None:
            horizontal = horizontal + self.first_left(right)
        for down, down_right in zip(self.down, self.down_right, strict=True):
            vertical = down(vertical, conditioning=conditioning, training=training)
            horizontal = down_right(
                horizontal, auxiliary=vertical, conditioning=conditioning, training=training
            )
        return self.last(nonlinearity(horizontal, self.activation))

    def get_config(self):
        return super().get_config() | self._config
