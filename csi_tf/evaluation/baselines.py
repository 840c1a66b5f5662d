"""What a completion has to beat: fills without a network, as completions (N,S,H,W,3).

None sees more of an image than its context. `LinearGaussian` is stronger than it sounds, and the
only one of them with samples and bits/dim.
"""

from typing import Any

import numpy as np

from csi_tf.evaluation import inputs
from csi_tf.evaluation.filling import groups, paste
from csi_tf.evaluation.linear_gaussian import LinearGaussian
from csi_tf.evaluation.nearest import nearest

__all__ = ["LinearGaussian", "biharmonic", "mean_fill", "nearest_face"]

_MOST = 10_000  # pixels of a hole; the equations for them take 0.8 GB


def mean_fill(images: Any, context_mask: Any, train: Any) -> np.ndarray:
    """The mean of the training images, pixel by pixel. (N,1,H,W,3)"""
    images = inputs.images(images)
    hole = inputs.holes(context_mask, images)
    mean = inputs.training_images(train, images).mean(0)
    return paste(images, hole, mean[None])[:, None]


def nearest_face(images: Any, context_mask: Any, train: Any) -> np.ndarray:
    """From the training face whose context is nearest, in squared distance. (N,1,H,W,3)

    Without any context that is the first one.
    """
    images = inputs.images(images)
    hole = inputs.holes(context_mask, images)
    train = inputs.training_images(train, images)
    index, _ = nearest(images, train, ~hole)
    return paste(images, hole, train[index])[:, None]


def biharmonic(images: Any, context_mask: Any) -> np.ndarray:
    """The smoothest surface through the context, in each colour; see `smoothest`. (N,1,H,W,3)"""
    images = inputs.images(images)
    hole = inputs.holes(context_mask, images)
    filled = np.empty(images.shape)
    for rows in groups(hole):
        filled[rows] = smoothest(images[rows].astype(np.float64), hole[rows[0]])
    return paste(images, hole, filled)[:, None]


def smoothest(values: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """(N,H,W,C) with the hole (H,W) filled so that the sum of squared Laplacians is least.

    So in the hole the bilaplacian is 0. Beyond the border the image is taken to go on mirrored:
    left free there, it would swing far beyond what is seen. Without any context it is mid-grey.
    """
    if hole.sum() > _MOST:
        raise ValueError(
            f"a hole of {hole.sum()} pixels is too large for biharmonic inpainting; give one of"
            f" {_MOST} or less, or a smaller image."
        )
    if hole.all():
        return np.full_like(values, 127.5)
    # The bilaplacian is C_y^2 + C_x^2 + 2 C_y C_x, with C minus the second differences of an axis.
    along_y, along_x = (_curvature(length) for length in hole.shape)
    twice_y, twice_x = along_y @ along_y, along_x @ along_x
    y, x = np.nonzero(hole)
    rows, columns = np.ix_(y, y), np.ix_(x, x)
    matrix = twice_y[rows] * (x[:, None] == x) + (y[:, None] == y) * twice_x[columns]
    matrix += 2 * along_y[rows] * along_x[columns]
    known = np.moveaxis(np.where(hole[..., None], 0.0, values), -1, 1)  # (N,C,H,W)
    force = twice_y @ known + known @ twice_x + 2 * along_y @ known @ along_x
    solved = np.linalg.solve(matrix, -force[..., hole].reshape(-1, len(y)).T)
    filled = values.copy()
    filled[:, hole] = solved.T.reshape(*known.shape[:2], len(y)).swapaxes(1, 2)
    return filled


def _curvature(length: int) -> np.ndarray:
    """2u - u_before - u_after along an axis that is mirrored at its ends."""
    steps = np.diff(np.eye(length), axis=0)
    return steps.T @ steps
