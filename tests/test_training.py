"""Runs as people start them: every mode and objective, stopped, killed, resumed, shared out."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import tensorflow as tf
import tiny

from csi_tf import checkpoints, latent_statistics, learner, logs, training, validation
from csi_tf.config import ObjectiveConfig
from csi_tf.data.pipeline import Batches
from csi_tf.errors import RunFailed

REPOSITORY = Path(__file__).parent.parent
OBJECTIVES = get_args(ObjectiveConfig.__annotations__["objective"])


def start(config, directory, **environment) -> subprocess.Popen:
    began = time.time()
    process = subprocess.Popen(
        [sys.executable, "run.py", *tiny.flags(config), f"--run_dir={directory}"],
        cwd=REPOSITORY,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.began = began
    return process


def finish(process, code=0) -> str:
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, err[-3000:]
    return out + err


def weights(directory):
    return checkpoints.read(directory / training.MODEL_FILE)[0]


def wait_for_step(run, directory, step):
    """Of this attempt: lines of those before are there while it is still importing."""
    end = time.monotonic() + 120
    while not any(
        line["step"] >= step and line["time"] > run.began for line in logs.read_metrics(directory)
    ):
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_trains_and_logs_what_the_latents_do(tmp_path, objective, eagerly):
    config = tiny.config(objective={"objective": objective}, optimiser={"latent_warmup_steps": 1})
    training.run(config, tmp_path)
    lines = logs.read_metrics(tmp_path)
    trained = [line for line in lines if "train/loss" in line]
    assert [line["step"] for line in trained] == [1, 2, 3, 4]
    assert all(np.isfinite(line["train/loss"]) for line in trained)
    assert all(("train/mmd_floor" in line) == ("train/mmd" in line) for line in trained)
    (held_out,) = (line for line in lines if "validation/bits_per_dim" in line)
    for name in ("bits_of_z", "mi", "tc", "pd", "kl", "mmd", "mmd_floor", "active_units"):
        assert np.isfinite(held_out[f"validation/{name}"]), name


@pytest.mark.parametrize(
    "model",
    [
        {"reverse": False},
        {"latents": False},
        {"field_mode": "exact", "receptive_field": "4x5"},
        {"hole_fill": "zeros", "conditioning": "published"},
        {"weight_norm": True, "nonlinearity": "concat_elu"},
        {"full_image_encoder": True},
    ],
    ids=str,
)
def test_every_ablation_trains_in_one_stage(tmp_path, model, eagerly):
    config = tiny.config("one_stage", model=model, optimiser={"train_steps": 2})
    training.run(config, tmp_path)
    assert all(np.isfinite(array).all() for array in weights(tmp_path).values())


def test_options_of_the_optimiser_act(tmp_path):
    options = {"warmup_steps": 2, "decay": "cosine", "clip_norm": 0.1, "ema": 0.5}
    config = tiny.config(optimiser=options | {"precision": "mixed_bfloat16"})
    training.run(config, tmp_path)
    (_, info) = checkpoints.load(tmp_path / "checkpoints")
    state, _ = checkpoints.load(tmp_path / "checkpoints")
    name = "forward/streams/first_down/kernel"
    assert (weights(tmp_path)[name] != state[f"model/{name}"]).any(), "the average is exported"
    assert info["images_seen"] == 4 * 8


@pytest.mark.parametrize("decay", ["none", "cosine"])
def test_a_run_shorter_than_its_warmup_gets_to_its_learning_rate(decay):
    chosen = tiny.config(optimiser={"warmup_steps": 100, "decay": decay, "learning_rate": 0.25})
    main = learner.make(chosen, "stage1", dataset_size=100, main_steps=10).optimisers["main"]
    rates = []
    for step in range(10):
        main.iterations.assign(step)
        rates.append(float(main.learning_rate))
    assert rates[0] == 0
    assert max(rates) == rates[5] == 0.25


@pytest.mark.parametrize(
    ("stage", "own", "expected"),
    [("stage1", 0.1, 0.25), ("stage2", 0.1, 0.1), ("stage2", None, 0.25), ("one_stage", 0.1, 0.1)],
)
def test_with_a_reverse_net_the_learning_rate_is_one_of_its_own(stage, own, expected):
    chosen = tiny.config(
        "train", optimiser={"learning_rate": 0.25, "stage2_learning_rate": own, "ema": None}
    )
    made = learner.make(chosen, stage, dataset_size=100, main_steps=10)
    assert float(made.optimisers["main"].learning_rate) == pytest.approx(expected)


def test_adam_is_the_one_of_the_books():
    """Against its formulas in float64, with the schedule that training takes."""
    chosen = tiny.config(optimiser={"warmup_steps": 3, "decay": "cosine", "learning_rate": 0.1})
    made = learner.make(chosen, "stage1", dataset_size=100, main_steps=8)
    adam, (weight, *_) = made.optimisers["main"], made.variables[False]
    rng = np.random.default_rng(0)
    expected = weight.numpy().astype(float)
    m = v = 0.0
    for step in range(1, 9):
        rate = float(adam.learning_rate)
        gradients = [rng.normal(size=each.shape) for each in made.variables[False]]
        adam.apply([tf.constant(each, "float32") for each in gradients], made.variables[False])
        m = 0.9 * m + 0.1 * gradients[0]
        v = 0.999 * v + 0.001 * gradients[0] ** 2
        corrected = m / (1 - 0.9**step), v / (1 - 0.999**step)
        # Keras adds epsilon to the root before that is corrected for its start at 0.
        expected -= rate * corrected[0] / (np.sqrt(corrected[1]) + 1e-7 / np.sqrt(1 - 0.999**step))
    # Eight steps of .1 in float32, whose powers of .999 are good to a few in 1e5.
    np.testing.assert_allclose(weight.numpy(), expected, atol=1e-4)
    assert np.abs(expected).max() > 0.1


def test_a_model_that_was_better_before_is_told():
    def validations(*bits):
        return [{"step": 10 * i, "validation/bits_per_dim": b} for i, b in enumerate(bits, 1)]

    for fine in ((), (3.0,), (3.2, 3.0, 3.01)):
        assert not training._past_best(validations(*fine))
    said = training._past_best(validations(3.2, 3.0, 3.1))
    assert "3.000 bits/dim at step 20 and have 3.100 now" in said
    assert "--train_steps=20 ends there" in said


def test_training_learns(tmp_path):
    config = tiny.config(optimiser={"train_steps": 60}, loop={"validate_every": 20})
    training.run(config, tmp_path)
    bits = [
        line["validation/bits_per_dim"]
        for line in logs.read_metrics(tmp_path)
        if "validation/bits_per_dim" in line
    ]
    assert bits[0] > bits[1] > bits[2]


def test_a_killed_run_resumes_bit_for_bit(tmp_path):
    """SIGKILL at two random steps, the first of them in the latent warm-up; a broken newest
    checkpoint; and SIGTERM on the way."""
    config = tiny.config(
        model={"dropout": 0.5},
        objective={"objective": "factor_vae"},
        optimiser={"train_steps": 40, "ema": 0.9, "latent_warmup_steps": 6},
        loop={"checkpoint_every": 3, "validate_every": 10, "deterministic": True},
    )
    whole = start(config, tmp_path / "whole")
    finish(whole)

    broken = tmp_path / "broken"
    seed = os.getpid()
    generator = np.random.default_rng(seed)
    # By the second, two checkpoints are whole, whether the last step's is or not; one is broken.
    kills = generator.integers(1, 6), generator.integers(9, 30)
    print(f"seed {seed}: killed at steps {kills}")  # which pytest shows with any failure
    for kill in kills:
        run = start(config, broken)
        wait_for_step(run, broken, kill)
        run.send_signal(signal.SIGKILL)
        finish(run, code=-signal.SIGKILL)
    newest = checkpoints.latest(broken / "checkpoints")
    newest.write_bytes(newest.read_bytes()[:-100])
    run = start(config, broken)
    wait_for_step(run, broken, 33)
    run.send_signal(signal.SIGTERM)
    said = finish(run, code=128 + signal.SIGTERM)
    assert "truncated or damaged" in said
    finish(start(config, broken))

    expected, found = weights(tmp_path / "whole"), weights(broken)
    assert expected.keys() == found.keys()
    for name in expected:
        np.testing.assert_array_equal(expected[name], found[name], err_msg=name)
    curves = [
        [(line["step"], line.get("train/loss")) for line in logs.read_metrics(directory)]
        for directory in (tmp_path / "whole", broken)
    ]
    assert curves[0] == curves[1]


def test_the_command_of_the_card_trains_stage_one_first(tmp_path):
    """`python run.py --mode=stage2 --receptive_field=7x15`, from nothing, with 3 steps a stage."""
    command = [
        *("--mode=stage2", "--receptive_field=7x15", "--train_steps=3", "--limit=16"),
        *("--batch_size=2", "--validation_images=2", "--panel_every=0"),
    ]
    said = subprocess.run(
        [sys.executable, REPOSITORY / "run.py", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert said.returncode == 0, said.stderr[-3000:]
    assert "training it first" in said.stdout
    (directory,) = (tmp_path / "runs").iterdir()
    assert checkpoints.read(directory / training.MODEL_FILE)[1]["stage"] == "stage2"


def spoil(monkeypatch, at):
    """A batch whose noise is not finite, as a broken image decoder might make it."""
    original = Batches.batch

    def batch(self, step):
        made = original(self, step)
        if step == at and "prior_z" in made:
            made["hole_noise"] = np.full_like(made["hole_noise"], np.nan)
        return made

    monkeypatch.setattr(Batches, "batch", batch)


def test_a_loss_that_is_not_finite_stops_at_the_last_good_state(tmp_path, monkeypatch, eagerly):
    good = tiny.config(optimiser={"train_steps": 2})
    training.run(good, tmp_path / "good")
    spoil(monkeypatch, at=2)
    config = tiny.config(optimiser={"train_steps": 4})
    with pytest.raises(RunFailed, match=r"step 3 of stage1 is not finite in .*loss.*encoder"):
        training.run(config, tmp_path / "bad")
    state, info = checkpoints.load(tmp_path / "bad" / "checkpoints")
    assert info["step"] == 2
    expected, _ = checkpoints.load(tmp_path / "good" / "checkpoints")
    for name, array in expected.items():
        np.testing.assert_array_equal(state[name], array, err_msg=name)


def test_bad_batches_can_be_skipped_and_are_counted(tmp_path, monkeypatch):
    spoil(monkeypatch, at=2)
    config = tiny.config(loop={"nan_policy": "skip"})
    training.run(config, tmp_path)
    last = [line for line in logs.read_metrics(tmp_path) if "train/skipped" in line][-1]
    assert last["train/skipped"] == 1
    assert all(np.isfinite(array).all() for array in weights(tmp_path).values())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data": {"limit": 5}}, "5 training images do not fill a batch of 8"),
        (
            {"data": {"dataset": "npz:one.npz"}},
            "too few images: its split validation has 1, and 2 or more",
        ),
    ],
)
def test_hopeless_settings_are_refused_before_training(tmp_path, monkeypatch, changes, says):
    monkeypatch.chdir(tmp_path)
    images, split = np.zeros((20, 16, 16, 3), np.uint8), ["train"] * 19 + ["val"]
    np.savez("one.npz", images=images, split=split)
    with pytest.raises(ValueError, match=says):
        training.run(tiny.config(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"optimiser": {"batch_size": 1}}, "batch_size must be 2 or more"),
        (
            {"optimiser": {"batch_size": 1}, "objective": {"objective": "vae"}},
            "leaves nothing of z",
        ),
        ({"loop": {"validation_images": 1}}, "validation_images must be at least 2"),
        ({"objective": {"mmd_weight": 0.0}}, "above 0"),
        ({"objective": {"objective": "beta_vae", "beta": 0.0}}, "above 0"),
        ({"data": {"image_size": 24}}, "16, 32, 64, 128 or 256"),
    ],
)
def test_impossible_pairs_are_refused_with_the_flags(changes, says):
    with pytest.raises(ValueError, match=says):
        tiny.config(**changes)


def test_memory_of_validation_is_bounded(monkeypatch, eagerly):
    """Statistics compare every image with every other."""
    config = tiny.config(loop={"validation_images": 24}, data={"limit": 64})
    _, held_out = training._images(config)
    made = learner.make(config, "stage1", dataset_size=64, main_steps=4)
    seen = []

    def diagnostics(mean, logvar, z, *rest):
        seen.append((len(mean), len(logvar), len(z)))
        return whole(mean, logvar, z, *rest)

    whole = latent_statistics.diagnostics
    monkeypatch.setattr(latent_statistics, "diagnostics", diagnostics)
    monkeypatch.setattr(validation, "COMPARED", 10)
    scalars, z = validation.validate(made, held_out)
    assert seen == [(10, 10, 10)]
    assert len(z) == 24
    assert np.isfinite(list(scalars.values())).all()


JAX = """
import sys
sys.modules["tensorflow"] = None  # as where it is not installed
import numpy as np
from csi_tf import checkpoints, learner, training
sys.path.insert(0, "tests")
import tiny

