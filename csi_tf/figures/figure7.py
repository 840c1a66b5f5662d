"""Figure 7: global factors under a large hole and under a small one."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from csi_tf.figures.layout import Row, Tile, sheet, tiles

CAPTION = (
    "Latents that act on the whole face: of those that rank highest, which change both the upper"
    " and the lower half most on other held-out faces. They are set to the values at the top while"
    " the others are at their posterior mean. In the paper completions follow them under the large"
    " hole and not under the small one."
)


def draw(arrays: Mapping[str, np.ndarray], caption: str = "") -> Figure:
    """real (H,W,3), context_mask (M,H,W,1), completed (M,L,V,H,W,3), values (V,), masks, names"""
    above = ["original", "masked", "", *(f"{value:g}" for value in arrays["values"])]
    rows: list[Row] = []
    for mask, hole, of_mask in zip(
        arrays["masks"], arrays["context_mask"], arrays["completed"], strict=True
    ):
        for number, (name, completed) in enumerate(zip(arrays["names"], of_mask, strict=True)):
            row = [Tile(arrays["real"]), Tile(arrays["real"], hole), None, *tiles(completed)]
            heading = f"hole: {mask}" if number == 0 else ""
            rows.append(Row(row, str(name), "", () if number else above, heading))
    return sheet(rows, caption, side=64)
