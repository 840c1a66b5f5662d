"""attributes.csv in a folder of images: what is known of each picture, 0 or 1.

    file,Smiling,Glasses
    anna.jpg,1,0
    holidays/ben.png,0,1

Files are named as seen from that folder. Spreadsheets also write semicolons or tabs, a byte order
mark and TRUE and FALSE; CelebA has -1 where an attribute is absent, and file systems of macOS write
accents apart from their letters.
"""

import csv
import unicodedata
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from csi_tf.data.errors import DataError
from csi_tf.data.image_files import SUFFIXES, listed

NAME = "attributes.csv"
_OR_WITHOUT = f", or rename {NAME} to go without attributes."
_LEVELS = {"1": 1, "true": 1, "0": 0, "-1": 0, "false": 0}


def read(root: Path, paths: Sequence[Path]) -> tuple[np.ndarray, tuple[str, ...]] | None:
    """Labels uint8 (N, A) of these pictures of a folder and their names; None without a table."""
    table = root / NAME
    if not table.exists():
        _refuse_astray(root, paths)
        return None
    rows, names = _table(table)
    keys = [unicodedata.normalize("NFC", path.relative_to(root).as_posix()) for path in paths]
    missing = [key for key in keys if key not in rows]
    if missing:
        spare = next(iter(rows.keys() - {*keys}), None)
        raise DataError(
            f"{table} has no row for {len(missing):,} of the {len(keys):,} pictures, or names them"
            f" otherwise: {listed(missing)}."
            + (f" It has, for instance, {spare!r}." if spare is not None else "")
            + " Add the rows (files are named as seen from its folder)"
            + _OR_WITHOUT
        )
    return np.array([rows[key] for key in keys], np.uint8), names


def _refuse_astray(root: Path, paths: Sequence[Path]) -> None:
    """DataError for a table deeper down, beside the pictures, which nobody would read."""
    below = {folder for path in paths for folder in path.relative_to(root).parents}
    for folder in sorted(below):
        if (root / folder / NAME).exists():
            raise DataError(
                f"{root / folder / NAME} is not read where it is: move its rows to {root / NAME},"
                f" files named as from there, such as {folder.as_posix()}/anna.jpg{_OR_WITHOUT}"
            )


def _table(path: Path) -> tuple[dict[str, list[int]], tuple[str, ...]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            columns = {each: len(next(csv.reader([head], delimiter=each), [])) for each in ",;\t"}
            delimiter = max(columns, key=columns.__getitem__)
            lines = list(csv.reader(chain([head], file), delimiter=delimiter))
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text; save it as CSV UTF-8{_OR_WITHOUT}") from error
    except (OSError, csv.Error) as error:
        why = getattr(error, "strerror", error)
        raise DataError(f"{path} cannot be read: {why}. Mend that{_OR_WITHOUT}") from error
    names = [name.strip() for name in lines[0][1:]] if lines else []
    headless = not names or lines[0][0].strip().lower().endswith(SUFFIXES)
    if headless or not all(names) or len({*names}) < len(names):
        raise DataError(
            f"{path} begins with {head[:80]!r}; it needs a first line with a name for each column,"
            f" no two alike, with commas, semicolons or tabs between: file,Smiling,Glasses. Add it"
            f"{_OR_WITHOUT}"
        )
    rows: dict[str, list[int]] = {}
    for number, fields in enumerate(lines[1:], 2):
        if not any(field.strip() for field in fields):
            continue
        key = unicodedata.normalize("NFC", fields[0].strip())
        key = key.replace("\\", "/").removeprefix("./")
        values = [field.strip().lower() for field in fields[1:]]
        if len(values) != len(names) or not _LEVELS.keys() >= {*values}:
            raise DataError(
                f"Row {number} of {path} is {delimiter.join(fields)[:120]!r}; expected a file and 0"
                f" or 1 for each of {', '.join(names)[:200]}. Fill it in{_OR_WITHOUT}"
            )
        levels = [_LEVELS[value] for value in values]
        if rows.setdefault(key, levels) != levels:
            raise DataError(f"{path} has two rows for {key} that differ; keep one.")
    return rows, tuple(names)
