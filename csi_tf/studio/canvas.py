"""Between the model's few pixels and the large canvas that people paint on."""

from typing import Any

import numpy as np
from PIL import Image

from csi_tf.data import image_files

SIDE = 512  # of the canvas, about
PAINT = (225, 29, 110, 200)  # of the hole; seen well on skin, hair and backgrounds
MOST_PIXELS = 60_000_000


class Recent(dict[str, Any]):
    """What editors have sent and nothing has asked for yet; the oldest gives way.

    Gradio keeps a stroke until it is used, and one that the next stroke supersedes never is.
    """

    MOST = 200  # of some tens of kilobytes; ten impatient tabs have a few each

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        if len(self) > self.MOST:
            del self[next(iter(self))]


def scale(size: int) -> int:
    return max(1, SIDE // size)


def value(image: np.ndarray, context_mask: np.ndarray) -> dict[str, Any]:
    """What an editor shows: the picture enlarged, the hole painted on a layer over it."""
    times = scale(len(image))
    layer = np.zeros((*image.shape[:2], 4), np.uint8)
    layer[context_mask[..., 0] == 0] = PAINT
    background, layer = enlarged(image, times), enlarged(layer, times)
    return {"background": background, "layers": [layer], "composite": None}


def context_mask(editor: dict[str, Any] | None, size: int) -> np.ndarray:
    """(S, S, 1), 1 = observed. A pixel is hole if paint covers its middle, on whatever layer."""
    hole = np.zeros((size, size), bool)
    for layer in (editor or {}).get("layers") or []:
        alpha = Image.fromarray(np.asarray(layer)[..., 3])
        hole |= np.asarray(alpha.resize((size, size), Image.Resampling.NEAREST)) > 127
    return 1 - hole.astype(np.float32)[..., None]


def enlarged(image: np.ndarray, times: int) -> np.ndarray:
    return image.repeat(times, axis=0).repeat(times, axis=1)


def large(image: np.ndarray) -> np.ndarray:
    """A picture, or several side by side, as high as the canvas or smaller."""
    return enlarged(image, scale(max(image.shape[:2])))


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
