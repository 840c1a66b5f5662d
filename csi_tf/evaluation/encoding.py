"""Encoding many images, a batch at a time."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from csi_tf import noise
from csi_tf.model import CSIModel, posterior_sample
from csi_tf.pixels import pm1

BATCH = 64


class Codes(NamedTuple):
    """Of the posterior, (N, D) each; z is one draw."""

    mean: np.ndarray
    logvar: np.ndarray
    z: np.ndarray


def encode(
    model: CSIModel,
    images_u8: np.ndarray,
    context_mask: Any,
    seed: int,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Codes:
    """What of each image depends on its own pixels, mask and the seed alone."""
    mask = np.broadcast_to(np.asarray(context_mask, np.float32), (*images_u8.shape[:3], 1))
    found = []
    for start in range(0, len(images_u8), BATCH):
        rows = slice(start, start + BATCH)
        found.append(_encoded(model, pm1(images_u8[rows]), mask[rows], seed))
        tell(min(start + BATCH, len(images_u8)), len(images_u8))
    return Codes(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _encoded(model: CSIModel, images: np.ndarray, mask: np.ndarray, seed: int) -> Codes:
    mask = np.ascontiguousarray(mask)
    mean, logvar = (np.asarray(x, np.float32) for x in model.encode(images, mask, seed))
    keys = noise.keys(seed, images, mask)
    normal = noise.normals(0, "noise/posterior", keys, mean.shape[1])
    return Codes(mean, logvar, np.asarray(posterior_sample(mean, logvar, normal)))
