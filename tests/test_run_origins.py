"""What a run takes over from another and what it must not: a stage one, weights, images."""

import os
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tiny

from csi_tf import checkpoints, loading, runs, shipping, stage_one, training
from csi_tf.data.pipeline import Batches
from csi_tf.errors import RunFailed
from csi_tf.files import FileError
from csi_tf.loading import MODEL_FILE
from csi_tf.modes import Export

STEPS = {"train_steps": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Both stages of one run."""
    directory = tmp_path_factory.mktemp("run")
    with tiny.eagerly():
        training.run(tiny.config("train", optimiser=STEPS), directory)
    return directory


def batches(stage="stage1", carried=0):
    config = tiny.config(data={"horizontal_flip": True})
    images = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3), np.uint8)
    return training.batches_of(config, images, stage, carried).batch(0)


def test_what_was_seen_before_is_not_seen_again_in_the_same_order():
    """Nor with the same holes and noise: a warm start would repeat its first half."""
    first = batches()
    for other in (batches("stage2"), batches("stage1", 640), batches("stage2", 640)):
        for name in ("image", "context_mask", "hole_noise", "posterior_noise", "prior_z"):
            assert (np.asarray(first[name]) != np.asarray(other[name])).any(), name
    again = batches("stage1", 640)
    for name, values in batches("stage1", 640).items():
        np.testing.assert_array_equal(again[name], values)


@pytest.mark.parametrize(("total", "expected"), [(100, 40), (80, 40), (79, 39), (41, 20), (30, 15)])
def test_a_latent_warm_up_leaves_half_of_a_short_run(total, expected):
    """The PixelCNN would else have next to no steps where the warm-up just fits."""
    config = tiny.config(optimiser={"latent_warmup_steps": 40})
    assert training._warmup_steps(config, "stage1", total) == expected


@pytest.mark.parametrize("mode", ["train", "stage2"])
def test_a_stage_within_a_run_is_in_use_too(mode, tmp_path, monkeypatch):
    """It could be named as a --run_dir, and two processes write the same checkpoints."""
    place = tmp_path / "alone"  # a stage one is looked for beside it, too
    place.mkdir()
    used = []

    def train(config, stage, directory, stage1=None):
        if directory != place:  # which run.py locks
            with pytest.raises(FileError, match="another process"), runs.locked(directory):
                pass
            used.append(stage)
        return directory / MODEL_FILE

    monkeypatch.setattr(training, "train", train)
    training.run(tiny.config(mode), place)
    assert used == (["stage1", "stage2"] if mode == "train" else ["stage1"])
    assert not list(place.iterdir()), "where nothing was written nothing stays"


def test_a_stage_one_with_a_stage_two_is_not_trained_further(tmp_path, trained, capsys, eagerly):
    run = shutil.copytree(trained, tmp_path / "run")
    before = (run / "stage1" / MODEL_FILE).read_bytes()
    more = {"train_steps": 4}
    with pytest.raises(ValueError, match=r"stage2 was begun from the stage one in .*=train"):
        training.run(tiny.config("stage1", optimiser=more), run / "stage1")
    training.run(tiny.config("train", optimiser=more), run)
    assert "stage1: stays as it is, as stage two was begun from it" in capsys.readouterr().out
    assert (run / "stage1" / MODEL_FILE).read_bytes() == before
    assert checkpoints.read(run / "stage2" / MODEL_FILE)[1]["step"] == 4


def test_a_stage_two_that_trained_its_stage_one_first_owns_it(tmp_path, eagerly):
    """That lies within its directory, not beside it."""
    run = tmp_path / "run"
    training.run(tiny.config("stage2", optimiser=STEPS), run)
    assert loading.stage_one_of(run / MODEL_FILE) == run / "stage1" / MODEL_FILE
    with pytest.raises(
        ValueError, match=r"stage one in .*stage1, .* --mode=stage2 --run_dir=.*run$"
    ):
        training.run(tiny.config("stage1", optimiser={"train_steps": 4}), run / "stage1")
    shipping.run(Export(str(run)), tmp_path / "small")
    for stage in ("stage1", "stage2"):
        assert checkpoints.read(tmp_path / "small" / stage / MODEL_FILE)[1]["stage"] == stage


def test_a_checkpoint_that_will_not_fit_is_said_before_training(tmp_path, monkeypatch):
    usage = SimpleNamespace(free=1000)
    monkeypatch.setattr(training.shutil, "disk_usage", lambda directory: usage)
    with pytest.raises(RunFailed, match="0 MB of room, and checkpoints of"):
        training.run(tiny.config(optimiser=STEPS), tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_room_is_asked_for_all_checkpoints_that_will_be_there(tmp_path, monkeypatch):
    array = np.zeros(1000, np.uint8)
    learner = SimpleNamespace(state=lambda: {"w": array})

    def fits(free, saves=100):
        monkeypatch.setattr(training.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
        try:
            training._check_room(learner, tmp_path, 3, saves)
        except RunFailed:
            return False
        return True

    # Three, the best of all, and a new one that is not whole yet
    assert (fits(4999), fits(5000)) == (False, True)
    assert (fits(1999, saves=2), fits(2000, saves=2)) == (False, True)  # of a short run
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "1.safetensors").write_bytes(bytes(3000))
    assert (fits(1999), fits(2000)) == (False, True)
    assert (fits(1999, saves=2), fits(2000, saves=2)) == (False, True)  # which come beside it
    (tmp_path / "checkpoints" / "2.safetensors").write_bytes(bytes(3000))
    assert (fits(999), fits(1000)) == (False, True)


def test_workers_agree_on_all_that_they_begin_with():
    config, images = tiny.config(), np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)
    state = {"w": np.ones(3)}

    def digest(config=config, stage="stage1", carried=0, images=images, state=state):
        return training._digest(config, stage, 0, carried, images, state)

    others = [
        digest(replace(config, run=replace(config.run, seed=1))),
        digest(tiny.config(data={"horizontal_flip": True})),
        digest(tiny.config(optimiser={"learning_rate": 0.5})),
        digest(stage="stage2"),
        digest(carried=64),
        digest(images=images + 1),
        digest(state={"w": np.zeros(3)}),
    ]
    assert digest() == digest(images=images.copy())
    assert digest() not in others
    assert 0 <= digest() < 2**16


def test_a_stage_two_is_not_gone_on_with_from_another_stage_one(tmp_path, trained, eagerly):
    config = tiny.config("stage1", optimiser=STEPS)
    other = training.train(replace(config, run=replace(config.run, seed=1)), "stage1", tmp_path)
    longer = tiny.config("stage2", optimiser={"train_steps": 4})
    with pytest.raises(ValueError, match="was begun from another stage one than"):
        training.train(longer, "stage2", trained / "stage2", other)


def test_only_its_own_stage_one_belongs_to_a_stage_two(tmp_path, trained):
    """The folder next to it may hold another."""
    full = trained / "stage2" / MODEL_FILE
    assert loading.stage_one_of(full) == trained / "stage1" / MODEL_FILE
    for name in ("stage1", "stage2"):
        arrays, info = checkpoints.read(trained / name / MODEL_FILE)
        if name == "stage1":
            arrays = arrays | {"encoder/conv_0/bias": arrays["encoder/conv_0/bias"] + 1}
        (tmp_path / name).mkdir()
        checkpoints.write(tmp_path / name / MODEL_FILE, arrays, info)
    assert loading.stage_one_of(tmp_path / "stage2" / MODEL_FILE) is None


def test_two_stages_without_latents_share_nothing_once_begun(tmp_path, eagerly):
    run, bare = tmp_path / "run", {"latents": False}
    training.run(tiny.config("train", optimiser=STEPS, model=bare), run)
    weights, info = checkpoints.read(run / "stage2" / MODEL_FILE)
    assert info["images_before"] == checkpoints.read(run / "stage1" / MODEL_FILE)[1]["images_seen"]
    assert {name.split("/")[0] for name in weights} >= {"forward", "reverse"}
    assert not any(name.startswith(("encoder", "decoder")) for name in weights)
    # Nothing tells whether a stage one beside it is its own, so none is taken for it.
    assert loading.stage_one_of(run / "stage2" / MODEL_FILE) is None
    training.run(tiny.config("train", optimiser={"train_steps": 4}, model=bare), run)
    assert checkpoints.read(run / "stage2" / MODEL_FILE)[1]["step"] == 4


def test_of_several_stages_one_that_saw_most_is_taken(tmp_path, monkeypatch, trained):
    """Not a trial of a few steps because it is newer."""
    monkeypatch.chdir(tmp_path)
    arrays, info = checkpoints.read(trained / "stage1" / MODEL_FILE)
    for age, (name, images) in enumerate({"long": 640, "trial": 16}.items()):
        path = tmp_path / "runs" / name / MODEL_FILE
        path.parent.mkdir(parents=True)
        checkpoints.write(path, arrays, info | {"images_seen": images})
        os.utime(path, (1000 + age, 1000 + age))
    found = stage_one.find(tiny.config("stage2", optimiser=STEPS), tmp_path / "new" / "run")
    assert found is not None
    assert found.parent.name == "long"


def test_a_stage_two_does_not_begin_from_a_checkpoint(tmp_path, trained):
    """Its arrays have other names: none would be found, and the encoder be what it is at first."""
    checkpoint = checkpoints.latest(trained / "stage1" / "checkpoints")
    asked = tiny.config("stage2", optimiser=STEPS, loop={"stage1": str(checkpoint)})
    with pytest.raises(ValueError, match=r"goes on from; the finished model is .*stage1/model"):
        training.run(asked, tmp_path)


def test_a_run_is_not_gone_on_with_on_other_images(tmp_path, eagerly):
    training.run(tiny.config(optimiser=STEPS), tmp_path)
    checkpoint = checkpoints.latest(tmp_path / "checkpoints")
    arrays, info = checkpoints.read(checkpoint)
    checkpoints.write(checkpoint, arrays, info | {"training_images": 63})
    with pytest.raises(ValueError, match="begun with 63 training images, and the data") as said:
        training.run(tiny.config(optimiser={"train_steps": 8}), tmp_path)
    (advice,) = re.findall(r"--mode=stage1 --warm_start=(\S+)", str(said.value))
    assert advice == str(checkpoint)
    training.run(tiny.config(loop={"warm_start": advice}), tmp_path / "anew")


def test_a_warm_start_from_within_a_warm_up_is_warmed_up(tmp_path, eagerly):
    """The PixelCNN there has learnt nothing yet."""
    warm_up = {"latent_warmup_steps": 3, "train_steps": 6}
    training.run(
        tiny.config(optimiser=warm_up, loop={"checkpoint_every": 1, "keep_checkpoints": 9}),
        tmp_path,
    )
    files = {
        checkpoints.read(path)[1]["step"]: path for path in (tmp_path / "checkpoints").iterdir()
    }
    assert {3, 4} <= files.keys()
    for step, path in files.items():
        asked = tiny.config(optimiser=warm_up, loop={"warm_start": str(path)})
        assert training._warmup_steps(asked, "stage1", 6) == (3 if step <= 3 else 0)


def test_after_a_step_that_is_not_finite_one_can_go_on(tmp_path, monkeypatch, eagerly):
    """As the error says: from the state that was saved."""
    original = Batches.batch

    def broken(self, step):
        made = original(self, step)
        return made | {"hole_noise": made["hole_noise"] * (np.nan if step == 1 else 1)}

    monkeypatch.setattr(Batches, "batch", broken)
    with pytest.raises(RunFailed) as failure:
        training.run(tiny.config(), tmp_path / "first")
    monkeypatch.setattr(Batches, "batch", original)
    said = re.search(r"--mode=stage1 --warm_start=(\S+\.safetensors),", str(failure.value))
    checkpoint = said[1]
    training.run(tiny.config(loop={"warm_start": checkpoint}), tmp_path / "second")
    seen = [
        checkpoints.read(path)[1]["images_seen"]
        for path in (checkpoint, tmp_path / "second" / MODEL_FILE)
    ]
    assert seen == [8, 8 + 4 * 8]
