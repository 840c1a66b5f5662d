"""Fills that need no network, and the linear-Gaussian model of images."""

import numpy as np
import pytest
import scipy.stats

from csi_tf import data, masks
from csi_tf.evaluation import baselines, inputs, linear_gaussian, pictures
from csi_tf.evaluation.baselines import LinearGaussian


@pytest.fixture(scope="module")
def faces():
    train = data.arrays("procedural_faces", "train", 16, limit=600).images
    return train, data.arrays("procedural_faces", "test", 16, limit=40).images


@pytest.fixture(scope="module")
def fitted(faces):
    return LinearGaussian.fit(faces[0])


@pytest.fixture(scope="module")
def crops(faces):
    """4x4 pixels around an eye: small enough for loops."""
    return faces[0][:, 6:10, 3:7], faces[1][:8, 6:10, 3:7]


def fills(faces, fitted):
    train = faces[0]
    return {
        "mean": lambda x, m: baselines.mean_fill(x, m, train),
        "nearest": lambda x, m: baselines.nearest_face(x, m, train),
        "biharmonic": baselines.biharmonic,
        "linear mean": fitted.fill,
        "linear sample": lambda x, m: fitted.sample(x, m, 2, seed=5),
    }


def test_no_baseline_looks_under_the_hole_or_touches_the_context(faces, fitted):
    images = faces[1][:6]
    mask = masks.sample("rectangle:0.5,brush:0.5", 6, 16, seed=4)
    other = np.where(mask == 1, images, 255 - images)
    for name, fill in fills(faces, fitted).items():
        filled = fill(images, mask)
        inputs.completed(images, filled, mask)
        np.testing.assert_array_equal(filled, fill(other, mask), err_msg=name)
        changed = np.where(mask == 0, images, 255 - images)
        if name != "mean":
            assert (fill(changed, mask) != filled)[:, :, mask[0, ..., 0] == 0].any(), name


def test_fills_do_not_depend_on_the_batch(faces, fitted):
    images = faces[1][:4]
    mask = masks.sample("rectangle", 4, 16, seed=4)
    mask[2] = mask[0]  # two share their equations
    for name, fill in fills(faces, fitted).items():
        together = fill(images, mask).astype(int)
        alone = np.concatenate([fill(images[[i]], mask[i]) for i in range(4)])
        # Sums in another order can tip a rounding.
        assert np.abs(together - alone).max() <= 1, name


def test_mean_fill(faces):
    train, test = faces
    filled = baselines.mean_fill(test, masks.named("all", 16), train)
    expected = np.broadcast_to(np.rint(train.mean(0)), test.shape)
    np.testing.assert_array_equal(filled[:, 0], expected)


def test_nearest_face_finds_a_damaged_training_face(faces):
    train = faces[0]
    mask = masks.named("center", 16)
    damaged = np.where(mask == 1, train[50:55], 77).astype(np.uint8)
    np.testing.assert_array_equal(baselines.nearest_face(damaged, mask, train)[:, 0], train[50:55])


def test_biharmonic_polynomials_are_reproduced():
    """In a hole that is two pixels or more from the border, finite differences are exact."""
    y, x = np.mgrid[:14, :12] / 4.0 - 1.5
    terms = [x**4 - 3 * x**2 * y**2, x**3 * y, x**3 + 2 * y**2 * x, x**2 - 7 * y + x * y + 3]
    surface = np.stack(terms, axis=-1)[None] * [[[[1.0]]], [[[2.0]]]]
    hole = np.zeros((14, 12), bool)
    hole[2:12, 2:10] = True
    filled = baselines.smoothest(np.where(hole[..., None], 0, surface), hole)
    # Equations of condition 1e5 at most.
    np.testing.assert_allclose(filled, surface, atol=1e-9)
    other = (y**4)[None, ..., None]
    assert np.abs(other - baselines.smoothest(other, hole)).max() > 0.1, "not biharmonic"


def test_images_go_on_mirrored_at_the_border(faces):
    """A hole at the border is half of one in the middle of the image and its mirror image."""
    image = faces[1][:2].astype(float)
    hole = np.zeros((16, 16), bool)
    hole[9:, 4:13], hole[:3, 14:] = True, True
    twice = np.concatenate([image, image[:, ::-1]], axis=1)
    filled = baselines.smoothest(twice, np.concatenate([hole, hole[::-1]]))
    # Equations of condition 1e5 at most.
    np.testing.assert_allclose(baselines.smoothest(image, hole), filled[:, :16], atol=1e-8)


def test_biharmonic_where_little_is_observed():
    images = np.full((1, 16, 16, 3), 200, np.uint8)
    mask = masks.named("all", 16)
    assert np.isin(baselines.biharmonic(images, mask), (127, 128)).all()
    mask = mask.copy()
    mask[3, 5] = 1
    np.testing.assert_array_equal(baselines.biharmonic(images, mask), images[:, None])


