"""Earlier pixels and conditioning maps -> raw mixture outputs."""

import keras
from keras import ops

from pixel_cnn_pp import checks
from pixel_cnn_pp.blocks import ELU, LINEAR
from pixel_cnn_pp.mixture import CHANNELS_PER_MIXTURE
from pixel_cnn_pp.streams import TwoStreams


@keras.saving.register_keras_serializable("pixel_cnn_pp")
class ForwardPixelCNN(keras.layers.Layer):
    """A PixelCNN++ at one resolution: output (i, j) holds the mixture of pixel (i, j) given the
    pixels before it in raster order and, without restriction, the conditioning maps.

    `conditioning` is one (B, H, W, C) map or a tuple of them; the maps of the first call decide
    which ones the network takes.
    """

    def __init__(
        self,
        blocks: int = 5,
        filters: int = 100,
        mixtures: int = 10,
        dropout: float = 0.5,
        conditioning_form: str = LINEAR,
        activation: str = ELU,
        weight_norm: bool = False,
        field: tuple[int, int] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        checks.positive(mixtures=mixtures)
        self.mixtures = mixtures
        self.conditioning_channels: tuple[int, ...] | None = None
        self.streams = TwoStreams(
            blocks,
            filters,
            CHANNELS_PER_MIXTURE * mixtures,
            dropout,
            conditioning_form,
            activation,
            weight_norm,
            field,
            dtype=self.dtype_policy,
            name="streams",
        )

    def build(self, images_pm1_shape, conditioning_shape=None):
        shapes = _as_shapes(conditioning_shape)
        self.conditioning_channels = tuple(shape[-1] for shape in shapes) or None
        self.streams.build((*images_pm1_shape[:-1], images_pm1_shape[-1] + 1), shapes)

    def call(self, images_pm1, conditioning=None, training=False):
        checks.images(images_pm1)
        maps = as_maps(conditioning)
        self.check_maps(maps)
        for i, each in enumerate(maps):
            checks.same_place(images_pm1, each, "images_pm1", f"conditioning[{i}]")
        ones = ops.ones_like(images_pm1[..., :1])  # tells a black pixel from the zeros of a pad
        return self.streams(
            ops.concatenate([images_pm1, ones], axis=-1), maps or None, training=training
        )

    def check_maps(self, maps):
        """ValueError unless they are what the network was built for."""
        channels = tuple(each.shape[-1] for each in maps) or None
        if channels != self.conditioning_channels:
            raise ValueError(
                f"conditioning has maps of {channels or 'no'} channels, but the network was built "
                f"for {self.conditioning_channels or 'no conditioning'}."
            )

    def get_config(self):
        config = self.streams.get_config()
        return super().get_config() | {
            "mixtures": self.mixtures,
            **{key: config[key] for key in config if key in _STREAM_OPTIONS},
        }


_STREAM_OPTIONS = (
    "blocks",
    "filters",
    "dropout",
    "conditioning_form",
    "activation",
    "weight_norm",
    "field",
)


def as_maps(conditioning) -> tuple:
    """None, one map or several -> a tuple of checked maps."""
    if conditioning is None:
        return ()
    maps = tuple(conditioning) if isinstance(conditioning, list | tuple) else (conditioning,)
    for i, each in enumerate(maps):
        checks.maps(each, f"conditioning[{i}]")
    return maps


def _as_shapes(shape) -> tuple:
    if not shape:
        return ()
    return tuple(shape) if isinstance(shape[0], list | tuple) else (tuple(shape),)
