"""Pixels as files and people have them, uint8, and as networks do, in [-1, 1]."""

import numpy as np

# Holes are hatched: stripes of two greys, in screen pixels, which no picture contains.
STRIPES, _STRIPE = ((245, 245, 245), (160, 160, 160)), 3


def pm1(images_u8: np.ndarray) -> np.ndarray:
    return images_u8.astype(np.float32) / np.float32(127.5) - np.float32(1)


def levels(images_pm1: np.ndarray) -> np.ndarray:
    return np.rint((images_pm1 + 1.0) * 127.5).clip(0, 255).astype(np.uint8)


def enlarged(image: np.ndarray, scale: int, hole: np.ndarray | None = None) -> np.ndarray:
    """(H, W, C) with every pixel a square, and what is in the hole (H, W) hatched."""
    large = image.repeat(scale, axis=0).repeat(scale, axis=1)
    if hole is None:
        return large
    covered = hole.repeat(scale, axis=0).repeat(scale, axis=1)
    diagonal = np.add.outer(*map(np.arange, covered.shape)) // _STRIPE % 2
    return np.where(covered[..., None], np.array(STRIPES, np.uint8)[diagonal], large)
