"""Any folder of images as a dataset."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from csi_tf.data.base import (
    CHUNK,
    SPLIT_NAMES,
    Chunk,
    Source,
    check_split,
    held_out,
    held_out_splits,
)
from csi_tf.data.image_files import existing_folder, images_under, list_images, read_squares


def splits(folder: str) -> tuple[str, ...]:
    """The subfolders train and validation and/or test where they exist, else the held-out rule."""
    root = existing_folder(folder)
    own = _own_splits(root)
    if own:
        return (*own, "all")
    first = list(islice(images_under(root), 2)) or list_images(root)  # which says why it is empty
    return held_out_splits(len(first))


def open_split(folder: str, split: str, size: int, crop: int | None) -> Source:
    what = f"images:{folder}"
    root = existing_folder(folder)
    own = _own_splits(root)
    if own:
        check_split(split, (*own, "all"), what)
        paths = list_images(root if split == "all" else own[split])
    else:
        found = list_images(root)
        keys = [path.relative_to(root).as_posix() for path in found]
        paths = [found[number] for number in held_out(keys, split, what)]

    def chunks() -> Iterator[Chunk]:
        block = []
        for _, image in read_squares(paths, size, crop):
            block.append(image)
            if len(block) == CHUNK:
                yield {"image": np.stack(block)}
                block = []
        if block:
            yield {"image": np.stack(block)}

    return Source(len(paths), chunks, exact=False)


def _own_splits(root: Path) -> dict[str, Path]:
    own = {
        split: root / name
        for split, names in SPLIT_NAMES.items()
        for name in reversed(names)  # of several the first
        if os.path.isdir(root / name)
    }
    return own if len(own) > 1 and "train" in own else {}
