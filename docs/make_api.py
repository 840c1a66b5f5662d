"""docs/api.md, from signatures and docstrings: python docs/make_api.py"""

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any

REPOSITORY = Path(__file__).parent.parent
PAGE = Path(__file__).parent / "api.md"

HEAD = """\
# Functions and classes

Made by `python docs/make_api.py`; a test keeps it true. `images_u8` are uint8 (N, H, W, 3),
`images_pm1` float32 in [-1, 1], `context_mask` float32 (N, H, W, 1) with 1 where a pixel is
observed.
"""

# What is promised to stay: module, and names in it.
PUBLIC = {
    "csi_tf": ("load", "available", "inpaint", "reconstruct", "traverse", "sample_prior"),
    "csi_tf.inpaint": ("Completions", "stream"),
    "csi_tf.model": ("CSIModel.encode", "CSIModel.decode", "CSIModel.log_prob"),
    "csi_tf.likelihood": ("holes", "whole_images"),
    "csi_tf.latents": ("Latent", "read"),
    "csi_tf.data": ("arrays", "load", "write_npz"),
    "csi_tf.data.procedural_faces": ("render",),
    "csi_tf.masks": ("named", "sample", "from_file"),
    "csi_tf.session": ("Session", "read"),
    "csi_tf.evaluation.disentanglement": ("mig", "sap", "dci", "hold_one", "factor_vae"),
    "csi_tf.evaluation.pictures": ("psnr", "l1", "ssim", "diversity"),
    "csi_tf.evaluation.seam": ("steps", "ratio"),
    "csi_tf.evaluation.features": ("kid_by_image", "fid"),
    "csi_tf.studio.api": (
        "Api.models",
        "Api.face",
        "Api.draw",
        "Api.infer",
        "Api.inpaint",
        "Api.sweep",
    ),
    "pixel_cnn_pp": ("ForwardPixelCNN", "ReversePixelCNN", "MixtureParams"),
    "pixel_cnn_pp.mixture": ("log_prob", "sample"),
    "pixel_cnn_pp.sampling": ("sample",),
    "pixel_cnn_pp.receptive_field": ("blocks", "measure"),
}


def page() -> str:
    return "\n".join([HEAD, *(line for module in PUBLIC for line in _module(module))])


def _module(module: str) -> Iterator[str]:
    yield f"## {module}\n"
    for name in PUBLIC[module]:
        found: Any = _found(module, name)
        words = inspect.getdoc(found)
        if not words:
            raise ValueError(f"{module}.{name} has no docstring")
        yield f"### {name}\n"
        yield f"    {name.split('.')[-1]}{_signature(found)}\n"
        # Columns stay as they are.
        parts = [textwrap.indent(p, "    ") if "  " in p else p for p in words.split("\n\n")]
        yield "\n\n".join(parts) + "\n"


def _found(module: str, name: str) -> Any:
    __import__(module)
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _signature(found: Any) -> str:
    """On one line or an argument a line; types as they are written in the code."""
    written, result = _types(found)
    arguments = []
    for name, parameter in inspect.signature(found).parameters.items():
        default = parameter.default
        if name == "self" or parameter.kind is parameter.VAR_KEYWORD:
            continue
        said = f"{name}: {written[name]}" if written.get(name) else name
        if default is not parameter.empty:
            value = repr(default) if isinstance(default, (str, int, float, NoneType)) else "..."
            said += f" = {value}" if written.get(name) else f"={value}"
        arguments.append(said)
    ends = f") -> {result}" if result else ")"
    short = "(" + ", ".join(arguments) + ends
    if len(short) < 80:
        return short
    return "(" + "".join(f"\n        {said}," for said in arguments) + f"\n    {ends}"


def _types(found: Any) -> tuple[dict[str, str], str]:
    """Of the arguments and of what comes back; where nothing is written, nothing."""
    node: Any = ast.parse(textwrap.dedent(inspect.getsource(found))).body[0]
    if isinstance(node, ast.ClassDef):
        made = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        if not made:  # a dataclass or a tuple with names
            given = [n for n in node.body if isinstance(n, ast.AnnAssign)]
            return {ast.unparse(n.target): ast.unparse(n.annotation) for n in given}, ""
        node, returns = made[0], None
    else:
        returns = node.returns
    given = [*node.args.args, *node.args.kwonlyargs]
    types = {arg.arg: ast.unparse(arg.annotation) for arg in given if arg.annotation}
    return types, ast.unparse(returns) if returns else ""


if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY))
    PAGE.write_text(page())
