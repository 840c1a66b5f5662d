"""The one gated residual block, used by both streams of both networks."""

import keras
from keras import ops

from pixel_cnn_pp import checks
from pixel_cnn_pp.convolutions import CausalConv
from pixel_cnn_pp.dropout import ByteDropout
from pixel_cnn_pp.fusing import fused

ELU, CONCAT_ELU = "elu", "concat_elu"
LINEAR, PUBLISHED = "linear", "published"


def nonlinearity(x, kind: str):
    """ELU, or ELU of x and -x side by side (Salimans et al. 2017)."""
    if kind == CONCAT_ELU:
        x = ops.concatenate([x, -x], axis=-1)
    return ops.elu(x)


@fused
def _gate(x, c2):
    p, q = ops.split(c2, 2, axis=-1)
    return x + p * ops.sigmoid(q)


@keras.saving.register_keras_serializable("pixel_cnn_pp")
class GatedBlock(keras.layers.Layer):
    """x + p * sigmoid(q), where (p, q) come from two causal convolutions, an auxiliary stream and
    the conditioning maps: eq. (3) with its gates written out.

    `conditioning_form` "linear" adds U * Y^r + V * Y^z, one 1x1 without bias for each map (the
    paper); "published" adds ELU(1x1(all maps side by side)), as the first author's code does.
    """

    def __init__(
        self,
        filters: int,
        kernels: tuple[tuple[int, int], tuple[int, int]],
        direction: str,
        dropout: float = 0.0,
        conditioning_form: str = LINEAR,
        activation: str = ELU,
        weight_norm: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        checks.positive(filters=filters)
        if not isinstance(kernels, list | tuple) or len(kernels) != 2:
            raise ValueError(f"kernels is {kernels!r}, expected two, such as ((2, 3), (2, 3)).")
        checks.rate(dropout=dropout)
        checks.choice("conditioning_form", conditioning_form, (LINEAR, PUBLISHED))
        checks.choice("activation", activation, (ELU, CONCAT_ELU))
        self.filters = filters
        self.kernels = tuple(tuple(kernel) for kernel in kernels)
        self.direction = direction
        self.conditioning_form = conditioning_form
        self.activation = activation
        self.weight_norm = weight_norm
        shared = {"weight_norm": weight_norm, "dtype": self.dtype_policy}
        self.conv1 = CausalConv(filters, self.kernels[0], direction, name="conv1", **shared)
        # PixelCNN++ starts its blocks near the identity.
        self.conv2 = CausalConv(
            2 * filters, self.kernels[1], direction, init_scale=0.1, name="conv2", **shared
        )
        self.dropout = ByteDropout(dropout, dtype=self.dtype_policy, name="dropout")
        self.auxiliary = None
        self.conditioning = []

    def build(self, x_shape, auxiliary_shape=None, conditioning_shape=None):
        width = 2 if self.activation == CONCAT_ELU else 1

        def widened(shape):
            return (*shape[:-1], width * shape[-1])

        self.conv1.build(widened(x_shape))
        self.conv2.build(widened((*x_shape[:-1], self.filters)))
        shared = {"weight_norm": self.weight_norm, "dtype": self.dtype_policy}
        if auxiliary_shape is not None:
            self.auxiliary = CausalConv(self.filters, name="auxiliary", **shared)
            self.auxiliary.build(widened(auxiliary_shape))
        if conditioning_shape:
            shapes = conditioning_shape
            if self.conditioning_form == PUBLISHED:
                shapes = [(*shapes[0][:-1], sum(shape[-1] for shape in shapes))]
            for i, shape in enumerate(shapes):
                layer = CausalConv(
                    2 * self.filters,
                    use_bias=self.conditioning_form == PUBLISHED,
                    name=f"conditioning_{i}",
                    **shared,
                )
                layer.build(shape)
                self.conditioning.append(layer)

    def call(self, x, auxiliary=None, conditioning=None, training=False):
        c1 = self.conv1(nonlinearity(x, self.activation))
        if auxiliary is not None:
            c1 = c1 + self.auxiliary(nonlinearity(auxiliary, self.activation))
        c1 = self.dropout(nonlinearity(c1, self.activation), training=training)
        c2 = self.conv2(c1)
        if conditioning:
            c2 = c2 + self.condition(conditioning)
        return _gate(x, c2)

    def condition(self, maps):
        """The term the conditioning maps add before the gate; it depends on nothing else."""
        if self.conditioning_form == PUBLISHED:
            return ops.elu(self.conditioning[0](ops.concatenate(maps, axis=-1)))
        return sum(layer(each) for layer, each in zip(self.conditioning, maps, strict=True))

    def get_config(self):
        return super().get_config() | {
            "filters": self.filters,
            "kernels": self.kernels,
            "direction": self.direction,
            "dropout": self.dropout.rate,
            "conditioning_form": self.conditioning_form,
            "activation": self.activation,
            "weight_norm": self.weight_norm,
        }
