"""Models in half precision, models by their names, and training that starts from them."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tiny
from PIL import Image
from test_loading import export, inputs

import csi_tf
import flags
import run
from csi_tf import checkpoints, loading, logs, warm_start, whole
from csi_tf.evaluation.settings import Evaluation
from csi_tf.modes import Export


@pytest.fixture
def trained(tmp_path):
    """Both stages as training leaves them, and the names that an evaluation found."""
    for stage in ("stage1", "stage2"):
        (tmp_path / "run" / stage / "evaluation").mkdir(parents=True)
        export(tmp_path / "run" / stage / loading.MODEL_FILE, stage=stage)
    entry = {"name": "smile", "dimension": 3, "interval": [-2, 2], "rank": 1}
    names = tmp_path / "run" / "stage2" / "evaluation" / "latents.json"
    names.write_text(json.dumps([entry]))
    return tmp_path / "run"


def exported(trained, where):
    assert run.main(["run.py", "--mode=export", f"--model={trained}", f"--output={where}"]) == 0
    return where


def test_an_exported_model_is_half_as_large_and_says_almost_the_same(trained, tmp_path):
    small = exported(trained, tmp_path / "small")
    for stage in ("stage1", "stage2"):
        sizes = [(at / stage / loading.MODEL_FILE).stat().st_size for at in (small, trained)]
        assert sizes[0] < 0.7 * sizes[1]  # biases and norms of so small a model count
    images, mask, z = inputs()
    whole, half = csi_tf.load(trained), csi_tf.load(small)
    assert [each.name for each in half.named_latents] == ["smile"]
    # Weights of 11 bits; of 432 values' nats
    np.testing.assert_allclose(
        half.log_prob(images, mask, z), whole.log_prob(images, mask, z), rtol=2e-3
    )


def test_an_exported_model_names_no_place_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "run" / loading.MODEL_FILE
    file.parent.mkdir()
    export(file)
    weights, info = checkpoints.read(file)
    config = json.loads(info["config"])
    config["data"] |= {"dataset": f"npz:{tmp_path}/data/faces.npz", "data_dir": "/somewhere"}
    config["masks"]["mask"] = f"file:{tmp_path}/own.png,file:/elsewhere/other.png:2,mouth"
    config["run"]["mode"] = "stage1"
    config["loop"] |= {"warm_start": "/elsewhere/before"}
    checkpoints.write(file, weights, info | {"config": json.dumps(config)})
    exported(file, tmp_path / "small")
    said = loading.settings(file, checkpoints.read(tmp_path / "small" / loading.MODEL_FILE)[1])
    assert (said.data.dataset, said.data.data_dir) == ("npz:data/faces.npz", None)
    assert said.masks.mask == "file:own.png,file:other.png:2,mouth"
    assert said.loop.warm_start == "before"


def contents(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("run", "is the model that is exported"),
        ("other", "is no earlier export"),
        ("begun", "config.json is of a training run; give an --output outside of it"),
        ("left", "checkpoints is of a training run"),
    ],
)
def test_an_export_replaces_nothing_but_an_earlier_export(trained, target, said, capsys):
    """Stage one has nothing against it in `other` and `left`, and is not written all the same."""
    for name in ("other", "begun", "left"):
        (trained.parent / name / "stage2").mkdir(parents=True)
    export(trained.parent / "other" / "stage2" / loading.MODEL_FILE)
    (trained.parent / "begun" / "config.json").write_text("{}")
    (trained.parent / "left" / "stage2" / "checkpoints").mkdir()
    before = contents(trained.parent)
    output = f"--output={trained.parent / target}"
    assert run.main(["run.py", "--mode=export", f"--model={trained}", output]) == 2
    assert said in capsys.readouterr().err
    assert contents(trained.parent) == before


def test_an_earlier_export_is_replaced(trained, tmp_path):
    small = exported(trained, tmp_path / "small")
    before = contents(small)
    assert contents(exported(trained, small)) == before
    assert run.main(["run.py", "--mode=export", f"--model={small}", f"--output={small}"]) == 2


def test_an_export_over_another_model_leaves_nothing_of_that(trained, tmp_path, capsys):
    small = exported(trained, tmp_path / "small")
    for name in (whole.FILE, logs.FILE, "curves.png"):
        (small / "stage2" / name).write_text("of the first")
    bare = tmp_path / "bare"
    for stage in ("stage1", "stage2"):
        (bare / stage).mkdir(parents=True)
        export(bare / stage / loading.MODEL_FILE, stage=stage)
    before = contents(small)
    call = ["run.py", "--mode=export", f"--model={bare}", f"--output={small}"]
    assert run.main(call) == 2  # names may have been given by hand
    assert "latents.json has other names; move it away" in capsys.readouterr().err
    assert contents(small) == before
    (small / "stage2" / "latents.json").unlink()
    assert run.main(call) == 0
    assert {path.name for path in contents(small)} == {loading.MODEL_FILE}


def test_a_damaged_copy_is_refused(trained, tmp_path):
    file = exported(trained, tmp_path / "small") / "stage2" / loading.MODEL_FILE
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(checkpoints.CheckpointError, match="truncated or damaged"):
        csi_tf.load(tmp_path / "small")


def test_shipped_models_have_names(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(csi_tf, "__file__", str(tmp_path / "csi_tf.py"))
    monkeypatch.setattr(loading, "SHIPPED", tmp_path / "shipped")
    exported(trained, tmp_path / "shipped" / "faces")
    assert csi_tf.available() == ["faces"]
    assert loading.find("faces") == tmp_path / "shipped/faces/stage2/model.safetensors"
    with pytest.raises(ValueError, match="that come along: faces"):
        loading.find("places")


def train(directory, *arguments, steps=2):
    config = tiny.config("stage1", optimiser={"train_steps": steps}, data={"limit": 16})
    return run.main(["run.py", *tiny.flags(config), f"--run_dir={directory}", *arguments])


def test_a_warm_start_has_the_weights_and_counts_the_images(tmp_path, capsys, eagerly):
    assert train(tmp_path / "first", "--batch_size=4") == 0
    small = exported(tmp_path / "first", tmp_path / "small")
    start = f"--warm_start={small}"
    # A learning rate this small leaves the weights as they are.
    assert train(tmp_path / "next", "--batch_size=4", "--learning_rate=1e-12", start) == 0
    assert "warm start from" in capsys.readouterr().out
    with Image.open(small / "curves.png") as picture:
        assert picture.size[0] > 1000
    assert (small / "metrics.jsonl").read_bytes() == (
        tmp_path / "first" / "metrics.jsonl"
    ).read_bytes()
    (weights, info), (before, _) = (
        checkpoints.read(place / loading.MODEL_FILE) for place in (tmp_path / "next", small)
    )
    assert (info["images_seen"], info["images_carried"]) == (16, 8)
    before = checkpoints.import_half(before)
    kernels = [name for name in weights if name.endswith("kernel")]
    assert kernels
    for name in kernels:
        np.testing.assert_allclose(weights[name], before[name], atol=1e-6)
    assert train(tmp_path / "other", start, "--filters=7") == 2
    assert "do not fit a model with filters=7 and not " in capsys.readouterr().err
    arguments = [*tiny.flags(tiny.config("one_stage")), start, f"--run_dir={tmp_path / 'x'}"]
    assert run.main(["run.py", *arguments]) == 2
    assert "give --warm_start a model of one_stage" in capsys.readouterr().err


def test_a_warm_start_of_the_pixelcnn_alone_learns_the_latents_anew(tmp_path, capsys, eagerly):
    assert train(tmp_path / "first", "--batch_size=4", "--learning_rate=1e-12") == 0
    start = (f"--warm_start={tmp_path / 'first'}", "--warm_start_parts=pixelcnn", "--seed=1")
    still = ("--batch_size=4", "--learning_rate=1e-12", "--latent_warmup_steps=1")
    assert train(tmp_path / "next", *start, *still) == 0
    said = capsys.readouterr().out
    assert "warm start from the PixelCNN of" in said
    assert "left out" not in said
    before, after = (
        checkpoints.read(tmp_path / name / loading.MODEL_FILE)[0] for name in ("first", "next")
    )
    for part in ("forward", "encoder", "decoder"):
        kernels = [k for k in before if k.startswith(f"{part}/") and k.endswith("kernel")]
        assert kernels
        # A learning rate this small leaves the weights as they are.
        same = [np.allclose(before[k], after[k], atol=1e-6) for k in kernels]
        assert all(same) if part == "forward" else not any(same)
    assert train(tmp_path / "other", "--warm_start_parts=pixelcnn") == 2
    assert "says what of --warm_start is taken" in capsys.readouterr().err


def test_a_warm_start_is_found_by_name_and_at_home(tmp_path, monkeypatch):
    for stage in ("stage1", "stage2"):
        shipped = loading.SHIPPED / "celeba32" / stage / loading.MODEL_FILE
        assert warm_start._find("celeba32", stage) == shipped
    monkeypatch.setenv("HOME", str(tmp_path))
    assert warm_start._find("~/x.safetensors", "stage1") == tmp_path / "x.safetensors"
    parsed = flags.parse(["run.py", "--mode=stage1", "--warm_start=celeba32"])
    assert parsed.loop.warm_start == "celeba32"


def test_what_a_warm_start_is_like_need_not_be_said(tmp_path):
    config = tiny.config("stage2", data={"image_size": 16})
    checkpoints.write(
        tmp_path / "model.safetensors", {}, {"config": config.to_json(), "stage": "stage2"}
    )
    asked = ["run.py", "--mode=stage2", f"--warm_start={tmp_path / 'model.safetensors'}"]
    for more in ([], ["--preset=cpu"]):
        parsed = flags.parse([*asked, *more])
        assert (parsed.model, parsed.data.image_size) == (config.model, 16)
    assert parsed.optimiser == flags.parse(["run.py", "--mode=stage2", "--preset=cpu"]).optimiser
    flagfile = tmp_path / "mine.cfg"
    flagfile.write_text("--dropout=.25\n")
    parsed = flags.parse([*asked, "--filters=7", f"--flagfile={flagfile}", "--image_size=32"])
    assert parsed.model == replace(config.model, filters=7, dropout=0.25)
    assert parsed.data.image_size == 32
    flagfile.write_text(flags.flagfile_text(parsed))  # which says all: no file is needed
    (tmp_path / "model.safetensors").unlink()
    assert flags.parse(["run.py", f"--flagfile={flagfile}"]) == parsed
    with pytest.raises(flags.UsageError, match="No such file"):
        flags.parse(asked)
    with pytest.raises(flags.UsageError, match="name one, such as --warm_start=celeba32"):
        flags.parse(["run.py", "--mode=stage2", "--preset=finetune"])


def test_latents_keep_their_names_in_a_stage_two_on_other_pictures(tmp_path, eagerly):
    config = tiny.config("train", optimiser={"train_steps": 1}, data={"limit": 16})
    assert run.main(["run.py", *tiny.flags(config), f"--run_dir={tmp_path / 'before'}"]) == 0
    (tmp_path / "before" / "stage2" / "latents.json").write_text(
        '[{"name": "smile", "dimension": 1, "interval": [-2, 2], "rank": 1}]'
    )
    begun = replace(config, run=replace(config.run, mode="stage2"))
    (checkpoint,) = (tmp_path / "before" / "stage2" / "checkpoints").glob("*")
    for start in (tmp_path / "before", checkpoint):
        place = tmp_path / f"from {start.name}"
        place.mkdir()
        (place / "latents.json").write_text("of a start that came to nothing")
        asked = [*tiny.flags(begun), f"--warm_start={start}", f"--run_dir={place}", "--seed=1"]
        assert run.main(["run.py", *asked]) == 0
        (smile,) = csi_tf.load(place).named_latents
        assert (smile.name, smile.dimension) == ("smile", 1)
    shutil.rmtree(tmp_path / "before")  # it is not needed any more to go on
    assert run.main(["run.py", *asked, "--train_steps=2"]) == 0
    short = [each for each in asked if not each.startswith(("--filters", "--mixtures"))]
    assert run.main(["run.py", *short, "--train_steps=2"]) == 0


def test_what_comes_along_is_not_written_over():
    for made in (Evaluation("celeba32"), Export("celeba32")):
        assert made.default_output().parts[0] == "outputs"
    with pytest.raises(flags.UsageError, match="--model goes with a mode, such as"):
        flags.parse(["run.py", "--model=celeba32"])


@pytest.mark.parametrize(
    ("mode", "loop", "said"),
    [
        ("stage2", {"warm_start": "m", "stage1": "n"}, "both say what to start from"),
        ("stage2", {"warm_start": "m", "warm_start_parts": "pixelcnn"}, "stage1 or one_stage"),
    ],
)
def test_starts_that_contradict_each_other(mode, loop, said):
    with pytest.raises(ValueError, match=said):
        tiny.config(mode, loop=loop)
