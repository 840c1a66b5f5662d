"""What z says, how it is spread, which factors it holds, and whether it tells where the hole is.

As in training, z is inferred from images with holes, but for what is said of factors, which is of
whole images: what is not seen cannot be told.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from csi_tf import latent_statistics, logs, noise
from csi_tf.data import procedural_faces
from csi_tf.evaluation import bootstrap, disentanglement
from csi_tf.evaluation.encoding import BATCH, Codes, encode
from csi_tf.evaluation.report import Report
from csi_tf.evaluation.subject import Subject
from csi_tf.settings import FEWEST

GROUPS, GROUP = 200, 32  # of the FactorVAE score; Kim and Mnih take more, of a rendered data set
# Of MIG, SAP and DCI; each part is left out once.
PARTS = 10
FOR_MIG = 400  # 20 bins each of two variables


def measure(subject: Subject, report: Report) -> None:
    images = subject.test.images[: subject.settings.encoded_images]
    mask = subject.context_mask(subject.config.masks.mask, len(images))
    codes = encode(subject.model, images, mask, subject.seed("latents"))
    _statistics(subject, report, codes)
    _spread(report, codes)
    _mask_probe(report, codes.z, mask)
    if subject.test.factors is not None:
        _disentanglement(subject, report)


def _statistics(subject: Subject, report: Report, codes: Codes) -> None:
    """Of batches, as in training: MI, TC and PD depend on how many images are compared."""
    draws = noise.normals(0, "noise/validation prior", np.arange(len(codes.z)), codes.z.shape[1])
    rows: dict[str, list[float]] = {}
    # Of fewer images than a batch, there is one of them all.
    for start in range(0, max(len(codes.z) - BATCH, 0) + 1, BATCH):
        part = slice(start, start + BATCH)
        mean, logvar, z = (each[part] for each in codes)
        found = latent_statistics.diagnostics(mean, logvar, z, draws[part], subject.train_count)
        for name in ("mi", "tc", "pd", "kl", "mmd", "mmd_floor"):
            rows.setdefault(name, []).append(float(np.asarray(found[name])))
    # Eq. (5) cannot see more; what there is beyond is counted as total correlation.
    report.add_number("latents/mi_ceiling", math.log(subject.train_count), unit="nats")
    above = np.subtract(rows["mmd"], rows.pop("mmd_floor"))
    rows["mmd_above_floor"] = above.tolist()
    for name, values in rows.items():
        unit = "" if name.startswith("mmd") else "nats"
        if len(values) < FEWEST:  # batches
            report.add_number(f"latents/{name}", float(np.mean(values)), unit=unit)
        else:
            report.add(f"latents/{name}", values, unit=unit, images=BATCH * len(values))


def _spread(report: Report, codes: Codes) -> None:
    active = np.asarray(latent_statistics.active_units(codes.mean))
    report.add_number("latents/active_units", int(active.sum()))
    rows = np.stack([codes.mean, np.exp(codes.logvar)], axis=1)  # (N, 2, D)

    def std(rows: np.ndarray) -> np.ndarray:
        """Of the aggregate posterior, by the law of total variance."""
        return np.asarray(np.sqrt(rows[:, 0].var(0) + rows[:, 1].mean(0)))

    report.add("latents/aggregate_std_mean", rows, lambda r: std(r).mean())
    # Resampling widens the extremes of several numbers: no interval would hold them.
    report.add_number("latents/aggregate_std_min", float(std(rows).min()))
    report.add_number("latents/aggregate_std_max", float(std(rows).max()))
    for dimension in range(codes.mean.shape[1]):
        column = rows[..., dimension : dimension + 1]
        report.add(f"latents/aggregate_std/{dimension}", column, lambda r: std(r)[0])


def _mask_probe(report: Report, z: np.ndarray, mask: np.ndarray) -> None:
    """How well height, width and middle of the hole are read from z.

    Nothing to read where all holes are in one place, or from few images.
    """
    place = _places(mask)
    if (place.std(0) == 0).any() or len(z) // 2 < FEWEST:
        return
    errors, spread = _regressed(z, place)
    rows = np.column_stack([errors.sum(1), spread.sum(1)])
    report.add("latents/mask_probe", rows, bootstrap.r_squared, keep=True)


def _regressed(z: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared errors of a linear regression on z and of the mean, (N - N // 2, F) each.

    Fitted to the first half of the images, judged on the others.
    """
    half = len(z) // 2
    inputs = np.column_stack([z, np.ones(len(z))])
    weights = np.linalg.lstsq(inputs[:half], truth[:half], rcond=None)[0]
    errors = np.square(inputs[half:] @ weights - truth[half:])
    return errors, np.square(truth[half:] - truth[:half].mean(0))


