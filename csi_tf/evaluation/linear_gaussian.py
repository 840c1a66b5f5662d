"""Images as one Gaussian, so that a hole given its context is a Gaussian too."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from csi_tf import checks, noise
from csi_tf.evaluation import inputs
from csi_tf.evaluation.filling import groups, paste

# Variances to add to every value, in squared levels: rounding's own, and multiples of it.
_RIDGES = tuple(4.0**k / 12 for k in range(9))
_MOST = 64 * 64  # pixels: the covariance takes 1.2 GB, and work on it several times that
_JUDGES = 1000  # images to choose a ridge on
_CHUNK = 4096  # images


@dataclass(frozen=True, eq=False)
class LinearGaussian:
    """All values of an image under one Gaussian, as 8-bit levels, row by row and RGB within."""

    mean: np.ndarray  # (D,)
    precision: np.ndarray  # (D,D), the inverse of the covariance
    ridge: float  # the variance that was added to every value
    size: tuple[int, int]

    @classmethod
    def fit(cls, train: Any) -> "LinearGaussian":
        """Mean and covariance of the training images, plus the ridge that suits left out ones best.

        Every tenth image is left out until the ridge is chosen, by bits/dim of whole images. D is
        3 H W: that is seconds of work at 32x32 and many minutes at 64x64.
        """
        train = inputs.images(train, "train")
        height, width = train.shape[1:3]
        if height * width > _MOST:
            raise ValueError(
                f"train holds images of {height}x{width} pixels, too many for a covariance matrix;"
                " load them at 64x64 or less."
            )
        if len(train) < 20:
            raise ValueError(f"train holds {len(train)} images; give 20 or more to fit on.")
        levels = train.reshape(len(train), -1)
        left_out = np.arange(len(train)) % 10 == 9
        fitted, judges = _Moments.of(levels[~left_out]), levels[left_out]
        ridge = _best_ridge(*fitted.mean_covariance(), judges[:_JUDGES])
        mean, covariance = (fitted + _Moments.of(judges)).mean_covariance()
        return cls(mean, np.linalg.inv(_add(covariance, ridge)), ridge, (height, width))

    def fill(self, images: Any, context_mask: Any) -> np.ndarray:
        """The conditional mean, uint8 (N,1,H,W,3)."""
        images, hole = self._checked(images, context_mask)
        filled = images.astype(np.float64)
        for rows, where, mean, _ in self._conditionals(images, hole):
            filled[rows[:, None], *np.nonzero(where)] = mean.reshape(len(rows), -1, 3)
        return paste(images, hole, filled)[:, None]

    def sample(
        self, images: Any, context_mask: Any, num_samples: int = 1, seed: int = 0
    ) -> np.ndarray:
        """Draws, rounded and clipped, uint8 (N,S,H,W,3); by seed, context and number alone."""
        images, hole = self._checked(images, context_mask)
        count = checks.whole_number(num_samples, "num_samples", 1)
        keys = noise.keys(seed, images, 1.0 - hole[..., None])
        drawn = np.empty((len(images), count, *images.shape[1:]), np.uint8)
        for rows, where, mean, root in self._conditionals(images, hole):
            unroot = np.linalg.inv(root)
            for k in range(count):
                numbered = noise.numbered(keys[rows], [k] * len(rows))
                normal = noise.normals(0, "noise/linear_gaussian", numbered, mean.shape[1])
                filled = images[rows].astype(np.float64)
                filled[:, where] = (mean + normal @ unroot).reshape(len(rows), -1, 3)
                drawn[rows, k] = paste(images[rows], hole[rows], filled)
        return drawn

    def bits_per_dim(self, images: Any, context_mask: Any) -> np.ndarray:
        """(N,) -log2 of the probability of the hole's 8-bit values given the context, per value.

        Each value's conditional Gaussian, given the context and the values before it, is
        integrated over the value's bin (the outer bins are open), as a PixelCNN's logistics are.
        So it is a probability, which adds up to one over all pictures, and no density.
        """
        images, hole = self._checked(images, context_mask)
        bits = np.empty(len(images))
        for rows, where, mean, root in self._conditionals(images, hole):
            levels = images[rows][:, where].reshape(len(rows), -1)
            nats = log_mass((levels - mean) @ root, 1 / np.diag(root), levels)
            bits[rows] = -nats.mean(1) / math.log(2)
        return bits

    def _checked(self, images: Any, context_mask: Any) -> tuple[np.ndarray, np.ndarray]:
        images = inputs.images(images)
        if images.shape[1:3] != self.size:
            raise ValueError(
                f"images are {images.shape[1]}x{images.shape[2]} pixels and the Gaussian was fitted"
                f" at {self.size[0]}x{self.size[1]}; load both at one size."
            )
        return images, inputs.holes(context_mask, images)

    def _conditionals(
        self, images: np.ndarray, hole: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """For each hole: its images (n,), itself (H,W), conditional means (n,h), and U (h,h).

        U is upper triangular and U U^T the conditional precision. So with d the difference from the
        mean, entry i of d U is how far value i is from its mean given the values before it, in
        standard deviations, which are 1 / U_ii.
        """
        inside = np.repeat(hole.reshape(len(hole), -1), 3, axis=1)
        context = np.where(inside, 0.0, images.reshape(inside.shape) - self.mean)
        pull = context @ self.precision
        for rows in groups(hole):
            here = inside[rows[0]]
            precision = self.precision[np.ix_(here, here)]
            mean = self.mean[here] - np.linalg.solve(precision, pull[rows][:, here].T).T
            # Cholesky's lower factor of the matrix read backwards is the upper factor.
            yield rows, hole[rows[0]], mean, np.linalg.cholesky(precision[::-1, ::-1])[::-1, ::-1]


@dataclass(frozen=True, eq=False)
class _Moments:
    count: int
    total: np.ndarray  # (D,)
    products: np.ndarray  # (D,D)

    _CENTRE = 127.5  # levels are taken from here

    @classmethod
    def of(cls, levels: np.ndarray) -> "_Moments":
        total, products = np.zeros(levels.shape[1]), np.zeros((levels.shape[1],) * 2)
        for start in range(0, len(levels), _CHUNK):
            x = levels[start : start + _CHUNK] - cls._CENTRE
            total += x.sum(0)
            products += x.T @ x
        return cls(len(levels), total, products)

    def __add__(self, other: "_Moments") -> "_Moments":
        return _Moments(
            self.count + other.count, self.total + other.total, self.products + other.products
        )

    def mean_covariance(self) -> tuple[np.ndarray, np.ndarray]:
        mean = self.total / self.count
        return mean + self._CENTRE, self.products / self.count - np.outer(mean, mean)


def _add(covariance: np.ndarray, ridge: float) -> np.ndarray:
    return covariance + ridge * np.eye(len(covariance))


def _best_ridge(mean: np.ndarray, covariance: np.ndarray, judges: np.ndarray) -> float:
    """The first of _RIDGES after which the log-probability of the judges falls."""
    best, chosen = -math.inf, _RIDGES[0]
    for ridge in _RIDGES:
        root = np.linalg.cholesky(_add(covariance, ridge))
        errors = np.linalg.solve(root, (judges - mean).T).T
        score = log_mass(errors, np.diag(root), judges).mean()
        if score < best:
            break
        best, chosen = score, ridge
    return chosen


def log_mass(errors: np.ndarray, stds: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Log of the normal probability of the bin around each level, in nats.

    `errors` are the levels' distances from their means, in standard deviations `stds`.
    """
    low = np.where(levels == 0, -np.inf, errors - 0.5 / stds)
    high = np.where(levels == 255, np.inf, errors + 0.5 / stds)
    # On the side where both tails are small, or their difference would be lost.
    mirrored = low + high > 0
    low, high = np.where(mirrored, -high, low), np.where(mirrored, -low, high)
    upper = _log_cdf(high)
    return upper + np.log(-np.expm1(_log_cdf(low) - upper))


def _log_cdf(x: np.ndarray) -> np.ndarray:
    """Logarithm of the standard normal distribution function."""
    near = np.log(0.5 * _erfc(-np.maximum(x, -30) / math.sqrt(2)).astype(np.float64))
    # Beyond that erfc runs out of numbers and the asymptotic series is right to 1e-7.
    far = np.minimum(x, -30)
    series = -0.5 * far**2 - np.log(-far * math.sqrt(2 * math.pi)) + np.log1p(3 / far**4 - far**-2)
    return np.where(x > -30, near, series)


_erfc = np.frompyfunc(math.erfc, 1, 1)
