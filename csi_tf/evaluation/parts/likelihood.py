"""Bits/dim of held-out holes, and for stage one of whole images; what a wrong z costs.

Bits/dim are averaged over images, each by the values of its own hole. A shuffled z is that of
another image: what is lost with it tells whether z is used, and is more than the right one says.
What is lost where the reverse net is told that nothing is observed is at most what it says of the
pixels below and to the right: in training it hardly ever saw such a hole, so some of the loss may
be its confusion.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from csi_tf import likelihood, logs
from csi_tf.evaluation.encoding import BATCH
from csi_tf.evaluation.report import Report
from csi_tf.evaluation.subject import Subject
from csi_tf.pixels import pm1

WHOLE = "whole"


def measure(subject: Subject, report: Report) -> None:
    names = [*subject.settings.mask_names]
    if subject.stage == "stage1":
        names.append(WHOLE)
    with logs.reports("likelihood", unit="masks") as tell:
        for done, name in enumerate(names, 1):
            _measure(subject, report, name)
            tell(done, len(names))


def _measure(subject: Subject, report: Report, name: str) -> None:
    images, whole = subject.pictures, name == WHOLE
    mask = subject.context_mask(subject.config.masks.mask if whole else name, len(images))
    scored = np.ones_like(mask) if whole else 1 - mask
    values = 3 * math.log(2) * scored.sum((1, 2, 3))
    # A whole image is scored by what the encoder was shown in training.
    everything = whole and subject.config.model.full_image_encoder
    shown = np.ones_like(mask) if everything else mask
    found = _nats(subject, images, mask, shown, scored)
    bits = -found.own / values
    given = "bits_per_dim" if whole else "given_z"
    key, unit = f"likelihood/{name}/", "bits/dim"
    report.add(key + given, bits[0], unit=unit, better="lower", keep=True)
    if subject.model.reverse is not None:
        heard = -found.unheard / values - bits[0]
        report.add(key + "bits_of_reverse", heard, unit=unit, better="higher", keep=True)
    if not subject.has_latents:
        return
    # Importance weights belong to log p(x); given the context q is part of the model.
    terms = found.own + (found.log_ratio if whole else 0.0)
    averaged = -likelihood.log_mean(terms) / values
    name = "importance" if whole else "averaged"
    report.add(key + name, averaged, unit=unit, better="lower", keep=True)
    gained = -found.shuffled / values - bits[0]
    report.add(key + "bits_of_z", gained, unit=unit, better="higher", keep=True)


class Nats(NamedTuple):
    own: np.ndarray  # (K, N) of each draw of z
    shuffled: np.ndarray  # (N,) with another image's z
    unheard: np.ndarray  # (N,) without what the reverse net says
    log_ratio: np.ndarray  # (K, N) log p(z) - log q(z)


def _nats(
    subject: Subject, images: np.ndarray, mask: np.ndarray, shown: np.ndarray, scored: np.ndarray
) -> Nats:
    """Without latents K is 1, and what is of them is 0."""
    model, draws = subject.model, subject.settings.posterior_draws
    found: list[tuple[np.ndarray, ...]] = []
    # No last batch of one image, whose other image it would be itself
    starts = [start for start in range(0, len(images), BATCH) if len(images) - start > 1]
    for start, end in zip(starts, [*starts[1:], len(images)], strict=True):
        x, m, weights = pm1(images[start:end]), mask[start:end], scored[start:end, ..., 0]

        def nats(z: Any, m: np.ndarray, x: np.ndarray = x, w: np.ndarray = weights) -> np.ndarray:
            pixels = np.asarray(model.pixel_log_prob(x, m, z))
            return (pixels * w).sum((1, 2), dtype=np.float64)

        none = np.zeros(len(x))
        z: Any = [None]
        shuffled, log_ratio = none, none[None]
        if subject.has_latents:
            seen, seed = shown[start:end], subject.seed("likelihood")
            z, log_ratio = likelihood.draws(model, x, seen, draws, seed)
            shuffled = nats(np.roll(z[0], 1, axis=0), m)
        unheard = none if model.reverse is None else nats(z[0], np.zeros_like(m))
        found.append((np.stack([nats(each, m) for each in z]), shuffled, unheard, log_ratio))
    return Nats(*(np.concatenate(parts, axis=-1) for parts in zip(*found, strict=True)))
