"""Figure 6: one latent a row, whole faces drawn without the reverse net."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from csi_tf.figures.layout import Row, Tile, sheet, tiles

CAPTION = (
    "A held-out face with one latent in each row set to the values at the top, the others at their"
    " posterior mean, and the whole face drawn anew without the reverse net. In brackets the"
    " interval where the latent is of use, [-3, 3] where that was not measured."
)


def draw(arrays: Mapping[str, np.ndarray], caption: str = "") -> Figure:
    """real (H,W,3), drawn (L,V,H,W,3), values (V,), names, intervals (L,2)"""
    above = ["original", "", *(f"{value:.2g}" for value in arrays["values"])]
    rows: list[Row] = []
    for drawn, name, (low, high) in zip(
        *(arrays[key] for key in ("drawn", "names", "intervals")), strict=True
    ):
        row = [Tile(arrays["real"]), None, *tiles(drawn)]
        rows.append(Row(row, str(name), f"[{low:.2g}, {high:.2g}]", () if rows else above))
    return sheet(rows, caption)
