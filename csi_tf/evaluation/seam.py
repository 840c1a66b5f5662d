"""Does the edge of the hole show? Steps across it, against those of the real image.

For each side: the mean absolute step from the last observed pixel to the first one of the hole,
over the same of the real image; and that over the same ratio one pixel further in, because a hole
that is smoother than the image has no seam for that. 1 is perfect, of samples as they are: with
truncation a step inside lacks the noise of two pixels and one across the edge that of one, so
that a perfect model has more than 1, the more so the noisier the pictures. Means are over all
images before ratios are taken: a real image may have no step at all in some place.
"""

from typing import Any

import numpy as np

from csi_tf.evaluation import inputs

SIDES = ("top", "right", "bottom", "left")  # in the order in which quarter turns bring them up


def steps(images: Any, completions: Any, context_mask: Any) -> np.ndarray:
    """(N,4,4) sums over the hole's edge for each image, a row of four for each of SIDES.

    Across the edge of completion and image, then one pixel inside of completion and image;
    completions averaged over samples. Only places with two pixels of hole behind an observed one
    count, so a side on the border of the image has sums of 0.
    """
    images, completions, hole = inputs.completed(images, completions, context_mask)
    return np.stack([_top(images, completions, hole, turns) for turns in range(4)], axis=1)


def _top(images: np.ndarray, completions: np.ndarray, hole: np.ndarray, turns: int) -> np.ndarray:
    """(N,4) sums for the side that `turns` quarter turns bring to the top."""
    hole = np.rot90(hole, turns, (1, 2))[:, None]  # (N,1,H,W)
    counted = ~hole[..., :-2, :] & hole[..., 1:-1, :] & hole[..., 2:, :]

    def sums(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = np.rot90(pictures, turns, (2, 3)).astype(np.int16)
        step = np.abs(np.diff(x, axis=2)).mean(-1)  # step[r] is from row r to row r + 1
        across, inside = step[..., :-1, :], step[..., 1:, :]
        return tuple((s * counted).sum((2, 3)).mean(1) for s in (across, inside))

    (edge, inside), (real_edge, real_inside) = sums(completions), sums(images[:, None])
    return np.stack([edge, real_edge, inside, real_inside], axis=-1)


def ratio(steps: Any) -> np.ndarray:
    """(5,) the measure for each of SIDES and for all together, from what `steps` gives.

    NaN for a side that no image has, infinite where the hole is flat inside but not at its edge.
    """
    total = np.asarray(steps).sum(0)
    edge, real_edge, inside, real_inside = np.vstack([total, total.sum(0)]).T
    with np.errstate(divide="ignore", invalid="ignore"):
        return (edge / real_edge) / (inside / real_inside)
