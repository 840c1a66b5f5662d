"""The nearest training face, by the pixels that count."""

import numpy as np

_CHUNK = 1024  # images of each set at once, some tens of megabytes


def nearest(
    pictures: np.ndarray, train: np.ndarray, counted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For uint8 (M,H,W,3): which of `train` (T,H,W,3) and the root mean square distance to it.

    Only the pixels of `counted` (M,H,W) are looked at; the first of equally near ones is named. The
    work is 4 M T H W 3 operations.
    """
    found = [
        _nearest(pictures[start : start + _CHUNK], train, counted[start : start + _CHUNK])
        for start in range(0, len(pictures), _CHUNK)
    ]
    indices, distances = zip(*found, strict=True)
    return np.concatenate(indices), np.concatenate(distances)


def _nearest(
    pictures: np.ndarray, train: np.ndarray, counted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    # Whole numbers below 2^53 in float64: a copy is at a distance of exactly 0.
    weights = np.repeat(counted.reshape(len(counted), -1), 3, axis=1).astype(np.float64)
    seen = pictures.reshape(len(pictures), -1) * weights
    index = np.zeros(len(pictures), np.int64)
    best = np.full(len(pictures), np.inf)
    for start in range(0, len(train), _CHUNK):
        faces = train[start : start + _CHUNK].reshape(-1, weights.shape[1]).astype(np.float64)
        apart = weights @ np.square(faces).T - 2 * seen @ faces.T  # less |seen|^2
        closest = apart.argmin(1)
        squared = apart[np.arange(len(apart)), closest]
        nearer = squared < best
        index[nearer], best[nearer] = start + closest[nearer], squared[nearer]
    squared = best + np.square(seen).sum(1)
    return index, np.sqrt(squared / np.maximum(weights.sum(1), 1))
