"""Between the model's few pixels and what people see: the canvas they paint on, their photos."""

import base64
from typing import Any

import numpy as np
from PIL import Image

from csi_tf.commands.settings import Box
from csi_tf.commands.sources import cut
from csi_tf.data import image_files
from csi_tf.pixels import enlarged
from csi_tf.session import png

SIDE = 512  # of what is shown large, about
MOST_PIXELS = 60_000_000


def value(image: np.ndarray, context_mask: np.ndarray, strokes: int) -> dict[str, Any]:
    """What the canvas shows, by whoever knows of so many strokes."""
    picture = base64.b64encode(png(image)).decode()
    hole = "".join("1" if hidden else "0" for hidden in (context_mask == 0).ravel())
    return {"picture": f"data:image/png;base64,{picture}", "hole": hole, "strokes": strokes}


def told(painted: Any, size: int) -> tuple[np.ndarray, int]:
    """The mask, (S, S, 1), 1 = observed, that the canvas shows, after how many strokes."""
    try:
        hole, strokes = str(painted["hole"]), int(painted["strokes"])
    except (TypeError, KeyError, ValueError):
        hole, strokes = "", 0
    if len(hole) != size * size or set(hole) - set("01"):
        raise ValueError(f"The canvas shows no hole of {size}x{size} pixels; load the page again.")
    observed = np.array([cell == "0" for cell in hole], np.float32)
    return observed.reshape(size, size, 1), strokes


def large(image: np.ndarray) -> np.ndarray:
    """A picture, or several side by side, as high as the canvas or smaller."""
    return enlarged(image, max(1, SIDE // max(image.shape[:2])))


def photo(path: str) -> np.ndarray:
    """uint8 (H, W, 3), or ValueError saying what is wrong with the file."""
    try:
        with Image.open(path) as image:
            too_large = image.width * image.height > MOST_PIXELS
    except Image.DecompressionBombError:  # serve.py has Pillow refuse them as well
        too_large = True
    except (OSError, SyntaxError, ValueError):
        raise ValueError("This file is no picture that can be read; try a PNG or a JPEG.") from None
    if too_large:
        raise ValueError(
            f"This picture has more than {MOST_PIXELS:,} pixels, which the studio does not take;"
            " make it smaller first."
        )
    return image_files.read_image(path)


def box(shape: tuple[int, ...], part: float, across: float, down: float) -> Box:
    """The square of a photo that is used.

    `part` of the shorter side, at the place that `across` and `down` say, from 0 to 1.
    """
    height, width = shape[:2]
    side = max(1, round(part * min(height, width)))
    return round(across * (width - side)), round(down * (height - side)), side, side


def cropped(pixels: np.ndarray, size: int, part: float, across: float, down: float) -> np.ndarray:
    return image_files.resize_antialiased(cut(pixels, box(pixels.shape, part, across, down)), size)


def framed(pixels: np.ndarray, part: float, across: float, down: float) -> np.ndarray:
    """The photo, small, all but the square that is used faded."""
    square, faded = box(pixels.shape, part, across, down), 255 - (255 - pixels) // 4
    cut(faded, square)[:] = cut(pixels, square)
    shown = Image.fromarray(faded)
    shown.thumbnail((480, 480))
    return np.asarray(shown)
