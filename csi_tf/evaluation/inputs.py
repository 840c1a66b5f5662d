"""Checks of what the metrics are given."""

from typing import Any

import numpy as np

from csi_tf import masks
from csi_tf.data.image_files import check_images


def images(value: Any, what: str = "images") -> np.ndarray:
    """uint8 (N,H,W,3), at least one."""
    check_images(value, what)
    if value.ndim != 4 or not len(value):
        raise ValueError(
            f"{what} has shape {value.shape}; give (N,height,width,3) with one image or more."
        )
    return value


def holes(context_mask: Any, pictures: np.ndarray) -> np.ndarray:
    """(N,H,W) booleans, True = hole; every picture must have one."""
    count, height, width = pictures.shape[:3]
    mask = masks.check(context_mask, (height, width), count)
    hole = np.broadcast_to(mask[..., 0] == 0, (count, height, width))
    empty = np.flatnonzero(~hole.any((1, 2)))
    if len(empty):
        raise ValueError(
            f"image {empty[0]} has no hole, so there is nothing to measure; leave it out."
        )
    return hole


def completed(
    truth: Any, completions: Any, context_mask: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (N,H,W,3), completions (N,S,H,W,3) of them, holes (N,H,W)."""
    truth = images(truth)
    check_images(completions, "completions")
    if completions.ndim != 5 or not completions.shape[1] or completions[:, 0].shape != truth.shape:
        count, height, width, _ = truth.shape
        raise ValueError(
            f"completions has shape {completions.shape}; give (N,S,height,width,3) with S of 1 or"
            f" more, here ({count}, S, {height}, {width}, 3)."
        )
    hole = holes(context_mask, truth)
    changed = (completions != truth[:, None]).any(-1) & ~hole[:, None]
    if changed.any():
        raise ValueError(
            f"completions of image {np.argwhere(changed)[0][0]} differ from it where it is"
            " observed; paste the observed pixels, or give a mask without them."
        )
    return truth, completions, hole


def training_images(value: Any, pictures: np.ndarray) -> np.ndarray:
    """uint8 (T,H,W,3) of the pictures' size."""
    value = images(value, "train")
    if value.shape[1:] != pictures.shape[1:]:
        raise ValueError(
            f"train holds images of {value.shape[1]}x{value.shape[2]} pixels and the others are"
            f" {pictures.shape[1]}x{pictures.shape[2]}; load both at one size."
        )
    return value
