"""Checkpoints: named arrays and a little JSON in one file that is whole or is not there.

A file is in the safetensors format (8 bytes of header length, a JSON header, the arrays), which
other tools read too. Its header also holds a SHA-256 of everything else in the file, so damage
anywhere is noticed. The file's name carries the step and the metric: the newest and the best of a
directory are known from a listing, and there is no index that could disagree with the files.
"""

import hashlib
import json
import math
import operator
import os
import re
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from csi_tf import files

Arrays = dict[str, np.ndarray]
Info = dict[str, Any]

SUFFIX = ".safetensors"
_NAME = re.compile(r"step-(\d+)(?:-metric-(-?[\d.]+(?:e[-+]\d+)?))?" + re.escape(SUFFIX))

_WIDTHS = {"float": (64, 32, 16), "int": (64, 32, 16, 8), "uint": (64, 32, 16, 8)}
_CODES = {f"{kind}{n}": f"{kind[0].upper()}{n}" for kind, ns in _WIDTHS.items() for n in ns}
_CODES |= {"bfloat16": "BF16", "bool": "BOOL"}
_MOST_HALF = np.finfo(np.float16).max
_DTYPES = {code: name for name, code in _CODES.items()}

# The digest comes first in the header, where it is found without trusting anything in the file.
_OPENING = b'{"__metadata__":{"sha256":"'
_DIGEST = slice(8 + len(_OPENING), 8 + len(_OPENING) + 64)
_NO_DIGEST = b"0" * 64  # in its place while the digest is computed


class CheckpointError(files.FileError):
    """A checkpoint that cannot be written or read, in one sentence."""


class CheckpointWarning(UserWarning):
    """A damaged checkpoint was passed over."""


class _Found(NamedTuple):
    """A checkpoint as its name tells of it."""

    step: int
    metric: float | None
    path: Path


def save(
    directory: str | os.PathLike[str],
    step: int,
    arrays: Mapping[str, Any],
    info: Mapping[str, Any],
    keep: int = 3,
    metric: float | None = None,
) -> Path:
    """Write a checkpoint, then drop old ones: the last `keep` stay, and the one of lowest metric.

    The info read back has also `step` and `metric` (None where it is not finite). A checkpoint of
    the same step is replaced. One of a later step is an error, because it would go on counting as
    the newest; unless it is damaged, then it goes.
    """
    directory, step = Path(directory), operator.index(step)
    if step < 0 or keep < 1:
        raise ValueError(f"step must be at least 0 and keep at least 1, not {step} and {keep}")
    with _explained(f"cannot save a checkpoint in {directory}"):
        directory.mkdir(parents=True, exist_ok=True)
        for leftover in directory.glob(f"step-*{SUFFIX}{files.PARTIAL}"):
            leftover.unlink(missing_ok=True)
        before = _listing(directory)
        for found in before:
            if found.step > step and _is_whole(found.path):
                raise CheckpointError(
                    f"cannot save step {step} in {directory}, which holds step {found.step}:"
                    " resume from that one, remove it, or give another directory"
                )
        if metric is None:  # saved again, as at the end of a run: what was measured still holds
            metric = next((found.metric for found in before if found.step == step), None)
        metric = float(metric) if metric is not None and math.isfinite(metric) else None
        measured = "" if metric is None else f"-metric-{metric!r}"  # repr: reads back exactly
        new = _Found(step, metric, directory / f"step-{step:09d}{measured}{SUFFIX}")
        write(new.path, arrays, {**info, "step": step, "metric": metric})
        history = [*(found for found in before if found.step < step), new]
        for old in {*before} - {*history[-keep:], min(history, key=_rank)}:
            old.path.unlink(missing_ok=True)
    return new.path


def load(where: str | os.PathLike[str]) -> tuple[Arrays, Info] | None:
    """(arrays, info) of a file, or of a directory's latest; None where there is none.

    In a directory a damaged checkpoint is passed over, with a warning, for the one before.
    """
    where = Path(where)
    if where.suffix == SUFFIX and not where.is_dir():
        return read(where)
    queue = _listing(where)[::-1]
    for found in queue:
        try:
            return read(found.path)
        except CheckpointError as error:
            warnings.warn(f"{error}; trying another", CheckpointWarning, stacklevel=2)
    if queue:
        raise CheckpointError(
            f"all {len(queue)} checkpoints in {where} are damaged or unreadable: restore one from"
            " a copy, or remove them to start afresh"
        )
    return None


def latest(directory: str | os.PathLike[str]) -> Path | None:
    """The file of the highest step, unread; None where there is none."""
    listing = _listing(Path(directory))
    return listing[-1].path if listing else None


def write(path: str | os.PathLike[str], arrays: Mapping[str, Any], info: Mapping[str, Any]) -> None:
    """One file, all or nothing, even if the power fails."""
    path = Path(path)
    chunks = _encoded(arrays, info)
    size = sum(chunk.nbytes for chunk in chunks)
    with _explained(f"cannot write checkpoint {path} ({math.ceil(size / 1e6)} MB)"):
        files.replace(path, chunks)


