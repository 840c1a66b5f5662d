"""PSNR, SSIM and L1 on the hole against the true image, and how diverse completions are.

With many plausible completions none need be the true one: the first, the average and the best of
S samples answer different questions, and so does their mean picture, which PSNR and L1 favour
though it is blurred. They are kept apart; compare like with like, and at one S.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from csi_tf.evaluation import inputs

# Truth (H,W,3), samples (S,H,W,3), both float64, and the hole (H,W) -> (S,)
Measure = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

_WINDOW, _SIGMA = 11, 1.5  # of SSIM, as its authors have it


# dB. What is off by no more than rounding has 59; infinity, of an exact picture, has no average.
EXACT = 60.0


@dataclass(frozen=True, eq=False)
class Scores:
    """One number for each image (N,)."""

    first: np.ndarray  # of the first sample
    mean: np.ndarray  # average over samples
    best: np.ndarray  # of the sample that scores best, chosen knowing the truth
    mean_picture: np.ndarray  # of the average of the samples, a picture that was never drawn


def psnr(images: Any, completions: Any, context_mask: Any) -> Scores:
    """Peak signal-to-noise ratio in dB over the hole's values, at most EXACT."""
    return _scores(_psnr, np.max, images, completions, context_mask)


def l1(images: Any, completions: Any, context_mask: Any) -> Scores:
    """Mean absolute difference over the hole's values, in 8-bit levels; less is better."""
    return _scores(_l1, np.min, images, completions, context_mask)


def ssim(images: Any, completions: Any, context_mask: Any) -> Scores:
    """Structural similarity, averaged over the windows whose centres lie in the hole.

    Windows are Gaussian, 11x11 with sigma 1.5. They reach into the observed pixels around the hole,
    and where they reach out of the image their weights are scaled up to sum to one again.
    """
    return _scores(_ssim, np.max, images, completions, context_mask)


def diversity(images: Any, completions: Any, context_mask: Any) -> np.ndarray:
    """(N,) mean absolute difference of two samples over the hole's values, in 8-bit levels.

    Diversity is no merit by itself: noise has most of it. Read it beside KID and coverage.
    """
    images, completions, hole = inputs.completed(images, completions, context_mask)
    count = _enough(completions.shape[1])
    # Sorted, the k-th of S values is above k others and below S - 1 - k in all pairs.
    weights = 2.0 * np.arange(count) - (count - 1)
    pairs = count * (count - 1) / 2
    return np.array(
        [
            (weights @ np.sort(samples[:, where], axis=0).reshape(count, -1)).mean() / pairs
            for samples, where in zip(completions, hole, strict=True)
        ]
    )


def feature_diversity(features: Any) -> np.ndarray:
    """(N,) mean Euclidean distance of two samples, from features (N,S,D) of the completions."""
    features = np.asarray(features, np.float64)
    if features.ndim != 3:
        raise ValueError(f"features have shape {features.shape}; give (N,S,D).")
    first, second = np.triu_indices(_enough(features.shape[1]), 1)
    return np.array(
        [np.linalg.norm(each[first] - each[second], axis=-1).mean() for each in features]
    )


def _enough(count: int) -> int:
    if count < 2:
        raise ValueError(
            "diversity compares samples of one image; draw two or more (num_samples=2)."
        )
    return count


def _scores(
    measure: Measure,
    best: Callable[..., np.ndarray],
    images: Any,
    completions: Any,
    context_mask: Any,
) -> Scores:
    images, completions, hole = inputs.completed(images, completions, context_mask)
    rows = []
    # One image at a time: float64 copies of everything would not fit.
    for truth, samples, where in zip(images, completions, hole, strict=True):
        truth, samples = truth.astype(np.float64), samples.astype(np.float64)
        each = measure(truth, samples, where)
        mean_picture = measure(truth, samples.mean(0, keepdims=True), where)[0]
        rows.append((each[0], each.mean(), best(each), mean_picture))
    return Scores(*np.array(rows).T)


def _psnr(truth: np.ndarray, samples: np.ndarray, hole: np.ndarray) -> np.ndarray:
    squared = np.square(samples[:, hole] - truth[hole]).mean((1, 2))
    return 10 * np.log10(255**2 / np.maximum(squared, 255**2 / 10 ** (EXACT / 10)))


def _l1(truth: np.ndarray, samples: np.ndarray, hole: np.ndarray) -> np.ndarray:
    return np.abs(samples[:, hole] - truth[hole]).mean((1, 2))


def _ssim(truth: np.ndarray, samples: np.ndarray, hole: np.ndarray) -> np.ndarray:
    return ssim_map(truth, samples)[:, hole].mean((1, 2))


def ssim_map(truth: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """(S,H,W,3) similarity of the windows around each pixel, in each colour."""
    rows, columns = (_gaussian(length) for length in truth.shape[:2])

    def blurred(x: np.ndarray) -> np.ndarray:
        return np.einsum("ij,...jkc,lk->...ilc", rows, x, columns, optimize=True)

    mean_truth, mean = blurred(truth), blurred(samples)
    var_truth = blurred(truth**2) - mean_truth**2
    var = blurred(samples**2) - mean**2
    covariance = blurred(truth * samples) - mean_truth * mean
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_truth * mean + c1) / (mean_truth**2 + mean**2 + c1)
    return luminance * (2 * covariance + c2) / (var_truth + var + c2)


def _gaussian(length: int) -> np.ndarray:
    """(length, length) a Gaussian average along an axis, from what the image has of the window."""
    offset = np.subtract.outer(np.arange(length), np.arange(length))
    weights = np.exp(-0.5 * (offset / _SIGMA) ** 2) * (np.abs(offset) <= _WINDOW // 2)
    return weights / weights.sum(1, keepdims=True)
