"""Figure 3: random holes in held-out faces, completed several times."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from csi_tf.figures.layout import Row, sheet, tiles

CAPTION = (
    "Held-out faces with a random rectangle missing (hatched), and several completions of each. The"
    " latents of every completion are a draw of their own from the posterior."
)


def draw(arrays: Mapping[str, np.ndarray], caption: str = "") -> Figure:
    """real (N,H,W,3), context_mask (N,H,W,1), completed (N,S,H,W,3)"""
    real, mask, completed = (arrays[name] for name in ("real", "context_mask", "completed"))
    rows = [Row(tiles(real), "original"), Row(tiles(real, mask), "masked")]
    rows += [
        Row(tiles(sample), f"completed, {number}")
        for number, sample in enumerate(completed.swapaxes(0, 1), 1)
    ]
    return sheet(rows, caption)
