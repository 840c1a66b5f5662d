"""What every source hands over, and the one rule for holding examples out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from csi_tf import randomness
from csi_tf.data.errors import DataError

# "image" (n, S, S, 3) uint8 and, where the source has them, "attributes" (n, A) uint8 and
# "factors" (n, F) float32.
Chunk = dict[str, np.ndarray]

# Examples handled at once: little memory, yet few steps of Python.
CHUNK = 512
HELD_OUT_SPLITS = ("train", "test", "all")
# What folders and files may call a split
SPLIT_NAMES = {"train": ("train",), "validation": ("validation", "val", "valid"), "test": ("test",)}


@dataclass(frozen=True, eq=False)
class ImageArrays:
    """A split in memory: N images of S x S pixels, 3 N S^2 bytes."""

    images: np.ndarray  # uint8 (N, S, S, 3)
    attributes: np.ndarray | None = None  # uint8 0/1 (N, A)
    attribute_names: tuple[str, ...] = ()
    factors: np.ndarray | None = None  # float32 (N, F)
    factor_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, eq=False)
class Source:
    """One split of one dataset at one size, to be read in chunks as often as wanted."""

    count: int  # what chunks() yields in all; for files an upper bound, as some may be broken
    chunks: Callable[[], Iterator[Chunk]]
    attribute_names: tuple[str, ...] = ()
    factor_names: tuple[str, ...] = ()
    exact: bool = True  # whether count is exact


def held_out(keys: Sequence[str], split: str, what: str) -> np.ndarray:
    """The sorted indices of "train", "test" or "all" of a source that has no splits of its own.

    The examples whose keys hash lowest are the test split: the same on every machine, and nearly
    the same after files were added.
    """
    check_split(split, HELD_OUT_SPLITS, what)
    if split == "all":
        return np.arange(len(keys))
    if len(keys) < 2:
        raise DataError(
            f"{what} has a single image, too few to hold one out for {split!r}; add images, or "
            "read its split 'all'."
        )
    # File names need not be UTF-8.
    names = [key.encode("utf-8", "surrogateescape") for key in keys]
    ranks = np.argsort([randomness.fold(0, "held out", name) for name in names], kind="stable")
    tests = held_out_count(len(keys))
    return np.sort(ranks[:tests] if split == "test" else ranks[tests:])


def held_out_count(examples: int) -> int:
    """A twentieth, and of small sets up to a fifth: below 20 there is little to measure with."""
    return max(1, round(examples / 20), min(20, examples // 5))


def held_out_splits(count: int) -> tuple[str, ...]:
    """The splits of so many examples without splits of their own."""
    return HELD_OUT_SPLITS if count > 1 else ("all",)


def check_split(split: str, valid: Sequence[str], what: str) -> None:
    if not isinstance(split, str) or split not in valid:
        raise DataError(f"{what} has no split {split!r}; its splits are {', '.join(valid)}.")
