"""Are the samples of a hole spread as the truth is, and are they more than copies?"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from csi_tf import checks
from csi_tf.evaluation import inputs
from csi_tf.evaluation.nearest import nearest


@dataclass(frozen=True, eq=False)
class Coverage:
    nominal: float  # how often the truth would be inside if it were one more sample
    per_image: np.ndarray  # (N,) how often it is, over the hole's values


def coverage(images: Any, completions: Any, context_mask: Any, cut: int = 1) -> Coverage:
    """How often the true value lies from the cut-th smallest to the cut-th largest of S samples.

    That is nominal = (S + 1 - 2 cut) / (S + 1) for samples of the true distribution, whatever it
    is. Less is overconfidence, and truncated samples are overconfident by design. Among equal
    values the truth's rank is anyone's guess, so it counts by the share of its possible ranks.
    """
    images, completions, hole = inputs.completed(images, completions, context_mask)
    count = completions.shape[1]
    cut = checks.whole_number(cut, "cut", 1)
    if 2 * cut > count:
        raise ValueError(
            f"{count} samples have no interval from the {cut}. smallest to the {cut}. largest;"
            f" draw {2 * cut} or more, or give a smaller cut."
        )
    inside = []
    for truth, samples, where in zip(images, completions, hole, strict=True):
        below = (samples[:, where] < truth[where]).sum(0)
        equal = (samples[:, where] == truth[where]).sum(0)
        # The truth has below..below + equal samples beneath it, cut..count - cut of them inside.
        ranks = np.minimum(below + equal, count - cut) - np.maximum(below, cut) + 1
        inside.append((np.maximum(ranks, 0) / (equal + 1)).mean())
    return Coverage((count + 1 - 2 * cut) / (count + 1), np.array(inside))


def training_distances(images: Any, completions: Any, context_mask: Any, train: Any) -> np.ndarray:
    """(N,2) distances to the nearest training face: of the completions, and of the image itself.

    Root mean square 8-bit levels over the hole, completions averaged. Held-out images say how near
    a new face lies; samples much nearer than that are copies, or blurred.
    """
    images, completions, hole = inputs.completed(images, completions, context_mask)
    train = inputs.training_images(train, images)
    count, samples = completions.shape[:2]
    flat = completions.reshape(-1, *images.shape[1:])
    _, drawn = nearest(flat, train, np.repeat(hole, samples, axis=0))
    _, held_out = nearest(images, train, hole)
    return np.stack([drawn.reshape(count, samples).mean(1), held_out], axis=1)


def distance_ratio(distances: Any) -> float:
    """Of completions over held-out images, from what `training_distances` gives: 0 is copying."""
    drawn, held_out = np.asarray(distances).sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(drawn / held_out)
