"""What each stage minimises, by the networks themselves, and what training does that scoring does
not: eqs. (1) and (4)."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tiny
from test_model import batch, pictures, tiny_model

from csi_tf import learner, stages, training
from csi_tf import model as models
from csi_tf.config import ObjectiveConfig
from csi_tf.objectives import make as make_objective
from pixel_cnn_pp import mixture

DATASET = 100
SHAPES = ((3, 5), (8, 2), (1, 1), (16, 16))


def holes():
    """A hole of another size in each picture: nothing, then, is right of one picture by chance."""
    mask = np.ones((len(SHAPES), 16, 16, 1), "float32")
    for each, (height, width) in zip(mask, SHAPES, strict=True):
        each[:height, :width] = 0
    return mask


def stage_model(stage, **changes):
    """With weights that tell pixels and latents apart, as fresh ones hardly do."""
    model = tiny_model(reverse=stage != "stage1", **changes)
    rng = np.random.default_rng(2)
    for variable in model.trainable_variables:
        variable.assign(variable + rng.normal(0, 0.1, variable.shape))
    return model


def tensors():
    return {k: tf.constant(v) for k, v in (batch(len(SHAPES)) | {"context_mask": holes()}).items()}


def by_the_networks(model, stage, given, learning, warming_up):
    """Figure 2 from left to right: (B, H, W) log-probabilities, mean, logvar and z."""
    images, mask = given["image"].numpy() / np.float32(127.5) - 1, given["context_mask"].numpy()
    shown = np.ones_like(mask) if model.config.full_image_encoder else mask
    filled = np.where(shown == 1, images, given["hole_noise"])
    mean, logvar = model.encoder(filled, shown, training=learning)
    z = mean + np.exp(logvar / 2) * given["posterior_noise"]
    maps = [model.decoder(z, training=learning)]
    if warming_up:
        raw = model.warmup_head(images, maps[0])
    else:
        if model.reverse is not None:
            maps.append(model.reverse(np.where(mask == 1, images, 0), mask))
        raw = model.forward(images, tuple(maps))
    return np.asarray(mixture.log_prob(raw, images), np.float64), mean, logvar, z


@pytest.mark.parametrize(
    "objective",
    [ObjectiveConfig("info_vae_mmd"), ObjectiveConfig("beta_tcvae", beta=1000.0)],
    ids=lambda objective: objective.objective,
)
@pytest.mark.parametrize(
    ("stage", "warming_up"),
    [("stage1", False), ("stage1", True), ("stage2", False), ("one_stage", False)],
)
def test_the_loss_is_the_nats_of_the_scored_pixels_and_the_regulariser(
    stage, warming_up, objective
):
    """Without dropout. MMD needs draws of the prior, beta-TCVAE means, variances and N."""
    model, given = stage_model(stage, dropout=0.0, conditioning="paper"), tensors()
    trains_latents = stage != "stage2"
    log_prob, mean, logvar, z = by_the_networks(model, stage, given, trains_latents, warming_up)
    scored = np.ones((4, 16, 16)) if stage == "stage1" else 1 - holes()[..., 0]
    nats = -(log_prob * scored).sum((1, 2))
    chosen = make_objective(objective, 4) if trains_latents else None
    loss, scores, terms = stages.loss(model, chosen, stage, given, DATASET, warming_up)
    # The same float32 numbers, added up in another order.
    np.testing.assert_allclose(scores.nats, nats, rtol=1e-5)
    sizes = [256] * 4 if stage == "stage1" else [height * width for height, width in SHAPES]
    np.testing.assert_array_equal(scores.values, 3 * np.array(sizes))
    expected, added = nats.mean(), 0.0
    if trains_latents:
        added = float(chosen.regulariser(mean, logvar, z, given["prior_z"], DATASET)[0])
        assert abs(added) > 0.01 * expected  # or the loss would not show it
        # 2e6 times an MMD, whose sums cancel.
        assert float(terms["regulariser"]) == pytest.approx(added, rel=1e-4)
    assert ("regulariser" in terms) == trains_latents
    assert float(loss) == pytest.approx(expected + added, rel=1e-4)  # for the same reason
    assert float(terms["loss"]) == float(loss)
    assert float(terms["nats"]) == pytest.approx(expected, rel=1e-5)
    assert float(terms["values"]) == 3 * np.mean(sizes)


@pytest.mark.parametrize("stage", models.STAGES)
def test_held_out_pictures_are_scored_by_what_the_batches_before_have_taught(stage):
    """With the statistics that BatchNorm keeps, and without dropout."""
    model, given = stage_model(stage, dropout=0.5, conditioning="paper"), tensors()
    log_prob, *latents = by_the_networks(model, stage, given, False, False)
    scored = np.ones((4, 16, 16)) if stage == "stage1" else 1 - holes()[..., 0]
    scores = stages.score(model, stage, given, training=False)
    # The same float32 numbers, added up in another order.
    np.testing.assert_allclose(scores.nats, -(log_prob * scored).sum((1, 2)), rtol=1e-5)
    for found, expected in zip(scores[2:], latents, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_dropout_acts_in_either_net_while_training_and_only_then():
    images, mask = pictures(4), holes()
    y_z = np.random.default_rng(0).normal(size=(4, 16, 16, 4)).astype("float32")
    forward, reverse, both = (stage_model(stage, dropout=0.5) for stage in models.STAGES)
    reverse.forward = lambda images_pm1, maps, training: maps[-1]
    given = tensors()
    calls = {
        "forward": lambda training: forward.predict(images, mask, y_z, training),
        "reverse": lambda training: reverse.predict(images, mask, y_z, training),
        # Encoder and decoder of stage two do not learn: their BatchNorm is no reason to differ.
        "score": lambda training: stages.score(both, "stage2", given, training).nats,
    }
    for name, call in calls.items():
        first, second = call(False), call(False)
        np.testing.assert_array_equal(first, second, err_msg=name)
        first, second = np.asarray(call(True)), np.asarray(call(True))
        assert (first != second).any(), name
        assert (first != np.asarray(call(False))).any(), name


@pytest.mark.parametrize("stage", ["stage1", "one_stage", "stage2"])
def test_a_step_teaches_batchnorm_where_encoder_and_decoder_are_trained(eagerly, stage):
    config = tiny.config(stage, data={"limit": 24})
    made = learner.make(config, stage, 24, 4)
    statistics = {
        name: variable
        for name, variable in models.named_weights(made.model).items()
        if "/moving_" in name
    }
    assert {name.split("/")[0] for name in statistics} == {"encoder", "decoder"}
    before = {name: variable.numpy() for name, variable in statistics.items()}
    images, _ = training._images(config)
    terms = made.step(training.batches_of(config, images).batch(0), False)
    assert float(terms["finite"]) == 1
    for name, variable in statistics.items():
        assert (variable.numpy() != before[name]).any() == (stage != "stage2"), name


def test_gradients_are_clipped_to_the_norm_that_is_asked_for(eagerly):
    """Adam's first moment is a tenth of its first gradient."""
    config = tiny.config(data={"limit": 8}, optimiser={"clip_norm": 0.1})
    made = learner.make(config, "stage1", 8, 4)
    images, _ = training._images(config)
    terms = made.step(training.batches_of(config, images).batch(0), False)
    assert float(terms["gradient_norm"]) > 10  # what is logged is the norm before
    moments = made.optimisers["main"]._momentums
    norm = math.sqrt(sum(np.square(moment.numpy(), dtype=float).sum() for moment in moments))
    assert norm == pytest.approx(0.1 * 0.1, rel=1e-5)  # float32 sums of some ten thousand squares
