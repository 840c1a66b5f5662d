"""Pictures of a model in training: reconstructions, inpaintings, traversals of held-out images."""

from typing import Any

import numpy as np
from keras import ops

from csi_tf import masks, noise
from csi_tf.config import Config
from csi_tf.model import CSIModel, posterior_sample
from pixel_cnn_pp import sampling

# Drawn pixel by pixel, so few of them and small holes.
COUNT, RECONSTRUCTED, LATENTS = 6, 4, 3
VALUES = (-3.0, -1.5, 0.0, 1.5, 3.0)
BOX = "center"
HOLE_GREY = 0.0


def complete(
    model: CSIModel, images_pm1: np.ndarray, context_mask: np.ndarray, z: Any, seed: int
) -> np.ndarray:
    """One completion of each image, given its latents (None for a model without)."""
    y_z = None if model.decoder is None else model.decode(ops.convert_to_tensor(z))
    images, mask = ops.convert_to_tensor(images_pm1), ops.convert_to_tensor(context_mask)
    told = model.conditioning(images, mask, y_z)
    return sampling.sample(model.forward, images_pm1, context_mask, told, seed)


def infer(model: CSIModel, images_pm1: np.ndarray, context_mask: np.ndarray, seed: int) -> Any:
    """(z drawn from the posterior, its mean), or two Nones for a model without latents."""
    if model.encoder is None:
        return None, None
    mean, logvar = model.encode(images_pm1, context_mask, seed)
    keys = noise.keys(seed, images_pm1, context_mask)
    normal = noise.normals(0, "noise/posterior", keys, mean.shape[1])
    return np.asarray(posterior_sample(mean, logvar, normal)), np.asarray(mean)


def make(model: CSIModel, config: Config, held_out: np.ndarray) -> dict[str, np.ndarray]:
    """Name -> one picture (H, W, 3) uint8. Always the same images, masks and noise."""
    images = held_out[:COUNT].astype("float32") / 127.5 - 1.0
    size, seed = images.shape[1], config.run.seed
    mask = np.repeat(masks.named(BOX, size)[None], len(images), axis=0)
    z, mean = infer(model, images, mask, seed)
    masked = np.where(mask == 1, images, HOLE_GREY)
    drawn = complete(model, images, mask, z, seed)
    made = {"inpaintings": grid([images, masked, drawn])}
    if z is None:
        return made
    whole, some = np.zeros_like(mask)[:RECONSTRUCTED], images[:RECONSTRUCTED]
    seen = np.ones_like(whole)
    z_whole, _ = infer(model, some, seen, seed)
    made["reconstructions"] = grid([some, complete(model, some, whole, z_whole, seed)])
    # The latents that tell these images apart the most; rows of one image.
    widest = np.argsort(-mean.std(axis=0))[:LATENTS]
    rows = np.tile(mean[0], (len(widest), len(VALUES), 1))
    for row, latent in zip(rows, widest, strict=True):
        row[:, latent] = VALUES
    flat = rows.reshape(-1, z.shape[1])
    first = np.repeat(images[:1], len(flat), axis=0)
    varied = complete(model, first, np.repeat(mask[:1], len(flat), axis=0), flat, seed)
    made["traversals"] = grid(list(varied.reshape(len(widest), len(VALUES), *images.shape[1:])))
    return made


def grid(rows: list[np.ndarray], scale: int = 3, gap: int = 4) -> np.ndarray:
    """Rows of [-1, 1] images -> one uint8 picture, pixels enlarged, white between them."""
    height, width = (side * scale for side in rows[0].shape[1:3])
    columns = max(len(row) for row in rows)
    shape = (len(rows) * (height + gap) + gap, columns * (width + gap) + gap, 3)
    sheet = np.full(shape, 255, np.uint8)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            u8 = np.rint((np.asarray(image) + 1.0) * 127.5).clip(0, 255).astype(np.uint8)
            top, left = gap + i * (height + gap), gap + j * (width + gap)
            enlarged = u8.repeat(scale, axis=0).repeat(scale, axis=1)
            sheet[top : top + height, left : left + width] = enlarged
    return sheet
