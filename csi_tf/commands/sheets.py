"""What is looked at: rows of pictures with captions, and where completions differ."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from csi_tf.pixels import enlarged

_SIDE = 112  # about that many screen pixels for a picture: more for one that has more itself
_GAP, _MARGIN, _LINE, _LABEL = 8, 16, 16, 132
_PAPER, _INK, _FAINT = (255, 255, 255), (34, 34, 34), (110, 110, 110)
_BAR = 12


@dataclass(frozen=True, eq=False)
class Tile:
    """A picture and the line beneath it."""

    image: np.ndarray  # uint8 (S, S, 3)
    caption: str = ""
    hole: np.ndarray | None = None  # (S, S), what to hatch


def sheet(rows: Sequence[Sequence[Tile]], labels: Sequence[tuple[str, str]] = ()) -> np.ndarray:
    """Rows of tiles of one size; at their left two lines each, if given."""
    scale = max(1, round(_SIDE / len(rows[0][0].image)))
    side = scale * len(rows[0][0].image)
    left = _MARGIN + (_LABEL if labels else 0)
    width = left + max(len(row) for row in rows) * (side + _GAP) - _GAP + _MARGIN
    step = side + _LINE + _GAP
    page = Image.new("RGB", (width, 2 * _MARGIN + len(rows) * step - _GAP), _PAPER)
    ink, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    for i, row in enumerate(rows):
        top = _MARGIN + i * step
        if labels:
            middle = top + side // 2
            for text, colour, y in zip(labels[i], (_INK, _FAINT), (-16, 2), strict=True):
                ink.text((_MARGIN, middle + y), _fitting(text, _LABEL - _GAP, font), colour, font)
        for j, tile in enumerate(row):
            x = left + j * (side + _GAP)
            page.paste(Image.fromarray(enlarged(tile.image, scale, tile.hole)), (x, top))
            caption = _fitting(tile.caption, side, font)
            ink.text((x + side / 2, top + side + 2), caption, _FAINT, font, anchor="ma")
    return np.asarray(page)


def wrapped(tiles: Sequence[Tile], across: int) -> list[Sequence[Tile]]:
    return [tiles[start : start + across] for start in range(0, len(tiles), across)]


def uncertainty(image: np.ndarray, context_mask: np.ndarray, completions: np.ndarray) -> np.ndarray:
    """The standard deviation across completions (n, S, S, 3), the mean over the colours, as heat
    in the hole of a pale picture; the bar beneath tells the levels, of 255."""
    spread = completions.astype(np.float64).std(axis=0).mean(axis=-1)
    most = float(spread.max())
    colours = (matplotlib.colormaps["inferno"](np.linspace(0, 1, 256))[:, :3] * 255).astype(
        np.uint8
    )
    heat = colours[np.rint(255 * spread / (most or 1)).astype(int)]
    pale = (170 + image.mean(axis=-1, keepdims=True).repeat(3, -1) / 3.5).astype(np.uint8)
    drawn = context_mask[..., 0] == 0
    scale = max(1, round(2 * _SIDE / len(image)))
    side = scale * len(image)
    picture = np.where(drawn[..., None], heat, pale)
    page = Image.new("RGB", (side + 2 * _MARGIN, side + 2 * _MARGIN + _BAR + _LINE + _GAP), _PAPER)
    page.paste(Image.fromarray(enlarged(picture, scale)), (_MARGIN, _MARGIN))
    top = _MARGIN + side + _GAP
    steps = colours[np.arange(side) * 256 // side]
    page.paste(Image.fromarray(np.tile(steps, (_BAR, 1, 1))), (_MARGIN, top))
    ink, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    ends = ((_MARGIN, "0", "la"), (_MARGIN + side, f"{most:.0f} levels", "ra"))
    for x, text, anchor in ends:
        ink.text((x, top + _BAR + 2), text, _INK, font, anchor=anchor)
    middle = (_MARGIN + side / 2, top + _BAR + 2)
    ink.text(middle, "standard deviation", _FAINT, font, anchor="ma")
    return np.asarray(page)


def _fitting(words: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    shown = words
    while font.getlength(shown) > width and len(words) > 1:
        words = words[:-1]
        shown = f"{words}..."
    return shown
