"""Whole images drawn anew from their latents: how like them they are, and how sharp."""

import numpy as np

from csi_tf import logs
from csi_tf.evaluation import pictures, steering
from csi_tf.evaluation.regressors import Illegible
from csi_tf.evaluation.report import Report
from csi_tf.evaluation.subject import Subject
from csi_tf.inpaint import reconstruct


def measure(subject: Subject, report: Report) -> None:
    images = subject.pictures
    with logs.reports("reconstructions") as tell:
        drawn = reconstruct(
            subject.model,
            images,
            seed=subject.seed("reconstruction"),
            progress=tell,
            batch=subject.settings.batch,
        ).images
    everything = np.zeros((*images.shape[1:3], 1), np.float32)
    found = pictures.psnr(images, drawn, everything).first
    report.add("reconstruction/psnr_first", found, unit="dB", better="higher", keep=True)
    sharpness = _gradients(drawn[:, 0]) / _gradients(images)
    report.add("reconstruction/sharpness", sharpness, keep=True)
    _read(subject, report, drawn[:, 0])


def _gradients(images: np.ndarray) -> np.ndarray:
    """(N,) mean absolute difference of neighbouring pixels: noise has more, a blur less."""
    x = images.astype(np.float64)
    down, right = np.abs(np.diff(x, axis=1)), np.abs(np.diff(x, axis=2))
    return (down.mean((1, 2, 3)) + right.mean((1, 2, 3))) / 2


def _read(subject: Subject, report: Report, drawn: np.ndarray) -> None:
    """How much of what can be read of an image can still be read of its reconstruction.

    One minus the mean squared change of a reading in parts of its variance, over all readings.
    """
    if subject.train.factors is None and subject.train.attributes is None:
        return
    try:
        reader = steering.reader(subject)
    except Illegible as problem:
        logs.say(f"reconstruction/read is left out: {problem}")
        return
    before, after = reader(subject.pictures), reader(drawn)
    change = np.square((after - before) / before.std(0)).mean(1)
    report.add("reconstruction/read", 1 - change, better="higher", keep=True)
