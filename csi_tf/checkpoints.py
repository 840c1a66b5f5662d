"""Checkpoints: named arrays and a little JSON in one file that is whole or is not there.

A file is in the safetensors format (8 bytes of header length, a JSON header, the arrays), which
other tools read too. Its header also holds a SHA-256 of everything else in the file, so damage
anywhere is noticed. The file's name carries the step and the metric: the newest and the best of a
directory are known from a listing, and there is no index that could disagree with the files.
"""

import errno
import hashlib
import json
import math
import operator
import os
import re
import struct
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Arrays = dict[str, np.ndarray]
Info = dict[str, Any]

SUFFIX = ".safetensors"
WHICH = ("latest", "best")
_NAME = re.compile(r"step-(\d+)(?:-metric-(.+))?" + re.escape(SUFFIX))
_PARTIAL = ".partial"

_WIDTHS = {"float": (64, 32, 16), "int": (64, 32, 16, 8), "uint": (64, 32, 16, 8)}
_CODES = {f"{kind}{n}": f"{kind[0].upper()}{n}" for kind, ns in _WIDTHS.items() for n in ns}
_CODES |= {"bfloat16": "BF16", "bool": "BOOL"}
_DTYPES = {code: name for name, code in _CODES.items()}

# The digest comes first in the header, where it is found without trusting anything in the file.
_OPENING = b'{"__metadata__":{"sha256":"'
_DIGEST = slice(8 + len(_OPENING), 8 + len(_OPENING) + 64)
_NO_DIGEST = b"0" * 64  # in its place while the digest is computed


class CheckpointError(OSError):
    """A checkpoint that cannot be written or read, in one sentence."""


class CheckpointWarning(UserWarning):
    """A damaged checkpoint was passed over."""


class _Found(NamedTuple):
    """A checkpoint as its name tells of it; sorts by step."""

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
    """Write a checkpoint and drop old ones: the last `keep` stay, and the one of lowest metric.

    The info read back has also `step`, `metric` (None where it is not finite) and `versions`. A
    checkpoint of the same step is replaced. One of a later step stands in the way, because it
    would go on counting as the newest, unless it is damaged.
    """
    directory, step = Path(directory), operator.index(step)
    if step < 0 or keep < 1:
        raise ValueError(f"step must be at least 0 and keep at least 1, not {step} and {keep}")
    with _explained(f"cannot prepare the checkpoint directory {directory}"):
        directory.mkdir(parents=True, exist_ok=True)
        for leftover in directory.glob(f"step-*{SUFFIX}{_PARTIAL}"):
            leftover.unlink(missing_ok=True)
    before = _listing(directory)
    damaged = [found for found in before if found.step > step and not _is_whole(found.path)]
    if later := [found for found in before if found.step > step and found not in damaged]:
        raise CheckpointError(
            f"cannot save step {step} in {directory}, which holds step {later[-1].step}: resume"
            " from that one, remove it, or give another directory"
        )
    if metric is None:  # saved again, as at the end of a run: what was measured still holds
        metric = next((found.metric for found in before if found.step == step), None)
    elif not math.isfinite(metric):
        metric = None
    path = directory / _name(step, metric)
    extra = {"step": step, "metric": metric and float(metric), "versions": _versions()}
    write(path, arrays, {**info, **extra})
    with _explained(f"cannot remove old checkpoints from {directory}"):
        replaced = [found for found in before if found.step == step and found.path != path]
        remaining = [found for found in _listing(directory) if found not in damaged + replaced]
        for old in damaged + replaced + _outdated(remaining, keep):
            old.path.unlink(missing_ok=True)
    return path


