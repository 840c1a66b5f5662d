"""What fills without a network make of the same pictures and holes, by the same measures, and the
seam for each mask.

The linear Gaussian has as many samples as the model, and as `linear_gaussian_mean` the mean of what
they are drawn from. It is given holes that all pictures share: each other takes it seconds.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from csi_tf import logs
from csi_tf.evaluation import baselines, seam
from csi_tf.evaluation.baselines import LinearGaussian
from csi_tf.evaluation.parts import pictures
from csi_tf.evaluation.report import Report
from csi_tf.evaluation.subject import Subject

Fill = Callable[[np.ndarray, np.ndarray], np.ndarray]  # images and masks to completions


def measure(subject: Subject, report: Report) -> None:
    images, names = subject.pictures, subject.settings.mask_names
    judging = pictures.judge(subject, report)
    with logs.reports("baselines", unit="masks") as tell:
        gaussian = _fitted(subject.trained_on)
        for done, mask in enumerate(names, 1):
            hole = subject.context_mask(mask, len(images))
            shared = bool((hole == hole[0]).all())
            for name, fill in _fills(subject, gaussian if shared else None).items():
                try:
                    drawn = fill(images, hole)
                except ValueError as error:  # too large a hole
                    logs.say(f"{name}/{mask} is left out: {error}")
                    continue
                where = f"baselines/{name}/{mask}"
                pictures.add(report, where, judging, (images, drawn, hole))
                _add_seam(report, where, seam.steps(images, drawn, hole))
            if gaussian and shared:
                key = f"baselines/linear_gaussian/{mask}/bits_per_dim"
                bits = gaussian.bits_per_dim(images, hole)
                report.add(key, bits, unit="bits/dim", better="lower", keep=True)
            tell(done, len(names))


def _add_seam(report: Report, where: str, steps: np.ndarray) -> None:
    if not np.isnan(seam.ratio(steps)[-1]):  # else the hole has no side
        report.add(f"{where}/seam", steps, lambda rows: seam.ratio(rows)[-1])


def _fitted(train: np.ndarray) -> LinearGaussian | None:
    try:
        return LinearGaussian.fit(train)
    except ValueError as error:  # large images, or few
        logs.say(f"linear_gaussian is left out: {error}")
        return None


def _fills(subject: Subject, gaussian: LinearGaussian | None) -> dict[str, Fill]:
    train = subject.trained_on
    fills: dict[str, Fill] = {
        "mean_fill": partial(baselines.mean_fill, train=train),
        "nearest_face": partial(baselines.nearest_face, train=train),
        "biharmonic": baselines.biharmonic,
    }
    if gaussian:
        samples, seed = subject.settings.num_samples, subject.seed("linear_gaussian")
        fills |= {
            "linear_gaussian_mean": gaussian.fill,
            "linear_gaussian": partial(gaussian.sample, num_samples=samples, seed=seed),
        }
    return fills
