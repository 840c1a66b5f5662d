"""Run directories: named, locked while in use, and holding what it takes to repeat the run."""

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

from csi_tf import workers
from csi_tf.config import Config
from csi_tf.files import FileError, explained, write

if sys.platform != "win32":
    import fcntl

DEFAULT_PARENT = Path("runs")
LOCK = ".lock"
_OWN_FILES = {"config.json", "flagfile.txt", LOCK}


@contextmanager
def open_directory(config: Config, flagfile: str) -> Iterator[Path]:
    """The run's directory, ours alone until the block ends; config.json and flagfile.txt in it.

    The two files tell of the run as it stands: of one that is gone on with, with more steps say,
    they are written anew and the changes said. They leave out where the run is, so the directory
    may be moved. They can be repeated from anywhere if the paths in them are absolute, as the
    command line makes them.
    """
    if workers.task() is not None and config.run.run_dir is None:
        raise ValueError(
            "the workers of TF_CONFIG share a run directory: give all the same --run_dir"
        )
    directory, is_new = _make(config)
    lock = _lock()
    if lock != LOCK:  # the first worker keeps the record; the others only read
        with locked(directory, name=lock):
            yield directory
        return
    with locked(directory):
        settings = [directory / "config.json", directory / "flagfile.txt"]
        before = {path: path.read_bytes() for path in settings if path.exists()}
        begun = any(directory.glob("**/checkpoints"))
        try:
            _check_settings(config, directory)
            placeless = replace(config, run=replace(config.run, run_dir=None))
            for path, text in zip(settings, (placeless.to_json(), flagfile), strict=True):
                write(path, text.encode())
            yield directory
        except BaseException as error:
            if isinstance(error, ValueError):  # refused: what is there has its old settings
                for path, content in before.items():
                    write(path, content)
                # A stage of a run has none of its own; what was refused shall not be its.
                for path in {*settings} - {*before} if begun else ():
                    path.unlink(missing_ok=True)
            # A run that failed before it had anything to show leaves nothing behind.
            if is_new and {path.name for path in directory.iterdir()} <= _OWN_FILES:
                shutil.rmtree(directory, ignore_errors=True)
            raise


@contextmanager
def stage_directory(directory: Path) -> Iterator[Path]:
    """That of one model within a run's, ours alone as well: it can be named as a --run_dir."""
    with explained(f"cannot make the directory {directory}, so choose another --run_dir"):
        directory.mkdir(parents=True, exist_ok=True)
    try:
        with locked(directory, name=_lock()):
            yield directory
    finally:
        with suppress(OSError):  # which it is if there is anything in it
            directory.rmdir()


def _lock() -> str:
    """Each worker of TF_CONFIG has its own."""
    worker = workers.task()
    return LOCK if worker is None or worker.index == 0 else f"{LOCK}-{worker.index}"


def _check_settings(config: Config, directory: Path) -> None:
    """Checkpoints can only be gone on with by the settings that made them, or some of them."""
    path = directory / "config.json"
    begun = any(directory.glob("**/checkpoints"))
    if not path.exists():  # it is written first: without it these are somebody else's
        for name in ("flagfile.txt", "metrics.jsonl"):
            if (directory / name).exists() and not begun:  # or it is a stage of a run
                raise ValueError(f"{directory / name} is of no run; choose another --run_dir")
        return
    try:
        before = Config.from_json(path.read_text())
    except ValueError as error:
        raise ValueError(
            f"{path} is not of this version of the program: {error}; choose another --run_dir"
        ) from None
    is_other = config.run.mode != before.run.mode
    if not begun:
        if is_other and any(directory.glob("**/model.safetensors")):
            raise ValueError(
                f"{directory} holds a model of --mode={before.run.mode}; choose another --run_dir"
            )
        return
    differences = config.differences(before)
    if is_other:
        differences.insert(0, f"mode={config.run.mode} and not {before.run.mode}")
    if differences:
        raise ValueError(
            f"{directory} holds a run with other settings ({'; '.join(differences)}): repeat them"
            " to go on with it, or choose another --run_dir"
        )
    if changes := config.changes(before):
        print(
            f"Settings that differ from before: {'; '.join(sorted(changes.values()))}", flush=True
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


def _make(config: Config) -> tuple[Path, bool]:
    """The directory, and whether it is new."""
    if config.run.run_dir is not None:
        directory = Path(config.run.run_dir).expanduser()
        is_new = not directory.exists()
        with explained(f"cannot make the run directory {directory}, so choose another --run_dir"):
            directory.mkdir(parents=True, exist_ok=True)
        return directory, is_new
    return new_directory(DEFAULT_PARENT, default_name(config, datetime.now())), True


def new_directory(parent: Path, name: str) -> Path:
    """Made here; with a number where another command begins in the same second."""
    number = 1
    while True:
        directory = parent / (f"{name}-{number}" if number > 1 else name)
        said = f"cannot make the directory {directory}, so give another --output or --run_dir"
        with explained(said), suppress(FileExistsError):
            directory.mkdir(parents=True)
            return directory
        number += 1


@contextmanager
def locked(
    directory: Path, advice: str = "give another --run_dir", name: str = LOCK
) -> Iterator[None]:
    """flock, which the system releases when the process ends, however it ends."""
    if sys.platform == "win32":  # which has no flock
        yield
        return
    path = directory / name
    with explained(f"cannot write to the directory {directory}"):
        file = path.open("ab+")
    with file:
        _take(file, path, advice)
        try:
            yield
        finally:
            with suppress(OSError):
                if not path.stat().st_size:  # or it is somebody's file of that name
                    path.unlink()


def _take(file: BinaryIO, path: Path, advice: str) -> None:
    with explained(f"cannot lock the directory {path.parent}"):  # not every file system can
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Who had it until now has removed it, and another may have made a new one.
            is_ours = os.path.samestat(os.fstat(file.fileno()), path.stat())
        except (BlockingIOError, FileNotFoundError):
            is_ours = False
    if not is_ours:
        raise FileError(
            f"another process is using the directory {path.parent}; wait for it to end or {advice}"
        )
