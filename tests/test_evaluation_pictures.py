"""PSNR, SSIM, L1 and diversity on the hole."""

import subprocess
import sys

import numpy as np
import pytest

from csi_tf import masks
from csi_tf.evaluation import pictures


def case(count=3, samples=4, size=16, seed=0, spread=40):
    """Random images, random masks, completions that differ from the images by up to `spread`."""
    rng = np.random.default_rng(seed)
    images = rng.integers(60, 196, (count, size, size, 3)).astype(np.uint8)
    mask = masks.sample("pepper", count, size, seed=1)
    noise = rng.integers(-spread, spread + 1, (count, samples, size, size, 3))
    completions = np.where(mask[:, None] == 1, images[:, None], images[:, None] + noise)
    return images, completions.astype(np.uint8), mask


def shifted(*shifts):
    """One image with a hole in the middle, and samples that are off by so many levels in it."""
    image = np.full((1, 16, 16, 3), 100, np.uint8)
    mask = masks.named("center", 16)
    levels = [np.where(mask == 1, image[0], 100 + shift) for shift in shifts]
    return image, np.stack(levels)[None].astype(np.uint8), mask


def test_first_mean_best_and_mean_picture_are_what_they_say():
    scores = pictures.l1(*shifted(10, -10, 4, -4))
    assert [float(x[0]) for x in vars(scores).values()] == [10, 7, 4, 0]
    scores = pictures.psnr(*shifted(10, -5, 1))
    decibels = 20 * np.log10(255 / np.array([10, 5, 1, 2]))
    np.testing.assert_allclose(
        [scores.first[0], scores.mean[0], scores.best[0], scores.mean_picture[0]],
        [decibels[0], decibels[:3].mean(), decibels[2], decibels[3]],
    )


def test_an_exact_completion_has_the_highest_psnr_and_an_ssim_of_one():
    exact = shifted(0, 30)
    assert pictures.psnr(*exact).first[0] == pytest.approx(pictures.EXACT)
    assert pictures.l1(*exact).first[0] == 0
    # Rounding of float64 aside.
    assert pictures.ssim(*exact).first[0] == pytest.approx(1, abs=1e-12)


def test_only_the_hole_counts():
    """Against loops over the pixels of the hole."""
    images, completions, mask = case()
    l1, psnr = (f(images, completions, mask) for f in (pictures.l1, pictures.psnr))
    for i in range(len(images)):
        where = [(r, c) for r in range(16) for c in range(16) if mask[i, r, c, 0] == 0]
        errors = np.array(
            [
                [completions[i, s, r, c].astype(int) - images[i, r, c] for r, c in where]
                for s in range(4)
            ]
        )
        assert l1.first[i] == pytest.approx(np.abs(errors[0]).mean())
        assert l1.best[i] == pytest.approx(min(np.abs(e).mean() for e in errors))
        assert psnr.mean[i] == pytest.approx(
            np.mean([10 * np.log10(255**2 / np.square(e).mean()) for e in errors])
        )


def test_ssim_is_that_of_tensorflow_inside_the_image():
    import tensorflow as tf

    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 255, (24, 20, 3))
    samples = np.clip(truth + rng.normal(0, 30, (2, 24, 20, 3)), 0, 255)
    found = pictures.ssim_map(truth, samples)[:, 5:-5, 5:-5].mean((1, 2, 3))
    expected = tf.image.ssim(truth[None], samples, max_val=255)
    # TensorFlow computes variances as differences of squares in float32.
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_ssim_of_flat_pictures_is_the_same_up_to_the_corners():
    """Windows that leave the image still average: two levels have one similarity everywhere."""
    truth, samples = np.full((16, 16, 3), 100.0), np.full((1, 16, 16, 3), 140.0)
    c1 = 2.55**2
    expected = (2 * 100 * 140 + c1) / (100**2 + 140**2 + c1)
    # Variances of nothing are rounding errors of 1e-12, next to a constant of 58.
    np.testing.assert_allclose(pictures.ssim_map(truth, samples), expected, rtol=1e-9)


def test_a_worse_model_scores_worse():
    good, bad = case(spread=10), case(spread=60)
    for name in ("first", "mean", "best", "mean_picture"):
        assert (getattr(pictures.l1(*bad), name) > getattr(pictures.l1(*good), name)).all()
        for higher in (pictures.psnr, pictures.ssim):
            assert (getattr(higher(*bad), name) < getattr(higher(*good), name)).all()


def test_ssim_sees_lost_structure_that_l1_does_not():
    """Two completions equally far off in L1: one shifted evenly, one with its texture inverted."""
    images, _, _ = case(count=1)
    mask = masks.named("center", 16)
    image = images[0].astype(int)
    distance = np.abs(2 * (128 - image))
    even = np.where(mask == 1, image, image + np.rint(distance[4:12, 4:12].mean()).astype(int))
    inverted = np.where(mask == 1, image, 256 - image)
    both = np.stack([even, inverted])[None].clip(0, 255).astype(np.uint8)
    scores = [pictures.ssim(images, both[:, [k]], mask).first[0] for k in (0, 1)]
    assert scores[0] > scores[1] + 0.3


def test_diversity_is_the_mean_over_pairs():
    images, completions, mask = case(samples=5)
    found = pictures.diversity(images, completions, mask)
    for i in range(len(images)):
        inside = completions[i][:, mask[i, ..., 0] == 0].astype(float)
        pairs = [np.abs(inside[a] - inside[b]).mean() for a in range(5) for b in range(a)]
        assert found[i] == pytest.approx(np.mean(pairs))


def test_diversity_of_a_model_that_repeats_itself():
    assert pictures.diversity(*shifted(7, 7, 7))[0] == 0
    assert pictures.diversity(*shifted(7, 1))[0] == 6


def test_feature_diversity():
    features = np.array([[[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]], [[1.0, 1.0]] * 3])
    np.testing.assert_allclose(pictures.feature_diversity(features), [10 / 3, 0])


def test_bad_input_is_refused():
    images, completions, mask = case()
    with pytest.raises(ValueError, match="num_samples=2"):
        pictures.diversity(images, completions[:, :1], mask)
    with pytest.raises(ValueError, match="num_samples=2"):
        pictures.feature_diversity(np.zeros((3, 1, 4)))
    with pytest.raises(ValueError, match="give \\(N,S,D\\)"):
        pictures.feature_diversity(np.zeros((3, 4)))
    with pytest.raises(ValueError, match="image 0 has no hole"):
        pictures.l1(images, completions, masks.named("none", 16))
    with pytest.raises(ValueError, match="here \\(3, S, 16, 16, 3\\)"):
        pictures.l1(images, completions[:, 0], mask)
    with pytest.raises(ValueError, match="uint8"):
        pictures.l1(images, completions / 255, mask)
    with pytest.raises(ValueError, match="one image or more"):
        pictures.l1(images[0], completions, mask)
    changed = completions.copy()
    row, column = np.argwhere(mask[2, ..., 0] == 1)[0]
    changed[2, 3, row, column, 1] ^= 1
    with pytest.raises(ValueError, match="image 2 differ from it where it is observed"):
        pictures.psnr(images, changed, mask)


def test_metrics_need_numpy_alone():
    program = (
        "import sys, csi_tf.evaluation;"
        "sys.exit(bool({'tensorflow', 'keras', 'scipy', 'sklearn'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
