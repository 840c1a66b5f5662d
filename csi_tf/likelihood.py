"""Likelihoods with the latents averaged out, by K draws of z from the posterior.

whole_images   log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x_c,m): importance sampling, a lower bound
               of log p(x) on average that tightens with K (stage one)
holes          log 1/K sum_k p(x_t|x_c,z_k): no weights, because q belongs to the model there
"""

import math
from typing import Any

import numpy as np

from csi_tf import checks, noise
from csi_tf.arguments import check_model, context_masks
from csi_tf.model import CSIModel, posterior_sample
from pixel_cnn_pp import checks as pixel_checks


def whole_images(
    model: CSIModel, images_pm1: Any, context_mask: Any, samples: int, seed: int
) -> np.ndarray:
    """(B,) nats of whole pictures under a model of stage one, a lower bound on average.

    More samples tighten it. Encoder and PixelCNN are told what they were in training.
    """
    check_model(model)
    pixel_checks.images(images_pm1)
    context_mask = context_masks(context_mask, images_pm1)
    if model.reverse is not None:
        raise ValueError(
            "this model has a reverse net, which sees the pixels it would be scored on: use a stage"
            " one model, or holes()."
        )
    counts = np.ones(np.shape(images_pm1)[:3], np.float32)
    return _log_mean(model, images_pm1, context_mask, counts, samples, seed, weighted=True)


def holes(
    model: CSIModel, images_pm1: Any, context_mask: Any, samples: int, seed: int
) -> np.ndarray:
    """(B,) nats of what the holes hide, given the context, averaged over draws of z.

    `context_mask` is a mask for each picture, one for all, or the name of a box.
    """
    check_model(model)
    pixel_checks.images(images_pm1)
    context_mask = context_masks(context_mask, images_pm1)
    counts = 1.0 - np.asarray(context_mask)[..., 0]
    return _log_mean(model, images_pm1, context_mask, counts, samples, seed, weighted=False)


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
    counts: np.ndarray,
    samples: int,
    seed: int,
    weighted: bool,
) -> np.ndarray:
    """`counts` (B, H, W) is 1 at the pixels to score."""
    samples = checks.whole_number(samples, "samples", 1)

    def nats(z: Any = None) -> np.ndarray:
        pixels = np.asarray(model.pixel_log_prob(images_pm1, context_mask, z))
        return (pixels * counts).sum((1, 2), dtype=np.float64)

    if model.encoder is None:
        return nats()
    whole = weighted and model.config.full_image_encoder
    shown = np.ones_like(context_mask) if whole else context_mask
    z, log_ratio = draws(model, images_pm1, shown, samples, seed)
    return log_mean(np.stack([nats(each) for each in z]) + (log_ratio if weighted else 0.0))


def log_mean(terms: np.ndarray) -> np.ndarray:
    """(B,) log 1/K sum_k exp of (K, B)"""
    return np.asarray(np.logaddexp.reduce(terms, axis=0) - math.log(len(terms)))
