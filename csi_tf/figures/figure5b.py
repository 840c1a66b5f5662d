"""Figure 5b: controlled inpainting with and without the reverse net."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from csi_tf.figures.layout import Row, Tile, sheet, tiles

LABELS = (
    "no reverse net: stage one, its context clamped",
    "no reverse net: stage two without it",
    "the full model",
)
CAPTION = (
    "Controlled inpainting without the reverse net (the paper's form, a model of stage one whose"
    " context is clamped; and stage two trained without that net) and with it, the same latent set"
    " to the same values in all three. Without it what is below and to the right of a hole is known"
    " only through the latents, and the paper has a line at these two sides."
)


def draw(arrays: Mapping[str, np.ndarray], caption: str = "") -> Figure:
    """real (B,H,W,3), context_mask (B,H,W,1), completed (3,B,V,H,W,3), names, intervals, masks"""
    count = arrays["completed"].shape[2]
    above = ["original", "masked", "", "lowest", *[""] * (count - 2), "highest"]
    rows: list[Row] = []
    for b, (real, mask) in enumerate(zip(arrays["real"], arrays["context_mask"], strict=True)):
        name, interval, hole = (arrays[key][b] for key in ("names", "intervals", "masks"))
        for completed, label in zip(arrays["completed"][:, b], LABELS, strict=True):
            row = [Tile(real), Tile(real, mask), None, *tiles(completed)]
            is_first = label is LABELS[0]
            heading = f"{name} {interval}, hole: {hole}" if is_first else ""
            rows.append(Row(row, label, "", above if is_first else (), heading))
    return sheet(rows, caption)
