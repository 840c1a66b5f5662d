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
    return _elu(x)


# Between convolutions, numbers are read and written in the compute dtype and computed in float32:
# rounding each step of a chain to bfloat16 takes a CPU longer than the arithmetic.


@ops.custom_gradient
def _elu_in_float32(x):
    """By exp(x) - 1, to float32's last bit of 1; the gradient is read from the output alone."""
    wide = ops.cast(x, "float32")
    y = ops.cast(ops.where(wide > 0, wide, ops.exp(ops.minimum(wide, 0.0)) - 1.0), x.dtype)

    def gradient(upstream):
        slope = ops.minimum(ops.cast(y, "float32"), 0.0) + 1.0
        return ops.cast(ops.cast(upstream, "float32") * slope, x.dtype)

    return y, gradient


@fused
def _elu(x):
    return _elu_in_float32(x)


@fused
def _elu_of_sum(x, y):
    total = ops.cast(x, "float32") + ops.cast(y, "float32")
    return ops.cast(_elu_in_float32(total), x.dtype)


@fused
def _gate(x, *terms):
    """x + p * sigmoid(q), where p and q are the halves of the terms' sum."""
    p, q = ops.split(sum(ops.cast(term, "float32") for term in terms), 2, axis=-1)
    return ops.cast(ops.cast(x, "float32") + p * ops.sigmoid(q), x.dtype)


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
        # With data-dependent initialisation blocks start near the identity, as in PixelCNN++.
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
        if auxiliary is None:
            c1 = nonlinearity(c1, self.activation)
        else:
            c1 = self._with(c1, self.auxiliary(nonlinearity(auxiliary, self.activation)))
        c2 = self.conv2(self.dropout(c1, training=training))
        return _gate(x, c2, *self._conditions(conditioning or ()))

    def _with(self, c1, told):
        if self.activation == ELU:
            return _elu_of_sum(c1, told)
        return nonlinearity(c1 + told, self.activation)

    def _conditions(self, maps):
        """The terms the conditioning maps add before the gate."""
        if maps and self.conditioning_form == PUBLISHED:
            return [_elu(self.conditioning[0](ops.concatenate(maps, axis=-1)))]
        return [layer(each) for layer, each in zip(self.conditioning, maps, strict=True)]

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
