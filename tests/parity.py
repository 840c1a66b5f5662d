"""What both halves of a test of two backends do, each in a process of its own."""

import numpy as np
import tiny
from keras import ops

import csi_tf
from csi_tf import masks
from pixel_cnn_pp.dropout import ByteDropout

SIZE = 16
EYES = masks.named("eyes", SIZE)

_kept = ByteDropout.kept


def all_kept(layer, x):
    """In place of ByteDropout.kept: what is drawn differs by backend, and is drawn in vain."""
    return ops.ones_like(_kept(layer, x))


def config(steps):
    """Steps large enough that Adam's moments show in the losses after them, each clipped."""
    optimiser = {"ema": 0.9, "learning_rate": 1e-2, "clip_norm": 100.0}
    return tiny.config(optimiser=optimiser | {"train_steps": steps})


def given():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, SIZE, SIZE, 3)).astype("uint8")
    return images, rng.normal(size=(2, tiny.MODEL["latent_dim"])).astype("float32")


def answers(model):
    """Likelihoods, and completions as they are drawn for people."""
    images, z = given()
    images_pm1 = (images / 127.5 - 1).astype("float32")
    found = {"log_prob": model.log_prob(images_pm1, np.zeros((2, SIZE, SIZE, 1), "float32"), z)}
    # So short a training leaves colours that hardly depend on what the networks say.
    last = model.forward.streams.last
    noise = np.random.default_rng(5).normal(0, 0.3, last.kernel.shape)
    last.kernel.assign(np.asarray(last.kernel) + noise)
    drawn = csi_tf.inpaint(model, images, EYES, 4, seed=3)
    found |= {name: getattr(drawn, name) for name in ("images", "latents", "seeds")}
    found["nats"] = drawn.log_likelihood
    return {name: np.asarray(value) for name, value in found.items()}
