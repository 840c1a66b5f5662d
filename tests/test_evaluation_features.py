"""KID and FID, against their definitions."""

import numpy as np
import pytest
import scipy.linalg

from csi_tf.evaluation import bootstrap, features


def rows(count, seed, mean=0.0, scale=1.0, width=6):
    """Correlated features: any two seeds, the same distribution."""
    mixing = np.random.default_rng(99).normal(size=(width, width))
    return mean + scale * np.random.default_rng(seed).normal(size=(count, width)) @ mixing


def kid(real, drawn):
    """Of two sets, one sample of each image."""
    return features.kid_by_image(real, drawn[:, None]).mean()


def test_kid_is_the_unbiased_estimator_written_out():
    x, y = rows(5, 0), rows(4, 1)

    def k(a, b):
        return (sum(float(p * q) for p, q in zip(a, b, strict=True)) / 6 + 1) ** 3

    within_x = np.mean([k(x[i], x[j]) for i in range(5) for j in range(5) if i != j])
    within_y = np.mean([k(y[i], y[j]) for i in range(4) for j in range(4) if i != j])
    between = np.mean([k(a, b) for a in x for b in y])
    assert kid(x, y) == pytest.approx(within_x + within_y - 2 * between)


def test_kid_of_one_distribution_is_zero_on_average():
    values = np.array([kid(rows(20, 2 * s), rows(20, 2 * s + 1)) for s in range(400)])
    # Four standard errors.
    assert abs(values.mean()) < 4 * values.std() / 20
    biased = values + 2 * np.mean((np.square(rows(500, 7)).sum(1) / 6 + 1) ** 3) / 20
    assert abs(biased.mean()) > 4 * biased.std() / 20, "the diagonal would show"


def test_kid_by_image_is_the_jackknife_of_kid():
    rng = np.random.default_rng(0)
    real, drawn = rng.normal(size=(20, 5)), rng.normal(0.3, 1, (8, 3, 5))

    def average(images):
        return np.mean([kid(real, drawn[images, s]) for s in range(3)])

    rows = features.kid_by_image(real, drawn)
    assert rows.mean() == pytest.approx(average(np.arange(8)))
    without = [average(np.delete(np.arange(8), i)) for i in range(8)]
    np.testing.assert_allclose(rows, 8 * average(np.arange(8)) - 7 * np.array(without))


def test_intervals_of_kid_hold_the_truth():
    """For images of another distribution, and bounded features as those of the classifier are: 95%
    of the intervals, and no fewer than four standard errors below that.
    """
    rng = np.random.default_rng(1)
    real, sets = np.tanh(rng.normal(size=(400, 3))), np.tanh(rng.normal(0.5, 1, (200, 40, 1, 3)))
    truth = kid(real, np.tanh(rng.normal(0.5, 1, (4000, 3))))
    rows = [features.kid_by_image(real, drawn) for drawn in sets]
    found = [bootstrap.interval(each, resamples=200) for each in rows]
    held = np.mean([each.low <= truth <= each.high for each in found])
    assert held > 0.95 - 4 * (0.95 * 0.05 / 200) ** 0.5


@pytest.mark.parametrize("broken", [{"mean": 1.0}, {"scale": 0.3}, {"scale": 2.0}])
def test_a_broken_model_scores_worse(broken):
    real, good, bad = rows(300, 0), rows(300, 1), rows(300, 2, **broken)
    assert kid(real, bad) > kid(real, good) + 0.1
    assert features.fid(real, bad) > features.fid(real, good) + 1


def test_fid_of_known_gaussians():
    """Samples made to have exactly these moments: sum of (m1 - m2)^2 + (s1 - s2)^2."""
    z = np.random.default_rng(0).normal(size=(50, 3))
    z = (z - z.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(z.T))).T
    means, stds = np.array([[0, 1, 2], [1, 1, 0.0]]), np.array([[1, 2, 3], [2, 2, 1.0]])
    x, y = means[:, None] + stds[:, None] * z
    assert features.fid(x, y) == pytest.approx(1 + 4 + 1 + 4)


def test_fid_is_the_usual_formula():
    x, y = rows(40, 0), rows(30, 1, mean=0.2) @ np.diag([1, 2, 3, 1, 2, 3.0])
    a, b = np.cov(x.T), np.cov(y.T)
    root = scipy.linalg.sqrtm(a @ b).real
    expected = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(a + b - 2 * root)
    assert features.fid(x, y) == pytest.approx(expected)


def test_fid_with_more_features_than_rows():
    """Covariances without full rank: two points each, on axes that have nothing in common."""
    x, y = np.zeros((2, 5)), np.zeros((2, 5))
    x[:, 0], y[:, 1] = (-1, 1), (-2, 2)  # variances 2 and 8
    assert features.fid(x, y) == pytest.approx(10)
    # A square root of rounding errors: 1e-8.
    assert features.fid(x, x) == pytest.approx(0, abs=1e-7)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="same D"):
        features.fid(rows(9, 0), rows(9, 0)[:, :5])
    with pytest.raises(ValueError, match="two rows"):
        features.fid(rows(9, 0), rows(1, 0))
    with pytest.raises(ValueError, match="generated features hold NaN"):
        features.kid_by_image(rows(9, 0), np.full((9, 2, 6), np.nan))
