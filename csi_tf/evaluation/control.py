"""Control: what setting one latent after another does to factors read from the completed hole.

Readings are (L, N, V, F): L latents, N pictures, V values set in rising order, F factors read by a
`regressors.Reader`. Which factor a latent is for, in which direction and where, its name and its
rank are settled on validation pictures, and what it does is measured on test pictures: of many
chance pairs the best looks like control. Factors that are one thing in the data, as a smile and its
cheeks among attributes, do not count as others of each other.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from csi_tf import latents
from csi_tf.latents import Latent

# Where a response rises by less than this part of its average slope, setting the latent is no use.
FLAT = 0.25
# A latent is called after a factor that it orders at least this well, and better than any other.
NAMED = 0.5
# Mean correlations with what has nothing to do with the value stay within so many of their standard
# deviations, which are 1 / (N (V - 1))^.5.
CHANCE = 3.0
# A latent steers a factor that it orders this well, and so many times better than any other.
STEERS, AHEAD = 0.7, 1.5
# Standard deviations of the data that a factor can be moved by: the whole range of a uniform one is
# 3.5 of them. What seems to move further is a linear reader led astray, say by a skin that is
# darker in the hole than around it, and nothing is called after it.
WIDEST = 4.0


@dataclass(frozen=True, eq=False)
class Control:
    """One row for each latent.

    `factor`, `interval`, `dead`, which other factor strays and what is called validation are from
    validation pictures, all else is from test pictures. The dead have a factor that means nothing,
    and NaN for interval and outside.
    """

    names: tuple[str, ...]  # of the F factors
    factor: np.ndarray  # (L,) the one that the latent is for
    correlation: np.ndarray  # (L, F) Spearman's, between value and reading, mean over pictures
    margin: np.ndarray  # (L,) of the factor's, in its direction, over the next best in either
    interval: np.ndarray  # (L, 2) where the values are of use
    effect: np.ndarray  # (L, F) mean change over the interval, in standard deviations of the data
    moved: np.ndarray  # (L, F) its root mean square over pictures, in which opposites do not cancel
    outside: np.ndarray  # (L,) how far the factor moves that strays most, as a part of its own
    dead: np.ndarray  # (L,) nothing that it could be for follows the value, beyond chance
    validation: np.ndarray  # (L, F) correlations
    validation_margin: np.ndarray  # (L,)
    validation_moved: np.ndarray  # (L, F)
    related: np.ndarray  # (F, F) booleans: one thing in the data, and everything with itself

    @property
    def own(self) -> np.ndarray:
        """(L,) correlation with the factor, in the direction that was found."""
        rows = np.arange(len(self.factor))
        sign = np.where(self.validation[rows, self.factor] < 0, -1.0, 1.0)
        return sign * self.correlation[rows, self.factor]

    @property
    def next_best(self) -> np.ndarray:
        """(L,) of another factor, in either direction."""
        return self.own - self.margin

    @property
    def steers(self) -> np.ndarray:
        """(L,) booleans"""
        return ~self.dead & (self.own >= np.maximum(STEERS, AHEAD * self.next_best))

    def factors(self, which: np.ndarray) -> int:
        """How many things the latents (L,) booleans are for, of which no two are one in the data.

        Those that go together with fewest others are counted first.
        """
        found = np.unique(self.factor[which])
        ties = self.related[np.ix_(found, found)]
        counted: list[int] = []
        for each in np.argsort(ties.sum(axis=0), kind="stable"):
            if not ties[each, counted].any():
                counted.append(each)
        return len(counted)

    @property
    def alone(self) -> np.ndarray:
        """(L,) what validation pictures say of `steers`."""
        own = np.abs(self.validation[np.arange(len(self.factor)), self.factor])
        return ~self.dead & (own >= np.maximum(STEERS, AHEAD * (own - self.validation_margin)))


def rank_correlation(readings: ArrayLike, resolution: ArrayLike = 0.0) -> np.ndarray:
    """(..., F) Spearman correlations with the values set, of readings (..., V, F).

    Readings that span less than their `resolution` (F,) count as 0. A reader's small errors follow
    what really moves without fail, and ranks do not see that they are small.
    """
    x = _finite(readings, "readings")
    if x.ndim < 2 or x.shape[-2] < 2:
        raise ValueError(f"readings has shape {x.shape}; give (..., V, F) of two or more values.")
    rank = np.sign(x[..., :, None, :] - x[..., None, :, :]).sum(-2)  # twice the rank, centred
    order = 2.0 * np.arange(x.shape[-2]) - (x.shape[-2] - 1)
    scale = np.linalg.norm(rank, axis=-2) * np.linalg.norm(order)
    found = np.einsum("v,...vf->...f", order, rank) / np.where(scale > 0, scale, 1.0)
    return np.where(np.ptp(x, axis=-2) >= resolution, found, 0.0)


def measure(
    validation: ArrayLike,
    test: ArrayLike,
    values: ArrayLike,
    names: Sequence[str],
    resolution: ArrayLike,
    spread: ArrayLike,
    related: ArrayLike | None = None,
    known: ArrayLike | None = None,
) -> Control:
    """From readings (L, N, V, F) of two sets of pictures; `names` to `related` are the reader's.

    With None every factor is related to itself alone. `known` says which factors (F,) the latents
    hold anything of; with None all of them. No latent is for another one: what moves its reading is
    something else.
    """
    seen, held_out = _finite(validation, "validation"), _finite(test, "test")
    at, least, unit = (
        _finite(x, "values, resolution or spread") for x in (values, resolution, spread)
    )
    _check(seen, held_out, at, least, unit, names)
    response = seen.mean(axis=1)  # (L, V, F)
    chosen = _correlations(seen, least)
    held = np.ones(len(names), bool) if known is None else np.asarray(known, bool)
    # Completions are drawn, so readings move with any latent, but at random.
    chance = np.abs(chosen) <= CHANCE / (seen.shape[1] * (seen.shape[2] - 1)) ** 0.5
    dead = (chance | ~held).all(axis=1)
    # To two digits, and of equals the one that moves most
    reach = np.ptp(response, axis=1) / unit
    possible = np.broadcast_to(held, chosen.shape)
    order = np.lexsort((reach, np.abs(chosen).round(2), reach <= WIDEST, possible), axis=1)
    rows, factor = np.arange(len(seen)), order[:, -1]
    sign = np.where(chosen[rows, factor] < 0, -1.0, 1.0)
    ends = np.array([useful(sign[i] * response[i, :, factor[i]], at) for i in rows])

    same = np.eye(len(names), dtype=bool) if related is None else np.asarray(related, bool)
    others = ~same[factor]
    correlation = _correlations(held_out, least)

    def margin(found: np.ndarray) -> np.ndarray:
        own = sign * found[rows, factor]
        return np.asarray(own - np.where(others, np.abs(found), 0.0).max(axis=1))

    def change(readings: np.ndarray) -> np.ndarray:
        """(L, N, F) over the interval."""
        return np.asarray((readings[rows, :, ends[:, 1]] - readings[rows, :, ends[:, 0]]) / unit)

    moved, seen_to_move = (_root_mean_square(change(each)) for each in (held_out, seen))
    stray = ratio(moved, factor, strays(seen_to_move, others, least / unit))
    return Control(
        names=tuple(names),
        factor=factor,
        correlation=correlation,
        margin=margin(correlation),
        interval=np.where(dead[:, None], np.nan, at[ends]),
        effect=change(held_out).mean(axis=1),
        moved=moved,
        outside=np.where(dead, np.nan, stray),
        dead=dead,
        validation=chosen,
        validation_margin=margin(chosen),
        validation_moved=seen_to_move,
        related=same,
    )


def _root_mean_square(changes: np.ndarray) -> np.ndarray:
    """(L, F) of (L, N, F)"""
    return np.asarray(np.sqrt(np.square(changes).mean(axis=1)))


def strays(moved: np.ndarray, others: np.ndarray, least: np.ndarray) -> np.ndarray:
    """(L,) which of the others (L, F) moves most, if by `least` (F,) or more; -1 for none.

    `moved` is (L, F).
    """
    seen = np.where(others & (moved >= least), moved, -np.inf)
    return np.where(np.isfinite(seen.max(axis=1)), seen.argmax(axis=1), -1)


def ratio(moved: np.ndarray, factor: np.ndarray, stray: np.ndarray) -> np.ndarray:
    """(L,) how far the stray moves, as a part of the factor's own; NaN if that does not."""
    rows = np.arange(len(moved))
    own, other = moved[rows, factor], np.where(stray < 0, 0.0, moved[rows, stray])
    return np.where(own > 0, other / np.where(own > 0, own, 1.0), np.nan)


