"""Run directories: named, locked while in use, and holding what it takes to repeat the run."""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from csi_tf.config import Config

if sys.platform != "win32":
    import fcntl

DEFAULT_PARENT = Path("runs")
_OWN_FILES = {"config.json", "flagfile.txt", ".lock"}


class RunDirectoryError(OSError):
    """A run directory that cannot be used, in one sentence."""


@contextmanager
def open_directory(config: Config, flagfile: str) -> Iterator[Path]:
    """The run's directory, ours alone until the block ends; config.json and flagfile.txt in it.

    The two files leave out where the run is, so the directory may be moved. They can be repeated
    from anywhere if the paths in them are absolute, as the command line makes them.
    """
    worker = worker_number()
    if worker is not None and config.run.run_dir is None:
        raise ValueError(
            "the workers of TF_CONFIG share a run directory: give all the same --run_dir"
        )
    directory, is_new = _make(config)
    if worker:  # the first worker keeps the record; the others only read its checkpoints
        with _locked(directory, f".lock-{worker}"):
            yield directory
        return
    with _locked(directory, ".lock"):
        try:
            _refuse_other_settings(config, directory)
            placeless = replace(config, run=replace(config.run, run_dir=None))
            write(directory / "config.json", placeless.to_json().encode())
            write(directory / "flagfile.txt", flagfile.encode())
            yield directory
        except BaseException:
            # A run that failed before it had anything to show leaves nothing behind.
            if is_new and {path.name for path in directory.iterdir()} <= _OWN_FILES:
                shutil.rmtree(directory, ignore_errors=True)
            raise


def worker_number() -> int | None:
    """This process's number among the workers of TF_CONFIG; None if it is alone."""
    task = json.loads(os.environ.get("TF_CONFIG") or "{}").get("task")
    return int(task["index"]) if task else None


def _refuse_other_settings(config: Config, directory: Path) -> None:
    """Checkpoints can only be gone on with by the settings that made them."""
    path = directory / "config.json"
    if not path.exists() or not any(directory.glob("**/checkpoints")):
        return
    before = Config.from_json(path.read_text())
    differences = config.differences(before)
    if config.run.mode != before.run.mode:
        differences.insert(0, f"mode={config.run.mode} and not {before.run.mode}")
    if differences:
        raise ValueError(
            f"{directory} holds a run with other settings ({'; '.join(differences)}): repeat them"
            " to go on with it, or choose another --run_dir"
        )


def default_name(config: Config, now: datetime) -> str:
    """<date>-<mode>-<dataset>-<size>px-<objective>-<receptive field>-seed<seed>"""
    dataset = re.sub("^npz:|^images:|^tfds:", "", config.data.dataset)
    parts = [
        f"{now:%Y%m%d-%H%M%S}",
        config.run.mode,
        Path(dataset).stem,
        f"{config.data.image_size}px",
        config.objective.objective,
        config.model.receptive_field,
        f"seed{config.run.seed}",
    ]
    return "-".join(re.sub(r"[^\w.]+", "_", part) for part in parts)


def write(path: Path, content: bytes) -> None:
    """All or nothing: a reader, or a crash, never meets half a file."""
    partial = path.with_name(f"{path.name}.partial")
    with _explained(f"cannot write {path}"):
        try:
            partial.write_bytes(content)
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def _make(config: Config) -> tuple[Path, bool]:
    """The directory, and whether it is new."""
    if config.run.run_dir is not None:
        directory = Path(config.run.run_dir).expanduser()
        is_new = not directory.exists()
        with _explained(f"cannot make the run directory {directory}"):
            directory.mkdir(parents=True, exist_ok=True)
        return directory, is_new
    name = default_name(config, datetime.now())
    number = 1
    while True:  # two runs may start in the same second
        directory = DEFAULT_PARENT / (f"{name}-{number}" if number > 1 else name)
        with _explained(f"cannot make the run directory {directory}"), suppress(FileExistsError):
            directory.mkdir(parents=True)
            return directory, True
        number += 1


@contextmanager
def _locked(directory: Path, name: str) -> Iterator[None]:
    """flock, which the system releases when the process ends, however it ends."""
    with _explained(f"cannot write to the run directory {directory}"):
        file = (directory / name).open("ab+")
    with file:
        if sys.platform != "win32":
            _take(file, directory)
        yield


def _take(file: BinaryIO, directory: Path) -> None:
    with _explained(f"cannot lock the run directory {directory}"):  # not every file system can
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunDirectoryError(
                f"another process is using the run directory {directory}; wait for it to end or"
                " give another --run_dir"
            ) from None


@contextmanager
def _explained(problem: str) -> Iterator[None]:
    """An OSError of the system, as one sentence."""
    try:
        yield
    except RunDirectoryError:
        raise
    except OSError as error:
        raise RunDirectoryError(f"{problem}: {error.strerror}") from error
