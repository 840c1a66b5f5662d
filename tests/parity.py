"""What both halves of a test of two backends do, each in a process of its own."""

import numpy as np
import tiny
from keras import ops

import csi_tf
from csi_tf import masks
from csi_tf.whole import WholeLatents
from pixel_cnn_pp import ForwardPixelCNN, ReversePixelCNN, mixture, receptive_field, sampling
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


def networks(given):
    """What networks, mixtures and samplers make of the same weights, inputs and noise."""
    found = {}
    for name, blocks, options in (
        ("paper", 2, {}),
        ("pixelcnnpp", 1, {"activation": "concat_elu", "weight_norm": True}),
        ("exact", 1, {"field": (5, 9)}),
    ):
        reverse = ReversePixelCNN(blocks, 8, 5, **options)
        forward = ForwardPixelCNN(blocks, 8, 3, **options)
        features = reverse(given["image"], given["mask"])
        forward(given["image"], (features, given["maps"]))
        rng = np.random.default_rng(7)
        for network in (reverse, forward):
            network.set_weights(
                [
                    rng.normal(0, 0.2, w.shape).astype("float32") + (w.name == "gain")
                    for w in network.weights
                ]
            )
        features = reverse(given["image"], given["mask"])
        raw = forward(given["image"], (features, given["maps"]))
        found[name + "_features"], found[name + "_raw"] = features, raw
        found[name + "_log_prob"] = mixture.log_prob(raw, given["image"])
        # Draws from given parameters: a rounding in the networks could flip a tie.
        drawn = mixture.draw(given["raw"], given["uniforms"], 1.0)
        found[name + "_exact"], found[name + "_image"] = drawn.exact, drawn.image
        noise = sampling.noise_of(range(2), (8, 8), 3, 1.0)
        maps = (features, given["maps"])
        for method in sampling.METHODS:
            sampled = sampling.draws(
                forward, given["image"], given["mask"], maps, noise, given["image"], method
            )
            found[f"{name}_sampled_{method}"] = np.clip(sampled.exact, -1, 1) * (given["mask"] == 0)
    law = WholeLatents(3)
    law.build(None)
    law.set_weights([rng.normal(0, 0.1, w.shape).astype("float32") for w in law.weights])
    mean = rng.normal(size=(2, 3)).astype("float32")
    larger = given["mask"].repeat(2, 1).repeat(2, 2)
    found["whole_nats"] = law.nats(2 * mean, law(mean, larger))
    found["whole_drawn"] = law.draw(mean, larger, mean)
    found["field"] = receptive_field.measure(ForwardPixelCNN(1, 4, 1, field=(3, 5)))
    return {name: np.asarray(value) for name, value in found.items()}
