"""Curves of a training run from its metrics.jsonl: what was learnt, and whether z is in use."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

TRAINING, HELD_OUT = "#9aa5b1", "#d62728"
# Title of a panel -> what it shows
PANELS = {
    "bits/dim": "bits_per_dim",
    "bits/dim lost with another picture's z": "bits_of_z",
    "KL(q(z|x) || p(z)), nats": "kl",
}


def draw(metrics: Sequence[dict[str, Any]], title: str) -> Figure:
    """Panels of what was logged: a model without latents has no use to show of them."""
    known = {name: _curves(metrics, key) for name, key in PANELS.items()}
    known = {name: curves for name, curves in known.items() if curves}
    figure = Figure(figsize=(11 / len(PANELS) * max(len(known), 1), 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10)
    for number, (name, curves) in enumerate(known.items(), 1):
        _panel(figure.add_subplot(1, len(known), number), name, curves)
    return figure


def _curves(metrics: Sequence[dict[str, Any]], key: str) -> dict[str, np.ndarray]:
    """(2, N): steps and values, of training batches and of held-out images."""
    found = {}
    for kind in ("train", "validation"):
        points = [(row["step"], row.get(f"{kind}/{key}")) for row in metrics]
        points = [point for point in points if point[1] is not None]  # as of a skipped step
        if points:
            found[kind] = np.array(points, float).T
    return found


def _panel(panel: Axes, name: str, curves: dict[str, np.ndarray]) -> None:
    panel.set_title(name, fontsize=9)
    panel.set_xlabel("steps", fontsize=8)
    panel.tick_params(labelsize=8)
    panel.grid(alpha=0.3)
    for kind, (steps, values) in curves.items():
        label = {"train": "training batches", "validation": "held out"}[kind]
        colour = {"train": TRAINING, "validation": HELD_OUT}[kind]
        alone = "o" if len(steps) == 1 else ""  # a line through one point shows nothing
        panel.plot(steps, values, color=colour, linewidth=1.2, marker=alone, label=label)
    panel.legend(fontsize=8, frameon=False)
    if PANELS[name] == "bits_per_dim":
        whole = np.concatenate([values for _, values in curves.values()])
        # The first steps are far off and would press all the rest into a line.
        low, high = whole.min(), np.quantile(whole, 0.9)
        room = 0.05 * (high - low) or 0.1
        panel.set_ylim(low - room, high + room)
