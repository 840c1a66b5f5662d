"""Likelihoods with the latents averaged out, by K draws of z from the posterior.

whole_images   log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x_c,m): importance sampling, a lower bound
               of log p(x) on average that tightens with K (stage one)
holes          log 1/K sum_k p(x_t|x_c,z_k): no weights, because q belongs to the model there
"""

import math
from typing import Any

import numpy as np
from keras import ops

from csi_tf import noise
from csi_tf.model import CSIModel, posterior_sample


def whole_images(
    model: CSIModel, images_pm1: Any, context_mask: Any, samples: int, seed: int
) -> np.ndarray:
    """(B,) nats. The encoder sees the context; every pixel is scored."""
    if model.reverse is not None:
        raise ValueError(
            "this model has a reverse net, which sees the pixels it would be scored on: use a stage"
            " one model, or holes()."
        )
    everything = np.zeros_like(np.asarray(context_mask))
    return _log_mean(model, images_pm1, context_mask, everything, samples, seed, weighted=True)


def holes(
    model: CSIModel, images_pm1: Any, context_mask: Any, samples: int, seed: int
) -> np.ndarray:
    """(B,) nats of the hole given the context."""
    return _log_mean(model, images_pm1, context_mask, context_mask, samples, seed, weighted=False)


def draws(
    model: CSIModel, images_pm1: Any, context_mask: Any, samples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """z (K, B, d) and log p(z) - log q(z|x_c,m) (K, B); draw k of an image is its own."""
    mean, logvar = (np.asarray(x) for x in model.encode(images_pm1, context_mask, seed))
    keys = noise.keys(seed, images_pm1, context_mask)
    normal = np.stack(
        [noise.normals(k, "noise/posterior", keys, mean.shape[1]) for k in range(samples)]
    )
    z = np.asarray(posterior_sample(mean, logvar, normal))
    log_ratio = 0.5 * (np.square(normal) - np.square(z) + logvar).sum(-1, dtype=np.float64)
    return z, log_ratio


def _log_mean(
    model: CSIModel,
    images_pm1: Any,
    context_mask: Any,
    scored_mask: Any,
    samples: int,
    seed: int,
    weighted: bool,
) -> np.ndarray:
    if samples < 1:
        raise ValueError(f"samples is {samples}, expected 1 or more draws of z.")
    if model.encoder is None:
        return np.asarray(model.log_prob(images_pm1, scored_mask))
    z, log_ratio = draws(model, images_pm1, context_mask, samples, seed)
    scores = np.stack([np.asarray(model.log_prob(images_pm1, scored_mask, each)) for each in z])
    terms = scores.astype(np.float64) + (log_ratio if weighted else 0.0)
    return np.asarray(ops.logsumexp(terms, axis=0)) - math.log(samples)
