"""PixelCNN++ layers, mixtures and receptive fields on keras.ops (TensorFlow or JAX).

Names load on first use: `receptive_field.blocks` can be asked without waiting for Keras.
"""

from importlib import import_module

_HOMES = {
    "CausalConv": "convolutions",
    "ForwardPixelCNN": "forward",
    "GatedBlock": "blocks",
    "MixtureParams": "mixture",
    "ReversePixelCNN": "reverse",
    "TwoStreams": "streams",
    "data_dependent_initialisation": "convolutions",
}
_SUBMODULES = ("mixture", "receptive_field", "sampling")

__all__ = [*_HOMES, *_SUBMODULES]


def __getattr__(name):
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
