"""The fixed holes: boxes given on the 32x32 frame of the paper and scaled to any size."""

import numpy as np

from csi_tf.masks.checks import height_width

# top, bottom, left, right on a 32x32 image, half open; the parts are those of the centred faces.
_FRAME = 32
_BOXES = {
    "center": (8, 24, 8, 24),
    "eyes": (9, 21, 5, 27),
    "nose": (18, 27, 11, 21),
    "mouth": (22, 32, 4, 28),
    "hair": (0, 12, 0, 32),
    "face": (8, 32, 8, 24),
    "bottom_half": (16, 32, 0, 32),
    "bottom_quarter": (24, 32, 0, 32),
    "top_half": (0, 16, 0, 32),
    "left_half": (0, 32, 0, 16),
    "right_half": (0, 32, 16, 32),
    "all": (0, 32, 0, 32),
}
ALIASES = {"eye": "eyes"}
NAMES = (*_BOXES, "none")


def _scale(start: int, stop: int, length: int) -> tuple[int, int]:
    """An interval of the 32 frame on `length` pixels.

    Equal edges round to equal pixels, so boxes that tile at 32 tile at every size; only where
    rounding would leave nothing is the box widened to one pixel.
    """
    first = min(round(start * length / _FRAME), length - 1)
    return first, max(round(stop * length / _FRAME), first + 1)


def box(name: str, size: int | tuple[int, int]) -> tuple[int, int, int, int]:
    """(top, bottom, left, right), half open, of a named hole; all zero for "none"."""
    height, width = height_width(size)
    if isinstance(name, str):
        name = ALIASES.get(name, name)
    if not isinstance(name, str) or name not in NAMES:
        raise ValueError(
            f"Unknown named mask {name!r}; the named masks are {', '.join(NAMES)}"
            " (random masks come from masks.sample, files from masks.from_file)."
        )
    if name == "none":
        return 0, 0, 0, 0
    top, bottom, left, right = _BOXES[name]
    return *_scale(top, bottom, height), *_scale(left, right, width)


def named(name: str, size: int | tuple[int, int]) -> np.ndarray:
    """The (H,W,1) float32 context mask of a named hole; size is the side, or (height, width)."""
    top, bottom, left, right = box(name, size)
    context_mask = np.ones((*height_width(size), 1), np.float32)
    context_mask[top:bottom, left:right] = 0
    return context_mask
