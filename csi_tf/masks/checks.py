"""Checks of what callers hand over as a mask or a size."""

from typing import Any

import numpy as np

from csi_tf.checks import whole_number


def height_width(size: Any) -> tuple[int, int]:
    """(height, width) of a size given as one side or as a pair."""
    if isinstance(size, tuple | list):
        if len(size) != 2:
            raise ValueError(f"size is {size!r}; give one side or (height, width).")
        return whole_number(size[0], "height", 2), whole_number(size[1], "width", 2)
    side = whole_number(size, "size", 2)
    return side, side


def _conversion(mask: np.ndarray) -> str:
    """The expression that turns a mask of another dtype into a context mask."""
    if mask.dtype == bool:
        return "mask.astype(np.float32) if True means observed, (~mask).astype(np.float32) if hole"
    if np.issubdtype(mask.dtype, np.integer) and mask.size and mask.max() > 1:
        return (
            "(mask < 128).astype(np.float32) if white is the hole,"
            " (mask >= 128).astype(np.float32) if white is observed"
        )
    return "mask.astype(np.float32)"


def _named(value: Any) -> str:
    """What came in place of an array, without printing pages of numbers."""
    plain = value is None or isinstance(value, str)
    return repr(value) if plain else f"of type {type(value).__name__}"


def check(
    context_mask: Any,
    size: int | tuple[int, int] | None = None,
    batch: int | None = None,
    what: str = "context_mask",
) -> np.ndarray:
    """The mask as an array, if it is a context mask: float32, (H,W,1) or (B,H,W,1), only 0 and 1.

    With `size` its height and width must be that; with `batch` a rank-4 mask must hold that many.
    """
    if not hasattr(context_mask, "dtype"):
        hint = ""
        if isinstance(context_mask, list | tuple):
            hint = ": use np.array(mask, np.float32)"
        raise ValueError(
            f"{what} is {_named(context_mask)}; expected a float32 array (height, width, 1) with"
            f" 1 = observed and 0 = hole{hint}."
        )
    mask = np.asarray(context_mask)
    if mask.dtype.kind not in "biuf":
        raise ValueError(
            f"{what} is an array of {mask.dtype}; expected float32 with 1 = observed and 0 = hole."
        )
    if mask.dtype != np.float32:
        raise ValueError(
            f"{what} is {mask.dtype}; expected float32 with 1 = observed and 0 = hole:"
            f" use {_conversion(mask)}."
        )
    if mask.ndim not in (3, 4) or mask.shape[-1] != 1:
        fix = ": use mask[..., None]"
        if mask.ndim in (3, 4) and mask.shape[-1] in (2, 3, 4):
            fix = ": use one channel, mask[..., :1]"
        elif mask.ndim not in (2, 3):
            fix = ""
        raise ValueError(
            f"{what} has shape {mask.shape}; expected (height, width, 1)"
            f" or (batch, height, width, 1){fix}."
        )
    # Plain comparisons also catch NaN.
    wrong = mask[~((mask == 0) | (mask == 1))]
    if wrong.size:
        raise ValueError(
            f"{what} holds values other than 0 and 1 (such as {wrong[0]:g}); threshold it:"
            " (mask >= 0.5).astype(np.float32) on a 0..1 scale with 1 = observed."
        )
    if size is not None and mask.shape[-3:-1] != height_width(size):
        height, width = height_width(size)
        raise ValueError(
            f"{what} is {mask.shape[-3]}x{mask.shape[-2]} pixels; expected {height}x{width}:"
            " make it at that size, or resize a picture with masks.from_file(path, size)."
        )
    if batch is not None and mask.ndim == 4 and mask.shape[0] != batch:
        raise ValueError(
            f"{what} holds {mask.shape[0]} masks for {batch} images; give one mask per image,"
            " or a single (height, width, 1) mask for all."
        )
    return mask