def load(where: str | os.PathLike[str], which: str = "latest") -> tuple[Arrays, Info] | None:
    """(arrays, info) of a file, or of a directory's latest or best; None where there is none.

    In a directory a damaged checkpoint is passed over, with a warning, for the next in line: the
    one before, or the next best. Checkpoints without a metric come after all that have one.
    """
    if which not in WHICH:
        raise ValueError(f"which is {which!r}; it must be one of {', '.join(WHICH)}")
    where = Path(where)
    if where.suffix == SUFFIX and not where.is_dir():
        return read(where)
    queue = _listing(where)[::-1]
    if which == "best":
        queue.sort(key=_rank)
    problem = None
    for found in queue:
        try:
            return read(found.path)
        except CheckpointError as error:
            problem = problem or error
            warnings.warn(f"{error}; trying another", CheckpointWarning, stacklevel=2)
    if problem is not None:
        raise CheckpointError(
            f"none of the {len(queue)} checkpoints in {where} can be read: restore one from a copy"
            f" or remove them to start afresh ({problem})"
        )
    return None


def latest(directory: str | os.PathLike[str]) -> Path | None:
    """The file of the highest step, unread; None where there is none."""
    listing = _listing(Path(directory))
    return listing[-1].path if listing else None


def write(path: str | os.PathLike[str], arrays: Mapping[str, Any], info: Mapping[str, Any]) -> None:
    """One file, all or nothing, even if the power fails."""
    path = Path(path)
    header, contents = _encoded(arrays, info)
    size = len(header) + sum(content.nbytes for content in contents)
    partial = path.with_name(path.name + _PARTIAL)
    with _explained(f"cannot write checkpoint {path} ({math.ceil(size / 1e6)} MB)"):
        try:
            with partial.open("wb") as file:
                file.write(header)
                for content in contents:
                    file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
            _sync_directory(path.parent)
        except BaseException:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise


def read(path: str | os.PathLike[str]) -> tuple[Arrays, Info]:
    """(arrays, info) of one file, verified; CheckpointError where anything in it has changed."""
    path = Path(path)
    with _explained(f"cannot read checkpoint {path}"):
        raw = path.read_bytes()
    if raw[_DIGEST] != _digest(raw[:8], raw[8 : _DIGEST.start], memoryview(raw)[_DIGEST.stop :]):
        raise CheckpointError(f"checkpoint {path} is truncated or damaged, or is none of ours")
    start = 8 + int.from_bytes(raw[:8], "little")
    entries = json.loads(raw[8:start])
    info = json.loads(entries.pop("__metadata__")["info"])
    arrays = {}
    for name, entry in entries.items():
        dtype, count = _dtype(_DTYPES[entry["dtype"]]), math.prod(entry["shape"])
        flat = np.frombuffer(raw, dtype, count, start + entry["data_offsets"][0]) if count else []
        # A copy may be written to, and does not keep the whole file in memory.
        arrays[name] = np.array(flat, dtype).reshape(entry["shape"])
    return arrays, info


