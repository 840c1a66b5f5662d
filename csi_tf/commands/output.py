"""Files that tell how they were made, and the directory they are written to.

Every PNG has in its text chunks what it takes to make it again: `csi-tf` is JSON of the settings,
of SHA-256 sums of what they name, of versions and of the result; the other chunks say the main
things to people.
"""

import io
import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from itertools import groupby
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import csi_tf
from csi_tf import checks, files, runs
from csi_tf.data import image_files

RESULTS = "results.jsonl"
_START = b'{"input": '  # of every line of results

Record = dict[str, Any]


@contextmanager
def open_directory(
    asked: str | None, default: Callable[[], Path], advice: str = "give another --output"
) -> Iterator[Path]:
    """The directory to write to, ours alone until the block ends; a new one that nothing came into
    goes again. `advice` is for where that cannot be."""
    directory = checks.path(asked) if asked else default()
    with files.explained(f"cannot make the directory {directory}, so {advice}"):
        is_new = not directory.exists()
        directory.mkdir(parents=True, exist_ok=True)
        is_new |= asked is None and not any(directory.iterdir())  # some defaults are made already
    if not os.access(directory, os.W_OK | os.X_OK):
        raise files.FileError(f"cannot write to the directory {directory}: no permission; {advice}")
    try:
        with runs.locked(directory, advice):
            yield directory
    finally:
        if is_new:
            with suppress(OSError):  # which it is if there is anything in it
                directory.rmdir()


class Output:
    """A directory's pictures and results.jsonl; nothing made otherwise is written over unasked."""

    def __init__(self, directory: Path, overwrite: bool) -> None:
        self.directory, self._overwrite = directory, overwrite
        self._results = directory / RESULTS
        self._files: dict[Any, set[str]] = {}  # that results tell of, by input; of errors none
        self._last: Any = None  # the input that was told of last
        self.settle()

    def place(self, name: PurePath, file: str) -> Path:
        return self.directory / name.parent / f"{name.name}-{file}.png"

    def is_done(self, wanted: Mapping[Path, Record]) -> bool:
        """Whether all these files are there, made with these settings; ValueError if one is there
        that was not, FileError if one cannot be called so."""
        for path in wanted:
            self._check_name(path)
        there = [path for path in wanted if path.exists()]
        for path in there:
            found = (read_record(path) or {}).get("settings")
            if found != wanted[path] and not self._overwrite:
                raise ValueError(
                    f"{path} is there already{_difference(found, wanted[path])}; give --overwrite"
                    " to replace it, or another --output"
                )
            if found != wanted[path]:
                return False
        return len(there) == len(wanted)

    def _check_name(self, path: Path) -> None:
        """Before anything is drawn; while it is written a file has a longer name."""
        problem = f"cannot write {path}, so rename the picture"
        with files.explained(problem), suppress(FileNotFoundError):
            os.lstat(self.directory / (path.name + files.PARTIAL))

    def write(
        self,
        path: Path,
        pixels: np.ndarray,
        settings: Record,
        result: Record,
        profile: bytes | None = None,
    ) -> None:
        content, said = io.BytesIO(), _texts(settings, result)
        Image.fromarray(pixels).save(content, "PNG", pnginfo=said, icc_profile=profile)
        with files.explained(f"cannot write {path}"):
            path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, content.getvalue())

    def tell(self, name: str, lines: list[Record]) -> None:
        """Lines of results.jsonl on one input; those that it had go when they are settled, and
        those of other inputs whose files these are now go at once."""
        made = _files(lines)
        replaced = any(made & told for other, told in self._files.items() if other != name)
        if name == self._last or replaced:  # or both would pass for one telling
            kept = [each for each in self._lines() if each["input"] != name]
            kept = [each for each in kept if each.get("file") not in made]
            files.write(self._results, _jsonl([*kept, *lines]))
        else:
            with files.explained(f"cannot write {self._results}"), self._results.open("ab") as file:
                file.write(_jsonl(lines))
        self._files = {other: told - made for other, told in self._files.items()}
        self._last, self._files[name] = name, made

    def told(self, name: str) -> set[str]:
        """The files that results tell of one input."""
        return self._files.get(name, set())

    def tell_error(self, name: str, said: str) -> None:
        """Unless there are results: these are of the files, which are left as they are."""
        if not self.told(name):
            self.tell(name, [{"input": name, "error": said}])

    def settle(self) -> None:
        """Keeps what was told of each input last; once for all, as it writes the whole file."""
        found = self._lines()
        tellings = [[*lines] for _, lines in groupby(found, lambda line: line["input"])]
        newest = {lines[0]["input"]: lines for lines in tellings}
        kept = [each for each in tellings if newest[each[0]["input"]] is each]
        if len(kept) < len(tellings) or self._whole_lines()[1]:
            files.write(self._results, _jsonl([line for lines in kept for line in lines]))
        self._files = {name: _files(lines) for name, lines in newest.items()}
        self._last = kept[-1][0]["input"] if kept else None

    def _whole_lines(self) -> tuple[list[bytes], bytes]:
        """And the part of a line that a killed process left behind."""
        if not self._results.exists():
            return [], b""
        with files.explained(f"cannot read {self._results}"):
            *whole, rest = self._results.read_bytes().split(b"\n")
        return whole, rest

    def _lines(self) -> list[Record]:
        whole, rest = self._whole_lines()
        try:
            found = [json.loads(line) for line in whole]
        except ValueError:
            found = [None]
        ours = rest[: len(_START)] == _START[: len(rest)]
        if not (ours and all(isinstance(line, dict) and "input" in line for line in found)):
            raise ValueError(f"{self._results} is none of this program's; give another --output")
        return found


