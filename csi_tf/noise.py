"""The noise a model asks for, keyed by example and not by batch, made in NumPy."""

from collections.abc import Iterable

import numpy as np

from csi_tf.randomness import fold, uniforms


def hole(seed: int, examples: np.ndarray, size: int) -> np.ndarray:
    """(B, size, size, 3) uniform over [-1, 1): what the encoder sees in place of the hole."""
    drawn = uniforms(seed, "noise/hole", examples, 3 * size * size)
    return (2.0 * drawn - 1.0).astype(np.float32).reshape(-1, size, size, 3)


def normals(seed: int, stream: str, examples: np.ndarray, count: int) -> np.ndarray:
    """(len(examples), count) standard normal numbers, by Box and Muller."""
    half = -(-count // 2)
    drawn = uniforms(seed, stream, examples, 2 * half)
    radius = np.sqrt(-2.0 * np.log1p(-drawn[:, :half]))
    angle = 2.0 * np.pi * drawn[:, half:]
    pairs = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return pairs[:, :count].astype(np.float32)


def for_training(
    seed: int, step: int, examples: np.ndarray, size: int, latent_dim: int, prior_draws: int
) -> dict[str, np.ndarray]:
    """All the noise of a training step but dropout's, by example counter and step."""
    draws = np.arange(step * prior_draws, (step + 1) * prior_draws)
    return {
        "hole_noise": hole(seed, examples, size),
        "posterior_noise": normals(seed, "noise/posterior", examples, latent_dim),
        "discriminator_noise": normals(seed, "noise/discriminator", examples, latent_dim),
        "prior_z": normals(seed, "noise/prior", draws, latent_dim),
    }


def keys(seed: int, images: np.ndarray, context_mask: np.ndarray) -> np.ndarray:
    """(B,) example numbers that depend on a picture, its mask and the seed, not on its place."""
    images, context_mask = np.asarray(images, np.float32), np.asarray(context_mask, np.float32)
    # Only what is observed may matter: what lies under the hole is not known to the caller.
    seen = np.where(context_mask == 1, images, np.float32(0))
    return np.array(
        [
            fold(seed, image.tobytes(), mask.tobytes())
            for image, mask in zip(seen, context_mask, strict=True)
        ],
        dtype=np.int64,
    )


def numbered(keys: Iterable[int], numbers: Iterable[int]) -> np.ndarray:
    """(B,) keys of the draws with these numbers of pictures with these keys."""
    pairs = zip(keys, numbers, strict=True)
    return np.array([fold(int(key), "draw", int(number)) for key, number in pairs], np.int64)
