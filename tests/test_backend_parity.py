"""The same weights, inputs and noise on TensorFlow and on JAX: the networks are written once."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import parity
import pytest

import csi_tf
from csi_tf import checkpoints, logs, training
from pixel_cnn_pp.dropout import ByteDropout


@pytest.fixture
def needs_jax():
    pytest.importorskip("jax", reason="the JAX extra is not installed")


PROGRAM = """
import sys
sys.path.insert(0, "tests")
import keras
import numpy as np
import parity

assert keras.backend.backend() == "jax"
np.savez(sys.argv[2], **parity.networks(dict(np.load(sys.argv[1]))))
"""


def on(backend: str, program: str, *arguments) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        # Compiling is most of the time of programs that run once.
        env=os.environ | {"KERAS_BACKEND": backend, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_tensorflow_and_jax_agree(needs_jax, tmp_path):
    rng = np.random.default_rng(0)
    mask = np.ones((2, 8, 8, 1), "float32")
    mask[:, 2:5, 2:6] = 0
    inputs = {
        "image": (rng.integers(0, 256, (2, 8, 8, 3)) / 127.5 - 1).astype("float32"),
        "mask": mask,
        "maps": rng.normal(size=(2, 8, 8, 4)).astype("float32"),
        "raw": rng.normal(size=(2, 8, 8, 30)).astype("float32"),
        "uniforms": rng.uniform(size=(2, 8, 8, 6)).astype("float32"),
    }
    np.savez(tmp_path / "given.npz", **inputs)
    on("jax", PROGRAM, tmp_path / "given.npz", tmp_path / "found.npz")
    tensorflow, jax = parity.networks(inputs), dict(np.load(tmp_path / "found.npz"))
    assert tensorflow.keys() == jax.keys()
    for name in tensorflow:
        # Sums of some hundred float32 terms in another order, through two blocks.
        np.testing.assert_allclose(tensorflow[name], jax[name], rtol=1e-4, atol=1e-4, err_msg=name)
    for name in ("paper", "pixelcnnpp", "exact"):
        pair = (jax[f"{name}_sampled_{method}"] for method in ("cached", "naive"))
        np.testing.assert_allclose(*pair, atol=1e-5, err_msg=name)


def test_jax_alone_is_installed_in_the_versions_that_are_tested():
    """`pip install -r requirements/jax.lock`: the tested set less TensorFlow, from any index."""
    requirements = Path(__file__).parent.parent / "requirements"

    def pinned(name):
        lines = (requirements / name).read_text().splitlines()
        assert all(re.fullmatch(r"[a-z0-9-]+==[\w.+]+( ; .*)?", line) for line in lines)
        return {line.split(" ;")[0] for line in lines}

    alone, tested = pinned("jax.lock"), pinned("dev.lock")
    assert alone <= tested
    names = {line.split("==")[0] for line in alone}
    assert {"jax", "keras", "numpy", "pillow", "tensorboard"} <= names
    assert not {name for name in names if name.startswith(("tensorflow", "tf-"))}


CONTINUE = """
import sys
for name in ("tensorflow", "tensorflow_datasets", "tensorflow_probability", "tf_keras"):
    sys.modules[name] = None  # as where it is not installed
sys.path.insert(0, "tests")
from pathlib import Path

import numpy as np

import csi_tf
import parity
from csi_tf import training
from pixel_cnn_pp.dropout import ByteDropout

out, directory = sys.argv[1:]
ByteDropout.kept = parity.all_kept
training.run(parity.config(5), Path(directory))
np.savez(out, **parity.answers(csi_tf.load(directory)))
"""


def trained(directory):
    lines = [line for line in logs.read_metrics(directory) if "train/loss" in line]
    names = ("step", "train/loss", "train/nats")
    return np.array([[line[name] for name in names] for line in lines])


def test_a_run_goes_to_and_fro_between_the_backends(needs_jax, tmp_path, eagerly, monkeypatch):
    """Two steps on TensorFlow, three on JAX without TensorFlow, two more: as on TensorFlow alone.

    With counters of dropout, but no feature is dropped.
    """
    monkeypatch.setattr(ByteDropout, "kept", parity.all_kept)
    assert parity.config(1).model.dropout == 0.5
    directory = tmp_path / "run"
    training.run(parity.config(2), directory)
    on("jax", CONTINUE, tmp_path / "found.npz", directory)

    weights, info = checkpoints.read(directory / training.MODEL_FILE)
    assert info["step"] == 5
    assert not any(name.startswith("dropout_seed") for name in weights)
    state, _ = checkpoints.load(directory / "checkpoints")
    assert any(name.startswith("model/dropout_seed") for name in state)
    found, here = np.load(tmp_path / "found.npz"), parity.answers(csi_tf.load(directory))
    assert found.files == list(here)
    # Float32 sums of 256 pixels, and of some hundred terms for each.
    np.testing.assert_allclose(here["log_prob"], found["log_prob"], rtol=1e-5)
    np.testing.assert_array_equal(here["seeds"], found["seeds"])
    # Of some hundred terms through six layers.
    np.testing.assert_allclose(here["latents"], found["latents"], rtol=1e-4, atol=1e-5)
    observed = parity.EYES[..., 0] == 1
    seen = parity.given()[0][:, None, observed]
    for images in (here["images"], found["images"]):
        assert (images[:, :, observed] == seen).all()
    # Roundings part the backends where a colour is a tie between two levels, one of thousands, and
    # from there on in that one of eight completions.
    alike = (here["images"] == found["images"]).all((2, 3, 4))
    assert alike.sum() >= 6
    np.testing.assert_allclose(here["nats"][alike], found["nats"][alike], rtol=1e-5)

    training.run(parity.config(7), directory)
    training.run(parity.config(7), tmp_path / "whole")
    found, expected = (trained(place) for place in (directory, tmp_path / "whole"))
    assert expected[:, 0].tolist() == [1, 2, 3, 4, 5, 6, 7]
    # Some 1e-5 from sums in another order. Biases before BatchNorm, whose gradients are nothing but
    # rounding, go other ways, and no loss depends on them.
    np.testing.assert_allclose(found, expected, rtol=1e-4)
