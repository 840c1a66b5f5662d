"""Intervals by resampling images, which are what a test set is a sample of.

Pixels of one image, and samples of one hole, are not independent: resample neither. To compare two
models, give the differences of their numbers image by image.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from csi_tf import checks, randomness
from csi_tf.settings import FEWEST


@dataclass(frozen=True, eq=False)
class Interval:
    """Floats, or arrays for a statistic that is one."""

    estimate: Any
    low: Any
    high: Any


def _mean(rows: np.ndarray) -> Any:
    return rows.mean(0)


def interval(
    values: Any,
    statistic: Callable[[np.ndarray], Any] = _mean,
    seed: int = 0,
    resamples: int = 1000,
    level: float = 0.95,
) -> Interval:
    """Percentile interval of a statistic of rows, one row of `values` for each image.

    The statistic is the mean, or a function such as `seam.ratio` and `calibration.distance_ratio`.
    """
    values = np.asarray(values)
    if values.ndim < 1 or len(values) < FEWEST:
        count = len(values) if values.ndim else 0
        raise ValueError(
            f"an interval from {count} images would mislead; measure {FEWEST} or more."
        )
    if not 0 < level < 1:
        raise ValueError(f"level is {level!r}; give a number between 0 and 1, such as 0.95.")
    rng = np.random.default_rng(randomness.fold(seed, "evaluation/bootstrap"))
    count = checks.whole_number(resamples, "resamples", 100)
    drawn = np.array(
        [statistic(values[rng.integers(len(values), size=len(values))]) for _ in range(count)]
    )
    # An order statistic, so that infinite values (the seam of a flat hole) stay infinite.
    low, high = np.quantile(
        drawn, [(1 - level) / 2, (1 + level) / 2], axis=0, method="inverted_cdf"
    )
    return Interval(statistic(values), low, high)


def r_squared(rows: np.ndarray) -> Any:
    """Of rows of a squared error and of the square about the mean."""
    return 1 - rows[:, 0].sum() / rows[:, 1].sum()


def jackknife(whole: float, partial: Sequence[float]) -> Interval:
    """95% interval of a statistic from its values with one of several equal parts left out.

    For statistics that images which come twice would bias, as mutual information is.
    """
    each = np.asarray(partial, np.float64)
    count = len(each)
    error = np.sqrt((count - 1) / count * np.square(each - each.mean()).sum())
    # What it is of needs scikit-learn, which brings SciPy along.
    reach = import_module("scipy.stats").t.ppf(0.975, count - 1) * error
    return Interval(whole, whole - reach, whole + reach)
