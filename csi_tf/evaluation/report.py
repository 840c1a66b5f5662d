"""What was measured of one model: numbers with their intervals, as JSON and as a table.

Keys are `part/where/name`, such as `pictures/mouth/psnr_first`. Rows, one for each image, are kept
where two models are to be compared image by image.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from csi_tf import files, logs
from csi_tf.evaluation import bootstrap
from csi_tf.settings import FEWEST

FILE = "evaluation.json"
Better = Literal["higher", "lower"] | None
PREFIXES = {"pictures": ("pictures", "truncation")}  # of keys, where not the part's own name
TOLD = {"control": ("latents", "unread")}  # what a part writes into `about`
_DIGITS = 6  # significant ones that are kept


@dataclass(frozen=True)
class Measure:
    """An estimate, its 95% interval where one can be had, and rows where it has them."""

    estimate: float
    low: float | None = None
    high: float | None = None
    images: int | None = None
    unit: str = ""
    better: Better = None
    rows: list[Any] | None = None


@dataclass
class Report:
    """`about` says what was measured, and how; `done` names the parts that are finished."""

    about: dict[str, Any] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    measures: dict[str, Measure] = field(default_factory=dict)

    def add(
        self,
        key: str,
        rows: Any,
        statistic: Callable[[np.ndarray], Any] = lambda rows: rows.mean(0),
        *,
        unit: str = "",
        better: Better = None,
        keep: bool = False,
        images: int | None = None,
    ) -> None:
        """A statistic (one number) of rows, one for each image, and its bootstrap interval.

        `keep` keeps the rows. Rows that are not finite have no part in it, and then none are kept:
        those of two models would not belong to the same images. `images` is how many there were
        where a row is of several. Too few for an interval are left out.
        """
        rows = np.asarray(rows, np.float64)
        finite = np.isfinite(rows).reshape(len(rows), -1).all(1)
        rows = rows[finite]
        if len(rows) < FEWEST:
            few = f"{len(rows)} images show it, and an interval needs {FEWEST}"
            logs.say(f"{key} is left out: {few}")
            return
        found = bootstrap.interval(rows, statistic)
        self.measures[key] = Measure(
            _short(found.estimate),
            _short(found.low),
            _short(found.high),
            images or len(rows),
            unit,
            better,
            np.vectorize(_short, otypes=[float])(rows).tolist() if keep and finite.all() else None,
        )

    def add_interval(
        self, key: str, found: bootstrap.Interval, *, images: int, unit: str = "",
        better: Better = None,
    ) -> None:  # fmt: skip
        """An interval that was found otherwise."""
        estimate, low, high = (_short(x) for x in (found.estimate, found.low, found.high))
        self.measures[key] = Measure(estimate, low, high, images, unit, better)

    def add_number(self, key: str, value: float, *, unit: str = "", better: Better = None) -> None:
        """A number that is not an average over images."""
        self.measures[key] = Measure(_short(value), unit=unit, better=better)

    def drop(self, parts: Sequence[str]) -> None:
        """Forget parts, so that they are measured anew."""
        self.done = [name for name in self.done if name not in parts]
        for name in parts:
            self.about.get("other_commits", {}).pop(name, None)
            for told in TOLD.get(name, ()):
                self.about.pop(told, None)
        gone = {prefix for name in parts for prefix in PREFIXES.get(name, (name,))}
        self.measures = {
            key: each for key, each in self.measures.items() if key.split("/")[0] not in gone
        }

    def rows(self, key: str) -> np.ndarray:
        kept = self.measures[key].rows
        if kept is None:
            raise ValueError(f"{key} was not kept image by image.")
        return np.asarray(kept)

    def write(self, directory: Path) -> None:
        whole = _jsonable(asdict(self))
        whole["measures"] = {
            key: {name: value for name, value in measure.items() if value is not None}
            for key, measure in whole["measures"].items()
        }
        text = json.dumps(whole, allow_nan=False, indent=1)
        files.write(directory / FILE, (text + "\n").encode())

    @classmethod
    def read(cls, directory: Path) -> "Report":
        path = directory / FILE
        try:
            found = json.loads(path.read_text("utf-8"))
            measures = {
                key: Measure(**{"estimate": math.nan} | measure)
                for key, measure in found["measures"].items()
            }
            return cls(found["about"], found["done"], measures)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ValueError(
                f"{path} is no evaluation of this version; delete it or give another --output"
            ) from None

    def table(self) -> str:
        """Markdown, a table for each part."""
        lines: list[str] = []
        parts = dict.fromkeys(key.split("/")[0] for key in self.measures)
        for part in parts:
            lines += ["", f"## {part}", "", "| measure | value | 95% interval | images |",
                      "|---|---|---|---|"]  # fmt: skip
            for key, each in self.measures.items():
                if key.split("/")[0] == part:
                    lines.append(_row(key.partition("/")[2], each))
        return "\n".join(lines) + "\n"


def _row(name: str, measure: Measure) -> str:
    hint = {"higher": " (more is better)", "lower": " (less is better)", None: ""}[measure.better]
    unit = f" {measure.unit}" if measure.unit else ""
    span = "" if measure.low is None else f"{said(measure.low)} to {said(measure.high)}"
    return f"| {name}{hint} | {said(measure.estimate)}{unit} | {span} | {measure.images or ''} |"


def said(value: float | None) -> str:
    """A number to three digits or so, for people."""
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _short(value: Any) -> float:
    number = float(value)
    return float(f"{number:.{_DIGITS}g}") if math.isfinite(number) else number


def _jsonable(value: Any) -> Any:
    """NaN and infinities, which JSON does not have, left out as null."""
    if isinstance(value, dict):
        return {key: _jsonable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
