"""KID and FID: do two sets of pictures have the same distribution, as seen by some features?

Any features (N,D) will do, one row for each picture, and the numbers mean nothing without their
name. FID is biased, the more the fewer the pictures (some thousands are the least); KID is not.
"""

from typing import Any

import numpy as np


def mmd2(real: Any, generated: Any) -> float:
    """KID (Binkowski et al., 2018): the squared maximum mean discrepancy under the kernel
    (x.y / D + 1)^3, without bias; negative at times where the sets do not differ."""
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
