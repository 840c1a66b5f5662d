"""Named image datasets, as NumPy arrays or as a tf.data.Dataset.

    procedural_faces   drawn on the spot from known factors: no download, no disk; train and test
    celeb_a            CelebA's own train, validation and test; the paper's centre 128x128 crop
    tfds:NAME          any TFDS dataset with an image; its own splits
    npz:PATH           one .npz file (npz_files.py); the splits its 'split' array names, and "all"
    images:DIR         a folder of image files, read recursively; subfolders train and validation
                       or test are its splits, and "all"; attributes.csv in it (labels.py) are
                       its attributes

One rule for what is held out: the validation split where there is one, else test
(`held_out_split`). A source with neither holds out, as "test", a twentieth of its examples, or
more if they are few (`base.held_out_count`), the same on every machine. Images are centre-cropped
to a square and resized with antialiasing.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.progress import track

from csi_tf import checks
from csi_tf.data import celeb_a_files, folders, npz_files, procedural_faces, tfds_source
from csi_tf.data.base import CHUNK, Chunk, ImageArrays, Source, check_split
from csi_tf.data.errors import DataError

if TYPE_CHECKING:
    import tensorflow as tf

NAMES = ("procedural_faces", "celeb_a", "tfds:NAME", "npz:PATH", "images:DIR")
# Fewer examples than this are read before a progress bar would be of use.
WORTH_A_BAR = 2000


def splits(name: str, data_dir: str | None = None) -> tuple[str, ...]:
    """The splits of a dataset; for tfds:NAME this prepares (and may download) it."""
    kind, rest = _parse(name, data_dir)
    if kind == "procedural_faces":
        return tuple(procedural_faces.SPLITS)
    if kind == "npz":
        return npz_files.splits(rest)
    if kind == "images":
        return folders.splits(rest)
    return tfds_source.splits(rest, data_dir)


def held_out_split(name: str, data_dir: str | None = None) -> str:
    """The split to judge a model on while it is being made."""
    return "validation" if "validation" in splits(name, data_dir) else "test"


def arrays(
    name: str,
    split: str = "train",
    size: int = 32,
    *,
    data_dir: str | None = None,
    crop: int | None = None,
    limit: int | None = None,
) -> ImageArrays:
    """A split, or its first `limit` examples, in memory.

    That is 3 size^2 bytes an image: 0.2 GB for procedural_faces at 32x32, 0.5 GB for CelebA's
    training split. `crop` is the side of the centre crop in pixels (default: the short side).
    """
    source, room = _open(name, split, size, data_dir, crop, limit)
    store: dict[str, np.ndarray] = {}
    filled = 0
    for chunk in _shown(_limited(source.chunks(), room), room, f"{name} {split}"):
        for key, values in chunk.items():
            if key not in store:
                store[key] = np.empty((room, *values.shape[1:]), values.dtype)
            store[key][filled : filled + len(values)] = values
        filled += len(chunk["image"])
    if not filled:
        raise DataError(f"{name} has no example in its split {split!r}; choose another.")
    store = {key: values[:filled] for key, values in store.items()}
    return ImageArrays(
        store["image"],
        store.get("attributes"),
        source.attribute_names,
        store.get("factors"),
        source.factor_names,
    )


def load(
    name: str,
    split: str = "train",
    size: int = 32,
    *,
    data_dir: str | None = None,
    crop: int | None = None,
    limit: int | None = None,
) -> "tf.data.Dataset":
    """The same examples, streamed: {"image": uint8 (size, size, 3), ...} in a fixed order.

    Where the source has them, "attributes" (uint8) and "factors" (float32) come along.
    """
    import tensorflow as tf

    source, room = _open(name, split, size, data_dir, crop, limit)
    spec = {"image": tf.TensorSpec((None, size, size, 3), tf.uint8)}
    if source.attribute_names:
        spec["attributes"] = tf.TensorSpec((None, len(source.attribute_names)), tf.uint8)
    if source.factor_names:
        spec["factors"] = tf.TensorSpec((None, len(source.factor_names)), tf.float32)
    # Python makes whole chunks: one call for each example would be many times slower.
    dataset = tf.data.Dataset.from_generator(
        lambda: _limited(source.chunks(), room), output_signature=spec
    ).unbatch()
    if source.exact:
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(room))
    return dataset.prefetch(tf.data.AUTOTUNE)


def _parse(name: str, data_dir: str | None) -> tuple[str, str]:
    if not isinstance(name, str):
        raise DataError(f"The dataset is {name!r}; give one of the names {', '.join(NAMES)}.")
    if data_dir is not None:
        checks.path(data_dir, "data_dir")
    kind, _, rest = name.partition(":")
    if name == "celeb_a":
        return "tfds", "celeb_a"
    valid = name == "procedural_faces" or (kind in ("tfds", "npz", "images") and rest)
    if not valid:
        raise DataError(f"There is no dataset {name!r}; the names are {', '.join(NAMES)}.")
    if data_dir is not None and kind != "tfds":
        raise DataError(f"data_dir is for TFDS datasets; {name} takes none, so leave it out.")
    return kind, rest


def _open(
    name: str, split: str, size: int, data_dir: str | None, crop: int | None, limit: int | None
) -> tuple[Source, int]:
    """The source and how many of its examples are wanted."""
    for what, value in (("size", size), ("crop", crop), ("limit", limit)):
        if value is not None or what == "size":
            checks.whole_number(value, what, 1)
    source = source_of(name, split, size, data_dir, crop)
    return source, source.count if limit is None else min(limit, source.count)


def source_of(
    name: str, split: str, size: int, data_dir: str | None = None, crop: int | None = None
) -> Source:
    """A split without its pictures."""
    kind, rest = _parse(name, data_dir)
    if kind == "procedural_faces":
        if crop is not None:
            raise DataError("procedural_faces are drawn at their size; leave crop out.")
        return _procedural(split, size)
    if kind == "npz":
        return npz_files.open_split(rest, split, size, crop)
    if kind == "images":
        return folders.open_split(rest, split, size, crop)
    if (
        rest == "celeb_a"
        and data_dir
        and (Path(data_dir).expanduser() / "img_align_celeba").is_dir()
    ):
        return celeb_a_files.open_split(data_dir, split, size, crop)
    return tfds_source.open_split(rest, split, size, crop, data_dir)


def _procedural(split: str, size: int) -> Source:
    check_split(split, tuple(procedural_faces.SPLITS), "procedural_faces")
    first, last = procedural_faces.SPLITS[split]

    def chunks() -> Iterator[Chunk]:
        for start in range(0, last - first, CHUNK):
            made = procedural_faces.generate(
                split, size, start=start, stop=min(start + CHUNK, last - first)
            )
            yield {"image": made.pop("images"), **made}

    return Source(
        last - first,
        chunks,
        tuple(attribute.name for attribute in procedural_faces.ATTRIBUTES),
        procedural_faces.NAMES,
    )


def _limited(chunks: Iterator[Chunk], limit: int) -> Iterator[Chunk]:
    """The first `limit` examples, without making the chunk after them."""
    left = limit
    while left > 0 and (chunk := next(chunks, None)) is not None:
        yield {key: values[:left] for key, values in chunk.items()}
        left -= len(chunk["image"])


def _shown(chunks: Iterator[Chunk], count: int, what: str) -> Iterator[Chunk]:
    """The same chunks, with a progress bar for a long wait at a terminal."""
    console = Console(stderr=True)
    if count < WORTH_A_BAR or not console.is_terminal:
        return chunks
    steps = -(-count // CHUNK)
    return iter(track(chunks, what, total=steps, console=console, transient=True))
