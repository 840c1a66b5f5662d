"""Latents by number or by name, and setting them.

Beside a model file, or in its evaluation, there may be a `latents.json` that names what its latents
do, a list of

    {"name": "smile", "dimension": 3, "interval": [-2.5, 2.5], "rank": 1, "mask": "mouth"}
    {"name": "older", "direction": [0.6, 0.0, -0.8, ...], "interval": [-3, 3], "rank": 2}

An entry is a dimension of z, or a unit vector along which it is moved; `interval` is where it is of
use, rank 1 does the most, and `mask` is the named hole under which it does what it is called after.
All but the mask are required, and nothing else is understood.
"""

import difflib
import json
import numbers
import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from csi_tf import checks, files, masks

FILE = "latents.json"
EVALUATED = "evaluation"  # the folder beside a model that --mode=evaluate writes to
# Where a latent without an entry is of use: all but 3 of 1,000 draws of the prior lie there.
USUAL = (-3.0, 3.0)
# A direction that was written with few digits is still a unit vector; one of another length is not.
UNIT = 1e-4
LARGEST = 1e6  # of what a latent may be set to; of far larger ones networks make infinity and NaN


@dataclass(frozen=True, eq=False)
class Latent:
    """A named dimension of z, or a named direction in it."""

    name: str
    direction: np.ndarray  # (D,) float64, of length one
    interval: tuple[float, float]
    rank: int
    dimension: int | None = None  # where the direction is an axis
    mask: str | None = None  # that shows it, if that is known


def beside(model_file: str | os.PathLike[str], latent_dim: int) -> tuple[Latent, ...]:
    """The named latents of a model file, by rank; none if there is no latents.json."""
    path = file_of(model_file)
    return read(path, latent_dim) if path else ()


def file_of(model_file: str | os.PathLike[str]) -> Path | None:
    """The latents.json next to a model file or, where there is none, the one of its evaluation."""
    place = Path(model_file).parent
    return next((path for path in (place / FILE, place / EVALUATED / FILE) if path.exists()), None)


