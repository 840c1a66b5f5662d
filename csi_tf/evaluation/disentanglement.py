"""Disentanglement of codes whose true factors are known: MIG, SAP, DCI and the FactorVAE score.

`codes` (N, D) has a row for each picture and `factors` (N, F) its truth, numbers or 0/1. Codes are
draws from the posterior and not its means: the scores do not see how far a latent moves, so a mean
that moves by a thousandth of its posterior's width would count in full.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from csi_tf import checks
from csi_tf.evaluation.regressors import scikit_learn


class Gap(NamedTuple):
    """How much more the best latent of a factor says about it than the second best."""

    score: float  # mean over the factors
    per_factor: np.ndarray  # (F,)
    latent: np.ndarray  # (F,) the best one


class DCI(NamedTuple):
    """Eastwood and Williams (2018)."""

    disentanglement: float  # 1: every latent matters to one factor only
    completeness: float  # 1: every factor is in one latent only
    informativeness: float  # R^2 on held-out rows, mean over the factors
    per_factor: np.ndarray  # (F,) that R^2
    importance: np.ndarray  # (D, F), columns sum to 1


def mig(codes: ArrayLike, factors: ArrayLike, bins: int = 20) -> Gap:
    """The mutual information gap (Chen et al., 2018), in parts of the factor's entropy.

    Codes and factors are cut into bins of equal counts, so that no rescaling of a latent matters;
    what has no more levels than that keeps them.
    """
    codes, factors = _rows(codes, factors)
    bins = checks.whole_number(bins, "bins", 2)
    if len(codes) < bins**2:
        raise ValueError(
            f"{len(codes)} rows are too few for MIG with {bins} bins; pass {bins**2} or more."
        )
    z = [_levels(column, bins) for column in codes.T]
    v = [_levels(column, bins) for column in factors.T]
    entropy = np.array([_entropy(column) for column in v])
    joint = np.array([[_entropy(one * bins + other) for other in v] for one in z])
    own = np.array([_entropy(column) for column in z])
    return _gap((own[:, None] + entropy - joint) / entropy)


def sap(codes: ArrayLike, factors: ArrayLike) -> Gap:
    """Separated attribute predictability (Kumar et al., 2018), by R^2 of one latent on a factor.

    For 0/1 factors the original has the accuracy of a classifier instead.
    """
    codes, factors = _rows(codes, factors)
    z, v = (columns - columns.mean(0) for columns in (codes, factors))
    scale = np.linalg.norm(z, axis=0)[:, None] * np.linalg.norm(v, axis=0)
    # A latent that is the same in every row predicts nothing.
    return _gap(np.square(z.T @ v / np.where(scale > 0, scale, np.inf)))


def dci(
    codes: ArrayLike,
    factors: ArrayLike,
    held_out_codes: ArrayLike,
    held_out_factors: ArrayLike,
    seed: int = 0,
    trees: int = 100,
) -> DCI:
    """By the importances of gradient-boosted regression trees, fitted to one factor at a time.

    Takes a third of a second for each factor and 1,000 rows of 32 latents.
    """
    codes, factors = _rows(codes, factors)
    held_out_codes, held_out_factors = _rows(held_out_codes, held_out_factors)
    boosting = scikit_learn("ensemble").GradientBoostingRegressor
    importance, r2 = [], []
    for truth, held_out in zip(factors.T, held_out_factors.T, strict=True):
        # Trees of half the rows each are done in half the time, and fit turned codes better.
        model = boosting(n_estimators=trees, subsample=0.5, random_state=seed)
        fitted = model.fit(codes, truth)
        importance.append(fitted.feature_importances_)
        r2.append(fitted.score(held_out_codes, held_out))
    table = np.stack(importance, axis=1)
    return DCI(*specialisation(table), float(np.mean(r2)), np.array(r2), table)


def specialisation(importance: ArrayLike) -> tuple[float, float]:
    """Disentanglement and completeness of (D, F) importances, none of them negative.

    One minus the entropy of a latent's row, or of a factor's column, with logarithms to the base
    of its length; rows and columns count by their sums.
    """
    table = np.asarray(importance, np.float64)
    if table.ndim != 2 or min(table.shape) < 2 or not (table >= 0).all() or not table.any():
        raise ValueError(
            f"importance has shape {table.shape}; give numbers of 0 or more, not all 0, for two or"
            " more latents (rows) and factors (columns)."
        )
    disentanglement, completeness = (
        float(1 + (_x_log_x(part) / np.log(part.shape[1])).sum(1) @ weight)
        for part, weight in map(_shares, (table, table.T))
    )
    return disentanglement, completeness


def hold_one(factors: ArrayLike, group: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Factors for the FactorVAE score, to be rendered and encoded.

    Takes (N, F) independent factors; gives (N // group, group, F), where the rows of each group
    share the value of one factor, and (N // group,), which one.
    """
    rows = np.array(factors)
    group = checks.whole_number(group, "group", 2)
    if rows.ndim != 2 or not len(rows) or len(rows) % group:
        raise ValueError(
            f"factors has shape {rows.shape}; give (N, F) with N a multiple of the {group} rows of"
            " a group."
        )
    groups = rows.reshape(-1, group, rows.shape[1])
    held = np.random.default_rng(seed).integers(rows.shape[1], size=len(groups))
    each = np.arange(len(groups))
    groups[each, :, held] = groups[each, :1, held]
    return groups, held


