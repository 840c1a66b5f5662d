"""Directional convolutions: causal by how they are padded, with optional weight normalisation."""

import contextlib

import keras
from keras import ops

from pixel_cnn_pp import checks, shifts

DOWN, DOWN_RIGHT = "down", "down_right"
_initialising = False


@contextlib.contextmanager
def data_dependent_initialisation():
    """Within it, each weight-normalised convolution that is called sets its gain and bias so that
    its outputs on that batch have mean zero and its `init_scale` as standard deviation
    (Salimans & Kingma 2016). Call the network once on a batch of data, eagerly."""
    global _initialising
    _initialising = True
    try:
        yield
    finally:
        _initialising = False


@keras.saving.register_keras_serializable("pixel_cnn_pp")
class CausalConv(keras.layers.Layer):
    """A convolution that sees the present row and rows above it, never a row below.

    `kernel` is (rows, columns). With direction "down" its columns are centred, so it sees the
    present row on both sides; with "down_right" they end at the present column.
    """

    def __init__(
        self,
        filters: int,
        kernel: tuple[int, int] = (1, 1),
        direction: str = DOWN,
        use_bias: bool = True,
        weight_norm: bool = False,
        init_scale: float = 1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        checks.positive(filters=filters)
        checks.pair(kernel=kernel)
        checks.choice("direction", direction, (DOWN, DOWN_RIGHT))
        if direction == DOWN and kernel[1] % 2 == 0:
            raise ValueError(
                f"kernel is {kernel}: {DOWN!r} centres it, so its columns must be odd."
            )
        self.filters = filters
        self.kernel_size = tuple(kernel)
        self.direction = direction
        self.use_bias = use_bias
        self.weight_norm = weight_norm
        self.init_scale = init_scale

    def build(self, input_shape):
        shape = (*self.kernel_size, input_shape[-1], self.filters)
        # Paper: Xavier for everything. PixelCNN++: small normals, whose length the gain replaces.
        initializer = (
            keras.initializers.RandomNormal(stddev=0.05) if self.weight_norm else ("glorot_uniform")
        )
        self.kernel = self.add_weight(shape=shape, initializer=initializer, name="kernel")
        if self.use_bias:
            self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")
        if self.weight_norm:
            self.gain = self.add_weight(shape=(self.filters,), initializer="ones", name="gain")

    def call(self, x):
        if self.weight_norm and _initialising:
            self._initialise_from(x)
        y = self._convolve(x, self.effective_kernel())
        return y + ops.cast(self.bias, y.dtype) if self.use_bias else y

    def effective_kernel(self):
        """What the input is convolved with: the kernel, or its direction times the gain."""
        if not self.weight_norm:
            return self.kernel
        kernel = ops.cast(self.kernel, "float32")
        lengths = ops.sqrt(ops.sum(ops.square(kernel), axis=(0, 1, 2)))
        return ops.cast(kernel * (ops.cast(self.gain, "float32") / lengths), self.compute_dtype)

    def _convolve(self, x, kernel):
        rows, columns = self.kernel_size
        if self.direction == DOWN:
            left = right = columns // 2
        else:
            left, right = columns - 1, 0
        padded = shifts.pad(x, top=rows - 1, left=left, right=right)
        return ops.conv(padded, kernel, padding="valid", data_format="channels_last")

    def _initialise_from(self, x):
        self.gain.assign(ops.ones_like(self.gain))
        y = ops.cast(self._convolve(x, self.effective_kernel()), "float32")
        mean, variance = ops.moments(y, axes=(0, 1, 2))
        gain = self.init_scale * ops.rsqrt(variance + 1e-10)
        self.gain.assign(gain)
        if self.use_bias:
            self.bias.assign(-mean * gain)

    def get_config(self):
        return super().get_config() | {
            "filters": self.filters,
            "kernel": self.kernel_size,
            "direction": self.direction,
            "use_bias": self.use_bias,
            "weight_norm": self.weight_norm,
            "init_scale": self.init_scale,
        }
