"""Models from files: whole without the training code, and refused in one sentence."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

import csi_tf
from csi_tf import checkpoints, loading, whole
from csi_tf import model as models

REPOSITORY = Path(__file__).parent.parent


def inputs():
    rng = np.random.default_rng(0)
    images = (rng.integers(0, 256, (2, 16, 16, 3)) / 127.5 - 1).astype("float32")
    mask = np.ones((2, 16, 16, 1), "float32")
    mask[:, 4:8, 4:8] = 0
    return images, mask, rng.normal(size=(2, 4)).astype("float32")


def export(path, config=None, stage="stage2"):
    """A model file as training writes it; the model."""
    config = config or tiny.config("train")
    model = models.make(models.for_stage(config.model, stage), config.data.image_size, seed=1)
    weights = {name: np.asarray(v) for name, v in models.exported_weights(model).items()}
    info = {"stage": stage, "config": config.to_json(), "version": "9.9"}
    checkpoints.write(path, weights, info)
    return model


def fit_whole(place):
    """What z="whole" of the model in a directory draws from, as it is before it is fitted."""
    model = csi_tf.load(place)
    law = whole.WholeLatents(model.config.latent_dim)
    law.build(None)
    weights = {name: np.asarray(v) for name, v in models.named_weights(law).items()}
    info = {"encoder": whole.encoder_digest(model)}
    checkpoints.write(place / whole.FILE, checkpoints.export_half(weights), info)


@pytest.mark.parametrize("stage", models.STAGES)
def test_a_loaded_model_computes_what_the_exported_one_does(tmp_path, stage):
    images, mask, z = inputs()
    model = export(tmp_path / "model.safetensors", stage=stage)
    loaded = csi_tf.load(tmp_path)
    assert (loaded.reverse is None) == (stage == "stage1")
    np.testing.assert_array_equal(loaded.log_prob(images, mask, z), model.log_prob(images, mask, z))
    assert loaded.named_latents == ()


def test_files_of_before_hold_the_head_of_a_warm_up(tmp_path):
    export(tmp_path / "model.safetensors")
    weights, info = checkpoints.read(tmp_path / "model.safetensors")
    assert not any("warmup" in name for name in weights)
    weights["warmup_head/kernel"] = np.zeros((1, 1, 2, 20), "float32")
    checkpoints.write(tmp_path / "model.safetensors", weights, info)
    assert csi_tf.load(tmp_path).config == tiny.config("train").model


def test_names_of_latents_come_with_the_model(tmp_path):
    export(tmp_path / "model.safetensors")
    entry = {"name": "smile", "dimension": 3, "interval": [-2, 2], "rank": 1}
    (tmp_path / "latents.json").write_text(json.dumps([entry]))
    (smile,) = csi_tf.load(tmp_path).named_latents
    assert (smile.name, smile.dimension) == ("smile", 3)
    other = entry | {"name": "evaluated"}
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "latents.json").write_text(json.dumps([other]))
    assert [each.name for each in csi_tf.load(tmp_path).named_latents] == ["smile"]
    (tmp_path / "latents.json").unlink()
    assert [each.name for each in csi_tf.load(tmp_path).named_latents] == ["evaluated"]
    (tmp_path / "latents.json").write_text(json.dumps([entry | {"dimension": 4}]))
    with pytest.raises(ValueError, match=r"latents\.json.*from 0 to 3"):
        csi_tf.load(tmp_path)


def test_a_checkpoint_says_where_the_model_is(tmp_path):
    file = tmp_path / "checkpoints" / "step-000000003.safetensors"
    file.parent.mkdir()
    info = {"stage": "stage1", "config": tiny.config().to_json()}
    checkpoints.write(file, {"model/a": np.zeros(3)}, info)
    with pytest.raises(ValueError, match=f"goes on from.*{tmp_path / loading.MODEL_FILE}"):
        csi_tf.load(file)


def test_the_last_stage_of_a_run_is_loaded(tmp_path):
    for stage in ("stage1", "stage2"):
        (tmp_path / stage).mkdir()
        (tmp_path / stage / loading.MODEL_FILE).touch()
    assert loading.find(tmp_path).parent.name == "stage2"
    with pytest.raises(ValueError, match=r"no finished model in .*elsewhere"):
        loading.find(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="the model is 3"):
        csi_tf.load(3)
    (tmp_path / "stopped" / "checkpoints").mkdir(parents=True)
    with pytest.raises(
        ValueError, match=r"training in .*stopped is not finished: give its command"
    ):
        loading.find(tmp_path / "stopped")


def changed(**changes):
    """The settings as a later version might write them."""
    groups = json.loads(tiny.config("train").to_json())
    for group, values in changes.items():
        groups[group] = groups[group] | values if isinstance(values, dict) else values
    return json.dumps(groups)


@pytest.mark.parametrize(
    ("info", "says"),
    [
        ({"config": changed(model={"attention": 8})}, "setting of model: 'attention'"),
        ({"config": changed(model={"mixtures": "ten"})}, "mixtures must be a whole number"),
        ({"config": changed(model={"conditioning": "film"})}, "conditioning must be one of"),
        ({"config": changed(model=[1, 2])}, "group model must be"),
        ({"config": changed(run={"mode": "data"}, data={"image_size": 40})}, "40 does not halve"),
        ({"config": "{"}, "no JSON"),
        ({"config": {"model": {}}}, "JSON object must be str"),
        ({"config": changed(model={"filters": 7})}, "do not fit: .* of another shape"),
        ({"config": changed(model={"reverse": False})}, r"do not fit: .* unexpected \(.*reverse/"),
        ({"stage": "stage3"}, "stage is 'stage3'"),
    ],
)
def test_every_misfit_names_the_file_and_both_versions(tmp_path, info, says):
    path = tmp_path / "later.safetensors"
    export(path)
    weights, before = checkpoints.read(path)
    checkpoints.write(path, weights, before | info)
    with pytest.raises(ValueError, match=says) as raised:
        csi_tf.load(path)
    sentence = str(raised.value)
    assert sentence.startswith(f"{path} does not fit csi-tf {csi_tf.__version__} (")
    assert "written by 9.9, which can load it)" in sentence
    assert "\n" not in sentence


def test_what_is_no_model_is_refused(tmp_path):
    checkpoints.write(tmp_path / "a.safetensors", {}, {"step": 1})
    with pytest.raises(ValueError, match=r"a\.safetensors is a checkpoint of something else"):
        csi_tf.load(tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").write_text("no model")
    with pytest.raises(OSError, match=r"b\.safetensors is truncated or damaged"):
        csi_tf.load(tmp_path / "b.safetensors")


PROGRAM = """
import sys
blocked = "objectives latent_statistics kernels stages stage_one learner tensorflow_learner"
blocked += " jax_learner training loop validation logs runs workers"
for name in blocked.split():
    sys.modules["csi_tf." + name] = None
