"""Table 2: each objective is its combination of terms, and the discriminators do their work."""

import math
import os
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import get_args, get_type_hints

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from csi_tf import latent_statistics, objectives
from csi_tf.config import DEFAULT_BETA, ObjectiveConfig

NAMES = get_args(get_type_hints(ObjectiveConfig)["objective"])
ADVERSARIAL = ("factor_vae", "aae")
BATCH, LATENTS, DATASET = 16, 4, 1000


def float32(x):
    return np.asarray(x, np.float32)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    mean, logvar = rng.normal(size=(BATCH, LATENTS)), rng.normal(-1, 0.3, size=(BATCH, LATENTS))
    z = mean + np.exp(logvar / 2) * rng.normal(size=mean.shape)
    return [float32(x) for x in (mean, logvar, z, rng.normal(size=(20, LATENTS)))]


def make(name, **settings):
    return objectives.make(ObjectiveConfig(name, **settings), LATENTS)


def taught(objective, seed=0):
    """With weights that say something: fresh logits are 0."""
    rng = np.random.default_rng(seed)
    weights = objective.discriminator.get_weights()
    objective.discriminator.set_weights([float32(rng.normal(0, 0.2, w.shape)) for w in weights])
    return objective


# Table 2


@pytest.mark.parametrize("estimator", ["corrected", "published"])
@pytest.mark.parametrize(
    ("name", "weights"), [("beta_tcvae", (1, 3, 1)), ("info_beta_tcvae", (0, 3, 1))]
)
def test_tc_objectives_weigh_the_parts(batch, name, weights, estimator):
    parts = latent_statistics.decomposition(*batch[:3], DATASET, estimator)
    nats, terms = make(name, beta=3, estimator=estimator).regulariser(*batch, DATASET)
    expected = sum(weight * float(part) for weight, part in zip(weights, parts, strict=True))
    assert float(nats) == pytest.approx(expected, rel=1e-5)  # roundings of three terms
    assert {key: float(value) for key, value in terms.items()} == {
        key: float(value) for key, value in parts._asdict().items()
    }


@pytest.mark.parametrize(
    ("name", "settings", "beta"), [("vae", {}, 1), ("beta_vae", {"beta": 3}, 3)]
)
def test_kl_objectives_weigh_all_parts_alike(batch, name, settings, beta):
    nats, terms = make(name, **settings).regulariser(*batch, DATASET)
    kl = float(np.mean(latent_statistics.gaussian_kl(*batch[:2])))
    assert float(terms["kl"]) == pytest.approx(kl, rel=1e-6)
    assert float(nats) == pytest.approx(beta * kl, rel=1e-6)


def test_mmd_objective_is_the_weighted_mmd(batch):
    _, _, z, prior_z = batch
    nats, terms = make("info_vae_mmd", mmd_weight=3e5).regulariser(*batch, DATASET)
    assert float(nats) == pytest.approx(3e5 * float(latent_statistics.mmd(z, prior_z)), rel=1e-6)
    assert terms["mmd"] == latent_statistics.mmd(z, prior_z)


def test_factor_vae_adds_total_correlation_to_the_kl(batch):
    """MI + beta TC + PD = KL + (beta - 1) TC."""
    mean, logvar, z, _ = batch
    objective = taught(make("factor_vae", beta=3))
    nats, terms = objective.regulariser(*batch, DATASET)
    kl = float(np.mean(latent_statistics.gaussian_kl(mean, logvar)))
    tc = float(np.mean(objective.discriminator(z)))
    assert abs(tc) > 0.01  # or the next line would not see it
    assert float(nats) == pytest.approx(kl + 2 * tc, rel=1e-5)
    assert float(terms["tc_discriminator"]) == pytest.approx(tc, rel=1e-5)