def test_too_large_a_hole_for_the_biharmonic_equations(monkeypatch):
    monkeypatch.setattr(baselines, "_MOST", 100)
    with pytest.raises(ValueError, match="a hole of 256 pixels is too large"):
        baselines.biharmonic(np.zeros((1, 16, 16, 3), np.uint8), masks.named("all", 16))


def test_each_level_has_the_probability_of_its_bin():
    levels = np.arange(256.0)
    means, stds = np.meshgrid([-900.0, -3, 0.2, 100, 255, 400], [0.05, 0.6, 10, 300])
    for mean, std in zip(means.flat, stds.flat, strict=True):
        found = linear_gaussian.log_mass((levels - mean) / std, np.array(std), levels)
        assert np.exp(found).sum() == pytest.approx(1)
    edges = np.r_[-np.inf, np.arange(255) + 0.5, np.inf]
    expected = np.diff(scipy.stats.norm.cdf(edges, 100, 10))
    found = linear_gaussian.log_mass((levels - 100) / 10, np.array(10.0), levels)
    # Differences of distribution functions near one keep seven digits at six standard deviations.
    np.testing.assert_allclose(np.exp(found[40:161]), expected[40:161], rtol=1e-6)


def test_far_tails_are_finite_and_right():
    """Bins 20 to 2000 standard deviations out, where a probability is too small for a float."""
    z = np.array([20.0, 29, 31, 200, 2000])
    levels = np.full(5, 100.0)
    found = linear_gaussian.log_mass(z, np.array(1.0), levels)
    # The bin begins half a standard deviation nearer, and what lies beyond it is nothing.
    np.testing.assert_allclose(found, scipy.stats.norm.logsf(z - 0.5), rtol=1e-6)
    np.testing.assert_allclose(linear_gaussian.log_mass(-z, np.array(1.0), levels), found)


def test_fit_is_mean_and_covariance_of_all_training_images(crops, monkeypatch):
    monkeypatch.setattr(linear_gaussian, "_CHUNK", 100)
    levels = crops[0].reshape(600, -1)
    model = LinearGaussian.fit(crops[0])
    np.testing.assert_allclose(model.mean, levels.mean(0))
    covariance = np.cov(levels.T, bias=True) + model.ridge * np.eye(48)
    np.testing.assert_allclose(model.precision, np.linalg.inv(covariance), atol=1e-9)


def by_covariance(model, image, mask):
    """Conditional mean and covariance of the hole by the textbook, from the covariance."""
    hole = np.repeat(mask.reshape(-1) == 0, 3)
    covariance = np.linalg.inv(model.precision)
    gain = covariance[np.ix_(hole, ~hole)] @ np.linalg.inv(covariance[np.ix_(~hole, ~hole)])
    mean = model.mean[hole] + gain @ (image.reshape(-1) - model.mean)[~hole]
    return mean, covariance[np.ix_(hole, hole)] - gain @ covariance[np.ix_(~hole, hole)]


def small_mask():
    mask = np.ones((4, 4, 1), np.float32)
    mask[1:3, 1], mask[2, 3] = 0, 0
    return mask


def test_bits_are_those_of_value_after_value(crops):
    """One value at a time, each by the textbook from the context and the values before it."""
    train, test = crops
    model, mask = LinearGaussian.fit(train), small_mask()
    found = model.bits_per_dim(test, mask)
    for i, image in enumerate(test):
        mean, covariance = by_covariance(model, image, mask)
        values = image[mask[..., 0] == 0].reshape(-1).astype(float)
        nats = 0.0
        for k, value in enumerate(values):
            gain = np.linalg.solve(covariance[:k, :k], covariance[:k, k])
            centre = mean[k] + gain @ (values[:k] - mean[:k])
            std = np.sqrt(covariance[k, k] - gain @ covariance[:k, k])
            low = -np.inf if value == 0 else value - 0.5
            high = np.inf if value == 255 else value + 0.5
            nats += np.log(np.diff(scipy.stats.norm.cdf([low, high], centre, std))[0])
        # Tails of distribution functions near one.
        assert found[i] == pytest.approx(-nats / len(values) / np.log(2), rel=1e-6)


