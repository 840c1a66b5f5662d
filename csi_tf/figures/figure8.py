"""Figure 8: one stage of training against two, the latents drawn and not inferred."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from csi_tf.figures.layout import Row, Tile, sheet, tiles

LABELS = ("one stage", "two stages")
CAPTION = (
    "The same holes completed with all latents drawn from N(0, 3I) (variance 3) and none inferred;"
    " a column has the same draw in both models. In the paper completions differ less if training"
    " had one stage, with noise at times in the lower right corner of the hole."
)


def draw(arrays: Mapping[str, np.ndarray], caption: str = "") -> Figure:
    """real (T,H,W,3), context_mask (T,H,W,1), completed (2,T,S,H,W,3), masks (T,)"""
    runs = arrays["completed"].shape[2]
    above = ["original", "masked", "", *(f"run {run + 1}" for run in range(runs))]
    rows: list[Row] = []
    for t, (real, mask) in enumerate(zip(arrays["real"], arrays["context_mask"], strict=True)):
        for label, completed in zip(LABELS, arrays["completed"][:, t], strict=True):
            row = [Tile(real), Tile(real, mask), None, *tiles(completed)]
            heading = f"hole: {arrays['masks'][t]}" if label is LABELS[0] else ""
            rows.append(Row(row, label, "", () if rows else above, heading))
    return sheet(rows, caption)
