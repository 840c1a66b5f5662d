"""Are samples spread as the truth is, are they copies, and is a latent that was set found again?

The first two of samples without truncation, which are the model's own.
"""

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

from csi_tf import logs, masks
from csi_tf.drawing import Progress
from csi_tf.evaluation import calibration
from csi_tf.evaluation.encoding import encode
from csi_tf.evaluation.report import Report
from csi_tf.evaluation.subject import Subject
from csi_tf.inpaint import inpaint

LATENTS = 4
VALUES = (-2.0, 2.0)
HOLE = "bottom_half"  # what was set shows in the hole, so that is a large one


def measure(subject: Subject, report: Report) -> None:
    _samples(subject, report)
    if subject.has_latents:
        _latents(subject, report)


def _samples(subject: Subject, report: Report) -> None:
    # First of all, as they show a bar of their own
    drawn = {mask: subject.completions(mask, None) for mask in subject.settings.mask_names}
    covered, distances = [], []
    with logs.reports("calibration", unit="masks") as tell:
        for done, (mask, completions) in enumerate(drawn.items(), 1):
            images, hole = subject.pictures, subject.context_mask(mask, len(subject.pictures))
            case = images, completions.images, hole
            found = calibration.coverage(*case)
            covered.append(found.per_image)
            distances.append(calibration.training_distances(*case, subject.trained_on))
            tell(done, len(drawn))
    report.add("calibration/coverage", np.mean(covered, axis=0), keep=True)
    report.add_number("calibration/nominal", found.nominal)
    report.add("calibration/nearest_ratio", np.mean(distances, axis=0), calibration.distance_ratio)


def _latents(subject: Subject, report: Report) -> None:
    seed, model = subject.seed("z_returned"), subject.model
    images = subject.test.images[: subject.settings.control_images]

    def means(pictures: np.ndarray) -> np.ndarray:
        return encode(model, pictures, masks.named("none", model.size), seed).mean

    def complete(latent: int, value: float) -> np.ndarray:
        mask = masks.named(HOLE, model.size)
        batch = subject.settings.batch
        made = inpaint(model, images, mask, latents={latent: value}, seed=seed, batch=batch)
        return made.images[:, 0]

    spread = means(subject.validation.images).var(0)
    most_active = np.argsort(-spread, kind="stable")[:LATENTS].tolist()
    with logs.reports("latents set and inferred", unit="values") as tell:
        found = returned(complete, means, most_active, tell)
    key = "calibration/z_returned"
    report.add(key, found, lambda rows: line(rows)[0], better="higher", keep=True)
    report.add(f"{key}_slope", found, lambda rows: line(rows)[1])


def returned(
    complete: Callable[[int, float], np.ndarray],
    means: Callable[[np.ndarray], np.ndarray],
    latents: Sequence[int],
    tell: Progress = lambda done, total: None,
) -> np.ndarray:
    """(N, L, V): where a latent lies that was set to each of VALUES and inferred again."""
    found: list[np.ndarray] = []
    for latent, value in product(latents, VALUES):
        found.append(means(complete(latent, value))[:, latent])
        tell(len(found), len(latents) * len(VALUES))
    return np.stack(found, axis=1).reshape(-1, len(latents), len(VALUES))


def line(rows: np.ndarray) -> tuple[float, float]:
    """Correlation and slope of what was found against what was set; nothing moved: 0."""
    at, found = np.broadcast_to(VALUES, rows.shape), rows - rows.mean()
    slope = float((at * found).mean() / np.square(VALUES).mean())
    return (slope * at.std() / found.std() if found.std() > 0 else 0.0), slope
