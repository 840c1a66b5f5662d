"""Between the model's few pixels and what people see: the canvas they paint on, their photos."""

import base64
from typing import Any

import numpy as np
from PIL import Image

from csi_tf.data import image_files
from csi_tf.pixels import enlarged
from csi_tf.session import png

SIDE = 512  # of what is shown large, about
MOST_PIXELS = 60_000_000


def value(image: np.ndarray, context_mask: np.ndarray) -> dict[str, str]:
    """What the editor shows."""
    picture = base64.b64encode(png(image)).decode()
    hole = (context_mask == 0).astype(int).ravel()
    return {"picture": f"data:image/png;base64,{picture}", "hole": "".join(map(str, hole))}


def context_mask(painted: Any, size: int) -> np.ndarray:
    """(S, S, 1), 1 = observed, of what the editor tells."""
    hole = painted.get("hole") if isinstance(painted, dict) else None
    if not isinstance(hole, str) or len(hole) != size * size or set(hole) - set("01"):
        raise ValueError(
            f"The canvas does not show a hole of {size}x{size} pixels; load the page again."
        )
    observed = np.array([cell == "0" for cell in hole], np.float32)
    return observed.reshape(size, size, 1)


def large(image: np.ndarray) -> np.ndarray:
    """A picture, or several side by side, as high as the canvas or smaller."""
    return enlarged(image, max(1, SIDE // max(image.shape[:2])))


def photo(path: str) -> np.ndarray:
    """uint8 (H, W, 3), or ValueError saying what is wrong with the file."""
    try:
        with Image.open(path) as image:
            width, height = image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise ValueError("This file is no picture that can be read; try a PNG or a JPEG.") from None
    if width * height > MOST_PIXELS:
        raise ValueError(
            f"This picture has {width} x {height} pixels, more than the studio takes; make it"
            " smaller first."
        )
    return image_files.read_image(path)


def box(shape: tuple[int, ...], part: float, across: float, down: float) -> tuple[int, int, int]:
    """Left, top and side of the square of a photo that is used.

    `part` of the shorter side, at the place that `across` and `down` say, from 0 to 1.
    """
    height, width = shape[:2]
    side = max(1, round(part * min(height, width)))
    return round(across * (width - side)), round(down * (height - side)), side


def cropped(pixels: np.ndarray, size: int, part: float, across: float, down: float) -> np.ndarray:
    left, top, side = box(pixels.shape, part, across, down)
    return image_files.resize_antialiased(pixels[top : top + side, left : left + side], size)


def framed(pixels: np.ndarray, part: float, across: float, down: float) -> np.ndarray:
    """The photo, small, all but the square that is used faded."""
    left, top, side = box(pixels.shape, part, across, down)
    faded = 255 - (255 - pixels) // 4
    faded[top : top + side, left : left + side] = pixels[top : top + side, left : left + side]
    shown = Image.fromarray(faded)
    shown.thumbnail((480, 480))
    return np.asarray(shown)
