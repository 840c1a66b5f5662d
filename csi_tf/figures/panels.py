"""The paper's figures of a model in training, small, on held-out images."""

import numpy as np

from csi_tf import masks
from csi_tf.config import Config
from csi_tf.figures import arrays, figure3, figure4, figure5a, figure5c, figure6
from csi_tf.figures.arrays import Material, Sizes
from csi_tf.figures.layout import pixels
from csi_tf.model import CSIModel

# Drawn pixel by pixel, so few of them.
SIZES = Sizes(samples=2, values=5, candidates=3, traversed=3, encoded=256)
COUNT, BOX = 6, "center"


def make(model: CSIModel, config: Config, held_out: np.ndarray) -> dict[str, np.ndarray]:
    """Name -> one picture (H, W, 3) uint8. Always the same images, masks and noise."""
    on = Material(held_out, held_out, SIZES, config.run.seed, law=config.masks)
    faces = on.faces(COUNT)
    hole = masks.sample("rectangle", COUNT, model.size, on.seed)
    hole[::2] = masks.named(BOX, model.size)
    made = {"inpaintings": figure3.draw(arrays.completions(model, faces, hole, on))}
    if model.decoder is not None:
        made["reconstructions"] = figure5a.draw(arrays.figure5a({"": model}, on))
        made["marginals"] = figure5c.draw(arrays.figure5c(model, on))
        if model.reverse is None:
            made["traversals"] = figure6.draw(arrays.figure6(model, on))
        else:
            known = arrays.candidates(model, on)
            moves = [*([latent] for latent in known), known]
            made["traversals"] = figure4.draw(arrays.rows(model, moves, [BOX] * len(moves), on))
    return {name: pixels(figure) for name, figure in made.items()}