given, out, averages = sys.argv[1:]
config = tiny.config(
    model={"dropout": 0.0}, objective={"objective": "factor_vae"}, optimiser={"ema": 0.9}
)
made = learner.make(config, "one_stage", 64, 10)
made.load(checkpoints.read(given)[0])
images, held_out = training._images(config)
batches = training.batches_of(config, images)
losses = [float(made.step(batches.batch(step), False)["loss"]) for step in range(5)]
checkpoints.write(averages, made.weights(), {})  # what the steps left is read here first
checkpoints.write(out, made.state(), {"losses": losses})
"""


def test_jax_trains_alike_without_tensorflow(tmp_path, eagerly):
    """Same weights, batches and noise; the state goes both ways between the backends."""
    pytest.importorskip("jax", reason="the JAX extra is not installed")
    config = tiny.config(
        model={"dropout": 0.0}, objective={"objective": "factor_vae"}, optimiser={"ema": 0.9}
    )
    ours = learner.make(config, "one_stage", 64, 10)
    checkpoints.write(tmp_path / "given.safetensors", ours.state(), {})
    images, _ = training._images(config)
    batches = training.batches_of(config, images)
    losses = [float(ours.step(batches.batch(step), False)["loss"]) for step in range(5)]
    names = ("given", "out", "averages")
    done = subprocess.run(
        [sys.executable, "-c", JAX, *(tmp_path / f"{name}.safetensors" for name in names)],
        cwd=REPOSITORY,
        env=os.environ | {"KERAS_BACKEND": "jax", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    theirs, info = checkpoints.read(tmp_path / "out.safetensors")
    np.testing.assert_allclose(info["losses"], losses, rtol=1e-4)
    ours.load(theirs)
    averaged = checkpoints.read(tmp_path / "averages.safetensors")[0]
    for name, average in ours.weights().items():
        np.testing.assert_array_equal(averaged[name], average)
    trained = theirs["model/" + name]
    assert not np.array_equal(average, trained)
