"""How like the truth, and how like other faces, completions are; and what truncation does to that.

Real pictures, for KID and FID, are those of validation: no completion shares its context with one,
and the classifier behind the features was not trained on them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from csi_tf import logs
from csi_tf.evaluation import features, pictures
from csi_tf.evaluation.proxy import Features
from csi_tf.evaluation.report import Better, Report
from csi_tf.evaluation.subject import Subject

Case = tuple[np.ndarray, np.ndarray, np.ndarray]  # images, completions, masks

TRUNCATIONS = (1.0, 3.0, None)
SCORES = ("first", "mean", "best", "mean_picture")
_MEASURES: tuple[tuple[str, Callable[..., pictures.Scores], str, Better], ...] = (
    ("psnr", pictures.psnr, "dB", "higher"),
    ("ssim", pictures.ssim, "", "higher"),
    ("l1", pictures.l1, "levels", "lower"),
)


@dataclass(frozen=True, eq=False)
class Judge:
    """Compares features of completions with those of real pictures."""

    look: Features
    real: np.ndarray  # (R, D)

    def add_kid(self, report: Report, where: str, drawn: np.ndarray) -> None:
        """Of features (N, S, D) of S samples of N images."""
        rows = features.kid_by_image(self.real, drawn)
        report.add(f"{where}/{self.look.name}_kid", rows, better="lower", keep=True)

    def add_spread(self, report: Report, where: str, drawn: np.ndarray) -> None:
        """FID of all samples together, as one of each image is too few, and without an interval:
        images that come twice would add to its bias.
        """
        name = f"{where}/{self.look.name}"
        found = features.fid(self.real, drawn.reshape(-1, drawn.shape[-1]))
        report.add_number(f"{name}_fid", found, better="lower")
        report.add(f"{name}_diversity", pictures.feature_diversity(drawn), keep=True)


def judge(subject: Subject, report: Report) -> Judge | None:
    """None if there are no features to judge by."""
    look = subject.features
    if look is None:
        return None
    report.about["features"] = look.about
    return Judge(look, look(subject.validation.images))


def measure(subject: Subject, report: Report) -> None:
    names = subject.settings.mask_names
    for truncation in TRUNCATIONS:  # first of all, as they show bars of their own
        for mask in names:
            subject.completions(mask, truncation)
    judging = judge(subject, report)
    if judging:
        # What a perfect model would have
        judging.add_kid(report, "pictures/real", judging.look(subject.pictures[:, None]))
    total = len(names) + len(TRUNCATIONS)
    with logs.reports("pictures", unit="comparisons") as tell:
        for done, mask in enumerate(names, 1):
            add(report, f"pictures/{mask}", judging, _case(subject, mask, 1.0))
            tell(done, total)
        for done, truncation in enumerate(TRUNCATIONS, len(names) + 1):
            _truncated(subject, report, judging, truncation)
            tell(done, total)


def _case(subject: Subject, mask: str, truncation: float | None) -> Case:
    images = subject.pictures
    drawn = subject.completions(mask, truncation).images
    return images, drawn, subject.context_mask(mask, len(images))


def add(report: Report, where: str, judging: Judge | None, case: Case) -> None:
    """All measures of a case. A single sample is its own mean picture, and no best of several."""
    several = case[1].shape[1] > 1
    for name, function, unit, better in _MEASURES:
        found = function(*case)
        for which in SCORES if several else ("first", "mean_picture"):
            rows = getattr(found, which)
            report.add(f"{where}/{name}_{which}", rows, unit=unit, better=better, keep=True)
    if several:
        report.add(f"{where}/diversity", pictures.diversity(*case), unit="levels", keep=True)
    if judging:
        seen = judging.look(case[1])
        judging.add_kid(report, where, seen)
        if several:
            judging.add_spread(report, where, seen)


def _truncated(
    subject: Subject, report: Report, judging: Judge | None, truncation: float | None
) -> None:
    """Averages over masks."""
    where = f"truncation/{'none' if truncation is None else f'{truncation:g}'}"
    cases = [_case(subject, mask, truncation) for mask in subject.settings.mask_names]
    psnr = np.mean([pictures.psnr(*case).mean for case in cases], axis=0)
    report.add(f"{where}/psnr_mean", psnr, unit="dB", better="higher", keep=True)
    diversity = np.mean([pictures.diversity(*case) for case in cases], axis=0)
    report.add(f"{where}/diversity", diversity, unit="levels", keep=True)
    if judging:
        seen = [judging.look(drawn) for _, drawn, _ in cases]
        judging.add_kid(report, where, np.concatenate(seen, axis=1))
