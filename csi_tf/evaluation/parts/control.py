"""Which latents steer what is completed: axes of z as in the paper, and directions apart.

Under each box a reader of factors or attributes looks at the completed hole. Laws of random holes
have no place of their own to read from. What the latents hold nothing of they are not said to
steer, whatever a reader sees: it is linear, and may take a darker skin for a longer nose.

Where neither factors nor attributes are known there is nothing to read, and nothing is measured:
the axes are ranked by how far they change pixels.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from csi_tf import latents, logs, masks
from csi_tf.data import procedural_faces
from csi_tf.evaluation import control, ranking, steering
from csi_tf.evaluation.control import Control
from csi_tf.evaluation.regressors import Illegible, Reader
from csi_tf.evaluation.report import Report
from csi_tf.evaluation.steering import Traversal
from csi_tf.evaluation.subject import Subject
from csi_tf.latents import Latent

LOCAL = ("eyes", "mouth", "nose")
LARGE = ("bottom_half", "bottom_quarter")  # of Figure 7
BEST = 6  # latents that a hole is judged by
MOVED_TOGETHER = 3  # as in Figure 4
FEW = 3  # of fewer latents, how many act in one direction only says nothing


def measure(subject: Subject, report: Report) -> None:
    settings = subject.settings
    if subject.test.factors is None and subject.test.attributes is None:
        logs.say("nothing is known of the pictures: latents are ranked by how far they move pixels")
        ranking.measure(subject, report, _boxes(subject) or LARGE)
        return
    pictures = min(settings.control_images, len(subject.validation.images))
    control.check_enough(pictures, settings.control_values)
    readers = _readers(subject, report)
    axes = control.axes(subject.model.config.latent_dim)
    legible = dict.fromkeys(name for reader in readers.values() for name in reader.names)
    mean, z = steering.codes(subject)
    told = steering.regressions(subject, list(legible), mean)
    known = {name for _, name, _ in told}
    measured = axes + steering.directions(z, told)
    fitted = {latent.name: name for latent, name, _ in told}
    meant = [fitted.get(each.name) for each in measured]
    values = np.linspace(*latents.USUAL, settings.control_values)
    found = {
        hole: steering.traverse(subject, hole, reader, measured, values, known)
        for hole, reader in readers.items()
    }
    # Those that were asked for say what a latent is for; the others are there to be compared.
    wanted = {hole: found[hole] for hole in _boxes(subject) if hole in found} or found
    for hole, traversal in found.items():
        _hole(report, f"control/{hole}", traversal, len(axes))
    _global(subject, report, found, len(axes))
    if "mouth" in found:
        _additivity(subject, report, found["mouth"], len(axes))
    _latents(subject, report, wanted, measured, meant)


def _boxes(subject: Subject) -> list[str]:
    names = [masks.parse(name).components[0].name for name in subject.settings.mask_names]
    return [name for name in names if name in masks.NAMES and name != "none"]


def _readers(subject: Subject, report: Report) -> dict[str, Reader]:
    """Of the boxes where something can be read, those of Figure 7 among them.

    What cannot be read under a hole is written down: nothing can be said to steer it there.
    """
    holes = list(dict.fromkeys([*_boxes(subject), *LARGE]))
    names = steering.labels(subject.train)[1]
    readers, problems = {}, []
    report.about["unread"] = unread = dict[str, list[str]]()
    with logs.progress(len(holes), description="Readers", unit="holes") as bar:
        for hole in holes:
            try:
                readers[hole] = steering.reader(subject, subject.context_mask(hole, 1)[0])
            except Illegible as problem:
                problems.append(f"under {hole}, {problem}")
                logs.say(f"too little can be read under {hole}, which control leaves out")
                unread[hole] = [*names]
            else:
                unread[hole] = [name for name in names if name not in readers[hole].names]
                if unread[hole]:
                    logs.say(
                        f"under {hole}, nothing is said of what cannot be read there:"
                        f" {', '.join(unread[hole])}"
                    )
            bar.advance()
    if not readers:
        raise ValueError(
            "no hole shows what control could be read by; raise --train_images, or give larger"
            f" --masks: {problems[0]}"
        )
    return readers


def _hole(report: Report, key: str, found: Traversal, axes: int) -> None:
    """Of the best axes under one hole, picked on validation pictures."""
    best = found.best(BEST, axes)
    factor = found.control.factor[best]
    pairs = list(zip(best, factor, strict=True))
    follows = np.mean([found.correlations(*pair) for pair in pairs], axis=0)
    report.add(f"{key}/correlation", follows, better="higher", keep=True)
    # Of validation and of test pictures, (N, best, F)
    both = zip(*(found.changes(*pair) for pair in pairs), strict=True)
    seen, changes = (np.stack(each, axis=1) for each in both)
    own = np.take_along_axis(changes, factor[None, :, None], axis=2)
    report.add(f"{key}/effect", own.mean(axis=(1, 2)), unit="sd", better="higher", keep=True)
    alive = ~found.control.dead[best]
    if not alive.any():
        return
    factor, seen, changes = factor[alive], seen[:, alive], changes[:, alive]
    least = found.reader.resolution / found.reader.spread

    def moved(rows: np.ndarray) -> np.ndarray:
        return np.asarray(np.sqrt(np.square(rows).mean(axis=0)))

    # Settled on validation pictures: the most of several numbers grows with every resampling.
    stray = control.strays(moved(seen), ~found.reader.related[factor], least)

    def outside(rows: np.ndarray) -> Any:
        return np.nanmean(control.ratio(moved(rows), factor, stray))

    report.add(f"{key}/outside", changes, outside, better="lower")


def _global(subject: Subject, report: Report, found: dict[str, Traversal], axes: int) -> None:
    """What one and the same move does to each global factor under Figure 7's holes.

    Factors are those read under both, so what can be read makes no difference. Axis, direction and
    interval are those best under the larger hole: it is there that such a latent acts, and whether
    it fades under the smaller one must be no part of the choice.
    """
    large = {hole: found[hole] for hole in LARGE if hole in found}
    if LARGE[0] not in large:
        return
    whole = large[LARGE[0]]
    shared = set.intersection(
        *(set(each.reader.names) for each in large.values()), _everywhere(subject)
    )
    rows: dict[str, list[np.ndarray]] = {hole: [] for hole in large if shared}
    for name in sorted(shared):
        columns = {hole: each.reader.names.index(name) for hole, each in large.items()}
        factor = columns[LARGE[0]]
        responses = whole.validation[:axes, :, :, factor].mean(axis=1)
        follows = np.abs(whole.control.validation[:axes, factor]).round(2)
        axis = int(np.lexsort((np.ptp(responses, axis=1), follows))[-1])
        sign, response = whole.sign(axis, factor), responses[axis]
        first, last = control.useful(sign * response, whole.values)
        for hole, f in columns.items():
            at = large[hole].test[axis, :, :, f] / large[hole].reader.spread[f]
            rows[hole].append(sign * (at[:, last] - at[:, first]))
    for hole, each in rows.items():
        effect = np.mean(each, axis=0)
        report.add(f"control/global/{hole}/effect", effect, unit="sd", better="higher", keep=True)


def _everywhere(subject: Subject) -> set[str]:
    """Global factors: those of the whole face or picture, which both of its halves show."""
    if subject.dataset == "procedural_faces":
        return {each.name for each in procedural_faces.FACTORS if _takes_both_halves(each.region)}
    try:
        return set(steering.reader(subject, subject.context_mask("top_half", 1)[0]).names)
    except Illegible:
        return set()


def _takes_both_halves(region: tuple[int, int, int, int]) -> bool:
    """A quarter of each. Glasses, which come next, take a sixth of the upper one."""
    top, bottom, left, right = region
    shown = np.zeros((32, 32))
    shown[top:bottom, left:right] = 1
    return bool(shown[:16].mean() >= 0.25 and shown[16:].mean() >= 0.25)


def _additivity(subject: Subject, report: Report, mouth: Traversal, axes: int) -> None:
    """The best axes of the mouth moved to an end of their intervals, one by one and together."""
    best = [i for i in mouth.best(MOVED_TOGETHER, axes) if not mouth.control.dead[i]]
    if len(best) < MOVED_TOGETHER:
        return
    ends = mouth.control.interval[best]
    # The end that is farther away: one that acts in one direction only has its other end near 0.
    far = ends[np.arange(len(best)), np.abs(ends).argmax(axis=1)]

    def ways(mean: np.ndarray) -> np.ndarray:
        """As inferred, each alone, all together."""
        z = np.tile(mean, (len(best) + 2, 1))
        z[np.arange(len(best)) + 1, best] = far
        z[-1, best] = far
        return z

    images = subject.test.images[: subject.settings.control_images]
    what = "mouth, latents moved together"
    rows = steering.readings(subject, images, "mouth", mouth.reader, ways, what)  # (N, K, F)

    def statistic(rows: np.ndarray) -> float:
        alone = np.moveaxis(rows[:, 1:-1], 1, 0)
        return control.additivity(rows[:, 0], alone, rows[:, -1], mouth.reader.spread)

    report.add("control/additivity", rows, statistic, better="higher")


def _latents(
    subject: Subject,
    report: Report,
    found: dict[str, Traversal],
    measured: list[Latent],
    meant: list[str | None],
) -> None:
    """Counts, the entries of latents.json, and a table of every latent under its best hole."""
    merged, holes = steering.joined(found, meant)
    is_axis = np.array([each.dimension is not None for each in measured])
    one_sided = np.array([found[hole].one_sided(row) for row, hole in enumerate(holes)])
    axes, directions = merged.steers & is_axis, merged.steers & ~is_axis
    counts = {
        "axes/count": axes.sum(),
        "axes/factors": merged.factors(axes),
        "directions/count": directions.sum(),
        "factors": merged.factors(merged.steers),
    }
    if axes.sum() >= FEW:
        counts["one_sided"] = (axes & one_sided).sum()
    if local := {hole: each for hole, each in found.items() if hole in LOCAL}:
        inside = steering.joined(local, meant)[0]
        everywhere = [inside.names.index(name) for name in _everywhere(subject) & {*inside.names}]
        own = inside.steers & ~np.isin(inside.factor, everywhere)
        counts["axes/local_factors"] = inside.factors(own & is_axis)
        counts["local_factors"] = inside.factors(own)
    for name, count in counts.items():
        report.add_number(f"control/{name}", int(count))
    shown = [replace(each, mask=hole) for each, hole in zip(measured, holes, strict=True)]
    subject.entries = control.entries(merged, shown)
    named = {each.dimension: each.name for each in subject.entries}
    report.about["latents"] = [
        {"name": named[each.dimension] if is_axis[row] else each.name}
        | {"kind": "axis" if is_axis[row] else "direction", "dimension": each.dimension}
        | _said(merged, row, holes[row], bool(one_sided[row]))
        for row, each in enumerate(measured)
    ]


def _said(merged: Control, row: int, hole: str, one_sided: bool) -> dict[str, Any]:
    """Of the dead, nothing but that they are."""
    if merged.dead[row]:
        return {"dead": True}
    factor = merged.factor[row]
    numbers = {
        "correlation": merged.correlation[row, factor],
        "next": merged.next_best[row],
        "margin": merged.margin[row],
        "effect": merged.effect[row, factor],
        "outside": merged.outside[row],
    }
    return {
        "dead": False,
        "mask": hole,
        "factor": merged.names[factor],
        "interval": merged.interval[row].tolist(),
        "one_sided": one_sided,
        "steers": bool(merged.steers[row]),
    } | {name: round(float(number), 4) for name, number in numbers.items()}
