"""Filling holes: pictures and masks in, completions out.

A completion depends on the seed, the observed pixels, the mask, the latents that are set and its
number: it is the same alone and in any request, to the last bit for the same `batch` and device.

Pictures are uint8 arrays (N,H,W,3) or (H,W,3), Pillow images, paths, or a list of these, always of
the model's size.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from csi_tf import arguments, checks, drawing
from csi_tf import latents as latent_space
from csi_tf.drawing import Chunk, Progress, Request
from csi_tf.latents import is_number
from csi_tf.model import CSIModel

ORDERS = (None, "likelihood")


@dataclass(frozen=True, eq=False)
class Completions:
    """S completions of each of N images, by their numbers or ranked."""

    images: np.ndarray  # uint8 (N, S, H, W, 3); observed pixels are those that were given
    latents: np.ndarray  # float32 (N, S, D), those the pictures were drawn with
    inferred: np.ndarray  # float32 (N, S, D), what they were before some were set
    log_likelihood: np.ndarray  # float64 (N, S), nats of the hole given z; 0 where there is none
    bits_per_dim: np.ndarray  # float64 (N, S), the same per value of the hole; NaN without a hole
    std: np.ndarray  # float32 (N, H, W, 3), across the S completions, in 8-bit levels
    seeds: np.ndarray  # int64 (N, S), the key of each one's noise
    numbers: np.ndarray  # int64 (N, S): with first_sample=number the same one is drawn again


def inpaint(
    model: CSIModel,
    images_u8: Any,
    context_mask: Any,
    num_samples: int = 1,
    latents: Mapping[int | str, float] | None = None,
    z: Any = "posterior",
    seed: int = 0,
    truncation: float | None = 1.0,
    order: str | None = None,
    progress: Progress | None = None,
    first_sample: int = 0,
    batch: int | None = None,
) -> Completions:
    """Completions of the holes of one or more pictures.

    context_mask  (H,W,1) or one for each picture, 1 = observed; or the name of a box
    latents       {dimension or name: value}; what is not set is inferred
    z             "posterior" (drawn for each completion), "whole" (as z of whole pictures would
                  be, see csi_tf.whole), "mean", "prior", a variance s (or ("prior", s)) for
                  N(0, s I), or an array (D,), (N,D) or (N,num_samples,D)
    truncation    how many scales colours may be from the means of the mixture, None for any
                  number; likelihoods are those of the model without it
    order         "likelihood": the likeliest completion of each picture first
    progress      called with (done, total) rows of pixels; what it raises cancels
    first_sample  the number of the first completion
    batch         how many are drawn at once; by default 4, or 64 on an accelerator
    """
    if order not in ORDERS:
        raise ValueError(f"order is {order!r}; give 'likelihood', or None for that of the numbers.")
    chunks = stream(
        model,
        images_u8,
        context_mask,
        num_samples,
        latents,
        z=z,
        seed=seed,
        truncation=truncation,
        progress=progress,
        first_sample=first_sample,
        batch=batch,
    )
    return _collected(chunks, num_samples, order)


def stream(
    model: CSIModel,
    images_u8: Any,
    context_mask: Any,
    num_samples: int = 1,
    latents: Mapping[int | str, float] | None = None,
    z: Any = "posterior",
    seed: int = 0,
    truncation: float | None = 1.0,
    progress: Progress | None = None,
    first_sample: int = 0,
    batch: int | None = None,
) -> Iterator[Chunk]:
    """`inpaint` in pieces as they are finished, for those who save as they go.

    Pictures with the same mask come together, each with its completions by their numbers.
    """
    images = arguments.pictures(model, images_u8)
    mask = arguments.context_masks(context_mask, images)
    settings = latent_space.settings(model, latents)
    numbers = arguments.numbers(num_samples, first_sample)
    how = {"z": z, "seed": seed, "truncation": truncation, "progress": progress, "batch": batch}
    return chunks(model, images, mask, mask, settings, numbers, **how)


def reconstruct(
    model: CSIModel,
    images_u8: Any,
    num_samples: int = 1,
    seed: int = 0,
    z: Any = "posterior",
    truncation: float | None = 1.0,
    progress: Progress | None = None,
    batch: int | None = None,
    latents: Mapping[int | str, float] | None = None,
) -> Completions:
    """Every pixel drawn anew given z: what is not set is inferred from the whole picture.

    Made for a model of stage one; one with a reverse net is told that nothing is observed.
    """
    images = arguments.pictures(model, images_u8)
    seen, kept = (arguments.context_masks(name, images) for name in ("none", "all"))
    settings = latent_space.settings(model, latents)
    numbers = arguments.numbers(num_samples)
    how = {"z": z, "seed": seed, "truncation": truncation, "progress": progress, "batch": batch}
    return _collected(
        chunks(model, images, seen, kept, settings, numbers, **how), num_samples, None
    )


def traverse(
    model: CSIModel,
    image_u8: Any,
    latent: int | str,
    values: Any,
    context_mask: Any = None,
    seed: int = 0,
    z: Any = "posterior",
    truncation: float | None = 1.0,
    progress: Progress | None = None,
    batch: int | None = None,
) -> np.ndarray:
    """uint8 (len(values), H, W, 3): one picture with one latent at each value, all else the same.

    Each is what `inpaint` gives with that latent set; without a mask, what `reconstruct` would.
    """
    image = arguments.pictures(model, image_u8)
    if len(image) != 1:
        raise ValueError(f"image_u8 holds {len(image)} pictures; give one to traverse.")
    seen = arguments.context_masks("none" if context_mask is None else context_mask, image)
    kept = arguments.context_masks("all", image) if context_mask is None else seen
    settings = latent_space.traversal(model, latent, values)
    how = {"z": z, "seed": seed, "truncation": truncation, "progress": progress, "batch": batch}
    drawn = chunks(model, image, seen, kept, settings, arguments.numbers(1), **how)
    return np.concatenate([chunk.images for chunk in drawn])


def sample_prior(
    model: CSIModel,
    count: int,
    seed: int = 0,
    truncation: float | None = 1.0,
    progress: Progress | None = None,
    batch: int | None = None,
    latents: Mapping[int | str, float] | None = None,
) -> np.ndarray:
    """uint8 (count, H, W, 3): z ~ N(0, I), but for what is set, and every pixel drawn.

    Who wants the latents too calls `inpaint` with z="prior", the mask "all" and any picture.
    """
    arguments.check_model(model)
    count = checks.whole_number(count, "count", 1)
    blank = np.zeros((model.size, model.size, 3), np.uint8)
    z = "posterior" if model.decoder is None else "prior"
    return inpaint(
        model,
        blank,
        "all",
        count,
        latents,
        z=z,
        seed=seed,
        truncation=truncation,
        progress=progress,
        batch=batch,
    ).images[0]


def chunks(
    model: CSIModel,
    images: np.ndarray,
    seen_mask: np.ndarray,
    context_mask: np.ndarray,
    settings: latent_space.Settings,
    numbers: np.ndarray,
    *,
    z: Any,
    seed: Any,
    truncation: Any,
    progress: Progress | None,
    batch: Any,
) -> Iterator[Chunk]:
    """Completions as they are drawn; pictures, masks, settings and numbers were checked before."""
    if truncation is not None and not (is_number(truncation) and truncation >= 0):
        raise ValueError(f"truncation is {truncation!r}; give a number of 0 or more, or None.")
    if progress is not None and not callable(progress):
        raise ValueError(f"progress is {progress!r}; give a function of (done, total).")
    request = Request(
        images,
        seen_mask,
        context_mask,
        numbers,
        arguments.rule(z, model, seen_mask, len(numbers)),
        settings,
        checks.whole_number(seed, "seed", 0),
        None if truncation is None else float(truncation),
        drawing.default_batch() if batch is None else checks.whole_number(batch, "batch", 1),
        progress,
    )
    return drawing.chunks(model, request)


def _collected(chunks: Iterator[Chunk], samples: int, order: str | None) -> Completions:
    parts = list(chunks)

    def whole(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    # Chunks hold pictures with one mask; within a picture they keep the order of the numbers.
    by_image = np.argsort(whole("image"), kind="stable").reshape(-1, samples)
    if order == "likelihood":
        best = np.argsort(-whole("log_likelihood")[by_image], axis=1, kind="stable")
        by_image = np.take_along_axis(by_image, best, axis=1)
    images = whole("images")[by_image]
    return Completions(
        images,
        whole("latents")[by_image],
        whole("inferred")[by_image],
        whole("log_likelihood")[by_image],
        whole("bits_per_dim")[by_image],
        np.stack([each.std(axis=0).astype(np.float32) for each in images]),
        whole("seeds")[by_image],
        whole("number")[by_image],
    )
