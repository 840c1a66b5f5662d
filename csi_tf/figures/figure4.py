"""Figure 4: one latent a row, set to values over its interval; last, three at once."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from csi_tf.figures.layout import Row, Tile, sheet, tiles

CAPTION = (
    "Controlled inpainting of held-out faces. In each row one latent is set to evenly spaced values"
    " over the interval in brackets, all others are at their posterior mean; in the last row three"
    " latents that change the region of the mouth most move together. Which latents, and which hole"
    " shows each of them, was settled on other held-out faces."
)


def draw(arrays: Mapping[str, np.ndarray], caption: str = "") -> Figure:
    """real (R,H,W,3), context_mask (R,H,W,1), completed (R,V,H,W,3), names, intervals"""
    count = arrays["completed"].shape[1]
    above = ["original", "masked", "", "lowest", *[""] * (count - 2), "highest"]
    rows = [
        Row(
            [Tile(real), Tile(real, mask), None, *tiles(completed)],
            str(name),
            str(interval),
            above if number == 0 else (),
        )
        for number, (real, mask, completed, name, interval) in enumerate(
            zip(
                *(arrays[k] for k in ("real", "context_mask", "completed", "names", "intervals")),
                strict=True,
            )
        )
    ]
    return sheet(rows, caption)
