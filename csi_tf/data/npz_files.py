"""Datasets in one .npz file.

    images           uint8 (N, H, W, 3)
    split            optional, one string for each image; without it a twentieth is held out
    attributes       optional, uint8 or bool 0/1 (N, A), with attribute_names: A strings
    factors          optional, floating point (N, F), with factor_names: F strings

Other keys are ignored and nothing is ever unpickled.
"""

import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from csi_tf.data.base import (
    CHUNK,
    HELD_OUT_SPLITS,
    Chunk,
    ImageArrays,
    Source,
    check_split,
    held_out,
)
from csi_tf.data.errors import DataError
from csi_tf.data.image_files import center_crop, check_images, resize_antialiased


def splits(path: str) -> tuple[str, ...]:
    with _open(path) as file:
        names = _strings(file, "split", path)
        return HELD_OUT_SPLITS if names is None else (*sorted(set(names)), "all")


def open_split(path: str, split: str, size: int, crop: int | None) -> Source:
    with _open(path) as file:
        if "images" not in file:
            raise DataError(
                f"{path} has no 'images' array but {', '.join(file.files) or 'nothing'}; save one "
                "as uint8 (N, H, W, 3) with np.savez_compressed(path, images=...)."
            )
        images = _array(file, "images", path)
        if images.ndim != 4:
            raise DataError(
                f"'images' in {path} has shape {images.shape}; expected (N, height, width, 3)."
            )
        check_images(images, f"'images' in {path}")
        attributes, attribute_names = _labels(file, "attribute", len(images), path)
        factors, factor_names = _labels(file, "factor", len(images), path)
        names = _strings(file, "split", path)
    if names is None:
        chosen = held_out([str(number) for number in range(len(images))], split, path)
    else:
        if len(names) != len(images):
            raise DataError(
                f"{path} has {len(images)} images but {len(names)} entries in 'split'; "
                "save one for each image."
            )
        check_split(split, (*sorted(set(names)), "all"), path)
        chosen = np.flatnonzero((np.array(names) == split) | (split == "all"))

    def chunks() -> Iterator[Chunk]:
        for start in range(0, len(chosen), CHUNK):
            rows = chosen[start : start + CHUNK]
            chunk = {"image": resize_antialiased(center_crop(images[rows], crop), size)}
            if attributes is not None:
                chunk["attributes"] = attributes[rows].astype(np.uint8)
            if factors is not None:
                chunk["factors"] = factors[rows].astype(np.float32)
            yield chunk

    return Source(len(chosen), chunks, attribute_names, factor_names)


def write(path: str | os.PathLike[str], parts: Mapping[str, ImageArrays]) -> None:
    """Save {split: arrays} as one file that "npz:PATH" reads back, for instance a folder's images
    once decoded; a path without .npz gets it."""
    if not parts:
        raise DataError("There is nothing to save; give at least one split, {'train': arrays}.")
    first = next(iter(parts.values()))
    saved = {
        "images": np.concatenate([part.images for part in parts.values()]),
        "split": np.repeat(list(parts), [len(part.images) for part in parts.values()]),
    }
    for kind, names in (("attribute", first.attribute_names), ("factor", first.factor_names)):
        if any(getattr(part, f"{kind}_names") != names for part in parts.values()):
            raise DataError(f"The splits differ in their {kind} names; save them in two files.")
        if names:
            saved[f"{kind}s"] = np.concatenate([getattr(p, f"{kind}s") for p in parts.values()])
            saved[f"{kind}_names"] = np.array(names)
    np.savez_compressed(path, allow_pickle=False, **saved)


def _open(path: str) -> np.lib.npyio.NpzFile:
    resolved = Path(path).expanduser()
    if not resolved.is_file():
        raise DataError(f"There is no file {path}; write npz: followed by an existing .npz file.")
    try:
        file = np.load(resolved, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} is not a readable .npz file; save it with np.savez_compressed."
        ) from error
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise DataError(
            f"{path} holds a single array; save it with np.savez_compressed(path, images=array)."
        )
    return file


def _array(file: np.lib.npyio.NpzFile, key: str, path: str) -> np.ndarray:
    try:
        return file[key]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if "allow_pickle" in str(error):
            raise DataError(
                f"'{key}' in {path} holds Python objects, which are never unpickled; save strings "
                "with .astype(str) and numbers with a number dtype."
            ) from error
        raise DataError(f"'{key}' in {path} is damaged; save the file again.") from error


def _strings(file: np.lib.npyio.NpzFile, key: str, path: str) -> tuple[str, ...] | None:
    if key not in file:
        return None
    array = _array(file, key, path)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    if array.dtype.kind != "U" or array.ndim != 1:
        raise DataError(
            f"'{key}' in {path} is {array.dtype} of shape {array.shape}; expected a row of strings."
        )
    return tuple(array.tolist())


def _labels(
    file: np.lib.npyio.NpzFile, kind: str, count: int, path: str
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """attributes or factors with their names."""
    if f"{kind}s" not in file:
        return None, ()
    values = _array(file, f"{kind}s", path)
    if values.ndim != 2 or len(values) != count:
        raise DataError(
            f"'{kind}s' in {path} has shape {values.shape}; expected ({count}, number of {kind}s)."
        )
    if kind == "attribute":
        if values.dtype not in (np.uint8, np.bool_) or values.max(initial=0) > 1:
            raise DataError(
                f"'attributes' in {path} is {values.dtype} from {values.min(initial=0)} to "
                f"{values.max(initial=0)}; expected uint8 0 or 1: save (attributes > 0)."
            )
    elif values.dtype.kind != "f":
        raise DataError(
            f"'factors' in {path} is {values.dtype}; expected floats: save .astype(np.float32)."
        )
    names = _strings(file, f"{kind}_names", path)
    if names is None:
        names = tuple(f"{kind}_{number}" for number in range(values.shape[1]))
    if len(names) != values.shape[1]:
        raise DataError(
            f"{path} has {values.shape[1]} {kind}s but {len(names)} names in '{kind}_names'; "
            "save one for each."
        )
    return values, names