def read(path: str | os.PathLike[str], latent_dim: int) -> tuple[Latent, ...]:
    """The latents of one latents.json, by rank."""
    file = checks.existing_file(path)
    try:
        entries = json.loads(file.read_text("utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{file} is not JSON ({error}); mend or delete it.") from None
    if not isinstance(entries, list):
        raise ValueError(f"{file} holds {_kind(entries)}; expected a list of entries in brackets.")
    latents = [
        _entry(entry, latent_dim, f"{file}: entry {i}") for i, entry in enumerate(entries, 1)
    ]
    names = [latent.name for latent in latents]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{file}: two entries are called {name!r}; rename one.")
    return tuple(sorted(latents, key=lambda latent: latent.rank))


def write(path: str | os.PathLike[str], latents: Iterable[Latent]) -> None:
    """The file that `read` gives back."""
    latents = list(latents)
    for number, each in enumerate(latents, 1):
        check_name(each.name, f"entry {number}")
    entries = [
        {"name": each.name}
        | (
            {"direction": each.direction.tolist()}
            if each.dimension is None
            else {"dimension": each.dimension}
        )
        | {"interval": list(each.interval), "rank": each.rank}
        | ({} if each.mask is None else {"mask": each.mask})
        for each in latents
    ]
    lines = ",\n".join(f"  {json.dumps(entry, allow_nan=False)}" for entry in entries)
    files.write(checks.path(path), f"[\n{lines}\n]\n".encode())


def axis(dimension: int, latent_dim: int) -> np.ndarray:
    direction = np.zeros(latent_dim)
    direction[dimension] = 1.0
    return direction


def find(model: Any, key: Any) -> Latent:
    """A latent by its dimension or its name."""
    if model.decoder is None:
        raise ValueError(
            "this model has no latents to set: it was made with latents=False; leave latents out."
        )
    known, count = model.named_latents, model.config.latent_dim
    if isinstance(key, str):
        for latent in known:
            if latent.name == key:
                return latent
        names = {latent.name.casefold(): latent.name for latent in known}
        close = difflib.get_close_matches(key.casefold(), names, n=3)
        alive = [name for name in names.values() if not name.startswith("dead ")]
        if close:
            has = f"perhaps {' or '.join(names[each] for each in close)} is meant"
        else:
            has = f"it has {', '.join(alive)}" if known else "none of its latents has a name"
        raise ValueError(
            f"this model has no latent called {key!r}; {has}; a dimension from 0 to {count - 1}"
            " always works."
        )
    dimension = checks.whole_number(key, "the dimension of a latent", 0, count - 1)
    named = next((latent for latent in known if latent.dimension == dimension), None)
    return named or Latent(f"latent {dimension}", axis(dimension, count), USUAL, count, dimension)


@dataclass(frozen=True, eq=False)
class Settings:
    """Directions (m, D), and (V, m) values along them: V ways to set them, one after another."""

    directions: np.ndarray
    values: np.ndarray

    def on(self, z: np.ndarray, way: np.ndarray) -> np.ndarray:
        """z (B, D) set in the ways (B,) asked, by the smallest move: z + (a - z.v) v for one
        direction; with several that are not at right angles, all have their values in the end."""
        if not self.values.size:
            return z
        missing = self.values[way] - z @ self.directions.T
        steps = np.linalg.solve(self.directions @ self.directions.T, missing.T).T
        return (z + steps @ self.directions).astype(np.float32)


def settings(model: Any, wanted: Mapping[Any, Any] | None) -> Settings:
    """One way to set them: {dimension or name: value}."""
    wanted = {} if wanted is None else wanted
    if not isinstance(wanted, Mapping):
        raise ValueError(
            f"latents is {_kind(wanted)}; give {{dimension or name: value}}, such as {{3: 1.5}}."
        )
    found = [find(model, key) for key in wanted]
    for latent, value in zip(found, wanted.values(), strict=True):
        if not is_number(value):
            raise ValueError(
                f"{latent.name} is set to {value!r}; give a finite number, of {LARGEST:g} at most."
            )
        _warn_if_outside(latent, [value])
    directions = np.array([latent.direction for latent in found])
    if found and np.linalg.matrix_rank(directions) < len(found):
        names = ", ".join(map(repr, wanted))
        raise ValueError(f"the latents {names} move the same thing; leave one of them out.")
    return Settings(directions, np.array([list(wanted.values())], np.float64))


def traversal(model: Any, key: Any, values: Any) -> Settings:
    """As many ways as there are values of one latent."""
    latent = find(model, key)
    try:
        several = list(values)
    except TypeError:
        several = []
    if not several or not all(is_number(value) for value in several):
        raise ValueError(
            f"values is {values!r}; give the numbers that {latent.name} is set to, of {LARGEST:g}"
            " at most."
        )
    _warn_if_outside(latent, several)
    return Settings(latent.direction[None], np.array(several, np.float64)[:, None])


def _warn_if_outside(latent: Latent, values: Sequence[float]) -> None:
    """Once for all values, and not before they are half the interval's width outside it."""
    low, high = latent.interval
    slack = (high - low) / 2
    outside = [value for value in values if not low - slack <= value <= high + slack]
    if outside:
        warnings.warn(
            f"{latent.name} is set to {outside[0]:g}, far from where it is of use, {low:g} to"
            f" {high:g}: expect pictures unlike the data.",
            stacklevel=4,
        )


def is_number(value: Any) -> bool:
    """One that float32 can go on computing with."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_)
    return real and bool(abs(value) <= LARGEST)  # which NaN is not


_KEYS = {"name", "interval", "rank"}


def _entry(entry: Any, latent_dim: int, where: str) -> Latent:
    if not isinstance(entry, dict):
        raise ValueError(f"{where} is {_kind(entry)}; expected an object in braces.")
    ways = entry.keys() & {"dimension", "direction"}
    if len(ways) != 1 or entry.keys() - ways - {"mask"} != _KEYS:
        raise ValueError(
            f"{where} has {', '.join(entry) or 'nothing'}; expected name, interval, rank, either"
            " dimension or direction and, if you like, mask."
        )
    name, mask = entry["name"], entry.get("mask")
    check_name(name, where)
    where = f"{where} ({name})"
    interval, rank = _numbers(entry["interval"], f"{where}: interval"), entry["rank"]
    if len(interval) != 2 or not interval[0] < interval[1]:
        raise ValueError(f"{where}: interval is {entry['interval']!r}; give [low, high].")
    rank = checks.whole_number(rank, f"{where}: rank", 1)
    if mask is not None and mask not in masks.NAMES:
        raise ValueError(f"{where}: mask is {mask!r}; choose from {', '.join(masks.NAMES)}.")
    latent = Latent(name, np.zeros(latent_dim), (interval[0], interval[1]), rank, mask=mask)
    if "dimension" in ways:
        number = checks.whole_number(entry["dimension"], f"{where}: dimension", 0, latent_dim - 1)
        return replace(latent, direction=axis(number, latent_dim), dimension=number)
    direction = np.array(_numbers(entry["direction"], f"{where}: direction"))
    if len(direction) != latent_dim:
        raise ValueError(
            f"{where}: direction has {len(direction)} numbers; the model has {latent_dim} latents."
        )
    length = float(np.linalg.norm(direction))
    if abs(length - 1) > UNIT:
        raise ValueError(
            f"{where}: direction has length {length:g}, expected 1; divide it by its length."
        )
    return replace(latent, direction=direction / length)


def check_name(name: Any, where: str) -> None:
    if not isinstance(name, str) or name != name.strip() or not name or _confusing(name):
        raise ValueError(
            f"{where} is called {name!r}; give it a name that is no number and has no '=' or ','."
        )


def sayable(name: str) -> str:
    """The name that `check_name` takes for one that data have."""
    name = re.sub(r"[=,]", "_", name).strip()
    return f"attribute {name}".strip() if not name or _confusing(name) else name


def _confusing(name: str) -> bool:
    """Names that could not be told from a number or a setting on a command line."""
    try:
        float(name)
    except ValueError:
        return "=" in name or "," in name
    return True


def _numbers(value: Any, what: str) -> list[float]:
    if not isinstance(value, list) or not all(is_number(each) for each in value):
        raise ValueError(f"{what} is {value!r}; give a list of finite numbers.")
    return [float(each) for each in value]


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"of type {type(value).__name__}"
