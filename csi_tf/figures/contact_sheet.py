"""A look at the data: images, the same with holes, and, where they are known, the factors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from csi_tf import files
from csi_tf.config import Config
from csi_tf.data.image_files import listed
from csi_tf.figures import layout
from csi_tf.figures.layout import Row

PAIRS = 3  # rows of images, each above the same images with holes
STEPS = 9  # images of a factor; an odd number has the middle in it
_WIDTH = 1300  # of a row: thirteen images of 32 pixels

# Absent from the face whose factors are shown: half a beard or glasses would cover the rest.
_PLAIN = ("beard", "glasses")


def columns(size: int) -> int:
    """How many images of this size a row of the sheet has room for."""
    return max(1, _WIDTH // (size * layout.scale(size) + layout.GAP))


def draw(
    images: np.ndarray, context_mask: np.ndarray, factors: Sequence[Row], caption: str
) -> Figure:
    """The sheet for images (N, S, S, 3) uint8 and their masks (N, S, S, 1), 1 = observed."""
    across = columns(images.shape[1])
    rows = []
    for start in range(0, len(images), across):
        part = slice(start, start + across)
        rows.append(Row(layout.tiles(images[part])))
        rows.append(Row(layout.tiles(images[part], context_mask[part])))
    return layout.sheet([*rows, *factors], caption)


def factor_rows(size: int) -> list[Row]:
    """Each factor of the procedural faces over its range, the others half-way or absent."""
    from csi_tf.data.procedural_faces import FACTORS, render

    face = [f.low if f.name in _PLAIN else (f.low + f.high) / 2 for f in FACTORS]
    rows: list[Row] = []
    for column, factor in enumerate(FACTORS):
        faces = np.tile(np.array(face, np.float32), (min(STEPS, columns(size)), 1))
        faces[:, column] = np.linspace(factor.low, factor.high, len(faces))
        rows.append(
            Row(
                layout.tiles(render(faces, size)),
                factor.name.replace("_", " "),
                f"{factor.low:g} to {factor.high:g}",
                heading="" if rows else "One factor at a time, the others fixed",
            )
        )
    return rows


def write(config: Config, directory: Path) -> None:
    """--mode=data: contact_sheet.png of the first images, those of training if they can be told."""
    from csi_tf import data, masks
    from csi_tf.data import sources

    settings, size = config.data, config.data.image_size
    wanted = PAIRS * columns(size)
    count = wanted if settings.limit is None else min(wanted, settings.limit)
    splits = data.splits(settings.dataset, settings.data_dir)
    split = next((name for name in ("train", "all") if name in splits), splits[0])
    # Of each, so that what would stop a training or an evaluation is told now.
    own = [name for name in splits if name != "all"] or splits
    counts, known = [], {}
    for name in own:
        source = sources.source_of(settings.dataset, name, size, settings.data_dir)
        counts.append(f"{source.count:,} for {name}")
        known = {"factors": source.factor_names, "attributes": source.attribute_names}
    images = data.arrays(
        settings.dataset, split, size, data_dir=settings.data_dir, limit=count
    ).images
    context_mask = masks.sample(
        config.masks.mask,
        len(images),
        size,
        config.run.seed,
        convention=config.masks.mask_convention,
    )
    factors = factor_rows(size) if settings.dataset == "procedural_faces" else []
    caption = (
        f"{settings.dataset}, {size} x {size} pixels. Below each row of images, the same with"
        f" hatched holes: {config.masks.mask}."
    )
    path = directory / "contact_sheet.png"
    files.write(path, layout.png(draw(images, context_mask, factors, caption)))
    print(f"Contact sheet of {len(images)} image{'s' * (len(images) > 1)}: {path}")
    also = [f"{kind}: {listed(names)}" for kind, names in known.items() if names]
    print("; ".join([f"Pictures: {', '.join(counts)}", *also]))
