"""Averages over latents, against a model whose likelihood is known."""

import numpy as np
import pytest
import tiny

from csi_tf import likelihood
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
    np.testing.assert_allclose(likelihood.holes(model, images, mask, 5, 3), expected, rtol=1e-6)


def test_importance_weights_recover_a_known_evidence(monkeypatch):
    """x given z normal with mean z: log p(x) is that of N(0, 2), whatever q is close to."""
    model, (images, mask) = tiny_model(reverse=False), inputs()
    x = np.array([0.3, -0.8])
    posterior = (np.tile(x[:, None] / 2, (1, 1)), np.full((2, 1), np.log(0.5) + 0.2))
    monkeypatch.setattr(model, "encode", lambda *_: posterior)
    monkeypatch.setattr(
        model,
        "log_prob",
        lambda images, mask, z: -0.5 * ((x - np.asarray(z)[:, 0]) ** 2 + np.log(2 * np.pi)),
    )
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


def test_results_do_not_depend_on_the_batch():
    model, (images, mask) = tiny_model(), inputs(3)
    together = likelihood.holes(model, images, mask, 4, seed=2)
    alone = [likelihood.holes(model, images[i, None], mask[i, None], 4, 2)[0] for i in range(3)]
    # Float32 sums of matrix products of another height.
    np.testing.assert_allclose(together, alone, rtol=1e-5)


def test_without_latents_it_is_the_likelihood_itself():
    model, (images, mask) = tiny_model(latents=False), inputs()
    np.testing.assert_array_equal(
        likelihood.holes(model, images, mask, 7, 0), model.log_prob(images, mask)
    )


def test_bad_input():
    model, (images, mask) = tiny_model(), inputs()
    with pytest.raises(ValueError, match="samples is 0"):
        likelihood.holes(model, images, mask, 0, 0)
    with pytest.raises(ValueError, match="reverse net"):
        likelihood.whole_images(model, images, mask, 1, 0)