def test_mean_and_samples_have_the_conditional_moments(crops):
    train, test = crops
    model, mask = LinearGaussian.fit(train), small_mask()
    image = (test[:1] // 4 + 96).astype(np.uint8)  # far from 0 and 255, so nothing is clipped
    mean, covariance = by_covariance(model, image, mask)
    hole = mask[..., 0] == 0
    filled = model.fill(image, mask)[0, 0, hole].reshape(-1)
    np.testing.assert_array_equal(filled, np.rint(mean).clip(0, 255))
    samples = model.sample(image, mask, 2000, seed=1)[0][:, hole].reshape(2000, -1)
    errors = samples - mean
    # Rounding adds 1/12 to variances; five standard errors of 2000 draws.
    stds = np.sqrt(covariance.diagonal() + 1 / 12)
    assert (np.abs(errors.mean(0)) < 5 * stds / 2000**0.5).all()
    scale = np.outer(stds, stds)
    found, expected = errors.T @ errors / 2000, covariance + np.eye(len(mean)) / 12
    np.testing.assert_allclose(found / scale, expected / scale, atol=5 * (2 / 2000) ** 0.5)


def test_samples_repeat_by_seed_context_and_number(crops):
    train, test = crops
    model, mask = LinearGaussian.fit(train), small_mask()
    four = model.sample(test, mask, 4, seed=1)
    np.testing.assert_array_equal(four[:, :2], model.sample(test, mask, 2, seed=1))
    assert (four[:, 0] != four[:, 1]).any((1, 2, 3)).all()
    assert (four != model.sample(test, mask, 4, seed=2)).any()


def test_bits_of_gaussian_images_approach_their_entropy():
    """Density times the width of a bin is its mass, for standard deviations far above one level."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(27, 27)) * 4 + 8 * np.eye(27)
    draws = np.rint(128 + rng.normal(size=(4200, 27)) @ mixing.T)
    assert ((draws > 0) & (draws < 255)).mean() > 0.999
    images = draws.clip(0, 255).astype(np.uint8).reshape(-1, 3, 3, 3)
    nothing_observed = np.zeros((3, 3, 1), np.float32)
    found = LinearGaussian.fit(images[:3000]).bits_per_dim(images[3000:], nothing_observed)
    _, log_det = np.linalg.slogdet(mixing @ mixing.T + np.eye(27) / 12)
    entropy = (0.5 * log_det / 27 + 0.5 * np.log(2 * np.pi * np.e)) / np.log(2)
    # Fitting 405 parameters on 3000 images costs 405 / 3000 / 27 / ln 2 = .007 bits; the mean of
    # 1200 images has a standard error of (1 / 2 / 27 / 1200)^.5 / ln 2 = .006.
    assert found.mean() == pytest.approx(entropy + 0.007, abs=0.025)


def test_the_ridge_is_worth_choosing(faces, monkeypatch):
    """60 images of 768 values: without a ridge most directions would have no variance at all."""
    train, test = faces
    mask = masks.named("center", 16)
    chosen = LinearGaussian.fit(train[:60])
    monkeypatch.setattr(linear_gaussian, "_RIDGES", (1 / 12,))
    least = LinearGaussian.fit(train[:60])
    assert chosen.ridge > least.ridge
    gain = least.bits_per_dim(test, mask) - chosen.bits_per_dim(test, mask)
    assert gain.mean() > 1


def test_a_gaussian_that_knows_no_dependence_is_worse(faces, fitted):
    """Each pixel shuffled over the images: the same histograms, nothing to infer from."""
    train, test = faces
    mask = masks.named("mouth", 16)
    blind = LinearGaussian.fit(np.random.default_rng(0).permuted(train, axis=0))
    assert blind.bits_per_dim(test, mask).mean() > fitted.bits_per_dim(test, mask).mean() + 0.5
    errors = [pictures.l1(test, m.fill(test, mask), mask).first.mean() for m in (blind, fitted)]
    assert errors[0] > 1.3 * errors[1]


def test_the_baselines_in_order(faces, fitted):
    """In L1 on the eyes, whose whereabouts the rest of the face tells."""
    test = faces[1]
    mask = masks.named("eyes", 16)
    error = {
        name: pictures.l1(test, fill(test, mask), mask).first.mean()
        for name, fill in fills(faces, fitted).items()
    }
    assert error["linear mean"] < min(error["linear sample"], error["nearest"])
    assert max(error["nearest"], error["linear sample"]) < error["mean"]


def test_more_images_fit_better(faces, fitted):
    few = LinearGaussian.fit(faces[0][:100])
    mask = masks.named("center", 16)
    bits = [model.bits_per_dim(faces[1], mask).mean() for model in (fitted, few)]
    assert bits[0] < bits[1]


def test_bad_input_is_refused(faces, fitted):
    train, test = faces
    with pytest.raises(ValueError, match="holds 19 images; give 20 or more"):
        LinearGaussian.fit(train[:19])
    with pytest.raises(ValueError, match="load them at 64x64 or less"):
        LinearGaussian.fit(np.zeros((20, 65, 64, 3), np.uint8))
    with pytest.raises(ValueError, match="fitted at 16x16"):
        fitted.fill(test[:, :8], masks.named("all", 8))
    with pytest.raises(ValueError, match="load both at one size"):
        baselines.mean_fill(test, masks.named("all", 16), train[:, :8])
    with pytest.raises(ValueError, match="num_samples is 0"):
        fitted.sample(test, masks.named("eyes", 16), 0)