def test_aae_is_the_weighted_non_saturating_loss(batch):
    """-log of the probability that a draw comes from the prior."""
    objective = taught(make("aae"))
    nats, terms = objective.regulariser(*batch, DATASET)
    logits = np.asarray(objective.discriminator(batch[2]), np.float64)
    from_prior = 1 / (1 + np.exp(logits))
    assert float(nats) == pytest.approx(
        objectives.AAE_WEIGHT * np.mean(-np.log(from_prior)), rel=1e-5
    )
    assert float(terms["tc_plus_pd_discriminator"]) == pytest.approx(np.mean(logits), rel=1e-4)


def test_defaults():
    assert make("vae").beta == 1
    assert {name: make(name).beta for name in DEFAULT_BETA} == DEFAULT_BETA
    assert make("beta_tcvae").beta == make("info_beta_tcvae").beta == 5  # the paper
    assert make("info_vae_mmd").weight == 2e6  # the paper


# One interface


@pytest.mark.parametrize("name", NAMES)
def test_every_objective_runs_in_a_graph_with_finite_gradients(batch, name):
    objective = make(name)
    if isinstance(objective, objectives.Adversarial):
        taught(objective)
    assert isinstance(objective, objectives.Adversarial) == (name in ADVERSARIAL)
    _, logvar, _, prior_z = batch
    noise = float32(np.random.default_rng(1).normal(size=(BATCH, LATENTS)))

    @tf.function
    def step(mean, logvar):
        with tf.GradientTape() as tape:
            tape.watch([mean, logvar])
            z = mean + tf.exp(0.5 * logvar) * noise
            nats, terms = objective.regulariser(mean, logvar, z, prior_z, DATASET)
        return nats, terms, tape.gradient(nats, [mean, logvar])

    for level in (0.0, -80.0):
        nats, terms, gradients = step(batch[0], logvar + level)
        assert nats.shape == ()
        assert nats.dtype == tf.float32
        assert all(value.shape == () for value in terms.values())
        for gradient in gradients:
            assert np.all(np.isfinite(gradient))
            assert level < 0 or np.any(gradient != 0)


@pytest.mark.parametrize("name", NAMES)
def test_batches_of_one_are_refused_where_encoder_and_decoder_are_trained(name):
    settings = {"objective": {"objective": name}, "optimiser": {"batch_size": 1}}
    with pytest.raises(ValueError, match=r"batch_size must be 2 or more, not 1$"):
        tiny.config("stage1", **settings)
    for mode in ("data", "summary"):
        tiny.config(mode, **settings)
    tiny.config("one_stage", **settings, model={"latents": False})
    tiny.config("stage2", **settings, loop={"stage1": "runs/that"})


def test_objectives_are_frozen():
    with pytest.raises(FrozenInstanceError):
        make("vae").beta = 2


# Discriminators


def test_shuffled_latents_keep_each_marginal(batch):
    z = batch[2]
    noise = float32(np.random.default_rng(3).normal(size=z.shape))
    shuffled = np.asarray(make("factor_vae").reference(z, noise))
    np.testing.assert_array_equal(np.sort(shuffled, axis=0), np.sort(z, axis=0))
    orders = [np.searchsorted(np.sort(z[:, j]), shuffled[:, j]).tolist() for j in range(LATENTS)]
    own = [np.searchsorted(np.sort(z[:, j]), z[:, j]).tolist() for j in range(LATENTS)]
    assert all(order != before for order, before in zip(orders, own, strict=True))
    # Two latents in one order would keep their correlation.
    moved = [
        np.argsort(order)[np.argsort(np.argsort(before))].tolist()
        for order, before in zip(orders, own, strict=True)
    ]
    assert len({tuple(move) for move in moved}) == LATENTS


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_a_fresh_discriminator_has_no_say(batch, name):
    objective = make(name)
    noise = batch[3][:BATCH]
    assert float(objective.discriminator_loss(batch[2], noise)) == pytest.approx(math.log(2))
    z = tf.constant(batch[2])
    with tf.GradientTape() as tape:
        tape.watch(z)
        nats, _ = objective.regulariser(batch[0], batch[1], z, batch[3], DATASET)
    assert not np.any(tape.gradient(nats, z))


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_the_discriminators_loss_trains_it_and_not_the_encoder(batch, name):
    objective = taught(make(name))
    z = tf.constant(batch[2])
    with tf.GradientTape() as tape:
        tape.watch(z)
        loss = objective.discriminator_loss(z, batch[3][:BATCH])
    of_z, *of_weights = tape.gradient(loss, [z, *objective.discriminator.trainable_variables])
    assert of_z is None
    assert all(np.any(gradient != 0) for gradient in of_weights)


