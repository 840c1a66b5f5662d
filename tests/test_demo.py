"""What a newcomer meets: the demo, its pictures, and loading what was trained."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny
from PIL import Image

import csi_tf
import run
from csi_tf import checkpoints, data, latents, loading, masks, training
from csi_tf import demo as demos
from csi_tf.figures import layout, panels
from csi_tf.modes import Demo


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("trained")
    config = tiny.config("train", optimiser={"train_steps": 2}, loop={"panel_every": 2})
    with tiny.eagerly():
        training.run(config, directory)
    return config, directory


def demo(model, where, capsys):
    assert run.main(["run.py", "--mode=demo", f"--model={model}", f"--output={where}"]) == 0
    return capsys.readouterr().out


def test_the_demo_fills_held_out_faces_and_moves_latents(finished, tmp_path, capsys):
    _, directory = finished
    said = demo(directory, tmp_path / "demo", capsys)
    assert "held-out procedural faces" in said
    assert f"--model={directory}" in said
    held_out = data.arrays("procedural_faces", "test", 16, limit=8).images[2:]
    assert_shown(tmp_path / "demo", held_out, tiny.MODEL["latent_dim"])
    with Image.open(tmp_path / "demo" / "sliders.png") as picture:
        assert picture.size[0] > 700


def test_the_demo_writes_over_nothing_where_it_is_sent(finished, tmp_path, capsys):
    _, directory = finished
    (tmp_path / "holes.png").write_text("mine")
    arguments = ["--mode=demo", f"--model={directory}", f"--output={tmp_path}"]
    assert run.main(["run.py", *arguments]) == 2
    assert "holes.png is there already; give another --output" in capsys.readouterr().err
    assert (tmp_path / "holes.png").read_text() == "mine"


def test_the_demo_of_a_run_is_called_after_it(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    assert Demo("stage2").default_output() == Path("outputs/demo-mine")
    for model in ("runs/mine", "runs/mine/", "runs/mine/stage2/model.safetensors"):
        assert Demo(model).default_output() == Path("outputs/demo-mine")


def assert_shown(directory, faces, latents):
    """Faces with their holes and fillings, and what the sliders do in the last row's hole."""
    filled = opened(directory / demos.FILLED)
    for face, name in zip(faces, demos.HOLES, strict=False):
        # As it is, hatched, and filled
        assert len(alike(filled, face, name)) == 2 + demos.SIZES.samples, name
        assert shows(filled, face)
    moved = opened(directory / demos.MOVED)
    assert all(shows(moved, face) for face in faces[: latents + 1])
    row = alike(moved, faces[latents], "mouth")
    assert len(row) == 2 + demos.SIZES.values
    assert len({picture.tobytes() for picture in row}) == len(row), "they differ in the hole"


def opened(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def alike(page, face, hole="none"):
    """Pictures on the page that are a face, enlarged, but for a hole; found by its first pixel."""
    scale = round(layout.SIDE / len(face))
    observed = masks.named(hole, len(face))[..., 0] == 1
    enlarged, observed = (
        values.repeat(scale, axis=0).repeat(scale, axis=1) for values in (face, observed)
    )
    side, (top, left) = len(enlarged), np.argwhere(observed)[0]
    height, width = (length - side + 1 for length in page.shape[:2])
    firsts = page[top : top + height, left : left + width] == enlarged[top, left]
    found = [page[y : y + side, x : x + side] for y, x in np.argwhere(firsts.all(axis=-1))]
    return [part for part in found if (part[observed] == enlarged[observed]).all()]


def shows(page, face):
    return bool(alike(page, face))


def test_without_a_data_set_the_demo_draws_its_own_faces(finished, tmp_path, capsys):
    _, directory = finished
    other = tmp_path / "other"
    for stage in ("stage1", "stage2"):
        weights, info = checkpoints.read(directory / stage / loading.MODEL_FILE)
        said = json.loads(info["config"])
        said["data"]["dataset"] = "npz:gone.npz"
        info["config"] = json.dumps(said)
        (other / stage).mkdir(parents=True)
        checkpoints.write(other / stage / loading.MODEL_FILE, weights, info)
    assert "itself drew" in demo(other, tmp_path / "demo", capsys)


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
