"""Coverage of sample intervals, and distances to training faces."""

import numpy as np
import pytest

from csi_tf import data, masks
from csi_tf.evaluation import calibration, nearest

MASK = masks.named("center", 16)  # 8x8 pixels


def drawn(scale, samples, seed=0, count=60):
    """Truth and samples from normal laws of two widths about one mean, rounded: many are equal."""
    rng = np.random.default_rng(seed)
    images = np.rint(rng.normal(128, 1.5, (count, 16, 16, 3)))
    completions = np.rint(rng.normal(128, 1.5 * scale, (count, samples, 16, 16, 3)))
    completions = np.where(MASK == 1, images[:, None], completions)
    return images.astype(np.uint8), completions.astype(np.uint8), MASK


@pytest.mark.parametrize(("samples", "cut", "nominal"), [(2, 1, 1 / 3), (4, 1, 3 / 5), (9, 2, 0.6)])
def test_samples_of_the_true_distribution_cover_as_they_should(samples, cut, nominal):
    found = calibration.coverage(*drawn(1, samples), cut=cut)
    assert found.nominal == pytest.approx(nominal)
    # Values are independent here: four standard errors of 11520 of them, each of variance < 1/4.
    assert found.per_image.mean() == pytest.approx(nominal, abs=4 * 0.5 / 11520**0.5)


def test_overconfidence_covers_less_and_vagueness_more():
    narrow, wide = (calibration.coverage(*drawn(scale, 9)) for scale in (0.5, 2))
    assert narrow.per_image.mean() < narrow.nominal - 0.1
    assert wide.per_image.mean() > wide.nominal + 0.05


def test_a_certain_truth_is_covered_as_often_as_any():
    """All equal: the truth has any rank, so certainty is rewarded no more than it should be."""
    images, completions, _ = drawn(0, 4)
    images[:] = 128
    found = calibration.coverage(
        images, np.where(MASK == 1, 128, completions).astype("uint8"), MASK
    )
    np.testing.assert_allclose(found.per_image, found.nominal)


def test_coverage_by_hand():
    """Truth 5 in samples 5, 5, 7: of its ranks 0, 1, 2 the last two lie within 1..2."""
    images = np.full((1, 2, 2, 3), 5, np.uint8)
    completions = np.stack([images, images, images + 2], axis=1)
    nothing_observed = np.zeros((2, 2, 1), np.float32)
    found = calibration.coverage(images, completions, nothing_observed)
    np.testing.assert_allclose(found.per_image, [2 / 3])
    assert found.nominal == 0.5


def test_too_few_samples_for_an_interval():
    with pytest.raises(ValueError, match="draw 4 or more"):
        calibration.coverage(*drawn(1, 3), cut=2)
    with pytest.raises(ValueError, match="cut is 0"):
        calibration.coverage(*drawn(1, 3), cut=0)


@pytest.fixture(scope="module")
def faces():
    train = data.arrays("procedural_faces", "train", 16, limit=120).images
    return train, data.arrays("procedural_faces", "test", 16, limit=60).images


def paste(images, other):
    return np.where(MASK == 1, images, other)[:, None]


def test_distances_by_loops(faces, monkeypatch):
    monkeypatch.setattr(nearest, "_CHUNK", 7)
    train, test = faces[0][:20], faces[1][:5]
    completions = np.concatenate([paste(test, test[::-1]), paste(test, 255 - test)], axis=1)
    mask = masks.sample("all", 5, 16, seed=0)
    mask[:, 4:8] = 1
    completions = np.where(mask[:, None] == 1, test[:, None], completions)
    found = calibration.training_distances(test, completions, mask, train)
    hole = mask[0, ..., 0] == 0

    def closest(picture):
        gaps = [picture[hole].astype(float) - face[hole] for face in train]
        return min(np.sqrt(np.square(gap).mean()) for gap in gaps)

    expected = [[np.mean([closest(s) for s in completions[i]]), closest(test[i])] for i in range(5)]
    np.testing.assert_allclose(found, expected)


def test_copies_of_training_faces_are_found_out(faces):
    train, test = faces
    copied = calibration.training_distances(test, paste(test, train[:60]), MASK, train)
    assert (copied[:, 0] == 0).all()
    assert calibration.distance_ratio(copied) == 0
    # Other held-out faces are as near as the true ones, within the chance of 60 faces.
    fresh = calibration.training_distances(test, paste(test, np.roll(test, 1, 0)), MASK, train)
    assert calibration.distance_ratio(fresh) == pytest.approx(1, abs=0.05)


def test_training_faces_of_another_size_are_refused(faces):
    train, test = faces
    with pytest.raises(ValueError, match="load both at one size"):
        calibration.training_distances(test, test[:, None], MASK, train[:, :8])
