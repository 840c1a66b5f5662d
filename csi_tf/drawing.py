"""Requests for completions, answered in chunks: what `csi_tf.inpaint` does once it is understood.

A completion must not depend, to the last bit, on what else is asked for. So arrays have the same
sizes whatever is asked: what an image tells the networks is computed one image at a time, and
pixels are drawn `batch` at a time, all with one mask, the last batch of a mask padded.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from csi_tf import noise
from csi_tf.errors import RunFailed
from csi_tf.latents import Settings
from csi_tf.model import CSIModel
from csi_tf.pixels import levels, pm1
from pixel_cnn_pp import mixture, sampling

# On a processor more at once gains little, and one completion costs as much as a batch of them.
BATCH_CPU, BATCH_ACCELERATOR = 4, 64

Progress = Callable[[int, int], None]
# mean, std, standard normal (B, D), image and place among its samples (B,) -> z (B, D)
Rule = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Request:
    """For each image, for each number, for each way of setting latents: one completion."""

    images: np.ndarray  # uint8 (N, H, W, 3)
    seen_mask: np.ndarray  # (N, H, W, 1), what z is inferred from
    context_mask: np.ndarray  # (N, H, W, 1), what is kept
    numbers: np.ndarray  # (S,)
    rule: Rule
    settings: Settings
    seed: int
    truncation: float | None
    batch: int
    progress: Progress | None

    def rows(self) -> Iterator[np.ndarray]:
        """Completions, counted image by image, in batches that share a mask."""
        alike: dict[bytes, list[int]] = {}
        for i, mask in enumerate(self.context_mask):
            alike.setdefault(mask.tobytes(), []).append(i)
        of_each = len(self.numbers) * len(self.settings.values)
        for images in alike.values():
            for start in range(0, len(images) * of_each, self.batch):
                flat = np.arange(start, min(start + self.batch, len(images) * of_each))
                yield np.array(images)[flat // of_each] * of_each + flat % of_each

    def places(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which image, which of its numbers, which way of setting latents."""
        shape = (len(self.images), len(self.numbers), len(self.settings.values))
        image, place, way = np.unravel_index(rows, shape)
        return image, place, way

    def work(self) -> int:
        """Rows of pixels to draw."""
        of_each = len(self.numbers) * len(self.settings.values)
        return of_each * int((self.context_mask == 0).any(axis=(2, 3)).sum())


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some finished completions, and which they are: `image` and `number` (n,) each."""

    image: np.ndarray
    number: np.ndarray
    images: np.ndarray  # uint8 (n, H, W, 3)
    latents: np.ndarray
    inferred: np.ndarray
    log_likelihood: np.ndarray
    bits_per_dim: np.ndarray
    seeds: np.ndarray


class _Told(NamedTuple):
    """What an image tells: the key of its noise, its posterior, its maps but those of z."""

    key: int
    mean: np.ndarray
    std: np.ndarray
    maps: tuple[Any, ...]


def default_batch() -> int:
    on_cpu = keras.distribution.list_devices()[0].startswith("cpu")
    return BATCH_CPU if on_cpu else BATCH_ACCELERATOR


def chunks(model: CSIModel, request: Request) -> Iterator[Chunk]:
    told: dict[int, _Told] = {}
    done, total = 0, request.work()
    for rows in request.rows():
        images = request.places(rows)[0]
        told = {i: told.get(i) or _tell(model, request, i) for i in dict.fromkeys(images.tolist())}
        report = _share(request.progress, done, len(rows), total)
        yield _draw(model, request, rows, told, report)
        done += int((request.context_mask[images] == 0).any(axis=(2, 3)).sum())


def _share(progress: Progress | None, done: int, count: int, total: int) -> Progress | None:
    """The sampler's progress with `count` pictures as that of the whole request."""
    if progress is None:
        return None
    return lambda rows, _: progress(done + count * rows, total)


def _tell(model: CSIModel, request: Request, i: int) -> _Told:
    image = pm1(request.images[i : i + 1])
    seen, context = request.seen_mask[i : i + 1], request.context_mask[i : i + 1]
    mean = std = np.zeros(0, np.float32)
    if model.encoder is not None:
        mean, logvar = (
            np.asarray(ops.cast(x[0], "float32")) for x in model.encode(image, seen, request.seed)
        )
        std = np.exp(0.5 * logvar)
    # A reverse net looks at what is kept. Without one, the mask that published conditioning asks
    # for is what stage one gave it: the one that z was inferred with.
    mask = seen if model.reverse is None else context
    # Without z, its maps are None here and filled in for each completion.
    maps = model.conditioning(ops.convert_to_tensor(image), ops.convert_to_tensor(mask))
    return _Told(int(noise.keys(request.seed, image, seen)[0]), mean, std, maps or ())


def _draw(
    model: CSIModel,
    request: Request,
    rows: np.ndarray,
    told: dict[int, _Told],
    report: Progress | None,
) -> Chunk:
    count = len(rows)
    image, place, way = request.places(np.resize(rows, request.batch))
    number = request.numbers[place]
    each = [told[i] for i in image.tolist()]
    seeds = noise.numbered([one.key for one in each], number)
    mean, std = (np.stack([one[k] for one in each]) for k in (1, 2))
    normal = noise.normals(0, "noise/posterior", seeds, mean.shape[1])
    inferred = np.asarray(request.rule(mean, std, normal, image, place), np.float32)
    z = request.settings.on(inferred, way)
    y_z = None if model.decoder is None else model.decode(ops.convert_to_tensor(z))
    maps = tuple(
        y_z if parts[0] is None else ops.concatenate(parts, axis=0)
        for parts in zip(*(one.maps for one in each), strict=True)
    )
    known, mask = request.images[image], request.context_mask[image]
    pictures, nats = known, np.zeros(len(image))
    values = 3 * int((mask[0] == 0).sum())
    if values:
        drawn = sampling.sample(
            model.forward,
            pm1(known),
            mask,
            maps or None,
            seeds,
            request.truncation,
            progress=report,
        )
        drawn_u8 = levels(_numbers(drawn))
        pictures = np.where(mask == 1, known, drawn_u8)
        nats = _log_prob(model, pm1(pictures), mask, maps)
    return Chunk(
        image[:count],
        number[:count],
        pictures[:count],
        z[:count],
        inferred[:count],
        nats[:count],
        -nats[:count] / (math.log(2.0) * values) if values else np.full(count, np.nan),
        seeds[:count],
    )


def _log_prob(
    model: CSIModel, images_pm1: np.ndarray, mask: np.ndarray, maps: tuple[Any, ...]
) -> np.ndarray:
    """model.log_prob, with the maps that are there already."""
    images = ops.convert_to_tensor(images_pm1)
    each = np.asarray(mixture.log_prob(model.forward(images, maps or None), images), np.float64)
    nats = np.sum(each * (mask[..., 0] == 0), axis=(1, 2))
    return _numbers(nats)


def _numbers(predicted: np.ndarray) -> np.ndarray:
    if not np.isfinite(predicted).all():
        raise RunFailed(
            "the model predicts NaN or infinity: its weights are damaged; load another checkpoint."
        )
    return predicted
