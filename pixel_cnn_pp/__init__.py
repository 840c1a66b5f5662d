"""PixelCNN++ layers, mixtures and receptive fields on keras.ops (TensorFlow or JAX)."""

from pixel_cnn_pp import mixture, receptive_field
from pixel_cnn_pp.blocks import GatedBlock
from pixel_cnn_pp.convolutions import CausalConv, data_dependent_initialisation
from pixel_cnn_pp.forward import ForwardPixelCNN
from pixel_cnn_pp.mixture import MixtureParams
from pixel_cnn_pp.reverse import ReversePixelCNN
from pixel_cnn_pp.streams import TwoStreams

__all__ = [
    "CausalConv",
    "ForwardPixelCNN",
    "GatedBlock",
    "MixtureParams",
    "ReversePixelCNN",
    "TwoStreams",
    "data_dependent_initialisation",
    "mixture",
    "receptive_field",
]
