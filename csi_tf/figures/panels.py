"""Pictures of a model in training: reconstructions, inpaintings, traversals of held-out images."""

import numpy as np

from csi_tf import masks
from csi_tf.config import Config
from csi_tf.inpaint import inpaint, reconstruct, traverse
from csi_tf.model import CSIModel

# Drawn pixel by pixel, so few of them and small holes.
COUNT, RECONSTRUCTED, LATENTS = 6, 4, 3
VALUES = (-3.0, -1.5, 0.0, 1.5, 3.0)
BOX = "center"
HOLE_GREY = np.uint8(128)


def make(model: CSIModel, config: Config, held_out: np.ndarray) -> dict[str, np.ndarray]:
    """Name -> one picture (H, W, 3) uint8. Always the same images, masks and noise."""
    images, seed = held_out[:COUNT], config.run.seed
    mask = masks.named(BOX, model.size)
    drawn = inpaint(model, images, mask, seed=seed)
    made = {"inpaintings": grid([images, with_holes(images, mask), drawn.images[:, 0]])}
    if model.decoder is None:
        return made
    some = images[:RECONSTRUCTED]
    made["reconstructions"] = grid([some, reconstruct(model, some, seed=seed).images[:, 0]])
    # The latents that tell these images apart the most; rows of one image.
    means = inpaint(model, images, "none", z="mean", seed=seed).latents[:, 0]
    widest = np.argsort(-means.std(axis=0))[:LATENTS]
    made["traversals"] = grid(
        [traverse(model, images[0], int(each), VALUES, mask, seed, z="mean") for each in widest]
    )
    return made


def with_holes(images_u8: np.ndarray, context_mask: np.ndarray) -> np.ndarray:
    return np.where(context_mask == 1, images_u8, HOLE_GREY)


def grid(rows: list[np.ndarray], scale: int = 3, gap: int = 4) -> np.ndarray:
    """Rows of images -> one picture, pixels enlarged, white between them; all uint8."""
    height, width = (side * scale for side in rows[0].shape[1:3])
    columns = max(len(row) for row in rows)
    shape = (len(rows) * (height + gap) + gap, columns * (width + gap) + gap, 3)
    sheet = np.full(shape, 255, np.uint8)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            top, left = gap + i * (height + gap), gap + j * (width + gap)
            enlarged = image.repeat(scale, axis=0).repeat(scale, axis=1)
            sheet[top : top + height, left : left + width] = enlarged
    return sheet
