"""A look at the data: images, the same with holes, and, where they are known, the factors."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from csi_tf import runs
from csi_tf.config import Config

PAIRS = 3  # rows of images, each above the same images with holes

_CONTENT, _MARGIN, _GAP = 1218, 32, 6
_WIDTH = _CONTENT + 2 * _MARGIN
_PAPER, _INK, _FAINT, _HOLE = (255, 255, 255), (34, 34, 34), (120, 120, 120), (196, 200, 204)
_LABEL_WIDTH = 116

# Absent from the face whose factors are shown: half a beard or glasses would cover the rest.
_PLAIN = ("beard", "glasses")


@dataclass(frozen=True, eq=False)
class FactorRow:
    """One factor from low to high, all else equal."""

    name: str
    low: float
    high: float
    images: np.ndarray  # uint8 (steps, S, S, 3)


def columns(size: int) -> int:
    """How many images of this size a row of the sheet has room for."""
    return (_CONTENT + _GAP) // (size * _scale(size, 96) + _GAP)


def steps(size: int) -> int:
    """How many images show a factor: seven, if there is room."""
    return min(7, (_CONTENT - _LABEL_WIDTH + _GAP) // (size * _scale(size, 64) + _GAP))


def draw(
    title: str,
    subtitle: str,
    images: np.ndarray,
    context_mask: np.ndarray,
    rows: Sequence[FactorRow] = (),
) -> Image.Image:
    """The sheet for images (N, S, S, 3) uint8 and their masks (N, S, S, 1), 1 = observed."""
    size = images.shape[1]
    scale = _scale(size, 96)
    across = columns(size)
    page = _Page()
    page.text(title, 22, _INK)
    page.text(subtitle, 14, _FAINT)
    page.skip(10)
    holed = np.where(context_mask == 1, images, np.array(_HOLE, np.uint8))
    for start in range(0, len(images), across):
        page.strip(images[start : start + across], scale)
        page.strip(holed[start : start + across], scale)
        page.skip(14)
    if rows:
        page.skip(10)
        page.text("One factor at a time", 18, _INK)
        page.text("From its lowest to its highest value, the others fixed.", 14, _FAINT)
        page.skip(10)
        page.factors(rows, _scale(size, 64))
    return page.finish()


class _Page:
    """A canvas filled from the top down."""

    def __init__(self) -> None:
        self.canvas = Image.new("RGB", (_WIDTH, 64), _PAPER)
        self.top = _MARGIN

    def _room(self, height: int) -> ImageDraw.ImageDraw:
        needed = self.top + height + _MARGIN
        if needed > self.canvas.height:
            taller = Image.new("RGB", (_WIDTH, 2 * needed), _PAPER)
            taller.paste(self.canvas)
            self.canvas = taller
        return ImageDraw.Draw(self.canvas)

    def skip(self, height: int) -> None:
        self.top += height

    def text(self, words: str, size: int, colour: tuple[int, int, int]) -> None:
        self._room(2 * size).text((_MARGIN, self.top), words, colour, ImageFont.load_default(size))
        self.top += round(1.5 * size)

    def strip(self, images: np.ndarray, scale: int) -> None:
        self._room(images.shape[1] * scale)
        self._place(images, scale, _MARGIN, self.top)
        self.top += images.shape[1] * scale + _GAP

    def factors(self, rows: Sequence[FactorRow], scale: int) -> None:
        """Rows in as many blocks side by side as there is room for, read down each block."""
        count, size = rows[0].images.shape[:2]
        cell = size * scale + _GAP
        width = _LABEL_WIDTH + count * cell - _GAP
        blocks = max(1, (_CONTENT + 2 * _GAP) // (width + 2 * _GAP))
        apart = (_CONTENT - width) // max(1, blocks - 1)  # so that the right edges line up
        deep = -(-len(rows) // blocks)
        ink = self._room(deep * cell)
        for number, row in enumerate(rows):
            left = _MARGIN + number // deep * apart
            top = self.top + number % deep * cell
            middle = top + size * scale // 2
            name = row.name.replace("_", " ")
            ink.text((left, middle - 3), name, _INK, ImageFont.load_default(14), anchor="ls")
            span = f"{row.low:g} to {row.high:g}"
            ink.text((left, middle + 15), span, _FAINT, ImageFont.load_default(12), anchor="ls")
            self._place(row.images, scale, left + _LABEL_WIDTH, top)
        self.top += deep * cell

    def _place(self, images: np.ndarray, scale: int, left: int, top: int) -> None:
        for number, pixels in enumerate(images):
            side = len(pixels) * scale
            enlarged = Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST)
            self.canvas.paste(enlarged, (left + number * (side + _GAP), top))

    def finish(self) -> Image.Image:
        return self.canvas.crop((0, 0, _WIDTH, self.top + _MARGIN - _GAP))


def _scale(size: int, target: int) -> int:
    """Whole, so that every pixel of the data is a square of equal size."""
    return max(1, round(target / size))


def factor_rows(size: int) -> list[FactorRow]:
    """Each factor of the procedural faces over its range, the others half-way or absent."""
    from csi_tf.data.procedural_faces import FACTORS, render

    face = [f.low if f.name in _PLAIN else (f.low + f.high) / 2 for f in FACTORS]
    rows = []
    for column, factor in enumerate(FACTORS):
        faces = np.tile(np.array(face, np.float32), (steps(size), 1))
        faces[:, column] = np.linspace(factor.low, factor.high, steps(size))
        rows.append(FactorRow(factor.name, factor.low, factor.high, render(faces, size)))
    return rows


def write(config: Config, directory: Path) -> None:
    """--mode=data: contact_sheet.png of the first training images."""
    from csi_tf import data, masks

    settings, size = config.data, config.data.image_size
    wanted = PAIRS * columns(size)
    count = wanted if settings.limit is None else min(wanted, settings.limit)
    images = data.arrays(
        settings.dataset, "train", size, data_dir=settings.data_dir, limit=count
    ).images
    context_mask = masks.sample(
        config.masks.mask,
        len(images),
        size,
        config.run.seed,
        convention=config.masks.mask_convention,
    )
    sheet = draw(
        settings.dataset,
        f"{size} x {size} pixels, masks: {config.masks.mask}. Below each row of images, the same"
        " with holes in grey.",
        images,
        context_mask,
        factor_rows(size) if settings.dataset == "procedural_faces" else (),
    )
    png = io.BytesIO()
    sheet.save(png, "PNG")
    path = directory / "contact_sheet.png"
    runs.write(path, png.getvalue())
    print(f"Contact sheet of {len(images)} images: {path}")
