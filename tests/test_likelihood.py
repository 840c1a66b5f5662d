"""Averages over latents, against a model whose likelihood is known."""

import numpy as np
import pytest
import tiny

from csi_tf import likelihood, masks, noise, stages
from csi_tf import model as models
from csi_tf.config import ModelConfig


def tiny_model(**changes):
    return models.make(ModelConfig(**tiny.MODEL | changes), 16, seed=1)


def inputs(batch=2):
    rng = np.random.default_rng(0)
    images = (rng.integers(0, 256, (batch, 16, 16, 3)) / 127.5 - 1).astype("float32")
    mask = np.ones((batch, 16, 16, 1), "float32")
    mask[:, 4:8, 4:8] = 0
    return images, mask


def test_holes_average_probabilities_not_their_logarithms():
    model, (images, mask) = tiny_model(), inputs()
    z, _ = likelihood.draws(model, images, mask, 5, seed=3)
    each = np.stack([np.asarray(model.log_prob(images, mask, k), np.float64) for k in z])
    best = each.max(0)
    expected = best + np.log(np.exp(each - best).mean(0))
    # The model adds up pixels in float32.
    np.testing.assert_allclose(likelihood.holes(model, images, mask, 5, 3), expected, rtol=1e-6)


def test_a_mask_may_be_named_or_one_for_all():
    model, (images, _) = tiny_model(), inputs()
    one = masks.named("eyes", 16)
    expected = likelihood.holes(model, images, np.stack([one, one]), 2, 0)
    for given in ("eyes", one, ["eyes", "eyes"]):
        np.testing.assert_array_equal(likelihood.holes(model, images, given, 2, 0), expected)


def test_importance_weights_recover_a_known_evidence(monkeypatch):
    """x given z normal with mean z: log p(x) is that of N(0, 2), whatever q is close to."""
    model, (images, mask) = tiny_model(reverse=False), inputs()
    x = np.array([0.3, -0.8])
    posterior = (np.tile(x[:, None] / 2, (1, 1)), np.full((2, 1), np.log(0.5) + 0.2))
    monkeypatch.setattr(model, "encode", lambda *_: posterior)

    def log_density(images, mask, z):  # in the corner of the hole, the only pixel to have one
        pixels = np.zeros((2, 16, 16))
        pixels[:, 4, 4] = -0.5 * ((x - np.asarray(z)[:, 0]) ** 2 + np.log(2 * np.pi))
        return pixels

    monkeypatch.setattr(model, "pixel_log_prob", log_density)
    found = likelihood.whole_images(model, images, mask, 3000, seed=0)
    exact = -0.5 * (x**2 / 2 + np.log(2 * np.pi * 2))
    # Weights of a nearly right q vary by some percent: 3000 draws leave a few tenths of one.
    np.testing.assert_allclose(found, exact, atol=0.01)
    unweighted = likelihood.holes(model, images, mask, 3000, seed=0)
    assert (np.abs(unweighted - exact) > 0.1).all(), "the weights matter"


def test_more_draws_tighten_the_bound():
    model, (images, mask) = tiny_model(reverse=False), inputs(8)
    few = likelihood.whole_images(model, images, mask, 1, seed=1).mean()
    many = likelihood.whole_images(model, images, mask, 30, seed=1).mean()
    assert many > few


@pytest.mark.parametrize("conditioning", ["paper", "published"])
@pytest.mark.parametrize("changes", [{}, {"full_image_encoder": True}, {"latents": False}])
def test_whole_images_are_scored_as_stage_one_scores_them(conditioning, changes):
    """One draw of z: the importance weight apart, it is the loss of eq. (1), maps and all."""
    model = tiny_model(reverse=False, conditioning=conditioning, **changes)
    images, mask = inputs()
    shown = np.ones_like(mask) if "full_image_encoder" in changes else mask
    keys = noise.keys(5, images, shown)
    batch = {
        "image": np.rint((images + 1) * 127.5).astype("uint8"),
        "context_mask": mask,
        "hole_noise": noise.hole(0, keys, 16),
        "posterior_noise": noise.normals(0, "noise/posterior", keys, 4),
    }
    scores = stages.score(model, "stage1", batch, training=False)
    expected = -np.asarray(scores.nats, np.float64)
    if model.encoder is not None:
        z, log_ratio = likelihood.draws(model, images, shown, 1, seed=5)
        np.testing.assert_allclose(z[0], scores.z, atol=1e-6)
        expected += log_ratio[0]
    # Float32 sums of 768 pixels, by another route.
    found = likelihood.whole_images(model, images, mask, 1, seed=5)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_published_conditioning_is_told_the_mask():
    """Or the test before could not tell a map of zeros from the mask."""
    model, (images, mask) = tiny_model(reverse=False, conditioning="published"), inputs()
    z = np.zeros((2, 4), "float32")
    told, untold = (model.pixel_log_prob(images, m, z) for m in (mask, np.zeros_like(mask)))
    assert np.abs(np.asarray(told) - untold).max() > 1e-3


def test_results_do_not_depend_on_the_batch():
    model, (images, mask) = tiny_model(), inputs(3)
    together = likelihood.holes(model, images, mask, 4, seed=2)
    alone = [likelihood.holes(model, images[i, None], mask[i, None], 4, 2)[0] for i in range(3)]
    # Float32 sums of matrix products of another height.
    np.testing.assert_allclose(together, alone, rtol=1e-5)


def test_without_latents_it_is_the_likelihood_itself():
    model, (images, mask) = tiny_model(latents=False), inputs()
    found = likelihood.holes(model, images, mask, 7, 0)
    # The model adds up pixels in float32.
    np.testing.assert_allclose(found, model.log_prob(images, mask), rtol=1e-6)


def test_bad_input():
    model, (images, mask) = tiny_model(), inputs()
    with pytest.raises(ValueError, match="samples is 0"):
        likelihood.holes(model, images, mask, 0, 0)
    with pytest.raises(ValueError, match="reverse net"):
        likelihood.whole_images(model, images, mask, 1, 0)
