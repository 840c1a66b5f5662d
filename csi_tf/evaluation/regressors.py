"""Readers of a picture's factors or attributes from its pixels, all of them or those of a hole.

    reader = factor_reader((images, factors), (held_out_images, held_out_factors), names, mask)
    reader(completions)         # (..., H, W, 3) uint8 -> (..., F)

A reader of a hole looks at nothing else, so what it reads is what a completion shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from csi_tf import masks
from csi_tf.errors import RunFailed

# At an R^2 of .7 the whole range of a uniform factor, shrunk by the regression, is .7 (12 / .3)^.5
# = 4.4 times the reader's error, which leaves room above RESOLUTION.
USEFUL_R2 = 0.7
USEFUL_ACCURACY = 0.75
# On procedural faces of 32 x 32, taking one factor from end to end moves the reading of another by
# up to 2.9 times that reading's error: the other pictures' errors are what all these add up to.
RESOLUTION = 3.0

# Labels that go together as much as this cannot be told apart by what moves: a smile, its cheeks
# and an open mouth. Factors drawn independently never do.
RELATED = 0.3

# Principal components of the pixels that attributes are read from. More change no accuracy on
# procedural faces (100 lose .01), and the solver's time goes with their square.
COMPONENTS = 200
PENALTY = 1.0  # of the squares of weights, with pixels in [0, 1]

Examples = tuple[ArrayLike, ArrayLike]  # pictures uint8 (N, H, W, 3) and what to read (N, F)


class Illegible(ValueError):
    """Pixels from which too little can be read."""


@dataclass(frozen=True, eq=False)
class Reader:
    """An affine function of pixels: factors in their own units, attributes as log-odds."""

    names: tuple[str, ...]
    quality: np.ndarray  # (F,) on held-out pictures: R^2, or accuracy averaged over yes and no
    spread: np.ndarray  # (F,) standard deviation in the data: the unit of effects
    resolution: np.ndarray  # (F,) a reading that moves less may not mean its factor
    seen: np.ndarray  # (H, W) booleans
    weights: np.ndarray  # (pixels x 3, F)
    offset: np.ndarray  # (F,)
    related: np.ndarray  # (F, F) booleans: one thing in the data, and everything with itself

    def __call__(self, images_u8: ArrayLike) -> np.ndarray:
        """(..., F) float32 of uint8 (..., H, W, 3)."""
        return _pixels(images_u8, self.seen) @ self.weights + self.offset


def factor_reader(
    train: Examples,
    held_out: Examples,
    names: Sequence[str],
    context_mask: ArrayLike | None = None,
) -> Reader:
    """Ridge regression of the factors that can be read, `names` being those of the columns.

    What `context_mask` (H, W, 1) says is observed is not looked at. Illegible if none can be read.
    """
    seen = _seen(train, context_mask)
    (x, y), (held_x, held_y) = (_examples(each, seen, names) for each in (train, held_out))
    mean, centre = x.mean(0), y.mean(0)
    weights = _ridge(x - mean, y - centre)
    offset = centre - mean @ weights
    squares = np.square(held_x @ weights + offset - held_y).mean(0)
    spread = _varying(held_y.std(0), names)
    r2 = 1 - squares / spread**2
    resolution = RESOLUTION * np.sqrt(squares)
    reader = Reader(tuple(names), r2, spread, resolution, seen, weights, offset, _related(y))
    return _legible(reader, USEFUL_R2, "R^2")


def attribute_reader(
    train: Examples,
    held_out: Examples,
    names: Sequence[str],
    context_mask: ArrayLike | None = None,
) -> Reader:
    """Logistic regression on 0/1 labels, yes and no having the same weight however rare one is.

    Arguments are those of `factor_reader`. The resolution is the standard deviation of the log-odds
    within a class; much of that is how much of the attribute there is.
    """
    seen = _seen(train, context_mask)
    (x, y), (held_x, held_y) = (_examples(each, seen, names) for each in (train, held_out))
    for labels in (y, held_y):
        if not np.isin(labels, (0, 1)).all():
            raise ValueError("labels are 0 or 1; for other numbers use factor_reader.")
        _varying(labels.std(0), names)
    # A covariance of the pixels of large pictures would fill the memory.
    solver = "covariance_eigh" if x.shape[1] <= len(x) else "randomized"
    space = scikit_learn("decomposition").PCA(
        min(COMPONENTS, *x.shape), svd_solver=solver, random_state=0
    )
    components = space.fit_transform(x)
    logistic = scikit_learn("linear_model").LogisticRegression
    how = {"C": 1 / PENALTY, "class_weight": "balanced", "solver": "newton-cholesky"}
    fits = [logistic(**how).fit(components, labels) for labels in y.T]
    weights = np.stack([space.components_.T @ fit.coef_[0] for fit in fits], axis=1)
    offset = np.array([fit.intercept_[0] for fit in fits]) - space.mean_ @ weights
    odds = held_x @ weights + offset
    sides = [(odds[held_y[:, i] == 0, i], odds[held_y[:, i] == 1, i]) for i in range(len(names))]
    accuracy = np.array([((no < 0).mean() + (yes >= 0).mean()) / 2 for no, yes in sides])
    within = np.sqrt([(no.var() + yes.var()) / 2 for no, yes in sides])
    scales = odds.std(0), within
    reader = Reader(tuple(names), accuracy, *scales, seen, weights, offset, _related(y))
    return _legible(reader, USEFUL_ACCURACY, "accuracy")


def _ridge(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(P, F) of centred (N, P) and (N, F), by the smaller of the two equal systems."""
    few = len(x) < x.shape[1]
    gram = x @ x.T if few else x.T @ x
    gram[np.diag_indices_from(gram)] += np.float32(PENALTY)
    return np.asarray(x.T @ np.linalg.solve(gram, y) if few else np.linalg.solve(gram, x.T @ y))