def match(arrays: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """ValueError unless the names, shapes and dtypes are those of `expected`.

    The values need `shape` and `dtype` only: arrays, Keras variables, jax.ShapeDtypeStruct.
    """
    shared = [name for name in expected if name in arrays]
    differing = [
        f"{name}: {_kind(arrays[name])}, expected {_kind(expected[name])}"
        for name in shared
        if _kind(arrays[name]) != _kind(expected[name])
    ]
    problems = [
        f"{len(names)} {problem} ({'; '.join(names[:3])}{'; ...' if len(names) > 3 else ''})"
        for problem, names in (
            ("missing", [name for name in expected if name not in arrays]),
            ("unexpected", [name for name in arrays if name not in expected]),
            ("of another shape or type", differing),
        )
        if names
    ]
    if problems:
        raise ValueError(f"the checkpoint's arrays do not fit: {', '.join(problems)}")


def export_half(arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Kernels as float16, for weights to ship.

    A kernel is a floating array of two or more axes. Vectors, among them all of BatchNorm, gains
    and biases, stay as they are: they are a thousandth of the size and scale everything else. So
    does an array with values that float16 cannot hold.
    """
    most = np.finfo(np.float16).max
    return {
        name: array.astype(np.float16)
        if array.dtype.kind == "f" and array.ndim >= 2 and np.all(np.abs(array) <= most)
        else array
        for name, array in arrays.items()
    }


def import_half(arrays: Mapping[str, np.ndarray]) -> Arrays:
    """The float16 arrays of `export_half` as float32 again."""
    return {
        name: array.astype(np.float32) if array.dtype == np.float16 else array
        for name, array in arrays.items()
    }


def _name(step: int, metric: float | None) -> str:
    measured = "" if metric is None else f"-metric-{float(metric)!r}"  # repr: reads back exactly
    return f"step-{step:09d}{measured}{SUFFIX}"


def _listing(directory: Path) -> list[_Found]:
    """By step; other files do not concern us."""
    found = []
    for path in directory.iterdir() if directory.is_dir() else ():
        if name := _NAME.fullmatch(path.name):
            with suppress(ValueError):
                metric = None if name[2] is None else float(name[2])
                found.append(_Found(int(name[1]), metric, path))
    return sorted(found, key=lambda one: (one.step, one.path.name))


def _rank(found: _Found) -> tuple[bool, float, int]:
    """Lowest first: by metric, then the newer one."""
    return found.metric is None, found.metric or 0.0, -found.step


def _outdated(listing: list[_Found], keep: int) -> list[_Found]:
    best = min(listing, key=_rank)
    return [found for found in listing[:-keep] if found != best or best.metric is None]


def _encoded(arrays: Mapping[str, Any], info: Mapping[str, Any]) -> tuple[bytes, list[np.ndarray]]:
    """The header, and each array as bytes. The same content makes the same file."""
    try:
        text = json.dumps(info)
    except (TypeError, ValueError) as error:
        raise ValueError(f"info must hold JSON values only: {error}") from None
    entries: dict[str, Any] = {"__metadata__": {"sha256": _NO_DIGEST.decode(), "info": text}}
    contents, offset = [], 0
    plain = {name: _plain(name, value) for name, value in arrays.items()}
    # Wide types first, so that every array is aligned for readers that map the file.
    for name, array in sorted(plain.items(), key=lambda item: (-item[1].itemsize, item[0])):
        entries[name] = {
            "dtype": _CODES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        contents.append(array.reshape(-1).view(np.uint8))
        offset += array.nbytes
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    length = struct.pack("<Q", len(header))
    digest = _digest(length, _OPENING, header[_DIGEST.stop - 8 :], *contents)
    return length + _OPENING + digest + header[_DIGEST.stop - 8 :], contents


def _digest(length: bytes, opening: bytes, *rest: Any) -> bytes:
    digest = hashlib.sha256(length + opening + _NO_DIGEST)
    for part in rest:
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


def _dtype(name: str) -> np.dtype:
    if name == "bfloat16":
        import ml_dtypes  # with Keras; only files that hold the type need it

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name).newbyteorder("<")


def _kind(value: Any) -> str:
    """`float32 (3, 3, 64)`, whatever library the value is of."""
    return f"{getattr(value.dtype, 'name', value.dtype)} {tuple(value.shape)}"


@cache
def _versions() -> dict[str, str]:
    versions = {"python": sys.version.split()[0]}
    for name in ("csi-tf", "keras", "tensorflow", "jax", "numpy"):
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def _sync_directory(directory: Path) -> None:
    """Until its directory is on the disk, a renamed file can be lost."""
    if sys.platform != "win32":  # which cannot, and need not
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _explained(problem: str) -> Iterator[None]:
    """An OSError of the system as one sentence with what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            advice = "; make room there and go on: earlier checkpoints are whole"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            advice = "; check the permissions there or give another directory"
        else:
            advice = ""
        raise CheckpointError(f"{problem}: {error.strerror or error}{advice}") from error