def useful(response: np.ndarray, values: np.ndarray) -> tuple[int, int]:
    """First and last index of the interval where a response rises, without flat or falling ends.

    It has the largest rise after a toll of FLAT times the average slope for the way.
    """
    toll = FLAT * np.ptp(response) / (values[-1] - values[0])
    net = response - toll * values
    gain = np.where(np.triu(np.ones((len(net), len(net)), bool), 1), net - net[:, None], -np.inf)
    first, last = np.unravel_index(gain.argmax(), gain.shape)
    return int(first), int(last)


def additivity(base: ArrayLike, alone: ArrayLike, together: ArrayLike, spread: ArrayLike) -> float:
    """Whether changes add up when latents are moved together: 1 exactly, 0 not at all, -1 opposite.

    Readings of pictures as inferred (N, F), with each of K latents moved alone (K, N, F), and with
    all of them (N, F). With s the sum of the single changes and a the change of all, in units of
    `spread` (F,), 2<a, s> / (<a, a> + <s, s>). NaN where nothing moves.
    """
    start, single, joint = (
        _finite(x, name) for x, name in ((base, "base"), (alone, "alone"), (together, "together"))
    )
    if start.ndim != 2 or single.shape[1:] != start.shape or joint.shape != start.shape:
        raise ValueError(
            f"base has shape {start.shape}, alone {single.shape} and together {joint.shape}; give"
            " (N, F), (K, N, F) and (N, F)."
        )
    unit = _finite(spread, "spread")
    expected, actual = (single - start).sum(axis=0) / unit, (joint - start) / unit
    total = np.square(actual).sum() + np.square(expected).sum()
    return float(2 * (actual * expected).sum() / total) if total > 0 else float("nan")


