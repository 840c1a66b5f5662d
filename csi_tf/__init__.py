"""Controllable semantic image inpainting (Xu & Teh, 2018).

Submodules load on first use, so `import csi_tf` needs neither TensorFlow nor a second.
"""

from importlib import import_module, metadata
from typing import Any

_SUBMODULES = (
    "checkpoints",
    "config",
    "data",
    "figures",
    "learner",
    "likelihood",
    "loading",
    "logs",
    "masks",
    "model",
    "noise",
    "objectives",
    "randomness",
    "runs",
    "stages",
    "summary",
    "training",
    "validation",
)

try:
    __version__ = metadata.version("csi-tf")
except metadata.PackageNotFoundError:  # a checkout that was never installed
    __version__ = "unknown"


def __getattr__(name: str) -> Any:
    if name == "load":
        from csi_tf.loading import load

        return load
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_SUBMODULES, "load"])
