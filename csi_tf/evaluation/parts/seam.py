"""Does the edge of the hole show? Of samples as they are usually drawn, and without truncation."""

from collections.abc import Callable

import numpy as np

from csi_tf.evaluation import seam
from csi_tf.evaluation.report import Report
from csi_tf.evaluation.subject import Subject


def measure(subject: Subject, report: Report) -> None:
    for name, truncation in {"1": 1.0, "none": None}.items():
        rows = {mask: _steps(subject, mask, truncation) for mask in subject.settings.mask_names}
        for mask, steps in rows.items():
            if not np.isnan(seam.ratio(steps)[-1]):  # else the hole has no side
                report.add(f"seam/{mask}/{name}", steps, _ratio(-1))
        steps = np.sum([*rows.values()], axis=0)
        sides = dict(zip((*seam.SIDES, "all"), seam.ratio(steps), strict=True))
        for i, (side, ratio) in enumerate(sides.items()):
            if not np.isnan(ratio):  # else no hole has that side
                report.add(f"seam/{name}/{side}", steps, _ratio(i))
        if not np.isnan(sides["all"]):
            report.add(f"seam/{name}/steps", steps, _ratio(-1), keep=True)


def _ratio(side: int) -> Callable[[np.ndarray], float]:
    return lambda steps: float(seam.ratio(steps)[side])


def _steps(subject: Subject, mask: str, truncation: float | None) -> np.ndarray:
    """(N, 4, 4)"""
    drawn = subject.completions(mask, truncation).images
    return seam.steps(subject.pictures, drawn, subject.context_mask(mask, len(drawn)))
