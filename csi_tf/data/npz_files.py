"""Datasets in one .npz file.

    images           uint8 (N, H, W, 3)
    split            optional, one string for each image, such as "train", "validation" ("val" or
                     "valid" mean that too) and "test"; with neither of the last two, some of
                     "train" are held out, and without `split` some of all
    attributes       optional, uint8 or bool 0/1 (N, A), with attribute_names: A strings
    factors          optional, floating point (N, F), with factor_names: F strings

Other keys are ignored and nothing is ever unpickled.
"""

import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from csi_tf import checks
from csi_tf.data.base import (
    CHUNK,
    SPLIT_NAMES,
    Chunk,
    ImageArrays,
    Source,
    check_split,
    held_out,
    held_out_splits,
)
from csi_tf.data.errors import DataError
from csi_tf.data.image_files import center_crop, check_images, resize_antialiased, rgb_hint


def splits(path: str) -> tuple[str, ...]:
    with _open(path) as file:
        return _splits(_split_of_each(file, _count(file, path), path))


def open_split(path: str, split: str, size: int, crop: int | None) -> Source:
    with _open(path) as file:
        images = _array(file, "images", path)
        _check_images(images, f"'images' in {path}")
        if not len(images):
            raise DataError(f"'images' in {path} is empty; save at least one image.")
        attributes, attribute_names = _read_labels(file, "attribute", len(images), path)
        factors, factor_names = _read_labels(file, "factor", len(images), path)
        names = _split_of_each(file, len(images), path)
    if len(names) != len(images):
        raise DataError(
            f"{path} has {len(images)} images but {len(names)} entries in 'split'; "
            "save one for each."
        )
    if split == "all":
        chosen = np.arange(len(names))
    elif split in ("train", "test") and _holds_out(names):
        train = np.flatnonzero(np.array(names) == "train")
        chosen = train[held_out([str(number) for number in train.tolist()], split, path)]
    else:
        check_split(split, _splits(names), path)
        chosen = np.flatnonzero(np.array(names) == split)

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
    once decoded; a path without .npz gets it. Of a "train" alone, reading holds some out."""
    target = checks.path(path)
    if not isinstance(parts, Mapping) or not parts:
        raise DataError("There is nothing to save; give at least one split, {'train': arrays}.")
    for split, part in parts.items():
        _check_part(split, part)
    sizes = sorted({part.images.shape[1:3] for part in parts.values()})
    if len(sizes) > 1:
        raise DataError(
            f"The splits have images of {' and '.join(f'{h}x{w}' for h, w in sizes)} pixels; "
            "bring them to one size with csi_tf.data.resize_antialiased."
        )
    saved = {
        "images": np.concatenate([part.images for part in parts.values()]),
        "split": np.repeat(list(parts), [len(part.images) for part in parts.values()]),
    }
    for kind in ("attribute", "factor"):
        values = [getattr(part, f"{kind}s") for part in parts.values()]
        names = {_names(part, kind) for part in parts.values()}
        if len(names) > 1:
            raise DataError(f"The splits differ in their {kind} names; save them in two files.")
        if values[0] is not None:
            saved[f"{kind}s"] = np.concatenate(values)
            saved[f"{kind}_names"] = np.array(names.pop(), str)
    np.savez_compressed(target, allow_pickle=False, **saved)


def _check_part(split: str, part: ImageArrays) -> None:
    """Insist on what `open_split` would accept."""
    if not isinstance(split, str) or split in ("", "all"):
        raise DataError(f"{split!r} is no name of a split; give text, and 'all' means all of them.")
    where = f"split {split!r}"
    if not isinstance(part, ImageArrays):
        raise DataError(
            f"The {where} is {type(part).__name__}; expected ImageArrays: "
            "csi_tf.data.ImageArrays(images) makes them."
        )
    _check_images(part.images, f"'images' in {where}")
    for kind in ("attribute", "factor"):
        values, names = getattr(part, f"{kind}s"), getattr(part, f"{kind}_names")
        if values is not None:
            _check_labels(values, kind, len(part.images), where)
            _check_names(names or _default_names(kind, values), kind, values, where)
        elif len(names):
            raise DataError(f"The {where} names {kind}s but has none; give both or neither.")


def _split_of_each(file: np.lib.npyio.NpzFile, count: int, path: str) -> tuple[str, ...]:
    """By our names; of a file that tells of none, every image may be trained on."""
    names = _strings(file, "split", path)
    if names is None:
        return ("train",) * count
    called = next((name for name in SPLIT_NAMES["validation"] if name in names), None)
    return tuple("validation" if name == called else name for name in names)


def _holds_out(names: tuple[str, ...]) -> bool:
    """Whether some of the images to train on have to be the test split."""
    return "train" in names and not {"validation", "test"} & {*names}


def _splits(names: tuple[str, ...]) -> tuple[str, ...]:
    if not _holds_out(names):
        return (*sorted({*names}), "all")
    return (*sorted({*names} - {"train"}), *held_out_splits(names.count("train")))


def _names(part: ImageArrays, kind: str) -> tuple[str, ...] | None:
    values, names = getattr(part, f"{kind}s"), getattr(part, f"{kind}_names")
    return None if values is None else tuple(names) or _default_names(kind, values)


def _open(path: str) -> np.lib.npyio.NpzFile:
    resolved = checks.existing_file(path, DataError)
    try:
        file = np.load(resolved, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, OSError) and error.strerror:  # the system's, not NumPy's
            raise DataError(f"{path} cannot be read: {error.strerror}.") from error
        raise DataError(
            f"{path} is not a readable .npz file; save it with np.savez_compressed."
        ) from error
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise DataError(
            f"{path} holds a single array; save it with np.savez_compressed(path, images=array)."
        )
    return file


@contextmanager
def _whole(key: str, path: str) -> Iterator[None]:
    """What reading an array may raise, in one sentence."""
    try:
        yield
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        if "allow_pickle" in str(error):
            raise DataError(
                f"'{key}' in {path} holds Python objects, which are never unpickled; save strings "
                "with .astype(str) and numbers with a number dtype."
            ) from error
        raise DataError(f"'{key}' in {path} is damaged; save the file again.") from error


def _array(file: np.lib.npyio.NpzFile, key: str, path: str) -> np.ndarray:
    if key not in file:
        raise DataError(
            f"{path} has no '{key}' array but {', '.join(file.files) or 'nothing'}; save one "
            "as uint8 (N, H, W, 3) with np.savez_compressed(path, images=...)."
        )
    with _whole(key, path):
        return file[key]


def _count(file: np.lib.npyio.NpzFile, path: str) -> int:
    """The number of images, from the header alone: decompressing them may take a minute."""
    if file.zip is None or "images.npy" not in file.zip.namelist():
        return len(_array(file, "images", path))
    with _whole("images", path), file.zip.open("images.npy") as member:
        version = np.lib.format.read_magic(member)
        read = getattr(np.lib.format, f"read_array_header_{version[0]}_{version[1]}")
        shape, _, _ = read(member)
    return shape[0] if shape else 0


def _check_images(images: np.ndarray, what: str) -> None:
    if isinstance(images, np.ndarray) and images.ndim != 4:
        hint = rgb_hint(images.shape)
        if images.ndim == 3 and images.shape[-1] == 3:
            hint = ": give a single image its axis with x[None]"
        raise DataError(f"{what} has shape {images.shape}; expected (N, height, width, 3){hint}.")
    check_images(images, what)


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


def _read_labels(
    file: np.lib.npyio.NpzFile, kind: str, count: int, path: str
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """attributes or factors with their names."""
    if f"{kind}s" not in file:
        return None, ()
    values = _array(file, f"{kind}s", path)
    _check_labels(values, kind, count, path)
    names = _strings(file, f"{kind}_names", path)
    if names is None:
        names = _default_names(kind, values)
    _check_names(names, kind, values, path)
    return values, names


def _default_names(kind: str, values: np.ndarray) -> tuple[str, ...]:
    return tuple(f"{kind}_{number}" for number in range(values.shape[1]))


def _check_labels(values: np.ndarray, kind: str, count: int, where: str) -> None:
    if not isinstance(values, np.ndarray):
        raise DataError(
            f"'{kind}s' in {where} is {type(values).__name__}; expected a NumPy array: convert it "
            "with np.asarray."
        )
    if values.ndim != 2 or len(values) != count:
        raise DataError(
            f"'{kind}s' in {where} has shape {values.shape}; expected ({count}, number of {kind}s)."
        )
    if kind == "factor" and values.dtype.kind != "f":
        raise DataError(
            f"'factors' in {where} is {values.dtype}; expected floats: save .astype(np.float32)."
        )
    if kind == "attribute" and (
        values.dtype not in (np.uint8, np.bool_) or values.max(initial=0) > 1
    ):
        raise DataError(
            f"'attributes' in {where} is {values.dtype} from {values.min(initial=0)} to "
            f"{values.max(initial=0)}; expected uint8 0 or 1: save (attributes > 0)."
        )


def _check_names(names: tuple[str, ...], kind: str, values: np.ndarray, where: str) -> None:
    if len(names) != values.shape[1]:
        raise DataError(
            f"{where} has {values.shape[1]} {kind}s but {len(names)} names in '{kind}_names'; "
            "save one for each."
        )
