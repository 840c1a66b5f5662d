"""Figure 5a: several reconstructions of one face under each of three objectives."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from csi_tf.figures.layout import Row, Tile, sheet, tiles

CAPTION = (
    "Several reconstructions of the same held-out faces by each model, every run with its own draw"
    " of the latents and of the pixels. Where the latents hold what the face looks like, the runs"
    " are alike; where they are ignored, each is another face."
)


def draw(arrays: Mapping[str, np.ndarray], caption: str = "") -> Figure:
    """real (F,H,W,3), reconstructed (M,F,S,H,W,3), names (M,)"""
    runs = arrays["reconstructed"].shape[2]
    rows: list[Row] = []
    for name, of_model in zip(arrays["names"], arrays["reconstructed"], strict=True):
        row: list[Tile | None] = []
        above: list[str] = []
        for real, reconstructed in zip(arrays["real"], of_model, strict=True):
            row += [None] * bool(row) + [Tile(real), *tiles(reconstructed)]
            above += [""] * bool(above) + ["original", *(f"run {run + 1}" for run in range(runs))]
        rows.append(Row(row, str(name), above=() if rows else above))
    return sheet(rows, caption)
