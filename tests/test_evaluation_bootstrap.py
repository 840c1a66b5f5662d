"""Intervals over images."""

import numpy as np
import pytest

from csi_tf.evaluation import bootstrap


def test_interval_of_a_mean():
    values = np.random.default_rng(0).normal(5, 2, 400)
    found = bootstrap.interval(values)
    half = 1.96 * values.std() / 20
    assert found.estimate == values.mean()
    # Quantiles of 1000 resamples vary by a tenth of the half width or so.
    np.testing.assert_allclose(
        [found.low, found.high], values.mean() + np.array([-half, half]), atol=half / 5
    )


@pytest.mark.parametrize(("level", "low", "high"), [(0.95, 0.88, 0.98), (0.5, 0.38, 0.6)])
def test_intervals_hold_the_truth_as_often_as_they_say(level, low, high):
    """300 data sets of 30; percentile intervals of so few are a little narrow."""
    held = 0
    for seed in range(300):
        values = np.random.default_rng(seed).normal(size=30)
        found = bootstrap.interval(values, seed=seed, resamples=200, level=level)
        held += found.low <= 0 <= found.high
    # Three standard errors of 300 draws are .04 at .95 and .09 at .5.
    assert low < held / 300 < high


def test_intervals_of_parts_left_out_hold_the_truth_as_often_as_they_say():
    """Of a mean, where ten parts' means are normal: exactly Student's."""
    held = 0
    for seed in range(1000):
        parts = np.random.default_rng(seed).normal(size=10)
        found = bootstrap.jackknife(parts.mean(), [np.delete(parts, i).mean() for i in range(10)])
        held += found.low <= 0 <= found.high
    # Three standard errors; 1.96 in place of Student's 2.26 would give .918.
    assert abs(held / 1000 - 0.95) < 0.021


def test_a_statistic_of_rows_resamples_images_whole():
    """A ratio of two sums that rise together: pairing kept, it hardly varies."""
    first = np.random.default_rng(0).uniform(1, 9, 50)
    rows = np.stack([2 * first, first], axis=1)
    found = bootstrap.interval(rows, lambda x: x.sum(0)[0] / x.sum(0)[1])
    assert found.low == pytest.approx(2)
    assert found.high == pytest.approx(2)
    assert bootstrap.interval(rows).low.shape == (2,)


def test_seeds():
    values = np.random.default_rng(0).normal(size=30)
    first, again, other = (bootstrap.interval(values, seed=seed) for seed in (1, 1, 2))
    assert (first.low, first.high) == (again.low, again.high)
    assert (first.low, first.high) != (other.low, other.high)


def test_infinite_values_stay_infinite():
    values = np.r_[np.full(10, 20.0), np.inf]
    found = bootstrap.interval(values)
    assert (found.low, found.high) == (20, np.inf)


def test_too_few_images():
    with pytest.raises(ValueError, match="from 9 images would mislead; measure 10 or more"):
        bootstrap.interval(np.arange(9.0))
    with pytest.raises(ValueError, match="from 0 images"):
        bootstrap.interval(3.0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        bootstrap.interval(np.arange(20.0), level=95)
    with pytest.raises(ValueError, match="resamples is 10;"):
        bootstrap.interval(np.arange(20.0), resamples=10)
