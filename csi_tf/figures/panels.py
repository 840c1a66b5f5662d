"""The paper's figures of a model in training, small, on held-out images."""

import numpy as np

from csi_tf import masks
from csi_tf.config import Config
from csi_tf.figures import arrays, figure3, figure4, figure5a, figure5c, figure6
from csi_tf.figures.arrays import Material, Sizes
from csi_tf.figures.layout import pixels
from csi_tf.model import CSIModel

# Drawn pixel by pixel, so few of them, and one small hole: each hole of its own would be compiled.
SIZES = Sizes(samples=2, values=5, candidates=3, traversed=3, encoded=256)
COUNT, BOX = 6, "center"
HOLE_GREY = np.uint8(128)


def make(model: CSIModel, config: Config, held_out: np.ndarray) -> dict[str, np.ndarray]:
    """Name -> one picture (H, W, 3) uint8. Always the same images, masks and noise."""
    on = Material(held_out, held_out, SIZES, config.run.seed, law=config.masks.mask)
    faces = on.faces(COUNT)
    hole = masks.named(BOX, model.size)[None].repeat(COUNT, axis=0)
    made = {"inpaintings": figure3.draw(arrays.completions(model, faces, hole, on))}
    if model.decoder is not None:
        made["reconstructions"] = figure5a.draw(arrays.figure5a({"": model}, on))
        made["marginals"] = figure5c.draw(arrays.figure5c(model, on))
        if model.reverse is None:
            made["traversals"] = figure6.draw(arrays.figure6(model, on))
        else:
            moves = [[latent] for latent in arrays.candidates(model, on)]
            made["traversals"] = figure4.draw(arrays.rows(model, moves, [BOX] * len(moves), on))
    return {name: pixels(figure) for name, figure in made.items()}


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
