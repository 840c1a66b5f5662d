"""Any folder of images as a dataset."""

from collections.abc import Iterator

import numpy as np

from csi_tf.data.base import CHUNK, HELD_OUT_SPLITS, Chunk, Source, check_split, held_out
from csi_tf.data.image_files import existing_folder, list_images, read_squares

FOLDER_SPLITS = ("train", "validation", "test")


def splits(folder: str) -> tuple[str, ...]:
    """The subfolders train and validation and/or test where they exist, else the held-out rule."""
    root = existing_folder(folder)
    own = tuple(name for name in FOLDER_SPLITS if (root / name).is_dir())
    return (*own, "all") if len(own) > 1 and "train" in own else HELD_OUT_SPLITS


def open_split(folder: str, split: str, size: int, crop: int | None) -> Source:
    what = f"images:{folder}"
    root = existing_folder(folder)
    valid = splits(folder)
    check_split(split, valid, what)
    if valid is HELD_OUT_SPLITS:
        found = list_images(root)
        keys = [path.relative_to(root).as_posix() for path in found]
        paths = [found[number] for number in held_out(keys, split, what)]
    else:
        paths = list_images(root if split == "all" else root / split)

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
