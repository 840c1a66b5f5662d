"""How much z decides where it is not inferred: z ~ N(0, 3I), as in Figure 8.

Diversity then tells of control. Trained in one stage there may also be noise at the hole's lower
right corner: how rough its last quarter is over its first one, and that over the same of the real
image. The paper sees none where z is inferred.
"""

import numpy as np

from csi_tf import logs
from csi_tf.evaluation import pictures
from csi_tf.evaluation.report import Report
from csi_tf.evaluation.subject import Subject
from csi_tf.inpaint import inpaint

VARIANCE = 3.0


def measure(subject: Subject, report: Report) -> None:
    images, count = subject.pictures, len(subject.pictures)
    for name in subject.settings.mask_names:
        mask = subject.context_mask(name, count)
        with logs.reports(f"{name}, z of variance {VARIANCE:g}") as tell:
            drawn = inpaint(
                subject.model,
                images,
                mask,
                subject.settings.num_samples,
                z=VARIANCE,
                seed=subject.seed("wide_z"),
                batch=subject.settings.batch,
                progress=tell,
            ).images
        key = f"wide_z/{name}"
        report.add(f"{key}/diversity", pictures.diversity(images, drawn, mask), keep=True)
        inferred = subject.completions(name).images
        for measured, filled in (("corner_noise", drawn), ("corner_noise_inferred", inferred)):
            steps = corner_steps(images, filled, mask)
            if len(steps):
                report.add(f"{key}/{measured}", steps, corner_noise, better="lower")


def corner_steps(images: np.ndarray, completions: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(N, 4) mean steps in the last and the first quarter of the completions, and of the image.

    Without images whose hole is too small to have quarters.
    """
    rows = []
    for image, samples, context in zip(images, completions, mask, strict=True):
        top, left = (int(x.min()) for x in np.nonzero(context[..., 0] == 0))
        bottom, right = (int(x.max()) + 1 for x in np.nonzero(context[..., 0] == 0))
        middle, centre = (top + bottom) // 2, (left + right) // 2
        last = np.s_[..., middle:bottom, centre:right, :]
        first = np.s_[..., top:middle, left:centre, :]
        if min(middle - top, centre - left) >= 2:
            rows.append([_rough(x[part]) for x in (samples, image) for part in (last, first)])
    return np.array(rows)


def corner_noise(steps: np.ndarray) -> float:
    last, first, real_last, real_first = steps.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.divide(last, first) / np.divide(real_last, real_first))


def _rough(pictures: np.ndarray) -> float:
    """Mean absolute difference of neighbouring pixels."""
    x = pictures.astype(np.float64)
    return float(np.abs(np.diff(x, axis=-3)).mean() + np.abs(np.diff(x, axis=-2)).mean())
