"""The pictures that --input names, and the square of each that the model is shown."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from csi_tf import checks, files
from csi_tf.commands.settings import PARENT, Box, Command
from csi_tf.data import image_files, sources
from csi_tf.data.errors import DataError, ImageFileError

_COMMAS = 5  # that a name in a list may have, and one
_DATASET = r"dataset:(.+):(\w+):(\d+)(?:-(\d+))?"


@dataclass(frozen=True, eq=False)
class Source:
    """One picture: a file, or one of a data set, which is here already."""

    name: PurePath  # relative; what its files in the output directory are called after
    where: str  # what --input names it by from any directory
    pixels: np.ndarray | None = None

    def read(self) -> np.ndarray:
        """uint8 (H, W, 3)"""
        return image_files.read_image(self.where) if self.pixels is None else self.pixels

    def digest(self) -> str:
        if self.pixels is not None:
            return digest(self.pixels)
        return files.digest(checks.existing_file(self.where, ImageFileError))


def digest(*arrays: np.ndarray | None) -> str:
    sum_ = hashlib.sha256()
    for array in arrays:
        sum_.update(b"" if array is None else str(array.shape).encode() + array.tobytes())
    return sum_.hexdigest()


def listed(command: Command, size: int, output: Path, masks: Sequence[Path] = ()) -> list[Source]:
    """The pictures of --input, each once, under names no two of which are the same.

    Of a folder the files and folders of masks are left out, and results of earlier commands: all
    that lies in the output directory, and in the default one.
    """
    text = command.input or ""
    is_data = re.fullmatch(_DATASET, text) and not re.search(r",\s*dataset:", text)
    whole = is_data or os.path.exists(checks.path(text))
    entries = [text] if whole else _entries(text)
    found: dict[str, Source] = {}
    for entry in entries:
        if not entry:
            raise ValueError(f"--input={text} names nothing beside a comma; leave the comma out")
        for source in _of_entry(entry, size, command.data_dir, output, masks):
            found.setdefault(source.where, source)
    return _told_apart(list(found.values()))


def _entries(text: str) -> list[str]:
    """What commas part, but for those in the name of a file that is there."""
    found, parts = [], text.split(",")
    while parts:
        joined = (",".join(parts[:count]) for count in range(min(len(parts), _COMMAS), 1, -1))
        name = next(
            (each for each in joined if os.path.exists(checks.path(each.strip()))), parts[0]
        )
        found.append(name.strip())
        parts = parts[name.count(",") + 1 :]
    return found


def _of_entry(
    entry: str, size: int, data_dir: str | None, output: Path, masks: Sequence[Path]
) -> Iterator[Source]:
    if entry.startswith("dataset:"):
        yield from _of_dataset(entry, size, data_dir)
        return
    path = checks.path(entry, "input")
    if not os.path.isdir(path):
        yield Source(PurePath(path.name), os.path.abspath(path))
        return
    folder = path.resolve()
    if folder == output.resolve():
        raise ValueError(f"{path} is the input and the output; give another --output")
    if folder in (mask.resolve() for mask in masks):
        raise ValueError(f"{path} is the input and the masks; give these a folder of their own")
    others = [each.resolve() for each in (output, PARENT, *masks)]
    others = [each for each in others if not folder.is_relative_to(each)]
    own = image_files.list_images(path, others)
    if not own:
        raise ValueError(f"{path} holds nothing but masks and results of earlier commands")
    for file in own:
        yield Source(PurePath(file.relative_to(path)), os.path.abspath(file))


def _of_dataset(entry: str, size: int, data_dir: str | None) -> Iterator[Source]:
    parts = re.fullmatch(_DATASET, entry)
    if not parts:
        raise ValueError(
            f"{entry!r} names no pictures of a data set; write dataset:NAME:SPLIT:FIRST-LAST, such"
            " as dataset:procedural_faces:test:0-15"
        )
    name, split, first, last = parts[1], parts[2], int(parts[3]), int(parts[4] or parts[3])
    if last < first:
        raise ValueError(f"{entry!r} ends before it begins; write FIRST-LAST, both included")
    kind, colon, path = name.partition(":")
    if kind in ("npz", "images"):
        name = kind + colon + os.path.abspath(checks.path(path))
    images = sources.arrays(name, split, size, data_dir=data_dir, limit=last + 1).images
    if len(images) <= last:
        raise DataError(f"{entry!r} asks for number {last}; {name} {split} has 0-{len(images) - 1}")
    stem = re.sub(r"[^\w.]+", "_", Path(path).stem if colon else name)
    for number in range(first, last + 1):
        where = f"dataset:{name}:{split}:{number}"
        yield Source(PurePath(f"{stem}-{split}-{number}.png"), where, images[number])


def _told_apart(found: list[Source]) -> list[Source]:
    """Names lose their suffix where that leaves them different."""
    # In a file system that ignores case, the files of A and a would be the same.
    stems = Counter(str(source.name.with_suffix("")).casefold() for source in found)
    named = []
    for source in found:
        short = source.name.with_suffix("")
        alone = stems[str(short).casefold()] == 1
        named.append(replace(source, name=short) if alone else source)
    taken: dict[str, str] = {}
    for source in named:
        key = str(source.name).casefold()
        if key in taken:
            raise ValueError(
                f"{taken[key]} and {source.where} would be written to the same files; give them"
                " in two commands with an --output each, or the folder they lie in"
            )
        taken[key] = source.where
    return named


def region(box: Any, source: Source, height: int, width: int) -> Box:
    """What of a picture the model is shown: left, top, width, height."""
    if box == "none":
        return 0, 0, width, height
    if box == "center":
        side = min(height, width)
        return (width - side) // 2, (height - side) // 2, side, side
    left, top, wide, high = box
    if left + wide > width or top + high > height:
        raise ValueError(
            f"a crop of {wide}x{high} at {left},{top} reaches beyond {source.where}, which is"
            f" {width}x{height}"
        )
    return left, top, wide, high


def cut(pixels: np.ndarray, where: Box) -> np.ndarray:
    left, top, width, height = where
    return pixels[top : top + height, left : left + width]