def test_the_discriminators_loss_is_cross_entropy(batch):
    """z is one class, the reference the other, equally likely."""
    z, noise = batch[2], batch[3][:BATCH]
    objective = taught(make("aae"))
    is_z = 1 / (1 + np.exp(-np.asarray(objective.discriminator(z), np.float64)))
    mistaken = 1 / (1 + np.exp(-np.asarray(objective.discriminator(noise), np.float64)))
    expected = -(np.mean(np.log(is_z)) + np.mean(np.log(1 - mistaken))) / 2
    assert float(objective.discriminator_loss(z, noise)) == pytest.approx(expected, rel=1e-5)


def test_first_weights_depend_on_the_seed_alone():
    def kernel(seed):
        return objectives.make(ObjectiveConfig("aae"), LATENTS, seed).discriminator.get_weights()[0]

    np.testing.assert_array_equal(kernel(1), kernel(1))
    assert np.any(kernel(1) != kernel(2))


def test_discriminators_are_float32_whatever_the_policy():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        objective = make("factor_vae")
        assert objective.logits(tf.zeros((2, LATENTS), tf.bfloat16)).dtype == tf.float32
        loss = objective.discriminator_loss(*tf.zeros((2, 2, LATENTS), tf.bfloat16))
    finally:
        keras.config.set_dtype_policy(policy)
    assert loss.dtype == tf.float32


def test_factor_vae_learns_the_total_correlation():
    """The mean log-ratio comes to the closed form, -log(1 - rho^2) / 2."""
    rho = 0.9
    objective = objectives.make(ObjectiveConfig("factor_vae"), 2)
    optimiser = keras.optimizers.Adam(2e-3, beta_1=0.5, beta_2=0.9)
    variables = objective.discriminator.trainable_variables
    optimiser.build(variables)

    @tf.function
    def step(z, noise):
        with tf.GradientTape() as tape:
            loss = objective.discriminator_loss(z, noise)
        optimiser.apply(tape.gradient(loss, variables), variables)

    rng = np.random.default_rng(0)

    def draws(count):
        return float32(rng.normal(size=(count, 2)) @ np.linalg.cholesky([[1, rho], [rho, 1]]).T)

    for i in range(400):
        if i == 300:
            optimiser.learning_rate = 2e-4  # to settle
        step(draws(256), float32(rng.normal(size=(256, 2))))
    found = float(np.mean(objective.logits(draws(20_000))))
    # A network of finite training is smoother than the log-ratio, whose tails are steep.
    assert found == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.05)


