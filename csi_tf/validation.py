"""Held-out bits per dimension, what the latents are worth, and what the posterior looks like."""

import math
from collections.abc import Iterator

import numpy as np

from csi_tf import latent_statistics, noise
from csi_tf.config import Config
from csi_tf.data.pipeline import Batches
from csi_tf.learner import Arrays, Learner
from csi_tf.randomness import fold

# Images at a time: enough for speed on any machine, little memory.
BATCH = 64
# Images whose latents are compared with one another, which takes memory with their square: 150 MB.
COMPARED = 512


def batches(config: Config, images: np.ndarray) -> Iterator[Arrays]:
    """Every held-out image once, with masks and noise that never change during a run."""
    seed, count = fold(config.run.seed, "validation"), len(images)
    # None of a single image, which would be decoded from its own z where another's is meant.
    rows = next(rows for rows in range(min(BATCH, count), 1, -1) if count % rows != 1)
    made = Batches(
        images,
        rows,
        seed,
        shuffle=False,
        mask_distribution=config.masks.mask,
        mask_convention=config.masks.mask_convention,
        drop_remainder=False,
    )
    size, latents = config.data.image_size, config.model.latent_dim
    for step in range(made.steps_per_epoch):
        batch = made.batch(step)
        yield batch | {
            "hole_noise": noise.hole(seed, batch["example"], size),
            "posterior_noise": noise.normals(seed, "noise/posterior", batch["example"], latents),
        }


def validate(learner: Learner, images: np.ndarray) -> tuple[dict[str, float], np.ndarray | None]:
    """Scalars to log, and the latents drawn, (N, d).

    `bits_of_z` is what is lost in bits/dim when each image is decoded from its neighbour's z: near
    0, the latents are ignored. Statistics of the latents are those of the first 512 images at once.
    """
    found: dict[str, list[np.ndarray]] = {}
    with learner.averaged():
        for batch in batches(learner.config, images):
            for name, values in learner.evaluate(batch).items():
                found.setdefault(name, []).append(values)
    whole = {name: np.concatenate(parts) for name, parts in found.items()}
    dimensions = max(float(whole["values"].sum()), 1.0) * math.log(2.0)
    scalars = {
        "bits_per_dim": float(whole["nats"].sum()) / dimensions,
        "nats": float(whole["nats"].mean()),
    }
    if "z" not in whole:
        return scalars, None
    scalars["bits_of_z"] = float((whole["nats_shuffled"] - whole["nats"]).sum()) / dimensions
    draws = learner.config.objective.mmd_prior_draws
    prior = noise.normals(0, "noise/validation prior", np.arange(draws), whole["z"].shape[1])
    mean, logvar, z = (whole[name][:COMPARED] for name in ("mean", "logvar", "z"))
    statistics = latent_statistics.diagnostics(
        mean,
        logvar,
        z,
        prior,
        learner.dataset_size,
        learner.config.objective.estimator,
    )
    scalars |= {name: float(np.asarray(value)) for name, value in statistics.items()}
    return scalars, whole["z"]
