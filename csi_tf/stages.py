"""What each stage minimises: eq. (1), eq. (4), and both at once. One function for all of them.

stage1     eq. (1): every pixel is scored; encoder and decoder are trained with the PixelVAE
stage2     eq. (4): the hole is scored; encoder and decoder are frozen
one_stage  eq. (4) plus the regulariser of eq. (1): everything is trained together
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from csi_tf.config import ModelConfig
from csi_tf.model import CSIModel, named_weights, posterior_sample
from csi_tf.objectives import Objective
from pixel_cnn_pp import mixture

LOG_2 = math.log(2.0)


class Scores(NamedTuple):
    """Per image: nats over the scored pixels and how many values those are; and its latents."""

    nats: Any
    values: Any
    mean: Any
    logvar: Any
    z: Any


def uses_latents(config: ModelConfig, stage: str) -> bool:
    """Whether a stage trains the latents, so that an objective applies."""
    return config.latents and stage != "stage2"


def score(
    model: CSIModel,
    stage: str,
    batch: dict[str, Any],
    training: bool,
    warming_up: bool = False,
    shuffled: bool = False,
) -> Scores:
    """Negative log-likelihood of the scored pixels, given z drawn once for each image.

    While warming up, a head without depth takes the PixelCNN's place. `shuffled` decodes the
    latents of another image of the batch: what is then lost tells whether z is used.
    """
    images = ops.cast(batch["image"], "float32") / 127.5 - 1.0
    mask = batch["context_mask"]
    frozen = stage == "stage2"
    mean = logvar = z = y_z = None
    if model.encoder is not None:
        # Section 3: the looser bound shows the encoder the context, the standard one everything.
        # Held-out holes are scored as they will be filled: by a z that has not seen them.
        whole = stage == "stage1" or (stage == "one_stage" and training)
        whole = whole and model.config.full_image_encoder
        shown = ops.ones_like(mask) if whole else mask
        learning = training and not frozen
        mean, logvar = model.posterior(images, shown, batch["hole_noise"], training=learning)
        z = posterior_sample(mean, logvar, batch["posterior_noise"])
        decoded = ops.roll(z, 1, axis=0) if shuffled else z
        y_z = model.decode(decoded, training=learning)
        if frozen:
            y_z = ops.stop_gradient(y_z)
    if warming_up:
        raw = model.warmup_head(images, y_z)
    else:
        raw = model.predict(images, mask, y_z, training)
    scored = ops.ones_like(mask) if stage == "stage1" else 1.0 - mask
    nats = -ops.sum(mixture.log_prob(raw, images) * scored[..., 0], axis=(1, 2))
    return Scores(nats, 3.0 * ops.sum(scored, axis=(1, 2, 3)), mean, logvar, z)


def loss(
    model: CSIModel,
    objective: Objective | None,
    stage: str,
    batch: dict[str, Any],
    dataset_size: int,
    warming_up: bool = False,
    gather: Callable[[Any], Any] = lambda x: x,
    replicas: int = 1,
) -> tuple[Any, Scores, dict[str, Any]]:
    """This replica's share of the loss, its scores, and the terms to log (sums over replicas).

    `gather` brings together the rows of all replicas: MMD and TC belong to the whole batch. Shares
    add up to the loss of the whole batch, and so do their gradients.
    """
    scores = score(model, stage, batch, training=True, warming_up=warming_up)
    images = scores.nats.shape[0] * replicas
    share = ops.sum(scores.nats) / images
    terms = {"nats": share, "values": ops.sum(scores.values) / images}
    if objective is not None:
        added, parts = objective.regulariser(
            gather(scores.mean),
            gather(scores.logvar),
            gather(scores.z),
            batch["prior_z"],
            dataset_size,
        )
        share = share + added / replicas
        terms |= {name: value / replicas for name, value in parts.items()}
        terms["regulariser"] = added / replicas
    return share, scores, terms | {"loss": share}


def trained_variables(model: CSIModel, stage: str, warming_up: bool = False) -> list[Any]:
    """What a stage moves; in a fixed order, which optimiser slots follow."""
    latent = [] if stage == "stage2" else [model.encoder, model.decoder]
    pixel = [model.warmup_head] if warming_up else [model.forward, model.reverse]
    networks = [network for network in (*latent, *pixel) if network is not None]
    return [variable for network in networks for variable in network.trainable_variables]


def start_stage_two(model: CSIModel, weights: dict[str, Any], init: str) -> list[str]:
    """Copy stage one into a fresh stage-two model; the names of what was copied.

    "paper": encoder, decoder and the filters W of the forward net; U, V and the reverse net fresh.
    "published": V as well. "continued": V as well, and U zero, so that stage two begins with the
    distribution stage one ended with. "mirrored": as continued, and the reverse net begins as the
    forward net of stage one, which it is when the picture is turned round.
    """
    continued = init in ("continued", "mirrored")
    if init == "mirrored":
        weights = weights | _mirrored(weights)
    copied = []
    own, longer = named_weights(model), {}
    for name, variable in own.items():
        conditioning = "/conditioning_" in name
        if name.startswith("dropout_seed") or (conditioning and init == "paper"):
            continue
        if name in weights:
            value = weights[name]
            if value.shape != tuple(variable.shape):
                # One 1x1 on all maps: those of Y^r come last, and stage one has no rows for them.
                fresh = np.asarray(variable)[:, :, value.shape[2] :] * (not continued)
                whole = np.concatenate([value, fresh], axis=2)
                if model.config.weight_norm:
                    gain = name.removesuffix("/kernel") + "/gain"
                    longer[gain] = _length(whole) / _length(value)
                value = whole
            variable.assign(value)
            copied.append(name)
        elif conditioning and continued and not _is_direction(name, model):
            variable.assign(np.zeros(variable.shape))
    for name, factor in longer.items():  # or what came along would be divided by a greater length
        own[name].assign(np.asarray(own[name]) * factor)
    return copied


def _length(kernel: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(np.square(kernel).sum(axis=(0, 1, 2))))


def _mirrored(weights: dict[str, Any]) -> dict[str, Any]:
    """Weights of the forward net for the reverse net, which ends in features of its own.

    Where the forward net is told of the edge of the picture by a channel of ones, the reverse net
    has one of the observed pixels: a hole is to it what lies outside. Its own ones begin unused.
    """
    found = {}
    for name, value in weights.items():
        prefix, rest = "forward/streams/", name.removeprefix("forward/streams/")
        if not name.startswith(prefix) or "/conditioning_" in name or rest.startswith("last/"):
            continue
        if rest.startswith("first_") and rest.endswith("/kernel"):
            value = np.concatenate([value, np.zeros_like(value[:, :, :1])], axis=2)
        found["reverse/streams/" + rest] = value
    return found


def _is_direction(name: str, model: CSIModel) -> bool:
    """Whether a kernel is only a direction, whose length is a gain beside it: never zero."""
    return model.config.weight_norm and name.endswith("/kernel")