def factor_vae(
    codes: ArrayLike, held: ArrayLike, std: ArrayLike, active: ArrayLike | None = None
) -> float:
    """The score of Kim and Mnih (2018): accuracy of a majority vote on which factor was held.

    `codes` (G, group, D) and `held` (G,) belong to `hold_one`. A group votes for the latent that
    varies least in it, in parts of its `std` (D,) over the data; `active` (D,) leaves others out.
    Half of the groups, every other one, say which factor a latent stands for, and half are scored.
    """
    z, held, std = np.asarray(codes, np.float64), np.asarray(held), np.asarray(std, np.float64)
    if z.ndim != 3 or len(z) < 2 or held.shape != z.shape[:1] or std.shape != z.shape[2:]:
        raise ValueError(
            f"codes has shape {z.shape}, held {held.shape} and std {std.shape}; give (G, group, D),"
            " (G,) and (D,) with two or more groups."
        )
    live = (std > 0) & (True if active is None else np.asarray(active, bool))
    variance = z.var(axis=1) / np.where(live, std, 1) ** 2
    vote = np.where(live, variance, np.inf).argmin(axis=1)
    counts = np.zeros((z.shape[2], held.max() + 1), int)
    np.add.at(counts, (vote[::2], held[::2]), 1)
    return float(np.mean(counts.argmax(axis=1)[vote[1::2]] == held[1::2]))


def _gap(table: np.ndarray) -> Gap:
    order = np.argsort(table, axis=0)
    second, best = np.take_along_axis(table, order[-2:], axis=0)
    return Gap(float(np.mean(best - second)), best - second, order[-1])


def _levels(column: np.ndarray, bins: int) -> np.ndarray:
    """(N,) whole numbers below `bins`; equal values stay together."""
    known, level = np.unique(column, return_inverse=True)
    if len(known) <= bins:
        return level
    edges = np.quantile(column, np.arange(1, bins) / bins)
    return np.searchsorted(edges, column, side="right")


def _entropy(levels: np.ndarray) -> float:
    """Nats. Counts alone are low by (K - 1) / 2N (Miller and Madow), which would read as MI."""
    counts = np.bincount(levels)
    shares = counts[counts > 0] / len(levels)
    return float(-_x_log_x(shares).sum() + (len(shares) - 1) / (2 * len(levels)))


def _shares(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows that sum to one, and the part of each in the whole."""
    total = table.sum(axis=1)
    return table / np.where(total > 0, total, 1)[:, None], total / total.sum()


def _x_log_x(x: np.ndarray) -> np.ndarray:
    return x * np.log(np.where(x > 0, x, 1))


def _rows(codes: ArrayLike, factors: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    z, v = np.asarray(codes, np.float64), np.asarray(factors, np.float64)
    if z.ndim != 2 or v.ndim != 2 or len(z) != len(v) or z.shape[1] < 2:
        raise ValueError(
            f"codes has shape {z.shape} and factors {v.shape}; give (N, D) with two or more latents"
            " and (N, F) of the same pictures."
        )
    for name, array in {"codes": z, "factors": v}.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} has numbers that are not finite; leave those rows out.")
    still = np.flatnonzero((v == v[:1]).all(axis=0))
    if len(still):
        raise ValueError(
            f"factor {still[0]} is the same in every row; leave it out, for nothing can tell it."
        )
    return z, v
