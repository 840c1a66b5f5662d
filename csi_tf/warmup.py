"""What stands in for the PixelCNN during --latent_warmup_steps and goes with it."""

from typing import Any

import keras
from keras import ops

from pixel_cnn_pp import CausalConv, mixture, shifts


class WarmupHead(keras.layers.Layer):
    """Y^z and the four neighbours before a pixel -> its raw mixture, by one 1x1 convolution.

    What can be said by copying a neighbour is said so, which leaves shapes to the latents; without
    neighbours they spend themselves on colours first.
    """

    def __init__(self, mixtures: int, **kwargs: Any):
        super().__init__(**kwargs)
        outputs = mixture.CHANNELS_PER_MIXTURE * mixtures
        self.last = CausalConv(outputs, name="last", dtype=self.dtype_policy)

    def build(self, images_pm1_shape: Any, y_z_shape: Any) -> None:
        self.last.build((*y_z_shape[:-1], 4 * images_pm1_shape[-1] + y_z_shape[-1]))

    def call(self, images_pm1: Any, y_z: Any) -> Any:
        above = shifts.shift_down(images_pm1)
        before = [
            shifts.shift_right(images_pm1),
            above,
            shifts.shift_left(above),
            shifts.shift_right(above),
        ]
        maps = [ops.cast(each, self.compute_dtype) for each in (y_z, *before)]
        return self.last(ops.concatenate(maps, axis=-1))
