"""Images in memory -> training batches, any of which can be made at once from its number.

Batch `step` is a pure function of (images, settings, step), so resuming at a step is arithmetic
and several workers need no coordination: each makes its slice of every global batch. Everything
random is keyed by the example counter, epoch * count + position, which travels with the batch so
that noise drawn later can be keyed by it too.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from csi_tf import checks, masks, randomness
from csi_tf.data.errors import DataError
from csi_tf.data.image_files import check_images

if TYPE_CHECKING:
    import tensorflow as tf

MAKERS = 2  # threads; NumPy lets them run beside the reader


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which an epoch visits the images: a permutation of range(count)."""
    return _order(
        checks.whole_number(count, "count", 0),
        checks.whole_number(seed, "seed", 0),
        checks.whole_number(epoch, "epoch", 0),
    )


@lru_cache(maxsize=4)
def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    order = randomness.permutation(seed, f"epoch {epoch}", count)
    order.setflags(write=False)  # the cache hands out one array to all
    return order


def flips(seed: int, examples: np.ndarray) -> np.ndarray:
    """Which examples, by their counters, are mirrored: half of them."""
    return randomness.uniforms(seed, "flip", examples, 1)[:, 0] < 0.5


@dataclass(frozen=True, eq=False)
class Batches:
    """Batches of {"image": uint8 (B, S, S, 3), "example": int64 (B,)} and, when
    `mask_distribution` is named, "context_mask": float32 (B, S, S, 1).

    `also` adds arrays made from the step and its example counters, such as noise.
    """

    images: np.ndarray
    batch_size: int  # of the global batch, all shards together
    seed: int = 0
    shuffle: bool = True
    flip: bool = False
    mask_distribution: str | masks.Mixture | None = None
    mask_convention: str = "white_is_hole"  # of mask files in the distribution
    also: Callable[[int, np.ndarray], dict[str, np.ndarray]] | None = None
    drop_remainder: bool = True
    num_shards: int = 1
    shard_index: int = 0

    def __post_init__(self) -> None:
        check_images(self.images, "Batches")
        if self.images.ndim != 4 or self.images.shape[1] != self.images.shape[2]:
            raise DataError(
                f"Batches got shape {self.images.shape}; expected (N, S, S, 3): crop and resize "
                "with csi_tf.data.center_crop and resize_antialiased."
            )
        for name, least in (("batch_size", 1), ("num_shards", 1), ("seed", 0)):
            checks.whole_number(getattr(self, name), name, least)
        if self.batch_size % self.num_shards:
            raise DataError(
                f"A batch of {self.batch_size} does not divide into {self.num_shards} shards; "
                f"choose a multiple of {self.num_shards}."
            )
        checks.whole_number(self.shard_index, "shard_index", 0, self.num_shards - 1)
        if not len(self.images):
            raise DataError("Batches got no images; give at least one.")
        if self.steps_per_epoch == 0:
            raise DataError(
                f"{len(self.images)} images do not fill a batch of {self.batch_size}; "
                "choose a smaller batch or drop_remainder=False."
            )
        if self.mask_distribution is not None:
            _ = self._draw_masks  # A misspelt distribution fails here, not within a worker.

    @property
    def steps_per_epoch(self) -> int:
        full, rest = divmod(len(self.images), self.batch_size)
        return full + (rest > 0 and not self.drop_remainder)

    def positions(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """This shard's image numbers and example counters in batch `step`, counted from 0."""
        count = len(self.images)
        step = checks.whole_number(step, "step", 0)
        epoch, within = divmod(step, self.steps_per_epoch)
        first = within * self.batch_size
        size = min(self.batch_size, count - first)
        position = np.arange(
            first + size * self.shard_index // self.num_shards,
            first + size * (self.shard_index + 1) // self.num_shards,
        )
        numbers = epoch_order(count, self.seed, epoch)[position] if self.shuffle else position
        return numbers, epoch * count + position

    def batch(self, step: int) -> dict[str, np.ndarray]:
        numbers, examples = self.positions(step)
        images = self.images[numbers]
        if self.flip:
            mirrored = flips(self.seed, examples)
            images[mirrored] = images[mirrored, :, ::-1]
        made = {"image": images, "example": examples}
        if self.mask_distribution is not None:
            made["context_mask"] = self._draw_masks(examples)
        if self.also is not None:
            made |= self.also(int(step), examples)
        return made

    @cached_property
    def _draw_masks(self) -> Callable[[np.ndarray], np.ndarray]:
        assert self.mask_distribution is not None
        size = self.images.shape[1]
        return masks.sampler(self.mask_distribution, size, self.seed, self.mask_convention)

    def iterate(self, start: int = 0, stop: int | None = None) -> Iterator[dict[str, np.ndarray]]:
        """Batches start, start + 1, ...; without `stop` for ever."""
        yield from map(self.batch, _steps(start, stop))

    def ahead(self, start: int = 0, stop: int | None = None) -> Iterator[dict[str, np.ndarray]]:
        """The batches of `iterate`, made ahead of the reader by threads.

        Training reads these: tf.data is half as fast, and on one core takes 10 s or more to end.
        """
        with ThreadPoolExecutor(MAKERS) as pool:
            made: deque[Future[dict[str, np.ndarray]]] = deque()
            for step in _steps(start, stop):
                made.append(pool.submit(self.batch, step))
                if len(made) > 2 * MAKERS:
                    yield made.popleft().result()
            while made:
                yield made.popleft().result()

    def dataset(self, start: int = 0, stop: int | None = None) -> "tf.data.Dataset":
        """The batches of `iterate` as a tf.data.Dataset, for loops that want one."""
        import tensorflow as tf

        if stop is not None:
            checks.whole_number(stop, "stop", 0)
        probe = self.batch(start)
        names = list(probe)
        rows = len(probe["example"])
        shapes = {name: list(array.shape) for name, array in probe.items()}
        if not self.drop_remainder:
            for shape in shapes.values():
                if shape[0] == rows:  # the last batch of an epoch may be shorter
                    shape[0] = None

        def make(step: np.ndarray) -> list[np.ndarray]:
            made = self.batch(int(step))
            return [made[name] for name in names]

        def load(step: "tf.Tensor") -> "dict[str, tf.Tensor]":
            made = tf.numpy_function(make, [step], [probe[name].dtype for name in names])
            return {
                name: tf.ensure_shape(tensor, shapes[name])
                for name, tensor in zip(names, made, strict=True)
            }

        if stop is None:
            steps = tf.data.Dataset.counter(start)
        else:
            steps = tf.data.Dataset.range(start, stop)
        dataset = steps.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        options = tf.data.Options()
        # Each worker already makes its own slice; tf.distribute must not slice it again.
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return dataset.with_options(options).prefetch(tf.data.AUTOTUNE)


def _steps(start: int, stop: int | None) -> Iterable[int]:
    if stop is None:
        return itertools.count(start)
    return range(start, checks.whole_number(stop, "stop", 0))
