"""What a newcomer meets: the demo, its picture, and loading what was trained."""

import numpy as np
import pytest
import tiny
from PIL import Image

import csi_tf
from csi_tf import checkpoints, demo, latents, loading
from csi_tf.figures import panels


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("demo")
    config = tiny.config("demo", optimiser={"train_steps": 2}, loop={"panel_every": 2})
    demo.run(config, directory)
    return config, directory


def test_the_demo_draws_its_picture(finished):
    _, directory = finished
    picture = np.asarray(Image.open(directory / "demo.png"))
    gap, side = 4, 16 * 4
    assert picture.shape == (5 * (side + gap) + gap, 6 * (side + gap) + gap, 3)
    original, masked = (picture[gap + i * (side + gap) :][:side, gap : gap + side] for i in (0, 1))
    assert (original != masked).any()
    top = slice(0, side // 2)  # above the mouth every row shows what is observed
    for row in range(5):
        shown = picture[gap + row * (side + gap) :][:side, gap : gap + side]
        np.testing.assert_array_equal(shown[top], original[top])


def test_a_loaded_model_is_the_one_that_was_exported(finished):
    _, directory = finished
    model = csi_tf.load(directory)
    assert model.reverse is not None, "stage two is the finished one"
    weights, _ = checkpoints.read(directory / "stage2" / loading.MODEL_FILE)
    name = "forward/streams/last/kernel"
    np.testing.assert_array_equal(model.forward.streams.last.kernel, weights[name])
    assert csi_tf.load(directory / "stage1" / loading.MODEL_FILE).reverse is None


def test_loading_says_what_is_wrong(finished, tmp_path):
    _, directory = finished
    with pytest.raises(ValueError, match="no finished model"):
        csi_tf.load(tmp_path)
    weights, info = checkpoints.read(directory / "stage1" / loading.MODEL_FILE)
    weights["forward/streams/last/bias"] = np.zeros(3, "float32")
    checkpoints.write(tmp_path / "other.safetensors", weights, info | {"version": "9.9"})
    with pytest.raises(ValueError, match=r"written by 9\.9.*streams/last/bias"):
        csi_tf.load(tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("no model")
    with pytest.raises(OSError, match="damaged"):
        csi_tf.load(tmp_path / "text.safetensors")


def test_a_loaded_model_knows_the_names_beside_it(finished):
    _, directory = finished
    names = directory / "stage2" / latents.FILE
    names.write_text('[{"name": "beard", "dimension": 2, "interval": [-2, 2], "rank": 1}]')
    try:
        model = csi_tf.load(directory)
        made = csi_tf.inpaint(model, np.zeros((16, 16, 3), "uint8"), "eyes", latents={"beard": 1})
        assert made.latents[0, 0, 2] == 1
        names.write_text("[1]")
        with pytest.raises(ValueError, match=r"latents\.json: entry 1"):
            csi_tf.load(directory)
    finally:
        names.unlink()


def test_panels_show_the_same_images_each_time(finished):
    config, directory = finished
    model = csi_tf.load(directory)
    held_out = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3)).astype("uint8")
    first, second = (panels.make(model, config, held_out) for _ in range(2))
    assert first.keys() == {"inpaintings", "reconstructions", "marginals", "traversals"}
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