def read(path: str | os.PathLike[str]) -> tuple[Arrays, Info]:
    """(arrays, info) of one file, verified; CheckpointError where anything in it has changed."""
    path = Path(path)
    with _explained(f"cannot read checkpoint {path}"):
        raw = memoryview(path.read_bytes())
    if raw[_DIGEST] != _digest(raw[: _DIGEST.start], raw[_DIGEST.stop :]):
        raise CheckpointError(f"checkpoint {path} is truncated or damaged, or is none of ours")
    start = 8 + int.from_bytes(raw[:8], "little")
    entries = json.loads(bytes(raw[8:start]))
    info = json.loads(entries.pop("__metadata__")["info"])
    arrays = {}
    for name, entry in entries.items():
        if entry["dtype"] == "BF16":
            import ml_dtypes  # noqa: F401  (gives NumPy the type; other files do without it)
        dtype, count = np.dtype(_DTYPES[entry["dtype"]]), math.prod(entry["shape"])
        flat = np.frombuffer(raw, dtype.newbyteorder("<"), count, start + entry["data_offsets"][0])
        # A copy may be written to, and does not keep the whole file in memory.
        arrays[name] = flat.reshape(entry["shape"]).copy()
    return arrays, info


def match(arrays: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """ValueError unless the names, shapes and dtypes are those of `expected`.

    The values need `shape` and `dtype` only: arrays, Keras variables, jax.ShapeDtypeStruct.
    """
    different = [
        f"{name}: {_kind(arrays[name])}, expected {_kind(value)}"
        for name, value in expected.items()
        if name in arrays and _kind(arrays[name]) != _kind(value)
    ]
    faults = {
        "missing": [name for name in expected if name not in arrays],
        "unexpected": [name for name in arrays if name not in expected],
        "of another shape or type": different,
    }
    if any(faults.values()):
        parts = [
            f"{len(names)} {fault} ({'; '.join(names[:3])}{'; ...' if len(names) > 3 else ''})"
            for fault, names in faults.items()
            if names
        ]
        raise ValueError(f"the checkpoint's arrays do not fit: {', '.join(parts)}")


def export_half(arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Kernels as float16, for weights to ship.

    A kernel is a floating array of two or more axes. Vectors, among them all of BatchNorm, gains
    and biases, stay as they are: they are a hundredth of the size and scale everything else. So
    does an array with values that float16 cannot hold.
    """
    kernels = {name: a for name, a in arrays.items() if a.dtype.kind == "f" and a.ndim >= 2}
    fitting = {name: a for name, a in kernels.items() if np.all(np.abs(a) <= _MOST_HALF)}
    return {**arrays, **{name: a.astype(np.float16) for name, a in fitting.items()}}


def import_half(arrays: Mapping[str, np.ndarray]) -> Arrays:
    """The float16 arrays of `export_half` as float32 again."""
    half = np.dtype(np.float16)
    return {name: a.astype(np.float32) if a.dtype == half else a for name, a in arrays.items()}


def _listing(directory: Path) -> list[_Found]:
    """By step. Files of other names do not concern us."""
    paths = sorted(directory.iterdir()) if directory.is_dir() else []
    names = [(_NAME.fullmatch(path.name), path) for path in paths]
    found = [_Found(int(n[1]), float(n[2]) if n[2] else None, path) for n, path in names if n]
    return sorted(found, key=lambda one: one.step)


def _rank(found: _Found) -> tuple[bool, float, int]:
    """Smallest first: the lowest metric, of equals the newest."""
    return found.metric is None, found.metric or 0.0, -found.step


def _is_whole(path: Path) -> bool:
    with suppress(CheckpointError):
        return bool(read(path))
    return False


def _encoded(arrays: Mapping[str, Any], info: Mapping[str, Any]) -> list[Any]:
    """A file's bytes: the header, then each array. The same content makes the same file."""
    try:
        text = json.dumps(info)
    except (TypeError, ValueError) as error:
        raise ValueError(f"info must hold JSON values only: {error}") from None
    entries: dict[str, Any] = {"__metadata__": {"sha256": _NO_DIGEST.decode(), "info": text}}
    contents, offset = [], 0
    plain = [(name, _plain(name, value)) for name, value in arrays.items()]
    # Wide types first, so that every array is aligned for readers that map the file.
    for name, array in sorted(plain, key=lambda item: (-item[1].itemsize, item[0])):
        end = offset + array.nbytes
        code = _CODES[array.dtype.name]
        entries[name] = {"dtype": code, "shape": array.shape, "data_offsets": (offset, end)}
        contents.append(array.reshape(-1).view(np.uint8))
        offset = end
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    header = len(header).to_bytes(8, "little") + header
    before, after = header[: _DIGEST.start], header[_DIGEST.stop :]
    header = before + _digest(before, after, *contents) + after
    return [np.frombuffer(header, np.uint8), *contents]


def _digest(before: bytes | memoryview, *after: Any) -> bytes:
    digest = hashlib.sha256(bytes(before) + _NO_DIGEST)
    for part in after:
        digest.update(part)
    return digest.hexdigest().encode()


def _plain(name: str, value: Any) -> np.ndarray:
    """Contiguous and little-endian; np.ascontiguousarray would give a scalar an axis."""
    array = np.asarray(value)
    if name == "__metadata__":
        raise ValueError("'__metadata__' cannot name an array: the file format uses it")
    if array.dtype.name not in _CODES:
        raise ValueError(
            f"array {name!r} has dtype {array.dtype}, which a checkpoint cannot hold; convert it"
            f" to one of {', '.join(_CODES)}, or put it in info if it is text"
        )
    return np.asarray(array, array.dtype.newbyteorder("<"), order="C")


def _kind(value: Any) -> str:
    """`float32 (3, 3, 64)`, whatever library the value is of."""
    return f"{getattr(value.dtype, 'name', value.dtype)} {tuple(value.shape)}"


def _explained(problem: str) -> AbstractContextManager[None]:
    return files.explained(problem, CheckpointError, " and go on: checkpoints there are whole")
