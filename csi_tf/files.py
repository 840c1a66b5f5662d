"""Files that are whole or not there, and one sentence where the system will not have them."""

import errno
import hashlib
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PARTIAL = ".partial"


class FileError(OSError):
    """A file or directory that cannot be used, in one sentence."""


def write(path: Path, content: bytes) -> None:
    """All or nothing, even if the power fails."""
    with explained(f"cannot write {path}"):
        replace(path, [content])


def replace(path: Path, chunks: Iterable[Any]) -> None:
    """`write` of several buffers, without the sentence."""
    partial = path.with_name(path.name + PARTIAL)
    try:
        with partial.open("wb") as file:
            file.writelines(chunks)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    if sys.platform != "win32":  # elsewhere a new name is safe only when its directory is
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def digest(path: Path) -> str:
    """SHA-256 of what a file holds."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def explained(problem: str, kind: type[FileError] = FileError, advice: str = "") -> Iterator[None]:
    """An OSError of the system as one sentence, with what to do about a full disk."""
    try:
        yield
    except FileError:  # which has its sentence
        raise
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        help_ = f"; make room there{advice}" if is_full else ""
        raise kind(f"{problem}: {error.strerror or error}{help_}") from error
