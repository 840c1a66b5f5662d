"""Any folder of images as a dataset, with attributes where labels.py finds them."""

import os
from itertools import islice
from pathlib import Path

from csi_tf.data import labels as attribute_table
from csi_tf.data.base import (
    SPLIT_NAMES,
    Source,
    check_split,
    held_out,
    held_out_splits,
)
from csi_tf.data.image_files import existing_folder, images_under, list_images, read_chunks


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

    labels, names = attribute_table.read(root, paths) or (None, ())
    return Source(
        len(paths), lambda: read_chunks(paths, size, crop, labels), tuple(names), exact=False
    )


def _own_splits(root: Path) -> dict[str, Path]:
    own = {
        split: root / name
        for split, names in SPLIT_NAMES.items()
        for name in reversed(names)  # of several the first
        if os.path.isdir(root / name)
    }
    return own if len(own) > 1 and "train" in own else {}
