"""Masks as --mask gives them: a name, a law drawn for each picture, a file, a folder of files, or
the transparency of the pictures themselves.

A mask file lies over the whole picture and is cut as the picture is; one with the proportions of
the crop lies over that. A pixel of the model is hole if any of the file's hole falls into it, so
nothing of what is to go is left at the edges.
"""

import os
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePath

import numpy as np
from PIL import Image

from csi_tf import checks, masks, randomness
from csi_tf.commands.settings import Box, Command
from csi_tf.commands.sources import Source, cut
from csi_tf.data import image_files
from csi_tf.masks.files import hole_of_file
from csi_tf.masks.mixtures import which

ALPHA = "alpha"  # in place of a mask: what is transparent of a picture is its hole
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_EMPTY = "the mask is empty, so what comes out is what went in"

Note = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Holes:
    """--mask, understood: one of the four."""

    command: Command
    size: int
    law: str | None = None  # names, random masks and mixtures
    file: Path | None = None
    folder: Path | None = None
    is_alpha: bool = False
    last: dict[Path, np.ndarray] = field(default_factory=dict)

    @property
    def places(self) -> list[Path]:
        """The files, or the folder."""
        if self.law is not None:
            parts = masks.parse(self.law).components
            return [path for path in map(_path, parts) if path is not None]
        return [path for path in (self.file, self.folder) if path is not None]

    def name(self, source: Source) -> str:
        """What --mask calls a picture's mask from any directory."""
        if self.is_alpha:
            return ALPHA
        path = self._file(source)
        return f"file:{path}" if path is not None else str(self.law)

    def of(
        self, source: Source, shape: tuple[int, int], region: Box, image: np.ndarray, note: Note
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The context mask (S, S, 1) for a picture of this (height, width), of which the model is
        shown `image`, and from a file the hole of the region itself, (height, width) booleans."""
        # A random mask depends on the seed and the picture, not on the company it is drawn in.
        example = np.array([randomness.fold(0, "mask of a picture", image.tobytes())])
        seed, convention = self.command.seed, self.command.mask_convention
        path = self._file(source)
        if self.law is not None:
            parts = masks.parse(self.law).components
            path = _path(parts[int(which(parts, seed, example)[0])])
        if path is not None:
            hole = self._in_region(path, source, shape, region, note)
            return seen(hole, self.size), hole
        draw = masks.sampler(str(self.law), self.size, seed, convention)
        context_mask = draw(example)[0]
        if context_mask.all():
            note(_EMPTY)
        return context_mask, None

    def _in_region(
        self, path: Path, source: Source, shape: tuple[int, int], region: Box, note: Note
    ) -> np.ndarray:
        if path not in self.last:  # one mask often serves many pictures
            self.last.clear()
            self.last[path] = (
                _transparent(source)
                if self.is_alpha
                else hole_of_file(path, self.command.mask_convention)
            )
        return laid_over(self.last[path], path.name, shape, region, note)

    def _file(self, source: Source) -> Path | None:
        if self.is_alpha:
            return Path(source.where)
        path = self.file if self.folder is None else _matching(self.folder, source)
        if path and source.pixels is None and path.resolve() == Path(source.where).resolve():
            raise ValueError(
                f"{path} is the picture and its mask; give --mask another file, or --mask=alpha if"
                " its hole is where it is transparent"
            )
        return path


def understood(command: Command, size: int) -> Holes | None:
    """None where there is no mask."""
    if not command.mask:
        return None
    found = _understood(command, size)
    is_usual = command.mask_convention == Command.mask_convention
    if not is_usual and (found.is_alpha or (found.law is not None and "file:" not in found.law)):
        raise ValueError(
            f"--mask_convention says what files of masks mean, and {command.mask} is none: leave it"
            " out"
        )
    return found


def _understood(command: Command, size: int) -> Holes:
    assert command.mask is not None
    if command.mask == ALPHA:
        return Holes(command, size, is_alpha=True)
    named = checks.path(command.mask.removeprefix("file:"))
    if command.mask.startswith("file:") and os.path.isfile(named):  # whose name may hold , and :
        return Holes(command, size, file=Path(os.path.abspath(named)))
    try:
        parts = masks.parse(command.mask).components
    except ValueError as error:
        path = checks.path(command.mask)
        if os.path.isdir(path):
            return Holes(command, size, folder=Path(os.path.abspath(path)))
        if not os.path.isfile(path):
            raise ValueError(f"{error} There is no such file or folder either.") from None
        return Holes(command, size, file=Path(os.path.abspath(path)))
    if len(parts) == 1 and parts[0].path is not None:
        return Holes(command, size, file=Path(os.path.abspath(parts[0].path)))
    masks.sampler(command.mask, size, 0, command.mask_convention)  # reads the files it names
    return Holes(command, size, law=checks.absolute_masks(command.mask))


def _path(part: masks.Component) -> Path | None:
    return None if part.path is None else Path(part.path)


def _transparent(source: Source) -> np.ndarray:
    hole = image_files.transparent(source.where) if source.pixels is None else np.zeros(0, bool)
    if not hole.any():
        raise ValueError(
            f"{source.where} has no transparent part, which --mask=alpha would fill; erase one and"
            " save a PNG or WebP, or give another --mask"
        )
    return hole


def _matching(folder: Path, source: Source) -> Path:
    """The mask that is called as the picture is, whatever the suffixes."""
    own = PurePath(source.where).name if source.pixels is None else f"{source.name.name}.png"
    inside, stem = folder / source.name.parent, PurePath(own).stem
    suffixes = [each for lower in _SUFFIXES for each in (lower, lower.upper())]
    there = {
        path.name for path in (inside / f"{stem}{suffix}" for suffix in suffixes) if path.is_file()
    }
    if not there and inside.is_dir():  # the accents of a name can be written in two ways
        plain = unicodedata.normalize("NFC", stem)
        there = {
            path.name
            for path in inside.iterdir()
            if path.suffix.lower() in _SUFFIXES
            and unicodedata.normalize("NFC", path.stem) == plain
            and path.is_file()
        }
    names = {own} & there or there
    if not names:
        raise ValueError(
            f"there is no mask for {source.where}: {inside} has no {stem}.png or the like"
        )
    if len({name.casefold() for name in names}) > 1:
        raise ValueError(
            f"{inside} has several masks for {source.where}, {', '.join(sorted(names))}; keep one"
        )
    return inside / min(names)


def laid_over(
    hole: np.ndarray, name: str, shape: tuple[int, int], region: Box, note: Note
) -> np.ndarray:
    """What a mask file says of the region, (height, width) booleans: it lies over a picture of
    this (height, width) or, if it has the region's proportions and not the picture's, over that."""
    shown = (region[3], region[2])
    # Exactly the one before nearly the other: a whole number of pixels may be all that parts them.
    fits = [_proportions(hole.shape, each) for each in (shown, shape)]
    if fits[0] > fits[1]:
        hole = inside = _stretched(hole, shown)
    else:
        if not fits[1]:
            note(
                f"the mask {name} is {hole.shape[1]}x{hole.shape[0]} and the picture"
                f" {shape[1]}x{shape[0]}: it is stretched over the picture"
            )
        hole = _stretched(hole, shape)
        inside = cut(hole, region)
    _tell_outside(hole, inside, note)
    return inside


def seen(hole: np.ndarray, size: int) -> np.ndarray:
    """The context mask (S, S, 1) in which every pixel that any of the hole falls into is hole."""
    return 1 - _touched(hole, (size, size)).astype(np.float32)[..., None]


def _proportions(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    """Whether two sizes have the same proportions: 2 for exactly, 1 to a pixel of the first."""
    (a, b), (c, d) = first, second
    if a * d == b * c:
        return 2
    return int(abs(a - b * c / d) <= 1 or abs(b - a * d / c) <= 1)


def _stretched(hole: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """At another size, where a smaller one keeps every part of the hole."""
    hole = _touched(hole, (min(hole.shape[0], shape[0]), min(hole.shape[1], shape[1])))
    if hole.shape == shape:
        return hole
    resized = Image.fromarray(hole.astype(np.uint8)).resize(shape[::-1], Image.Resampling.NEAREST)
    return np.asarray(resized) == 1


def _tell_outside(whole: np.ndarray, inside: np.ndarray, note: Note) -> None:
    """What of a hole is not filled."""
    count, filled = int(whole.sum()), int(inside.sum())
    outside = "outside the part that the model is shown"
    other = "another --crop, or in the studio another square, shows it more"
    if not count:
        note(_EMPTY)
    elif not filled:
        note(f"the mask's hole lies {outside}, so what comes out is what went in; {other}")
    elif filled < count:
        percent = min(99, max(1, round(100 - 100 * filled / count)))
        note(f"{percent}% of the mask's hole lies {outside} and stays as it is; {other}")


def _touched(hole: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The cells of a grid laid over the hole that any of it falls into."""
    for count in shape:  # rows, then columns
        length, cells = len(hole), np.arange(count + 1)
        if length != count:
            first, last = cells[:-1] * length // count, -(-cells[1:] * length // count)
            sums = np.cumsum(np.vstack([np.zeros_like(hole[:1]), hole]), axis=0, dtype=np.int64)
            hole = sums[last] > sums[first]
        hole = hole.T
    return hole


def paste(
    pixels: np.ndarray,
    region: Box,
    completion: np.ndarray,
    context_mask: np.ndarray,
    hole: np.ndarray | None,
) -> np.ndarray:
    """The picture at its own size with the filling, enlarged, in the hole and nowhere else."""
    _, _, width, height = region
    if hole is None:
        hole = _stretched(context_mask[..., 0] == 0, (height, width))
    enlarged = Image.fromarray(completion).resize((width, height), Image.Resampling.BICUBIC)
    pasted = pixels.copy()
    cut(pasted, region)[hole] = np.asarray(enlarged)[hole]
    return pasted
