"""KID and FID: do two sets of pictures have the same distribution, as seen by some features?

Any features (N,D) will do, one row for each picture, and the numbers mean nothing without their
name. FID is biased, the more the fewer the pictures (some thousands are the least); KID is not.
"""

from typing import Any

import numpy as np


def kid_by_image(real: Any, drawn: Any) -> np.ndarray:
    """(N,) numbers whose mean is the KID (Binkowski et al., 2018) of features (R, D) and the
    images' (N, S, D): the squared maximum mean discrepancy under the kernel (x.y / D + 1)^3,
    without bias, negative at times where the sets do not differ. It is the average over samples,
    one of each image being a set.

    They are pseudo-values of the jackknife: N times KID less N - 1 times that without the image.
    Their intervals are KID's, and two models can be compared image by image. To resample images
    instead would not do, as those that come twice look alike to KID.
    """
    count, samples, width = np.shape(drawn)
    x, y = _pair(real, np.reshape(drawn, (-1, width)))
    y = y.reshape(count, samples, width).swapaxes(0, 1)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / width + 1) ** 3

    def to_others(k: np.ndarray) -> np.ndarray:
        return (k.sum(1) - np.diag(k)) / (len(k) - 1)

    within = np.mean([to_others(kernel(each, each)) for each in y], axis=0)
    across = np.mean([kernel(each, x).mean(1) for each in y], axis=0)
    # Each pair has two images, so one's absence is felt twice, in what is left.
    within = within.mean() + 2 * (count - 1) / (count - 2) * (within - within.mean())
    return np.asarray(to_others(kernel(x, x)).mean() + within - 2 * across)


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
