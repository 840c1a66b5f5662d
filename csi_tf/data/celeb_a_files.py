"""CelebA from its own files, for those whose automatic download fails.

    FOLDER/img_align_celeba/*.jpg   FOLDER/list_eval_partition.txt   FOLDER/list_attr_celeba.txt

in the authors' layout or, with .csv tables, in the one commonly mirrored.
"""

from pathlib import Path

import numpy as np

from csi_tf.data.base import Source, check_split
from csi_tf.data.errors import DataError
from csi_tf.data.image_files import list_images, read_chunks

SPLITS = ("train", "validation", "test")  # in the order of CelebA's numbers 0, 1, 2
CROP = 128  # the paper's centre crop of the aligned 218x178 frame


def open_split(folder: str, split: str, size: int, crop: int | None) -> Source:
    check_split(split, SPLITS, "celeb_a")
    root = Path(folder).expanduser()
    partition = _table(root, "list_eval_partition")
    attributes = _table(root, "list_attr_celeba")
    names = attributes.pop("", [])
    wanted = str(SPLITS.index(split))
    paths = [
        path
        for path in list_images(root / "img_align_celeba")
        if partition.get(path.name) == [wanted] and path.name in attributes
    ]
    if not paths:
        raise DataError(
            f"{folder} has no image that its list_eval_partition counts as {split}; "
            "unpack img_align_celeba.zip there."
        )

    labels = np.array(
        [[value == "1" for value in attributes[path.name]] for path in paths], np.uint8
    )
    return Source(
        len(paths),
        lambda: read_chunks(paths, size, crop or CROP, labels),
        tuple(names),
        exact=False,
    )


def _table(root: Path, stem: str) -> dict[str, list[str]]:
    """{file name: values}, with the column names, where there are any, under ""."""
    for path in (root / f"{stem}.txt", root / f"{stem}.csv"):
        if path.is_file():
            break
    else:
        raise DataError(f"{root} has no {stem}.txt or {stem}.csv; copy it there from CelebA.")
    rows: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        fields = line.replace(",", " ").split()
        if not fields:
            continue
        if fields[0].endswith(".jpg"):
            rows[fields[0]] = fields[1:]
        elif len(fields) > 1:  # the header; the authors' tables have a line with the count before
            rows[""] = fields[1:] if fields[0] == "image_id" else fields
    return rows