def axes(latent_dim: int) -> list[Latent]:
    """The axes of z, which are what the paper sets."""
    return [
        Latent(f"latent {i}", latents.axis(i, latent_dim), latents.USUAL, i + 1, i)
        for i in range(latent_dim)
    ]


def principal_directions(codes: ArrayLike, count: int) -> list[Latent]:
    """Beyond the paper: directions in which draws from the posterior (N, D) vary most."""
    z = _finite(codes, "codes")
    if z.ndim != 2 or len(z) < 2 or not 1 <= count <= z.shape[1]:
        raise ValueError(
            f"codes has shape {z.shape} and count is {count}; give (N, D), and a count up to D."
        )
    _, vectors = np.linalg.eigh(np.atleast_2d(np.cov(z, rowvar=False)))
    return [
        # Either sign is as good; this one does not depend on the machine.
        _direction(f"principal direction {i}", v * np.sign(v[np.abs(v).argmax()]), i)
        for i, v in enumerate(vectors.T[::-1][:count], 1)
    ]


def regression_directions(
    codes: ArrayLike, factors: ArrayLike, names: Sequence[str]
) -> list[Latent]:
    """Beyond the paper: linear regressions of factors or attributes (N, F) on codes (N, D)."""
    z, v = _finite(codes, "codes"), _finite(factors, "factors")
    if z.ndim != 2 or v.shape != (len(z), len(names)) or len(z) <= z.shape[1]:
        raise ValueError(
            f"codes has shape {z.shape} and factors {v.shape}; give (N, D) with N above D, and"
            f" (N, {len(names)}) for the names."
        )
    weights = np.linalg.lstsq(z - z.mean(0), v - v.mean(0), rcond=None)[0]
    for name, column in zip(names, weights.T, strict=True):
        if not column.any():
            raise ValueError(f"{name} does not follow the codes at all; leave it out.")
    return [_direction(f"{name} direction", weights[:, i], i + 1) for i, name in enumerate(names)]


