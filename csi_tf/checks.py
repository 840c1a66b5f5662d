"""Checks of arguments that several parts of the library take; each failure is one sentence."""

import json
import operator
import os
import stat
from importlib import util
from pathlib import Path
from typing import Any

BACKENDS = ("tensorflow", "jax")


def whole_number(value: Any, what: str, least: int, most: int | None = None) -> int:
    """value as an int of at least `least`; floats and booleans are mistakes here."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if (
        number is None
        or isinstance(value, bool)
        or number < least
        or (most is not None and number > most)
    ):
        wanted = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{what} is {value!r}; give a whole number {wanted}.")
    return number


def path(value: Any, what: str = "path") -> Path:
    """A path given as text or as a Path, ~ expanded."""
    if not isinstance(value, str | os.PathLike):
        raise ValueError(f"{what} is {value!r}; give it as text or as a pathlib.Path.")
    return Path(os.path.expanduser(value))


def absolute(path: str) -> str:
    """A path as it is called from everywhere: those with ~ and URLs are already."""
    return path if not path or path.startswith("~") or "://" in path else os.path.abspath(path)


def absolute_masks(text: str) -> str:
    """A mask specification whose files are called as they are from everywhere."""
    return ",".join(_absolute_mask(entry.strip()) for entry in text.split(","))


def _absolute_mask(entry: str) -> str:
    if not entry.startswith("file:"):
        return entry
    # A weight behind the name passes for its end.
    placed = "file:" + absolute(entry.removeprefix("file:"))
    return entry if "," in placed else placed  # which would split it


def existing_file(value: Any, error: type[ValueError] = ValueError, what: str = "file") -> Path:
    """The path of a file that is there; `error` otherwise."""
    file = path(value)
    try:
        mode = file.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a null character
        mode = 0
    except OSError as problem:  # such as a name that is too long
        raise error(f"{file} cannot be read: {problem.strerror}.") from problem
    if stat.S_ISDIR(mode):
        raise error(f"{file} is a folder, not a {what}; name one file.")
    if not stat.S_ISREG(mode):
        raise error(f"There is no {what} {str(value)!r}; check the path.")
    return file


def keras_backend() -> None:
    """Refuse a backend that the networks do not run on before Keras spends seconds importing it."""
    chosen = os.environ.get("KERAS_BACKEND") or _configured_backend()
    if chosen not in BACKENDS:
        raise ValueError(
            f"The Keras backend is {chosen!r}; set KERAS_BACKEND to one of {', '.join(BACKENDS)}."
        )
    there = [backend for backend in BACKENDS if util.find_spec(backend) is not None]
    if chosen not in there:
        other = f", or set KERAS_BACKEND={there[0]}" if there else ""
        raise ValueError(
            f"The Keras backend {chosen} is not installed; install it with pip{other}."
        )


def _configured_backend() -> str:
    """The backend in Keras's own configuration file, which it reads where no variable is set."""
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    try:
        return json.loads(Path(home, "keras.json").read_text())["backend"]
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow"
