"""Axes of z by how far they change the pixels of holes: all that can be said of latents where
nothing is known of the pictures that could be read from them."""

from collections.abc import Sequence

import numpy as np

from csi_tf import latents, logs
from csi_tf.evaluation import control, steering
from csi_tf.evaluation.encoding import encode
from csi_tf.evaluation.report import Report
from csi_tf.evaluation.subject import Subject

JUDGES = 8  # validation pictures


def measure(subject: Subject, report: Report, holes: Sequence[str]) -> None:
    """latents.json with the axes by number, those that change most first and dead ones last."""
    changed = np.stack([_levels(subject, hole) for hole in holes])  # (holes, D)
    dead: np.ndarray = (steering.codes(subject)[0] == 0).all(axis=0)
    best, most = changed.argmax(axis=0), changed.max(axis=0)
    axes = control.axes(changed.shape[1])
    order = np.lexsort((-most, dead))
    subject.entries = [
        latents.Latent(
            axes[i].name.replace("latent", "dead") if dead[i] else axes[i].name,
            axes[i].direction,
            axes[i].interval,
            rank,
            i,
            None if dead[i] else holes[best[i]],
        )
        for rank, i in enumerate(order.tolist(), 1)
    ]
    report.about["latents"] = [
        {"name": each.name, "kind": "axis", "dimension": i, "dead": bool(dead[i])}
        | ({} if dead[i] else {"mask": each.mask, "levels": round(float(most[i]), 2)})
        for each, i in zip(subject.entries, order.tolist(), strict=True)
    ]


def _levels(subject: Subject, hole: str) -> np.ndarray:
    """(D,) mean change of the hole's pixels between an axis at one end and at the other."""
    mask = subject.context_mask(hole, 1)
    inside = mask[0, ..., 0] == 0
    images = subject.validation.images[:JUDGES]
    seed, batch = subject.seed("control"), subject.settings.batch
    means = encode(subject.model, images, mask, seed).mean
    found = []
    with logs.reports(f"{hole}, latents moved", unit="pictures") as report:
        for done, (image, mean) in enumerate(zip(images, means, strict=True), 1):
            axis = np.arange(len(mean))
            z = np.tile(mean, (len(latents.USUAL), len(mean), 1))
            z[:, axis, axis] = np.array(latents.USUAL)[:, None]
            flat = z.reshape(-1, len(mean))
            drawn = steering.completions(subject.model, image[None], mask, flat, seed, batch)
            low, high = drawn.reshape(*z.shape[:2], *image.shape).astype(np.float32)
            found.append(np.abs(high - low)[:, inside].mean(axis=(1, 2)))
            report(done, len(images))
    return np.mean(found, axis=0)