import numpy as np
import csi_tf
given = np.load(sys.argv[1])
model = csi_tf.load(sys.argv[2])
np.save(sys.argv[3], model.log_prob(given["images"], given["mask"], given["z"]))
model.encode(given["images"], given["mask"], 0)
csi_tf.likelihood.holes(model, given["images"], given["mask"], 2, 0)
"""


def test_loading_and_using_a_model_needs_no_training_code(tmp_path):
    images, mask, z = inputs()
    model = export(tmp_path / "model.safetensors")
    np.savez(tmp_path / "given.npz", images=images, mask=mask, z=z)
    out = tmp_path / "found.npy"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / "given.npz", tmp_path, out],
        cwd=REPOSITORY,
        env=os.environ | {"KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    np.testing.assert_array_equal(np.load(out), model.log_prob(images, mask, z))
    # A name that no module has would block nothing.
    (names,) = re.findall(r'blocked = "(.*)"\nblocked', PROGRAM)
    (more,) = re.findall(r'blocked \+= "(.*)"', PROGRAM)
    assert all((REPOSITORY / f"csi_tf/{name}.py").exists() for name in (names + more).split())


def test_settings_survive_the_file(tmp_path):
    config = tiny.config("train", model={"dropout": 0.25, "reverse": False})
    export(tmp_path / "m.safetensors", config)
    assert csi_tf.load(tmp_path / "m.safetensors").config == config.model