def _related(known: np.ndarray) -> np.ndarray:
    """Of labels (N, F) that all vary."""
    found = np.abs(np.atleast_2d(np.corrcoef(known, rowvar=False))) > RELATED
    return np.asarray(found | np.eye(len(found), dtype=bool))


def scikit_learn(module: str) -> ModuleType:
    """One of its modules; the library does without it everywhere else."""
    try:
        return import_module(f"sklearn.{module}")
    except ImportError:
        raise RunFailed(
            "this part of the evaluation needs scikit-learn: pip install scikit-learn, which the"
            " extra `evaluation` of csi-tf asks for"
        ) from None


def _legible(reader: Reader, least: float, what: str) -> Reader:
    """The reader of those names that can be read."""
    columns = np.flatnonzero(reader.quality >= least)
    if not len(columns):
        best = int(np.argmax(reader.quality))
        others = f" and {len(reader.names) - 1} more" if len(reader.names) > 1 else ""
        raise Illegible(
            f"{reader.names[best]} ({what} {reader.quality[best]:.2f}){others} cannot be read from"
            f" these pixels, {what} {least} being of use; take more training pictures or a larger"
            " hole."
        )
    return Reader(
        tuple(reader.names[column] for column in columns),
        reader.quality[columns],
        reader.spread[columns],
        reader.resolution[columns],
        reader.seen,
        reader.weights[:, columns],
        reader.offset[columns],
        reader.related[np.ix_(columns, columns)],
    )


def _seen(train: Examples, context_mask: ArrayLike | None) -> np.ndarray:
    if np.ndim(train[0]) != 4:
        raise ValueError(f"pictures came as {np.shape(train[0])}; give uint8 (N, H, W, 3).")
    size = np.shape(train[0])[1:3]
    if context_mask is None:
        return np.ones(size, bool)
    hole = masks.check(context_mask, size)[..., 0] == 0
    if hole.ndim != 2 or not hole.any():
        raise ValueError(
            "context_mask must be one (H, W, 1) with a hole of zeros in it; give one, or None to"
            " read from the whole picture."
        )
    return hole


def _examples(
    examples: Examples, seen: np.ndarray, names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    x, y = _pixels(examples[0], seen), np.asarray(examples[1], np.float32)
    if x.ndim != 2 or len(x) < 2 or y.shape != (len(x), len(names)):
        raise ValueError(
            f"pictures came as {np.shape(examples[0])} and what to read of them as {y.shape}; give"
            f" two or more, uint8 (N, H, W, 3), and (N, {len(names)}) for the names."
        )
    return x, y


def _pixels(images_u8: Any, seen: np.ndarray) -> np.ndarray:
    """(..., pixels x 3) float32 in [0, 1]."""
    images = np.asarray(images_u8)
    if images.dtype != np.uint8 or images.shape[-3:] != (*seen.shape, 3):
        raise ValueError(
            f"pictures came as {images.dtype} of shape {images.shape}; give uint8 of shape"
            f" (..., {seen.shape[0]}, {seen.shape[1]}, 3)."
        )
    return images[..., seen, :].reshape(*images.shape[:-3], -1) / np.float32(255)


def _varying(spread: np.ndarray, names: Sequence[str]) -> np.ndarray:
    still = np.flatnonzero(spread == 0)
    if len(still):
        raise ValueError(
            f"{names[still[0]]} is the same in all pictures; add others or leave the name out."
        )
    return spread
