"""--mode=summary: the networks that the settings ask for, their sizes and what they can see."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from csi_tf import runs
from csi_tf.config import Config, ModelConfig


@dataclass(frozen=True)
class NetworkRow:
    name: str
    parameters: int
    blocks: int
    field: str


def pixel_cnns(model: ModelConfig, size: int) -> list[NetworkRow]:
    """Built as the model will build them: conditioned on the mask where published, Y^z and Y^r."""
    from pixel_cnn_pp import ForwardPixelCNN, ReversePixelCNN, receptive_field

    blocks, field = model.blocks_and_field()
    common: dict[str, Any] = {
        "dropout": model.dropout,
        "activation": model.nonlinearity,
        "weight_norm": model.weight_norm,
        "field": field,
    }
    maps = [model.encoder_filters] * model.latents + [model.reverse_features] * model.reverse
    if model.conditioning == "published":
        maps = [1, *maps]
    forward = ForwardPixelCNN(
        blocks,
        model.filters,
        model.mixtures,
        conditioning_form={"paper": "linear"}.get(model.conditioning, model.conditioning),
        **common,
    )
    image = (None, size, size, 3)
    forward.build(image, tuple((None, size, size, channels) for channels in maps))
    # Both networks have the same stack, so the forward one's field is the reverse one's, turned.
    seen = receptive_field.measure(ForwardPixelCNN(blocks, 4, 1, field=field))
    rows = [NetworkRow("forward PixelCNN", _parameters(forward), blocks, str(seen))]
    if model.reverse:
        reverse = ReversePixelCNN(blocks, model.filters, model.reverse_features, **common)
        reverse.build(image, (None, size, size, 1))
        mirrored = f"{seen.rows_above} rows below, {seen.columns} columns, {seen.left} to the right"
        rows.append(NetworkRow("reverse PixelCNN", _parameters(reverse), blocks, mirrored))
    return rows


def _parameters(network: Any) -> int:
    return sum(math.prod(weight.shape) for weight in network.trainable_variables)


def table(model: ModelConfig, rows: Sequence[NetworkRow]) -> Table:
    name = f"receptive field {model.receptive_field}, {model.field_mode}"
    made = Table(title=f"PixelCNNs: {name}", title_justify="left", show_footer=True)
    made.add_column("Network", "Total")
    made.add_column("Parameters", f"{sum(row.parameters for row in rows):,}", justify="right")
    made.add_column("Blocks", justify="right")
    made.add_column("True receptive field")
    for row in rows:
        made.add_row(row.name, f"{row.parameters:,}", str(row.blocks), row.field)
    return made


def write(config: Config, directory: Path) -> None:
    """Prints the table and keeps it as summary.txt."""
    made = table(config.model, pixel_cnns(config.model, config.data.image_size))
    Console().print(made)
    text = io.StringIO()
    Console(file=text, width=100).print(made)
    runs.write(directory / "summary.txt", text.getvalue().encode())