def _told(report: Report, mean: np.ndarray, factors: np.ndarray, names: Sequence[str]) -> None:
    """How well each factor is read from posterior means: what is not in z, z cannot steer."""
    if len(mean) // 2 < FEWEST:
        return
    told = np.stack(_regressed(mean, factors), axis=-1)  # (N, F, 2)
    for factor, name in enumerate(names):
        if np.ptp(factors[:, factor]) > 0:  # sums of squares of a constant are seldom 0
            report.add(
                f"latents/told/{name}", told[:, factor], bootstrap.r_squared, better="higher"
            )


def _places(mask: np.ndarray) -> np.ndarray:
    """(N, 4) mean and standard deviation of the hole's rows and columns, each standardised."""
    hole = mask[..., 0] == 0
    found = []
    for axis in (1, 2):
        at = np.arange(hole.shape[axis])
        weight = hole.sum(3 - axis) / hole.sum((1, 2))[:, None]
        middle = weight @ at
        found += [middle, np.sqrt(np.maximum(weight @ at**2 - middle**2, 0))]
    place = np.stack(found, axis=1)
    spread = place.std(0)
    return np.asarray((place - place.mean(0)) / np.where(spread > 0, spread, 1))


def _disentanglement(subject: Subject, report: Report) -> None:
    count = subject.settings.encoded_images
    images, factors = subject.test.images[:count], subject.test.factors[:count]  # type: ignore[index]
    codes = encode(subject.model, images, 1.0, subject.seed("disentanglement"))
    names = subject.test.factor_names
    _told(report, codes.mean, factors, names)
    z = codes.z
    if subject.dataset == "procedural_faces":
        report.add_number("latents/factor_vae", _factor_vae(subject, z), better="higher")
    # First all images, then without a part each
    subsets = [np.flatnonzero(np.arange(len(z)) % PARTS != i) for i in range(-1, PARTS)]
    known = _varying(factors, subsets)
    if not known.all():
        rare = ", ".join(name for name, kept in zip(names, known, strict=True) if not kept)
        logs.say(f"MIG, SAP and DCI are without {rare}: (almost) the same in all images")
    if known.sum() < 2:  # of one there is nothing to disentangle
        return
    scores: dict[str, list[float]] = {}
    enough = len(z) - math.ceil(len(z) / PARTS) >= FOR_MIG
    with logs.reports("disentanglement", unit="fits") as tell:
        for done, kept in enumerate(subsets, 1):
            for name, value in _scores(z[kept], factors[kept][:, known], enough).items():
                scores.setdefault(name, []).append(value)
            tell(done, len(subsets))
    for name, (whole, *partial) in scores.items():
        interval = bootstrap.jackknife(whole, partial)
        report.add_interval(f"latents/{name}", interval, images=len(z), better="higher")


def _varying(factors: np.ndarray, subsets: Sequence[np.ndarray]) -> np.ndarray:
    """(F,) whether each takes several values in both halves, which DCI needs, of every subset."""
    halves = [part for rows in subsets for part in (rows[: len(rows) // 2], rows[len(rows) // 2 :])]
    return np.all([np.ptp(factors[rows], axis=0) > 0 for rows in halves], axis=0)


def _scores(z: np.ndarray, factors: np.ndarray, mig: bool) -> dict[str, float]:
    found = {"sap": disentanglement.sap(z, factors).score}
    if mig:
        found["mig"] = disentanglement.mig(z, factors).score
    half = len(z) // 2
    dci = disentanglement.dci(z[:half], factors[:half], z[half:], factors[half:], trees=30)
    return found | {
        "dci_disentanglement": dci.disentanglement,
        "dci_completeness": dci.completeness,
        "dci_informativeness": dci.informativeness,
    }


def _factor_vae(subject: Subject, z: np.ndarray) -> float:
    seed: Any = subject.seed("factor_vae")
    count = min(GROUPS, max(len(z) // 5, 2))  # few where few images were asked for
    factors = procedural_faces.sample_factors(count * GROUP, seed)
    groups, held = disentanglement.hold_one(factors, GROUP, seed)
    flat = groups.reshape(-1, groups.shape[-1])
    codes = np.concatenate(
        [
            encode(subject.model, procedural_faces.render(part, subject.model.size), 1.0, seed).z
            for part in np.array_split(flat, 10)
        ]
    )
    return disentanglement.factor_vae(codes.reshape(count, GROUP, -1), held, z.std(0))