def entries(control: Control, measured: Sequence[Latent]) -> list[Latent]:
    """What to write into latents.json, `measured` being the latents of the rows.

    Axes come first: called after their factor ("less" where it falls as the latent rises), the best
    of every factor before the second best of any, those that move little else before those that
    do, most effect first; then those that have none. Directions follow under their own names, dead
    ones left out; then the dead axes, called so.
    """
    if len(measured) != len(control.dead):
        raise ValueError(
            f"{len(measured)} latents are named and {len(control.dead)} were measured; give both in"
            " the same order."
        )
    found = [
        _entry(control, row, latent)
        for row, latent in enumerate(measured)
        if latent.dimension is not None or not control.dead[row]
    ]
    found.sort(key=lambda each: each[0])
    before: Counter[str] = Counter()  # of each name, "less" or not
    place = []
    for (kind, muddled, _), latent in found:
        factor = latent.name.removeprefix("less ")
        place.append((kind, before[factor], muddled))
        before[factor] += 1
    ranked: list[Latent] = []
    for rank, i in enumerate(sorted(range(len(found)), key=place.__getitem__), 1):
        latent = found[i][1]
        taken = {each.name for each in ranked}
        said = latents.sayable(latent.name)
        several = (said, *(f"{said} {n}" for n in range(2, len(found) + 1)))
        name = next(each for each in several if each not in taken)
        ranked.append(replace(latent, name=name, rank=rank))
    return ranked


def _entry(control: Control, row: int, latent: Latent) -> tuple[tuple[int, bool, float], Latent]:
    """Its place, by kind, by whether it is muddled and by effect; and it with name and interval."""
    factor = control.factor[row]
    correlation, low_high = control.validation[row, factor], control.interval[row].tolist()
    if control.dead[row]:
        return (3, False, 0.0), replace(
            latent, name=f"dead {latent.dimension}", interval=latents.USUAL, mask=None
        )
    latent = replace(latent, interval=(low_high[0], low_high[1]))
    if latent.dimension is None:
        # Those that were asked for keep their order: that of variance, or of the names.
        return (2, False, 0.0), latent
    moved = control.validation_moved[row]
    own, other = abs(correlation), abs(correlation) - control.validation_margin[row]
    if own < NAMED or own <= other:
        return (1, False, -moved.max()), latent
    less = "less " if correlation < 0 else ""
    latent = replace(latent, name=less + control.names[factor])
    return (0, not control.alone[row], -moved[factor]), latent


def _direction(name: str, vector: np.ndarray, rank: int) -> Latent:
    return Latent(name, vector / np.linalg.norm(vector), latents.USUAL, rank)


def _correlations(readings: np.ndarray, resolution: np.ndarray) -> np.ndarray:
    # One latent at a time: each makes V numbers of every reading.
    return np.stack([rank_correlation(each, resolution).mean(axis=0) for each in readings])


def check_enough(pictures: int, values: int) -> None:
    """That what is called after a factor cannot be chance."""
    enough = (CHANCE / NAMED) ** 2
    if pictures * (values - 1) < enough:
        raise ValueError(
            f"{pictures} validation pictures at {values} values are too few to tell control from"
            f" chance; give {math.ceil(enough / (values - 1))} pictures or more."
        )


def _finite(x: ArrayLike, name: str) -> np.ndarray:
    array = np.asarray(x, np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has numbers that are not finite; leave those pictures out.")
    return array


def _check(
    validation: np.ndarray,
    test: np.ndarray,
    values: np.ndarray,
    resolution: np.ndarray,
    spread: np.ndarray,
    names: Sequence[str],
) -> None:
    shape, other = validation.shape, test.shape
    if (
        len(shape) != 4
        or 0 in shape
        or other[:1] + other[2:] != shape[:1] + shape[2:]
        or not other[1]
    ):
        raise ValueError(
            f"readings have shapes {shape} and {other}; give (L, N, V, F) twice, of the same"
            " latents, values and factors."
        )
    if values.shape != shape[2:3] or len(values) < 2 or not (np.diff(values) > 0).all():
        raise ValueError(
            f"values is {values.tolist()}; give the {shape[2]} values that the latents were set to,"
            " two or more in rising order."
        )
    check_enough(shape[1], shape[2])
    if not len(names) == len(resolution) == len(spread) == shape[3] or not (spread > 0).all():
        raise ValueError(
            f"there are {len(names)} names, {len(resolution)} resolutions and {len(spread)} spreads"
            f" for {shape[3]} factors; give one each, with spreads above 0."
        )
