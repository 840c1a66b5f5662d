"""Rows of pictures with labels, a caption under them: matplotlib figures, one unit to a pixel."""

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from csi_tf import files
from csi_tf.pixels import enlarged

DPI = 100
SIDE = 96  # of a picture on the page, about; a small one is 64
MARGIN, GAP, BREAK = 20, 4, 16
LINE, ABOVE, HEADING = 16, 18, 38
NARROWEST = 720  # a caption needs room
LABEL = 150  # the widest
TEXT, HEADLINE = 8.5, 10.0  # points
INK, FAINT = "#222222", "#6e6e6e"


@dataclass(frozen=True, eq=False)
class Tile:
    """A picture, its hole hatched if a mask is given."""

    image: np.ndarray  # uint8 (S, S, 3)
    context_mask: np.ndarray | None = None  # (S, S, 1), 1 = observed


@dataclass(frozen=True, eq=False)
class Row:
    """Pictures side by side (None is a gap), and what is said left of and above them."""

    tiles: Sequence[Tile | None]
    label: str = ""
    note: str = ""
    above: Sequence[str] = ()
    heading: str = ""


def tiles(images: np.ndarray, context_mask: np.ndarray | None = None) -> list[Tile]:
    if context_mask is None:
        return [Tile(image) for image in images]
    return [Tile(image, mask) for image, mask in zip(images, context_mask, strict=True)]


def scale(size: int, side: int = SIDE) -> int:
    """Whole, so that every pixel of a picture is a square of equal size."""
    return max(1, round(side / size))


def sheet(rows: Sequence[Row], caption: str, side: int = SIDE) -> Figure:
    times = scale(_size(rows), side)
    side = times * _size(rows)
    labels = _label_width(rows)
    lefts, width = _columns(rows, side, labels)
    tops, height = _tops(rows, side)
    figure, page = blank(width, height, caption)
    limits = page.get_xlim(), page.get_ylim()
    for row, top in zip(rows, tops, strict=True):
        if row.heading:
            say(page, MARGIN, top - ABOVE * bool(row.above) - 8, row.heading, HEADLINE, va="bottom")
        for left, words in zip(lefts, row.above, strict=False):
            say(page, left + side / 2, top - 3, words, TEXT, FAINT, ha="center", va="bottom")
        _label(page, row, labels, top + side / 2)
        for left, tile in zip(lefts, row.tiles, strict=False):
            if tile is not None:
                box = (left, left + side, top + side, top)
                hole = None if tile.context_mask is None else tile.context_mask[..., 0] == 0
                shown = enlarged(tile.image, times, hole)
                page.imshow(shown, extent=box, aspect="auto", interpolation="nearest")
    # imshow moves the limits; the page is one unit to a pixel.
    page.set(xlim=limits[0], ylim=limits[1])
    return figure


def blank(width: int, height: int, caption: str) -> tuple[Figure, Axes]:
    """A page so wide and high, and a caption under that; axes over all of it, y downwards."""
    width = max(width, NARROWEST) if caption else width
    lines = wrapped(caption, width - 2 * MARGIN)
    below = MARGIN + LINE * len(lines) if lines else 0
    whole = height + below
    figure = Figure((width / DPI, whole / DPI), dpi=DPI, facecolor="white")
    page = figure.add_axes((0, 0, 1, 1), label="page")
    page.set_axis_off()
    page.set(xlim=(0, width), ylim=(whole, 0))
    for number, line in enumerate(lines):
        say(page, MARGIN, height + LINE * number, line, TEXT, va="top")
    return figure, page


def say(
    page: Axes,
    x: float,
    y: float,
    words: str,
    size: float = TEXT,
    colour: str = INK,
    ha: str = "left",
    va: str = "center",
) -> None:
    # A dollar in a path is no formula.
    page.text(x, y, words, fontsize=size, color=colour, ha=ha, va=va, parse_math=False)


def wrapped(words: str, width: float, size: float = TEXT) -> list[str]:
    """Lines that are no wider than so many pixels."""
    # Five pixels are a narrow letter; lines of narrower ones are short, and no worse.
    for characters in range(max(1, int(width / 5)), 0, -1):
        lines = textwrap.wrap(words, characters, break_on_hyphens=False)
        if all(text_width(line, size) <= width for line in lines):
            break
    return lines


def text_width(words: str, size: float) -> float:
    return _renderer().get_text_width_height_descent(words, FontProperties(size=size), False)[0]


@cache
def _renderer() -> RendererAgg:
    return FigureCanvasAgg(Figure(dpi=DPI)).get_renderer()


def save(
    figure: Figure, directory: Path, name: str, arrays: Mapping[str, Any], caption: str
) -> None:
    """NAME.png, NAME.pdf, and NAME.npz with the arrays behind them; the same bytes every time."""
    pdf, npz = io.BytesIO(), io.BytesIO()
    with matplotlib.rc_context({"pdf.fonttype": 42, "savefig.bbox": None}):  # text stays text
        figure.savefig(
            pdf, format="pdf", dpi=DPI, metadata={"Subject": caption, "CreationDate": None}
        )
    np.savez_compressed(npz, caption=np.array(caption), **arrays)
    made = {"png": png(figure, caption), "pdf": pdf.getvalue(), "npz": npz.getvalue()}
    for kind, content in made.items():
        files.write(directory / f"{name}.{kind}", content)


def png(figure: Figure, caption: str = "") -> bytes:
    said = {"Description": caption} if caption else {}
    made = io.BytesIO()
    # Without the version of matplotlib: the same figure makes the same file.
    with matplotlib.rc_context({"savefig.bbox": None}):
        figure.savefig(made, format="png", dpi=DPI, metadata={"Software": None, **said})
    return made.getvalue()


def pixels(figure: Figure) -> np.ndarray:
    """uint8 (H, W, 3)"""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _size(rows: Sequence[Row]) -> int:
    return next(len(tile.image) for row in rows for tile in row.tiles if tile is not None)


def _label_width(rows: Sequence[Row]) -> int:
    widest = max(text_width(words, TEXT) for row in rows for words in (row.label, row.note))
    return min(LABEL, math.ceil(widest))


def _columns(rows: Sequence[Row], side: int, labels: int) -> tuple[list[int], int]:
    """Left edges of the columns, those that are gaps in every row being narrow; and the width."""
    left, lefts = MARGIN + labels + (BREAK if labels else 0), []
    for column in range(max(len(row.tiles) for row in rows)):
        lefts.append(left)
        filled = any(row.tiles[column : column + 1] not in ([], [None]) for row in rows)
        left += side + GAP if filled else BREAK
    return lefts, left - GAP + MARGIN


def _tops(rows: Sequence[Row], side: int) -> tuple[list[int], int]:
    """Top edges of the pictures of each row, and the height of all."""
    # The space above a heading parts it from the rows before; the margin does at the top.
    top, tops = MARGIN // 2 if rows[0].heading else MARGIN, []
    for row in rows:
        top += HEADING * bool(row.heading)
        top += ABOVE * bool(row.above)
        tops.append(top)
        top += side + GAP
    return tops, top - GAP + MARGIN


def _label(page: Axes, row: Row, width: int, middle: float) -> None:
    label, note = (wrapped(words, width) for words in (row.label, row.note))
    y = middle - LINE * (len(label) + len(note) - 1) / 2
    for words, colour in [*((w, INK) for w in label), *((w, FAINT) for w in note)]:
        say(page, MARGIN, y, words, TEXT, colour)
        y += LINE
