"""What the public functions accept. Everything else is a ValueError that says how to convert."""

from collections.abc import Collection
from typing import Any

import numpy as np

# Sums in float32 end a few 1e-7 beyond 1, and rounding to bfloat16 takes nothing beyond it; a
# picture in [0, 255] is further out.
_SLACK = 2.0**-10


def concrete(x: Any) -> np.ndarray | None:
    """The values of `x`, or None while a graph is being traced and there are none yet."""
    try:
        return np.asarray(x)
    except (NotImplementedError, TypeError, ValueError):
        return None


def images(x: Any, name: str = "images_pm1", channels: int = 3) -> None:
    """(batch, rows, columns, channels) floats in [-1, 1]."""
    floats(x, name, f"(batch, rows, columns, {channels})", _TO_PM1)
    _rank_and_channels(x, name, channels)
    values = concrete(x)
    if values is not None and values.size:
        low, high = float(values.min()), float(values.max())
        if not (low >= -1 - _SLACK and high <= 1 + _SLACK):
            raise ValueError(
                f"{name} has values in [{low:g}, {high:g}], expected [-1, 1]; {_TO_PM1}."
            )


def mask(x: Any, name: str = "context_mask") -> None:
    """(batch, rows, columns, 1) floats, 1 where the pixel is observed and 0 in the hole."""
    dtype = str(getattr(getattr(x, "dtype", None), "name", getattr(x, "dtype", None)))
    hint = _TO_MASK.get(dtype, _TO_MASK["float32"])
    floats(x, name, "(batch, rows, columns, 1)", hint)
    _rank_and_channels(x, name, 1)
    values = concrete(x)
    if values is not None and not np.all((values == 0) | (values == 1)):
        raise ValueError(f"{name} has values other than 0 (hole) and 1 (observed); {hint}.")


def maps(x: Any, name: str) -> None:
    """(batch, rows, columns, any number of channels) floats."""
    floats(x, name, "(batch, rows, columns, channels)", "cast it with .astype('float32')")
    _rank_and_channels(x, name, None)


_TO_PM1 = "convert 8-bit pictures with images.astype('float32') / 127.5 - 1"
_TO_MASK = {
    "bool": "convert it with mask.astype('float32'), True being observed",
    "uint8": "convert a picture where white is observed with (mask > 127).astype('float32')",
    "float32": "convert shades where 1 is observed with (mask >= 0.5).astype('float32')",
}


def floats(x: Any, name: str, shape: str, hint: str) -> None:
    """An array of floats of any shape; `shape` is only said."""
    if not hasattr(x, "dtype") or not hasattr(x, "shape"):
        raise ValueError(
            f"{name} is a {type(x).__name__}, expected an array of shape {shape}; {hint}."
        )
    dtype = getattr(x.dtype, "name", str(x.dtype))
    if "float" not in dtype:
        raise ValueError(f"{name} has dtype {dtype}, expected float32 of shape {shape}; {hint}.")


def _rank_and_channels(x: Any, name: str, channels: int | None) -> None:
    shape = tuple(x.shape)
    expected = f"(batch, rows, columns, {'channels' if channels is None else channels})"
    if len(shape) != 4:
        hint = f"; add the batch axis with {name}[None]" if len(shape) == 3 else ""
        raise ValueError(f"{name} has shape {shape}, expected {expected}{hint}.")
    if 0 in shape:
        raise ValueError(f"{name} has shape {shape}, which holds nothing; expected {expected}.")
    if channels is not None and shape[-1] != channels:
        grey = "; repeat a grey picture with np.repeat(x, 3, -1)" if shape[-1] == 1 else ""
        raise ValueError(f"{name} has {shape[-1]} channels, expected {expected}{grey}.")


def positive(**numbers: Any) -> None:
    """Whole numbers of one or more, such as filters=100."""
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 1:
            raise ValueError(f"{name} is {number!r}, expected a whole number of 1 or more.")


def same_place(x: Any, y: Any, x_name: str, y_name: str) -> None:
    """The same batch, rows and columns; sizes unknown while tracing are taken on trust."""
    for a, b in zip(x.shape[:3], y.shape[:3], strict=True):
        if a is not None and b is not None and a != b:
            raise ValueError(
                f"{y_name} has shape {tuple(y.shape)}, expected {tuple(x.shape[:3])} as {x_name}"
                " has, followed by its channels."
            )


def pair(**sizes: Any) -> None:
    """(rows, columns), such as kernel=(2, 3) or field=(7, 15)."""
    for name, size in sizes.items():
        if not isinstance(size, list | tuple) or len(size) != 2:
            raise ValueError(f"{name} is {size!r}, expected (rows, columns) such as (2, 3).")
        positive(**{f"{name} rows": size[0], f"{name} columns": size[1]})


def rate(**numbers: Any) -> None:
    """Fractions in [0, 1), such as dropout=0.5."""
    for name, number in numbers.items():
        if not isinstance(number, int | float | np.floating) or not 0 <= number < 1:
            raise ValueError(
                f"{name} is {number!r}, expected a number from 0 up to, not including, 1."
            )


def choice(name: str, value: Any, choices: Collection[Any]) -> None:
    if not any(value is each or (type(value) is type(each) and value == each) for each in choices):
        raise ValueError(f"{name} is {value!r}, expected one of: {', '.join(map(str, choices))}.")
