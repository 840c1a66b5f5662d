"""The same weights, inputs and noise on TensorFlow and on JAX: the networks are written once."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jax", reason="the JAX extra is not installed")

PROGRAM = """
import sys
import keras
import numpy as np

from pixel_cnn_pp import ForwardPixelCNN, ReversePixelCNN, mixture, receptive_field

assert keras.backend.backend() == sys.argv[3]
given = np.load(sys.argv[1])
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
        network.set_weights([rng.normal(0, 0.2, w.shape).astype("float32") + (w.name == "gain")
                             for w in network.weights])
    features = reverse(given["image"], given["mask"])
    raw = forward(given["image"], (features, given["maps"]))
    found[name + "_features"], found[name + "_raw"] = features, raw
    found[name + "_log_prob"] = mixture.log_prob(raw, given["image"])
    # Draws from given parameters: a rounding in the networks could flip a tie.
    drawn = mixture.draw(given["raw"], given["uniforms"], 1.0)
    found[name + "_exact"], found[name + "_image"] = drawn.exact, drawn.image
found["field"] = receptive_field.measure(ForwardPixelCNN(1, 4, 1, field=(3, 5)))
np.savez(sys.argv[2], **{k: np.asarray(v) for k, v in found.items()})
"""


def run(backend: str, tmp_path: Path) -> dict:
    out = tmp_path / f"{backend}.npz"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / "given.npz", out, backend],
        env=os.environ | {"KERAS_BACKEND": backend},
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return dict(np.load(out))


def test_tensorflow_and_jax_agree(tmp_path):
    rng = np.random.default_rng(0)
    mask = np.ones((2, 8, 8, 1), "float32")
    mask[:, 2:5, 2:6] = 0
    np.savez(
        tmp_path / "given.npz",
        image=(rng.integers(0, 256, (2, 8, 8, 3)) / 127.5 - 1).astype("float32"),
        mask=mask,
        maps=rng.normal(size=(2, 8, 8, 4)).astype("float32"),
        raw=rng.normal(size=(2, 8, 8, 30)).astype("float32"),
        uniforms=rng.uniform(size=(2, 8, 8, 6)).astype("float32"),
    )
    tensorflow, jax = run("tensorflow", tmp_path), run("jax", tmp_path)
    assert tensorflow.keys() == jax.keys()
    for name in tensorflow:
        # Sums of some hundred float32 terms in another order, through two blocks.
        np.testing.assert_allclose(tensorflow[name], jax[name], rtol=1e-4, atol=1e-4, err_msg=name)
