"""Drawing the pixels of a hole in raster order: one full pass of the network for each."""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from pixel_cnn_pp import checks, mixture


def sample(
    network,
    images_pm1,
    context_mask,
    conditioning=None,
    seed: int = 0,
    truncation: float | None = 1.0,
    method: str = "naive",
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Completions of a batch: observed pixels as they were, the others drawn on the 8-bit grid.

    `progress(done, total)` is called after each row that had a hole.
    """
    checks.choice("method", method, ("naive",))
    checks.images(images_pm1)
    checks.mask(context_mask)
    observed = np.asarray(context_mask) == 1
    images = np.where(observed, np.asarray(images_pm1, "float32"), np.float32(0))
    run = _compiled(network)
    generator = keras.random.SeedGenerator(seed)
    rows = np.flatnonzero((~observed).any(axis=(0, 2, 3)))
    for done, row in enumerate(rows, 1):
        for column in np.flatnonzero((~observed[:, row]).any(axis=(0, 2))):
            raw = run(ops.convert_to_tensor(images), conditioning)
            pixel = raw[:, row : row + 1, column : column + 1]
            drawn = mixture.sample(pixel, generator, truncation)[:, 0, 0]
            hole = ~observed[:, row, column]
            images[:, row, column] = np.where(hole, np.asarray(drawn), images[:, row, column])
        if progress is not None:
            progress(done, len(rows))
    return np.where(observed, np.asarray(images_pm1, "float32"), images)


def _compiled(network):
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(lambda images, conditioning: network(images, conditioning))
    import tensorflow as tf

    return tf.function(lambda images, conditioning: network(images, conditioning))
