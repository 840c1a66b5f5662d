"""All causal geometry: pads, shifts and the 180-degree turn of (B, H, W, C) arrays.

Nothing here has weights, so what a network can see follows from these few lines and holds before
any training step.
"""

from keras import ops


def pad(x, top=0, left=0, right=0):
    """Zero rows and columns around the image."""
    if not (top or left or right):
        return x
    return ops.pad(x, ((0, 0), (top, 0), (left, right), (0, 0)))


def shift_down(x):
    """Every row takes the values of the row above it; the first becomes zero."""
    return pad(x, top=1)[:, :-1]


def shift_right(x):
    """Every column takes the values of the column to its left; the first becomes zero."""
    return pad(x, left=1)[:, :, :-1]


def shift_left(x):
    """Every column takes the values of the column to its right; the last becomes zero."""
    return pad(x, right=1)[:, :, 1:]


def turn(x):
    """Rotate by 180 degrees: the raster order runs backwards, and turning twice changes nothing."""
    return ops.flip(x, axis=(1, 2))
