"""--mode=summary: the networks that the settings ask for, their sizes and what they can see."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.table import Table

from csi_tf import files
from csi_tf.config import Config, ModelConfig

WIDTH = 100  # of summary.txt


@dataclass(frozen=True)
class LayerRow:
    name: str
    output: str
    parameters: int


@dataclass(frozen=True)
class NetworkRow:
    name: str
    parameters: int
    blocks: int
    field: str


def encoder(model: ModelConfig, size: int) -> list[LayerRow]:
    """Table 1, left."""
    from csi_tf.encoder import Encoder

    network = Encoder(model.latent_dim, size, model.encoder_filters)
    network.build((None, size, size, 3))
    rows, shape = [LayerRow("image and mask", _shape((size, size, 4)), 0)], (None, size, size, 4)
    for conv, norm in zip(network.body[::2], network.body[1::2], strict=True):
        shape = conv.compute_output_shape(shape)
        rows.append(_convolution("conv", conv, norm, shape))
    for name, (dense, norm) in zip(("mean", "log-variance"), network.heads, strict=True):
        words = f"FC {dense.units}, BatchNorm: {name}"
        rows.append(LayerRow(words, str(dense.units), _parameters(dense, norm)))
    return rows


def decoder(model: ModelConfig, size: int) -> list[LayerRow]:
    """Table 1, right."""
    from csi_tf.decoder import Decoder

    network = Decoder(model.latent_dim, size, model.encoder_filters)
    network.build((None, model.latent_dim))
    dense, norm = network.first
    words = f"FC {dense.units}, BatchNorm, ELU"
    rows = [
        LayerRow("latents", str(model.latent_dim), 0),
        LayerRow(words, _shape((1, 1, dense.units)), _parameters(dense, norm)),
    ]
    shape = (None, 1, 1, dense.units)
    for conv, norm in zip(network.body[::2], network.body[1::2], strict=True):
        shape = conv.compute_output_shape(shape)
        rows.append(_convolution("deconv", conv, norm, shape))
    return rows


def pixel_cnns(model: ModelConfig, size: int) -> list[NetworkRow]:
    """Forward and reverse as the model builds them: conditioned on what its settings say."""
    from csi_tf.model import CSIModel, true_field

    made, seen = CSIModel(model, size), true_field(model)
    blocks, _ = model.blocks_and_field()
    rows = [NetworkRow("forward PixelCNN", _parameters(made.forward), blocks, str(seen))]
    if made.reverse is not None:
        mirrored = f"{seen.rows_above} rows below, {seen.columns} columns, {seen.left} to the right"
        rows.append(NetworkRow("reverse PixelCNN", _parameters(made.reverse), blocks, mirrored))
    return rows


def _convolution(kind: str, layer: Any, norm: Any, shape: tuple[Any, ...]) -> LayerRow:
    (height, width), (stride, _) = layer.kernel_size, layer.strides
    words = [f"{height}x{width} {kind}. {layer.filters}"]
    words += [f"stride {stride}"] * (stride > 1) + ["valid"] * (layer.padding == "valid")
    name = ", ".join([*words, "BatchNorm", "ELU"])
    return LayerRow(name, _shape(shape[1:]), _parameters(layer, norm))


def _shape(sides: Sequence[int]) -> str:
    return " x ".join(str(side) for side in sides)


def _parameters(*layers: Any) -> int:
    return sum(math.prod(v.shape) for layer in layers for v in layer.trainable_variables)


def layers_table(parts: Mapping[str, Sequence[LayerRow]]) -> Table:
    """Under each part's name and size, its layers."""
    sizes = {name: sum(row.parameters for row in rows) for name, rows in parts.items()}
    made = _table("Encoder and decoder: Table 1")
    made.add_column("Layer", "Total")
    made.add_column("Output")
    made.add_column("Parameters", f"{sum(sizes.values()):,}", justify="right")
    for name, rows in parts.items():
        made.add_section()
        made.add_row(name, "", f"{sizes[name]:,}", style="bold")
        for row in rows:
            made.add_row(f"  {row.name}", row.output, f"{row.parameters:,}" * (row.parameters > 0))
    return made


def networks_table(model: ModelConfig, rows: Sequence[NetworkRow]) -> Table:
    made = _table(f"PixelCNNs: receptive field {model.receptive_field}, {model.field_mode}")
    made.add_column("Network", "Total")
    made.add_column("Parameters", f"{sum(row.parameters for row in rows):,}", justify="right")
    made.add_column("Blocks", justify="right")
    made.add_column("True receptive field")
    for row in rows:
        made.add_row(row.name, f"{row.parameters:,}", str(row.blocks), row.field)
    return made


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", show_footer=True)


def write(config: Config, directory: Path) -> None:
    """Prints the tables and keeps them as summary.txt."""
    model, size = config.model, config.data.image_size
    networks = pixel_cnns(model, size)
    tables, count = [networks_table(model, networks)], sum(row.parameters for row in networks)
    if model.latents:
        parts = {"Encoder": encoder(model, size), "Decoder": decoder(model, size)}
        tables.insert(0, layers_table(parts))
        count += sum(row.parameters for rows in parts.values() for row in rows)
    made = Group(*tables, f"All networks: {count:,} trainable parameters")
    Console().print(made)
    text = io.StringIO()
    Console(file=text, width=WIDTH, force_terminal=False, color_system=None).print(made)
    files.write(directory / "summary.txt", text.getvalue().encode())
