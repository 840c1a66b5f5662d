"""A look at the data: images, the same with holes, and, where they are known, the factors."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from csi_tf import files
from csi_tf.config import Config
from csi_tf.pixels import enlarged

PAIRS = 3  # rows of images, each above the same images with holes

# Ten images of 128 pixels, or thirteen of 96, fill a row.
_CONTENT, _MARGIN, _GAP, _SIDE = 1334, 32, 6, 96
_WIDTH = _CONTENT + 2 * _MARGIN
_PAPER, _INK, _FAINT = (255, 255, 255), (34, 34, 34), (120, 120, 120)
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
    return (_CONTENT + _GAP) // _cell(size)


def blocks(size: int) -> int:
    """How many factors are shown side by side: two, if five images of each fit."""
    return 2 if 2 * (_LABEL_WIDTH + 5 * _cell(size)) <= _CONTENT + _GAP else 1


def steps(size: int) -> int:
    """How many images show a factor; an odd number where it can be, with the middle in it."""
    room = (_CONTENT // blocks(size) - _LABEL_WIDTH + _GAP) // _cell(size)
    return room if room < 5 else room - 1 + room % 2


def draw(
    title: str,
    subtitle: str,
    images: np.ndarray,
    context_mask: np.ndarray,
    rows: Sequence[FactorRow] = (),
) -> Image.Image:
    """The sheet for images (N, S, S, 3) uint8 and their masks (N, S, S, 1), 1 = observed."""
    size = images.shape[1]
    across = columns(size)
    page = _Page()
    page.text(title, 22, _INK)
    page.text(subtitle, 14, _FAINT)
    page.skip(10)
    for start in range(0, len(images), across):
        part = slice(start, start + across)
        page.strip(images[part])
        page.strip(images[part], context_mask[part])
        page.skip(14)
    if rows:
        page.skip(10)
        page.text("One factor at a time", 18, _INK)
        page.text("From its lowest to its highest value, the others fixed.", 14, _FAINT)
        page.skip(10)
        page.factors(rows)
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
        font = ImageFont.load_default(size)
        self._room(2 * size).text((_MARGIN, self.top), _shortened(words, font), colour, font)
        self.top += round(1.5 * size)

    def strip(self, images: np.ndarray, context_mask: np.ndarray | None = None) -> None:
        self._room(_cell(images.shape[1]))
        self._place(images, _MARGIN, self.top, context_mask)
        self.top += _cell(images.shape[1])

    def factors(self, rows: Sequence[FactorRow]) -> None:
        """Rows in one block or two side by side, read down each; right edges as those above."""
        count, size = rows[0].images.shape[:2]
        cell, abreast = _cell(size), blocks(size)
        strip = count * cell - _GAP
        right = _MARGIN + columns(size) * cell - _GAP
        deep = -(-len(rows) // abreast)
        ink = self._room(deep * cell)
        for number, row in enumerate(rows):
            last = number // deep == abreast - 1
            label = _MARGIN if abreast == 1 or not last else right - strip - _LABEL_WIDTH
            top = self.top + number % deep * cell
            middle = top + (cell - _GAP) // 2
            name = row.name.replace("_", " ")
            ink.text((label, middle - 3), name, _INK, ImageFont.load_default(14), anchor="ls")
            span = f"{row.low:g} to {row.high:g}"
            ink.text((label, middle + 15), span, _FAINT, ImageFont.load_default(12), anchor="ls")
            self._place(row.images, right - strip if last else label + _LABEL_WIDTH, top)
        self.top += deep * cell

    def _place(
        self, images: np.ndarray, left: int, top: int, context_mask: np.ndarray | None = None
    ) -> None:
        size = images.shape[1]
        for number, image in enumerate(images):
            hole = None if context_mask is None else context_mask[number, ..., 0] == 0
            shown = enlarged(image, _scale(size), hole)
            self.canvas.paste(Image.fromarray(shown), (left + number * _cell(size), top))

    def finish(self) -> Image.Image:
        return self.canvas.crop((0, 0, _WIDTH, self.top + _MARGIN - _GAP))


def _scale(size: int) -> int:
    """Whole, so that every pixel of the data is a square of equal size."""
    return max(1, round(_SIDE / size))


def _cell(size: int) -> int:
    """From one image to the next, on the sheet."""
    return size * _scale(size) + _GAP


def _shortened(words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """What fits the page: of something longer its two ends."""
    half = len(words) // 2
    shown = words
    while font.getlength(shown) > _CONTENT:
        half = half * 9 // 10
        shown = f"{words[:half]} ... {words[-half:]}"
    return shown


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
    """--mode=data: contact_sheet.png of the first images, those of training if they can be told."""
    from csi_tf import data, masks

    settings, size = config.data, config.data.image_size
    wanted = PAIRS * columns(size)
    count = wanted if settings.limit is None else min(wanted, settings.limit)
    splits = data.splits(settings.dataset, settings.data_dir)
    split = next((name for name in ("train", "all") if name in splits), splits[0])
    images = data.arrays(
        settings.dataset, split, size, data_dir=settings.data_dir, limit=count
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
        " with hatched holes.",
        images,
        context_mask,
        factor_rows(size) if settings.dataset == "procedural_faces" else (),
    )
    png = io.BytesIO()
    sheet.save(png, "PNG")
    path = directory / "contact_sheet.png"
    files.write(path, png.getvalue())
    print(f"Contact sheet of {len(images)} image{'s' * (len(images) > 1)}: {path}")