def test_aae_brings_latents_to_the_prior():
    """An encoder with a mean and a scale to each latent, trained in turns, ends at N(0, I)."""
    objective = objectives.make(ObjectiveConfig("aae"), 2)
    mean, log_scale = tf.Variable([1.5, -1.0]), tf.Variable([-1.0, 0.5])
    encoder, judge = keras.optimizers.Adam(1e-2, beta_1=0.5), keras.optimizers.Adam(2e-3, 0.5, 0.9)
    variables = objective.discriminator.trainable_variables
    judge.build(variables)

    @tf.function
    def step(draws, noise, learning_rate):
        encoder.learning_rate = learning_rate

        def encode():
            return mean + tf.exp(log_scale) * draws

        with tf.GradientTape() as tape:
            loss = objective.discriminator_loss(encode(), noise)
        judge.apply(tape.gradient(loss, variables), variables)
        with tf.GradientTape() as tape:
            z = encode()
            nats, _ = objective.regulariser(z, tf.zeros_like(z), z, noise, DATASET)
        encoder.apply(tape.gradient(nats, [mean, log_scale]), [mean, log_scale])

    encoder.build([mean, log_scale])
    rng = np.random.default_rng(0)
    for i in range(600):
        rate = np.float32(1e-2 * min(1, (600 - i) / 300))
        step(float32(rng.normal(size=(128, 2))), float32(rng.normal(size=(128, 2))), rate)
    # The two players circle the solution; it started 1.5 and a factor of 2.7 away.
    np.testing.assert_allclose(mean, [0, 0], atol=0.1)
    np.testing.assert_allclose(log_scale, [0, 0], atol=0.1)


# The other backend


PROGRAM = """
import sys
import jax
import keras
import numpy as np

from csi_tf import latent_statistics, objectives
from csi_tf.config import ObjectiveConfig

assert keras.backend.backend() == "jax"
given = np.load(sys.argv[1])
batch = [given[name] for name in ("mean", "logvar", "z", "prior_z")]
found = {}
for estimator in latent_statistics.ESTIMATORS:
    def statistics(*arrays):
        return latent_statistics.diagnostics(*arrays, 1000, estimator)
    for name, value in jax.jit(statistics)(*batch).items():
        found[f"{estimator}_{name}"] = value
for name in sys.argv[3].split(","):
    objective = objectives.make(ObjectiveConfig(name), 4)
    if isinstance(objective, objectives.Adversarial):
        rng = np.random.default_rng(0)
        objective.discriminator.set_weights([
            rng.normal(0, 0.2, w.shape).astype("float32")
            for w in objective.discriminator.get_weights()
        ])
        found[name + "_loss"] = jax.jit(objective.discriminator_loss)(batch[2], given["noise"])
    def nats(*arrays):
        return objective.regulariser(*arrays, 1000)[0]
    found[name], found[name + "_gradient"] = jax.jit(jax.value_and_grad(nats, argnums=2))(*batch)
assert "tensorflow" not in sys.modules
np.savez(sys.argv[2], **{name: np.asarray(value) for name, value in found.items()})
"""


def test_jax_agrees(batch, tmp_path):
    pytest.importorskip("jax", reason="the JAX extra is not installed")
    noise = batch[3][:BATCH]
    given = dict(zip(("mean", "logvar", "z", "prior_z"), batch, strict=True)) | {"noise": noise}
    files = (tmp_path / "given.npz", tmp_path / "out.npz")
    np.savez(files[0], **given)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *files, ",".join(NAMES)],
        env=os.environ | {"KERAS_BACKEND": "jax"},
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = dict(np.load(files[1]))

    expected = {}
    for estimator in latent_statistics.ESTIMATORS:
        statistics = latent_statistics.diagnostics(*batch, DATASET, estimator)
        expected |= {f"{estimator}_{name}": value for name, value in statistics.items()}
    for name in NAMES:
        objective = make(name)
        if isinstance(objective, objectives.Adversarial):
            expected[name + "_loss"] = taught(objective).discriminator_loss(batch[2], noise)
        z = tf.constant(batch[2])
        with tf.GradientTape() as tape:
            tape.watch(z)
            expected[name], _ = objective.regulariser(*batch[:2], z, batch[3], DATASET)
        gradient = tape.gradient(expected[name], z)
        expected[name + "_gradient"] = np.zeros_like(z) if gradient is None else gradient
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        # Float32 sums in another order; the MMD's are multiplied by 2e6.
        size = max(1.0, float(np.max(np.abs(value))))
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5 * size, err_msg=name)
