"""Controllable semantic image inpainting (Xu & Teh, 2018).

Submodules load on first use, so `import csi_tf` needs neither TensorFlow nor a second.
"""

import sys
from importlib import import_module, metadata
from pathlib import Path
from types import ModuleType
from typing import Any

_SUBMODULES = (
    "checkpoints",
    "config",
    "data",
    "drawing",
    "evaluation",
    "figures",
    "latents",
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
    "session",
    "stages",
    "summary",
    "training",
    "validation",
)

try:
    __version__ = metadata.version("csi-tf")
except metadata.PackageNotFoundError:  # a checkout that was never installed
    __version__ = "unknown"


# Where the functions that people call most are; `inpaint` is one more, see the end of this file.
_FUNCTIONS = {
    "load": "loading",
    "reconstruct": "inpaint",
    "sample_prior": "inpaint",
    "traverse": "inpaint",
}


def available() -> list[str]:
    """The models that come with the library, by the names that `load` takes."""
    return sorted(
        path.parent.parent.name
        for path in (Path(__file__).parent / "shipped").glob("*/stage2/model.safetensors")
    )


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return getattr(import_module(f"{__name__}.{_FUNCTIONS[name]}"), name)
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_SUBMODULES, *_FUNCTIONS, "inpaint"])


class _Package(ModuleType):
    """`csi_tf.inpaint` is the function, though there is a module of that name.

    Importing a submodule makes it an attribute of its package; this one attribute stays as it is.
    """

    @property
    def inpaint(self) -> Any:
        return import_module(f"{__name__}.inpaint").inpaint

    @inpaint.setter
    def inpaint(self, module: ModuleType) -> None:
        pass


sys.modules[__name__].__class__ = _Package
