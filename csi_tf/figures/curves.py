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
    "bits/dim that the own z is worth": "bits_of_z",
    "KL(q(z|x) || p(z)), nats": "kl",
}


def draw(metrics: Sequence[dict[str, Any]], title: str) -> Figure:
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10)
    for panel, (name, key) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        _panel(panel, name, key, metrics)
    return figure


def _panel(panel: Axes, name: str, key: str, metrics: Sequence[dict[str, Any]]) -> None:
    panel.set_title(name, fontsize=9)
    panel.set_xlabel("steps", fontsize=8)
    panel.tick_params(labelsize=8)
    panel.grid(alpha=0.3)
    shown = []
    for kind, colour in (("train", TRAINING), ("validation", HELD_OUT)):
        points = [(row["step"], row[f"{kind}/{key}"]) for row in metrics if f"{kind}/{key}" in row]
        if not points:
            continue
        steps, values = np.array(points, float).T
        label = {"train": "training batches", "validation": "held out"}[kind]
        panel.plot(steps, values, color=colour, linewidth=1.2, label=label)
        shown.append(values)
    if shown:
        panel.legend(fontsize=8, frameon=False)
    if shown and key == "bits_per_dim":
        whole = np.concatenate(shown)
        # The first steps are far off and would press all the rest into a line.
        low, high = whole.min(), np.quantile(whole, 0.9)
        room = 0.05 * (high - low) or 0.1
        panel.set_ylim(low - room, high + room)
