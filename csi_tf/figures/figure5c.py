"""Figure 5c: marginals of the aggregate posterior against the prior, and posterior variances."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from csi_tf.figures.layout import MARGIN, blank

CAPTION = (
    "Marginals of the aggregate posterior q(z) (red: one draw for each image) against the prior"
    " N(0, 1) (blue), of the three latents whose posterior means vary most; right, the variance of"
    " q(z|x) of the first of them over the images, where that of the prior is 1. Images are encoded"
    " with holes of the law of the training."
)
RED, BLUE = "#d62728", "#1f77b4"
SIDE, BETWEEN, TOP, BOTTOM = 240, 64, 44, 46
_SPAN = 4.0


def draw(arrays: Mapping[str, np.ndarray], caption: str = "") -> Figure:
    """z (N,3), dimensions (3,), variance (N,)"""
    dimensions = arrays["dimensions"]
    count = len(dimensions) + 1
    height = TOP + SIDE + BOTTOM
    figure, page = blank(2 * MARGIN + count * (SIDE + BETWEEN), height, caption)
    width, whole = page.get_xlim()[1], page.get_ylim()[0]
    panels: list[Axes] = []
    for number in range(count):
        left = MARGIN + BETWEEN - 14 + number * (SIDE + BETWEEN)
        box = (left / width, 1 - (TOP + SIDE) / whole, SIDE / width, SIDE / whole)
        panels.append(figure.add_axes(box))
        panels[-1].tick_params(labelsize=8)
    for panel, dimension, z in zip(panels, dimensions, arrays["z"].T, strict=False):
        _marginal(panel, int(dimension), z)
    panels[0].set_ylabel("density", fontsize=9, labelpad=2)
    panels[0].legend(fontsize=8, frameon=False, loc="upper left")
    _variances(panels[-1], int(dimensions[0]), arrays["variance"])
    return figure


def _marginal(panel: Axes, dimension: int, z: np.ndarray) -> None:
    span = max(_SPAN, float(np.abs(z).max()))
    x = np.linspace(-span, span, 401)
    prior = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    panel.fill_between(x, prior, color=BLUE, alpha=0.25, linewidth=0)
    panel.plot(x, prior, color=BLUE, linewidth=1.5, label="prior")
    edges = np.linspace(-span, span, int(2 * len(z) ** 0.5) + 1).tolist()
    panel.hist(z, edges, density=True, color=RED, alpha=0.35)
    panel.hist(z, edges, density=True, color=RED, histtype="step", linewidth=1.5, label="posterior")
    panel.set(xlim=(-span, span))
    panel.set_title(f"$z_{{{dimension}}}$, std {z.std():.2f}", fontsize=10)


def _variances(panel: Axes, dimension: int, variance: np.ndarray) -> None:
    top = max(1.1, float(variance.max()) * 1.05)
    panel.hist(variance, np.linspace(0, top, 45).tolist(), color=RED, alpha=0.6)
    panel.axvline(1.0, color=BLUE, linestyle="--", linewidth=1.5)
    panel.set(xlim=(0, top))
    panel.set_ylabel("images", fontsize=9, labelpad=2)
    panel.set_title(rf"var[$q(z_{{{dimension}}} | x)$]", fontsize=10)
