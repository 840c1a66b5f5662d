"""The seam measure, on pictures whose steps are known."""

import numpy as np
import pytest

from csi_tf import data, masks
from csi_tf.evaluation import bootstrap, seam


def completed(images, mask, filled):
    return np.where(mask == 1, images, filled).astype(np.uint8)[:, None]


def ramp(rows=3, columns=5, size=16):
    r, c = np.mgrid[:size, :size]
    return np.repeat((40 + rows * r + columns * c)[None, ..., None], 3, axis=-1).astype(np.uint8)


@pytest.fixture(scope="module")
def faces():
    return data.arrays("procedural_faces", "test", 16, limit=40).images


def test_the_real_image_has_no_seam(faces):
    mask = masks.named("center", 16)
    found = seam.ratio(seam.steps(faces, completed(faces, mask, faces), mask))
    np.testing.assert_array_equal(found, 1)


def test_each_side_on_a_ramp():
    """A hole that is 2 levels too high: steps of 3 down and 5 across are 5 or 1, 7 or 3."""
    images, mask = ramp(), masks.named("center", 16)
    steps = seam.steps(images, completed(images, mask, images + 2), mask)
    np.testing.assert_allclose(seam.ratio(steps)[:4], [5 / 3, 3 / 5, 1 / 3, 7 / 5])
    # (5 + 3 + 1 + 7) / (3 + 5 + 3 + 5): the sides are of one length.
    assert seam.ratio(steps)[4] == pytest.approx(1)


def test_smoothness_is_no_seam():
    """All slopes of the hole halved along the side, edge included."""
    images, mask = ramp(rows=4, columns=0), masks.named("top_half", 16)
    r = np.arange(16)[:, None, None]
    # Below the hole the image begins with 40 + 4 * 8.
    smooth = completed(images, mask, np.broadcast_to(72 - 2 * (8 - r), images.shape))
    assert seam.ratio(seam.steps(images, smooth, mask))[2] == 1


def test_sides_on_the_border_are_skipped(faces):
    mask = masks.named("bottom_half", 16)
    steps = seam.steps(faces, completed(faces, mask, 255 - faces), mask)
    assert (steps[:, 1:] == 0).all()
    found = seam.ratio(steps)
    assert np.isnan(found[1:4]).all()
    assert found[4] == found[0] > 1


def test_steps_of_any_mask_by_loops(faces):
    images = faces[:4]
    mask = masks.sample("brush", 4, 16, seed=3)
    rng = np.random.default_rng(0)
    samples = [completed(images, mask, rng.integers(0, 256, images.shape)) for _ in range(2)]
    completions = np.concatenate(samples, axis=1)
    expected = np.zeros((4, 4, 4))
    # Inwards from each side: down from the top, and so on.
    inwards = {"top": (1, 0), "right": (0, -1), "bottom": (-1, 0), "left": (0, 1)}

    def step(picture, one, other):
        return np.abs(picture[one].astype(int) - picture[other]).mean()

    for i in range(4):
        for side, (down, right) in enumerate(inwards[name] for name in seam.SIDES):
            for r in range(16):
                for c in range(16):
                    line = [(r + k * down, c + k * right) for k in range(3)]
                    if not all(0 <= a < 16 and 0 <= b < 16 for a, b in line):
                        continue
                    if [mask[i, a, b, 0] for a, b in line] != [1, 0, 0]:
                        continue
                    outer, first, second = line
                    for k, (one, other) in enumerate(((outer, first), (first, second))):
                        drawn = [step(picture, one, other) for picture in completions[i]]
                        expected[i, side, 2 * k] += np.mean(drawn)
                        expected[i, side, 2 * k + 1] += step(images[i], one, other)
    assert (expected.sum(0) > 0).all(), "every side has some"
    np.testing.assert_allclose(seam.steps(images, completions, mask), expected)


def test_a_model_blind_to_what_lies_below_has_a_seam_there(faces):
    """A real hole but for its colour, which drifts from right at the top to wrong at the bottom."""
    mask = masks.named("center", 16)
    drift = 10 * np.clip(np.arange(16) - 3, 0, 8)[:, None, None]
    blind = np.clip(faces.astype(int) + drift, 0, 255)
    steps = seam.steps(faces, completed(faces, mask, blind), mask)
    found = bootstrap.interval(steps, seam.ratio, resamples=200)
    top, bottom = seam.SIDES.index("top"), seam.SIDES.index("bottom")
    assert found.low[bottom] > 1.5
    assert found.estimate[bottom] > 1.5 * found.estimate[top]


def test_a_flat_fill_is_infinitely_bad():
    images, mask = ramp(), masks.named("center", 16)
    found = seam.ratio(seam.steps(images, completed(images, mask, np.full_like(images, 9)), mask))
    assert (found == np.inf).all()
