"""Two numbers set against each other, and the one rule by which a verdict is given.

A check says that a number is above (">") or below ("<") another, or by how much. It "holds" if the
95% interval of their difference lies wholly on the side that is claimed, "does not hold" if it
lies wholly on the other, and is "undecided" otherwise. Where both were kept image by image the
difference is resampled over images; else it reaches from the nearest ends of the two intervals to
the farthest, which is wider than it need be.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from csi_tf.evaluation import bootstrap
from csi_tf.evaluation.report import Measure, Report
from csi_tf.evaluation.settings import Evaluation

# Settings of an evaluation that bounds, probes and KID depend on
ALIKE = ("posterior_draws", "encoded_images", "train_images", "z")
# And what some parts depend on besides: seams are of all holes together.
ALIKE_IN = {"control": ("control_values",), "seam": ("masks",)}
Verdict = Literal["holds", "does not hold", "undecided", "not measured"]
Reports = Mapping[str, Report]
Statistic = Callable[[np.ndarray], Any]  # of rows, one for each image


class NotMeasured(Exception):
    """Why a check cannot be made, and what to do about it."""


@dataclass(frozen=True)
class Fixed:
    """A number that was fixed beforehand."""

    value: float


@dataclass(frozen=True)
class Of:
    """What was measured of a model; with {} in its key the mean over those masks."""

    model: str
    key: str
    masks: tuple[str, ...] = ()
    times: float = 1.0
    statistic: Statistic | None = None  # of the rows; None stands for the mean


@dataclass(frozen=True)
class Number:
    name: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Check:
    """That first - second is above, or below, `by`.

    `slack`: how far the difference of single numbers, which have no intervals, may be off.
    `premise`: not what is claimed, but what has to be so for there to be something to judge.
    """

    statistic: str
    first: Of
    relation: Literal[">", "<"]
    second: Of | Fixed
    by: float = 0.0
    slack: float | None = None
    premise: bool = False


@dataclass(frozen=True)
class Evidence:
    """The outcome of a check; `reason` says why nothing was measured."""

    statistic: str
    relation: str
    by: float
    verdict: Verdict
    first: Number | None = None
    second: Number | None = None
    difference: Number | None = None
    reason: str = ""
    masks: tuple[str, ...] = ()  # that the numbers are the mean over
    premise: bool = False


def weigh(check: Check, reports: Reports) -> Evidence:
    quantities = [each for each in (check.first, check.second) if isinstance(each, Of)]
    about = check.statistic, check.relation, check.by
    try:
        _refuse_unlike(quantities, reports)
        masks = _masks(quantities, reports)
        first, second, difference = _compare(check, reports, masks)
    except NotMeasured as lacking:
        return Evidence(*about, "not measured", reason=str(lacking), premise=check.premise)
    assert difference.low is not None
    assert difference.high is not None
    verdict = rule(difference.low, difference.high, check.relation, check.by)
    numbers = first, second, difference
    return Evidence(*about, verdict, *numbers, masks=masks, premise=check.premise)


def rule(low: float, high: float, relation: Literal[">", "<"], by: float = 0.0) -> Verdict:
    above, below = low > by, high < by
    if relation == "<":
        above, below = below, above
    return "holds" if above else "does not hold" if below else "undecided"


def together(evidence: Sequence[Evidence]) -> Verdict:
    """Of a claim with several checks: all must hold, and one that does not decides.

    Unless a premise is not known to hold: then nothing is decided.
    """
    verdicts = {each.verdict for each in evidence if not each.premise}
    if verdicts == {"not measured"}:
        return "not measured"
    if any(each.premise and each.verdict != "holds" for each in evidence):
        return "undecided"
    if "does not hold" in verdicts:
        return "does not hold"
    return "holds" if verdicts == {"holds"} else "undecided"


def number(of: Of, reports: Reports) -> Number:
    """With its interval where it has one; NotMeasured if it is not there."""
    return _Side(of, _report(of, reports), _masks([of], reports)).number


def _compare(
    check: Check, reports: Reports, masks: tuple[str, ...]
) -> tuple[Number, Number, Number]:
    first = _Side(check.first, _report(check.first, reports), masks)
    if isinstance(check.second, Fixed):
        value = check.second.value
        other = Number("fixed beforehand", value, value, value)
        return first.number, other, _apart(first.number, other, check.slack)
    second = _Side(check.second, _report(check.second, reports), masks)
    if first.rows is None or second.rows is None or first.rows.shape != second.rows.shape:
        return first.number, second.number, _apart(first.number, second.number, check.slack)
    pairs = np.stack([first.rows, second.rows], axis=1)
    found = bootstrap.interval(pairs, lambda r: first.value(r[:, 0]) - second.value(r[:, 1]))
    difference = Number("difference", *map(float, (found.estimate, found.low, found.high)))
    return first.number, second.number, difference


class _Side:
    """One number of a check: its value and interval and, where they were kept, its rows."""

    def __init__(self, of: Of, report: Report, masks: Sequence[str]) -> None:
        self.of = of
        measures = [report.measures[key] for key in _keys(of, masks)]
        self.rows = _rows(measures)
        name = of.key.split("/")[1] if of.key.startswith("baselines/") else of.model
        name = name if of.times == 1 else f"{of.times:g} x {name}"
        if of.statistic is not None:
            if self.rows is None:
                raise NotMeasured(f"{of.model} did not keep {of.key} image by image")
            found = bootstrap.interval(self.rows, self.value)
            self.number = Number(name, *map(float, (found.estimate, found.low, found.high)))
        else:
            self.number = Number(
                name,
                of.times * float(np.mean([each.estimate for each in measures])),
                # As wide as if all masks erred in the same direction.
                _mean([each.low for each in measures], of.times),
                _mean([each.high for each in measures], of.times),
            )
            # Rows are of use only if it is their mean that was reported.
            if self.rows is not None and not math.isclose(
                self.value(self.rows), self.number.value, rel_tol=1e-3, abs_tol=1e-9
            ):
                self.rows = None
        ends = (self.number.value, self.number.low or 0.0, self.number.high or 0.0)
        if not all(map(math.isfinite, ends)):
            raise NotMeasured(f"{of.key} of {of.model} is not a number")

    def value(self, rows: np.ndarray) -> float:
        found = rows.mean() if self.of.statistic is None else self.of.statistic(rows)
        return self.of.times * float(found)


def _apart(first: Number, second: Number, slack: float | None) -> Number:
    """The difference of two numbers that were not measured image by image."""
    value = first.value - second.value
    if first.low is None or first.high is None or second.low is None or second.high is None:
        if slack is None:
            single = first if first.low is None else second
            raise NotMeasured(
                f"the number of {single.name} has no interval: evaluate it on more images"
            )
        return Number("difference", value, value - slack, value + slack)
    return Number("difference", value, first.low - second.high, first.high - second.low)


def _rows(measures: Sequence[Measure]) -> np.ndarray | None:
    """(N, ...) averaged over masks; None where they were not kept, or of other images."""
    kept = [np.asarray(each.rows, np.float64) for each in measures if each.rows is not None]
    if len(kept) < len(measures) or len({rows.shape for rows in kept}) > 1:
        return None
    return np.asarray(np.mean(kept, axis=0))


def _mean(values: Sequence[float | None], times: float) -> float | None:
    known = [value for value in values if value is not None]
    return times * float(np.mean(known)) if len(known) == len(values) else None


def _keys(of: Of, masks: Sequence[str]) -> list[str]:
    return [of.key.format(mask) for mask in masks] if of.masks else [of.key]


def _masks(quantities: Sequence[Of], reports: Reports) -> tuple[str, ...]:
    """Those under which all of it was measured; NotMeasured if there are none."""
    for of in quantities:
        measures = _report(of, reports).measures
        found = [key for key in _keys(of, of.masks) if key in measures]
        if not found:
            part = of.key.split("/")[0]
            key = of.key.format("*")
            raise NotMeasured(f"the evaluation of {of.model} has no {key} (part {part})")
    masks = next((of.masks for of in quantities if of.masks), ())
    common = tuple(
        mask
        for mask in masks
        if all(
            not of.masks or of.key.format(mask) in _report(of, reports).measures
            for of in quantities
        )
    )
    if masks and not common:
        names = " and ".join(of.model for of in quantities)
        raise NotMeasured(f"{names} were not measured under the same masks")
    return common


def _report(of: Of, reports: Reports) -> Report:
    if of.model not in reports:
        name = of.model.removesuffix("_clamped")
        raise NotMeasured(f"{of.model} is missing: --mode=reproduce --only={name} trains it")
    return reports[of.model]


def _refuse_unlike(quantities: Sequence[Of], reports: Reports) -> None:
    """Models can be compared only after as many images, and on the same held-out ones."""
    if len({of.model for of in quantities}) < 2:
        return
    a, b = (_report(of, reports).about for of in quantities)
    names = [of.model for of in quantities]
    seen = [about.get("images_seen_in_all") for about in (a, b)]
    if seen[0] != seen[1] or seen[0] is None:
        counts = " and ".join(
            f"{name} {'an unknown number of' if count is None else format(count, ',')}"
            for name, count in zip(names, seen, strict=True)
        )
        raise NotMeasured(f"trained on unequal numbers of images ({counts}): train both alike")
    settings = [about.get("settings", {}) for about in (a, b)]
    parts = {of.key.split("/")[0] for of in quantities}
    besides = [name for part, names in ALIKE_IN.items() if part in parts for name in names]
    for name in ("images", "seed", "dataset", *ALIKE, *besides):
        first, second = (each.get(name, getattr(Evaluation, name)) for each in settings)
        asked = name != "dataset" and first != second  # which need not be named, or be by one path
        if asked or a.get(name) != b.get(name):
            raise NotMeasured(f"{' and '.join(names)} were evaluated with different {name}")