def _jsonl(lines: list[Record]) -> bytes:
    return "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines).encode()


def _files(lines: list[Record]) -> set[str]:
    return {line["file"] for line in lines if "file" in line}


def _difference(found: Record | None, wanted: Record) -> str:
    if not isinstance(found, dict):
        return " and tells nothing of how it was made"
    for name, value in wanted.items():
        if found.get(name) == value:
            continue
        if name == "sha256":
            changed = [each for each in value if (found.get(name) or {}).get(each) != value[each]]
            return f", made from another {' and '.join(changed) or 'input'}"
        return f", made with {name}={_said(found.get(name))} rather than {_said(value)}"
    return ", made with other settings"


def _said(value: Any) -> str:
    return "none" if value in (None, "") else str(value)


def read_record(path: Path) -> Record | None:
    """What a PNG of ours tells of itself; None of any other file."""
    try:
        with Image.open(path, formats=("PNG",)) as image:  # the pixels are not read
            record = json.loads(image.info.get(image_files.RECORD, "null"))
    except Exception:  # Pillow raises almost anything on damaged files
        return None
    return record if isinstance(record, dict) else None


def _texts(settings: Record, result: Record) -> PngInfo:
    record = {"settings": settings, "versions": versions(), "result": result}
    said = {
        "Software": f"csi-tf {csi_tf.__version__}",
        "model": settings["model"],
        "seed": str(settings["seed"]),
        "mask": settings["mask"] or "all",
        "latents": ", ".join(f"{k}={v:g}" for k, v in result.get("set", {}).items()) or "inferred",
        image_files.RECORD: json.dumps(record, allow_nan=False),
    }
    info = PngInfo()
    for key, text in said.items():
        # Names of files need not be text; JSON escapes them by itself.
        info.add_text(key, text.encode("utf-8", "backslashreplace").decode())
    return info


def versions() -> dict[str, str]:
    """What else decides on the last bit."""
    import keras

    modules = ("keras", keras.backend.backend(), "numpy", "PIL")
    found = {name: import_module(name).__version__ for name in modules}
    device = keras.distribution.list_devices()[0].split(":")[0]
    machine = f"{platform.machine()} {device}"
    return {"csi-tf": csi_tf.__version__, **found, "device": machine}


def plain(values: np.ndarray) -> Any:
    """Numbers as JSON has them: float32 in its few digits, NaN as null."""
    if values.ndim:
        return [plain(each) for each in values]
    return float(str(values)) if np.isfinite(values) else None
