"""Masks as pictures: reading what editors and scripts write, and writing it back."""

from os import PathLike

import numpy as np
from PIL import Image

from csi_tf import checks, pictures
from csi_tf.masks.checks import check, height_width

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
CONVENTIONS = ("white_is_hole", "black_is_hole")

# How near to black or white (as a part of the range) paint must be to be told from a photograph.
_PAINT = 1 / 8


def validated_convention(convention: str) -> str:
    if convention not in CONVENTIONS:
        raise ValueError(
            f"Unknown mask convention {convention!r}; choose {' or '.join(CONVENTIONS)}."
        )
    return convention


def _brightness_alpha(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """(H,W) brightness in 0..1, that of the brightest channel, and raw alpha where there is one."""
    alpha = None
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image).astype(np.float64)
    else:
        channels = np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
        values = channels[..., :3].max(axis=-1).astype(np.float64)
        alpha = channels[..., 3] if channels.shape[-1] == 4 else None
    # The range is the smallest usual one that holds the values, so that label files written as 0
    # and 1, which look black, and 8-bit values kept in a 16-bit file are read as meant.
    for full in (1, 255, 65535):
        if values.min() >= 0 and values.max() <= full:
            return values / full, alpha
    raise ValueError(
        f"it has values from {values.min():g} to {values.max():g}, expected 0 to 1, 255 or 65535"
    )


def hole_of_image(image: Image.Image, convention: str = "white_is_hole") -> np.ndarray:
    """(H,W) booleans, True = hole, by the rules of `from_file`."""
    brightness, alpha = _brightness_alpha(image)
    light = brightness >= 0.5
    if alpha is not None and not alpha.any():
        return np.zeros_like(light)
    light_is_hole = convention == "white_is_hole"
    # Half of the greatest alpha present: a half-transparent brush is still a brush.
    visible = np.ones_like(light) if alpha is None else alpha >= alpha.max() / 2
    if visible.all():
        return light == light_is_hole
    seen = brightness[visible]
    flat = seen.max() - seen.min() <= _PAINT
    if not (flat or np.all((seen <= _PAINT) | (seen >= 1 - _PAINT))):
        return ~visible
    tones = np.unique(light[visible])
    unpainted = (not tones[0]) == light_is_hole if len(tones) == 1 else False
    return np.where(visible, light == light_is_hole, unpainted)


def hole_of_file(path: str | PathLike[str], convention: str = "white_is_hole") -> np.ndarray:
    """(H,W) booleans at the picture's own size, True = hole; `from_file` has the rules."""
    validated_convention(convention)
    image = pictures.read(path, FORMATS, ValueError, "mask file")
    try:
        return hole_of_image(image, convention)
    except ValueError as error:
        raise ValueError(
            f"{str(path)!r} is no mask picture: {error}; save it as 8-bit grey PNG."
        ) from error


def from_file(
    path: str | PathLike[str],
    size: int | tuple[int, int],
    convention: str = "white_is_hole",
) -> np.ndarray:
    """The (H,W,1) float32 context mask of a picture; size is the side, or (height, width).

    Light (half of the range or more in the brightest channel) is hole, or dark is, as the
    convention says; files holding only 0 and 1 are understood. Like a photograph it is cut to the
    wanted shape around its centre, then resized by NEAREST, so a mask drawn over a photograph
    stays in place.

    Where alpha is 0 everywhere nothing is painted, so there is no hole. Otherwise an alpha channel
    counts only if it varies. Then
    - paint of one tone on an empty layer keeps its meaning, and transparent means the other one;
    - with both black and white paint, transparent is context;
    - in anything else (a photograph partly erased), transparent is hole and the rest context.
    """
    height, width = height_width(size)
    holes = hole_of_file(path, convention)
    rows, columns = holes.shape
    cut_rows = max(1, min(rows, round(columns * height / width)))
    cut_columns = max(1, min(columns, round(rows * width / height)))
    top, left = (rows - cut_rows) // 2, (columns - cut_columns) // 2
    cut = Image.fromarray(holes.astype(np.uint8)).crop(
        (left, top, left + cut_columns, top + cut_rows)
    )
    resized = np.asarray(cut.resize((width, height), Image.Resampling.NEAREST))
    return (1 - resized[..., None]).astype(np.float32)


def to_image(context_mask: np.ndarray, convention: str = "white_is_hole") -> Image.Image:
    """An 8-bit grey picture, 0 and 255, of one (H,W,1) mask."""
    mask = check(context_mask)
    if mask.ndim != 3:
        raise ValueError(f"context_mask has shape {mask.shape}; give one mask, (height, width, 1).")
    white = (mask[..., 0] == 0) == (validated_convention(convention) == "white_is_hole")
    return Image.fromarray(white.astype(np.uint8) * np.uint8(255))


def to_file(
    context_mask: np.ndarray, path: str | PathLike[str], convention: str = "white_is_hole"
) -> None:
    """Write one mask as a PNG; `from_file` with the same convention reads it back exactly."""
    target = checks.path(path)
    if target.suffix.lower() != ".png":
        raise ValueError(
            f"Masks are written as PNG, which keeps them exact; end {str(path)!r} in .png."
        )
    to_image(context_mask, convention).save(target, format="PNG")
