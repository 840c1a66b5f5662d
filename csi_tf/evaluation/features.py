"""KID and FID: do two sets of pictures have the same distribution, as seen by some features?

Any features (N,D) will do, one row for each picture, and the numbers mean nothing without their
name. FID is biased, the more the fewer the pictures (some thousands are the least); KID is not.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from csi_tf import checks, randomness


@dataclass(frozen=True)
class Kid:
    value: float  # mean over subsets; may be negative where the sets do not differ
    std: float  # of the subsets' values; 0 where a subset is everything there is


def kid(
    real: Any, generated: Any, subsets: int = 100, subset_size: int = 100, seed: int = 0
) -> Kid:
    """Kernel distance (Binkowski et al., 2018), the mean of `mmd2` over random subsets of each."""
    real, generated = _pair(real, generated)
    subsets = checks.whole_number(subsets, "subsets", 1)
    size = checks.whole_number(subset_size, "subset_size", 2)
    fewest = min(len(real), len(generated))
    if size > fewest:
        raise ValueError(
            f"subset_size is {size} and there are {len(real)} real and {len(generated)} generated"
            f" rows of features; give more, or a subset_size of {fewest} or less."
        )
    rng = np.random.default_rng(randomness.fold(seed, "evaluation/kid"))
    values = [
        mmd2(
            real[rng.choice(len(real), size, replace=False)],
            generated[rng.choice(len(generated), size, replace=False)],
        )
        for _ in range(subsets)
    ]
    return Kid(float(np.mean(values)), float(np.std(values)))


def mmd2(real: Any, generated: Any) -> float:
    """Squared maximum mean discrepancy under the kernel (x.y / D + 1)^3, without bias."""
    x, y = _pair(real, generated)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def without_itself(a: np.ndarray) -> float:
        k = kernel(a, a)
        return (k.sum() - np.trace(k)) / (len(a) * (len(a) - 1))

    return float(without_itself(x) + without_itself(y) - 2 * kernel(x, y).mean())


def fid(real: Any, generated: Any) -> float:
    """Frechet distance between Gaussians fitted to the two sets."""
    x, y = _pair(real, generated)
    root_x, root_y = _root(x), _root(y)
    # tr (A B)^(1/2) is the sum of the singular values of X Y^T where A = X^T X and B = Y^T Y: no
    # root of a matrix that rounding has left with negative eigenvalues.
    mixed = np.linalg.svd(root_x @ root_y.T, compute_uv=False).sum()
    apart = np.square(x.mean(0) - y.mean(0)).sum()
    return float(apart + np.square(root_x).sum() + np.square(root_y).sum() - 2 * mixed)


def _root(x: np.ndarray) -> np.ndarray:
    """R with R^T R the covariance of the rows."""
    return np.linalg.qr((x - x.mean(0)) / np.sqrt(len(x) - 1)).R


def _pair(real: Any, generated: Any) -> tuple[np.ndarray, np.ndarray]:
    pair = np.asarray(real, np.float64), np.asarray(generated, np.float64)
    for x, what in zip(pair, ("real", "generated"), strict=True):
        if x.ndim != 2 or len(x) < 2 or x.shape[1] != pair[0].shape[-1]:
            raise ValueError(
                f"{what} features have shape {x.shape}; give (N,D) with two rows or more, and the"
                " same D for both."
            )
        if not np.isfinite(x).all():
            raise ValueError(f"{what} features hold NaN or infinity; leave those pictures out.")
    return pair
