"""What happens around the steps: stops and what they leave to the next attempt, what a resumed run
must repeat, and what a run directory says. The learner is a stand-in that learns nothing.
"""

import json
import math
import os
import shlex
import signal
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tiny

import run
from csi_tf import (
    checkpoints,
    latent_statistics,
    learner,
    logs,
    loop,
    stage_one,
    stages,
    training,
    validation,
)
from csi_tf.config import Config
from csi_tf.errors import Stopped, Terminated
from csi_tf.figures import panels


class StandIn:
    """Its one weight counts its steps; class attributes say what befalls which step."""

    objective = model = None
    workers = (1, 0)
    kills: dict[int, list[signal.Signals]]
    bad: set[int]
    warmed: list[bool]

    def __init__(self, config, stage, dataset_size, main_steps):
        self.config, self.stage, self.count = config, stage, 0
        self.dataset_size = dataset_size

    def step(self, batch, warming_up):
        self.count += 1
        self.warmed.append(warming_up)
        for number in self.kills.pop(self.count, ()):
            os.kill(os.getpid(), number)
        finite = float(self.count not in self.bad)
        return {"nats": self.count, "values": 5.0, "loss": 1.0, "mmd": 1e-3, "finite": finite}

    def evaluate(self, batch):
        """Another image's z costs an image 3 nats."""
        nats = np.full(len(batch["image"]), float(self.count))
        found = {"nats": nats, "values": np.full_like(nats, 2.0), "nats_shuffled": nats + 3}
        z = batch["posterior_noise"]
        return found | {"mean": np.zeros_like(z), "logvar": np.zeros_like(z), "z": z}

    def named_variables(self):
        return {}

    def state(self):
        return {"count": np.array(self.count)}

    weights = state

    def load(self, arrays):
        self.count = int(arrays["count"])

    averaged = staticmethod(nullcontext)

    def meet(self):
        pass


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    StandIn.kills, StandIn.bad, StandIn.warmed = {}, set(), []
    monkeypatch.setattr(learner, "make", StandIn)
    # They have nothing that a stage two could take over.
    monkeypatch.setattr(stages, "start_stage_two", lambda *_: [])


@pytest.fixture
def drawn(monkeypatch):
    """The steps at which panels were drawn."""
    steps = []
    monkeypatch.setattr(panels, "make", lambda *_: {"x": np.zeros((1, 1, 3), np.uint8)})
    monkeypatch.setattr(logs.Recorder, "images", lambda self, step, *_: steps.append(step))
    return steps


def config(mode="stage1", train_steps=8, loop=None, model=None, **optimiser):
    return tiny.config(
        mode, model=model, optimiser={"train_steps": train_steps} | optimiser, loop=loop
    )


def curve(directory):
    lines = logs.read_metrics(directory)
    return [{k: v for k, v in line.items() if k != "time"} for line in lines]


def main(*arguments) -> int:
    return run.main(["run.py", *map(str, arguments)])


def arguments(config, *more):
    return [*tiny.flags(config), *more]


def test_a_run_says_once_what_its_pixelcnn_really_sees(tmp_path, capsys):
    training.run(config(), tmp_path)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "receptive" in line]
    assert "3x5 (published), which sees 5 rows above, 8 columns, 3 pixels to the left" in line
    training.run(config(train_steps=9), tmp_path)
    assert "receptive" not in capsys.readouterr().out, "it goes on with the same"


@pytest.mark.parametrize(
    ("mode", "warmup", "expected"),
    [
        ("stage1", 0, ["stage1: 20 steps to go take about 20 min"]),
        ("stage1", 12, ["stage1: 20 steps to go take", "stage1: 8 steps to go take about 8 min"]),
        ("train", 12, ["stage1: 50 steps to go (with stage two's) take about 50 min",
                       "stage1: 38 steps to go (with stage two's)", "stage2: 20 steps to go take"]),
        ("stage2", 0, ["stage1: 50 steps to go (with stage two's)", "stage2: 20 steps to go take"]),
    ],
)  # fmt: skip
def test_a_long_run_says_so_early_and_once_its_warm_up_is_over(
    tmp_path, monkeypatch, mode, warmup, expected
):
    """Each step of the stand-in seems to take a minute."""
    clock = SimpleNamespace(monotonic=lambda: 60.0 * len(StandIn.warmed))
    monkeypatch.setattr(loop, "time", clock)
    monkeypatch.setattr(loop, "LONG", 7 * 60.0)
    lines = []
    monkeypatch.setattr(logs, "say", lines.append)
    training.run(config(mode, 30, latent_warmup_steps=warmup), tmp_path / "run")
    said = [line for line in lines if "at this rate" in line]
    for line, begins in zip(said, expected, strict=True):
        assert line.startswith(begins)
        assert "--preset=cpu" in line


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_waits_for_no_validation_and_the_next_attempt_makes_up_for_it(
    tmp_path, monkeypatch, drawn, number
):
    asked = config(loop={"validate_every": 4, "panel_every": 4})
    training.run(asked, tmp_path / "whole")
    assert drawn == [4, 8]
    drawn.clear()
    StandIn.kills = {4: [number]}
    with monkeypatch.context() as patch:
        patch.setattr(validation, "validate", lambda *_: pytest.fail("validated first"))
        with pytest.raises(Stopped, match="step 4 of stage1") as stopped:
            training.run(asked, tmp_path / "stopped")
    assert stopped.value.exit_code == 128 + number
    assert checkpoints.load(tmp_path / "stopped/checkpoints")[1]["step"] == 4
    assert not drawn
    training.run(asked, tmp_path / "stopped")
    assert curve(tmp_path / "stopped") == curve(tmp_path / "whole")
    assert drawn == [4, 8]


def test_a_stop_at_the_last_step_still_ends_with_a_validated_model(tmp_path):
    StandIn.kills = {8: [signal.SIGTERM]}
    with pytest.raises(Stopped):
        training.run(config(), tmp_path)
    assert not (tmp_path / training.MODEL_FILE).exists()
    training.run(config(), tmp_path)
    info = checkpoints.read(tmp_path / training.MODEL_FILE)[1]
    assert (info["step"], info["validation"]["step"]) == (8, 8)


def test_a_signal_during_validation_stops_after_it(tmp_path, monkeypatch, drawn):
    real = validation.validate

    def validate(*given):
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(validation, "validate", validate)
        with pytest.raises(Stopped):
            training.run(config(loop={"validate_every": 4, "panel_every": 4}), tmp_path)
    training.run(config(loop={"validate_every": 4, "panel_every": 4}), tmp_path)
    validated = [line["step"] for line in curve(tmp_path) if "validation/nats" in line]
    assert validated == [4, 8]
    assert drawn == [4, 8]


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        (signal.SIGTERM, signal.SIGTERM, Terminated),
        (signal.SIGINT, signal.SIGTERM, Terminated),
        (signal.SIGTERM, signal.SIGINT, KeyboardInterrupt),
    ],
)
def test_the_second_signal_acts_at_once_and_decides_what_it_was(first, second, kind):
    with loop.signals() as stop:
        os.kill(os.getpid(), first)
        assert stop == [first]
        with pytest.raises(KeyboardInterrupt) as caught:
            os.kill(os.getpid(), second)
    assert caught.type is kind


@pytest.mark.parametrize("given", [True, False], ids=["run_dir given", "run_dir not given"])
def test_a_stopped_run_says_how_to_go_on(tmp_path, monkeypatch, capsys, given):
    monkeypatch.chdir(tmp_path)
    StandIn.kills = {3: [signal.SIGTERM]}
    place = ["--run_dir=a place"] if given else []
    assert main(*arguments(config(), *place)) == 143
    said = capsys.readouterr().err
    assert said.startswith("run.py: stopped after step 3 of stage1, saved in ")
    assert said.count("--run_dir") == 1
    command = shlex.split(said.split("; to go on: ")[1])
    assert command[:2] == ["python", "run.py"]
    assert main(*command[2:]) == 0
    (model,) = tmp_path.glob(f"**/{training.MODEL_FILE}")
    assert checkpoints.read(model)[1]["step"] == 8
    assert (model.parent.name == "a place") == given


def test_two_sigterms_exit_with_143(tmp_path, capsys):
    StandIn.kills = {3: [signal.SIGTERM, signal.SIGTERM]}
    assert main(*arguments(config(), f"--run_dir={tmp_path}")) == 143
    assert capsys.readouterr().err == "run.py: terminated\n"


def test_panels_are_drawn_at_the_last_step_or_never(tmp_path, drawn):
    training.run(config(loop={"panel_every": 5000}), tmp_path / "a")
    assert drawn == [8]
    training.run(config(loop={"panel_every": 0}), tmp_path / "b")
    assert drawn == [8]


def test_nats_are_logged_as_bits_per_dimension_and_what_another_z_costs_as_positive_ones(tmp_path):
    """Of a value: the stand-in scores 5 of them in training and 2 of each held-out image."""
    training.run(config(loop={"validate_every": 4}), tmp_path)
    lines = curve(tmp_path)
    trained = {line["step"]: line["train/bits_per_dim"] for line in lines if "train/nats" in line}
    assert trained == pytest.approx({step: step / 5 / math.log(2) for step in range(1, 9)})
    held_out = [line for line in lines if "validation/nats" in line]
    for line, step in zip(held_out, (4, 8), strict=True):
        assert line["step"] == line["validation/nats"] == step
        assert line["validation/bits_per_dim"] == pytest.approx(step / 2 / math.log(2))
        assert line["validation/bits_of_z"] == pytest.approx(3 / 2 / math.log(2))


def test_skipped_batches_are_counted_over_all_attempts(tmp_path):
    asked = config(loop={"nan_policy": "skip", "checkpoint_every": 1})
    StandIn.bad, StandIn.kills = {2, 6}, {4: [signal.SIGTERM]}
    with pytest.raises(Stopped):
        training.run(asked, tmp_path)
    training.run(asked, tmp_path)
    counts = [line["train/skipped"] for line in curve(tmp_path) if "train/skipped" in line]
    assert counts == [0, 1, 1, 1, 1, 2, 2, 2]


def test_the_floor_of_the_mmd_is_beside_it(tmp_path):
    training.run(config(), tmp_path)
    floor = latent_statistics.mmd_floor(8, 200, tiny.MODEL["latent_dim"])
    lines = [line for line in curve(tmp_path) if "train/mmd" in line]
    assert [line["train/mmd_floor"] for line in lines] == [floor] * 8


def test_a_warm_up_cut_short_stays_so_and_does_not_stand_in_the_way_of_more_steps(tmp_path):
    training.run(config(train_steps=4, latent_warmup_steps=6), tmp_path)
    training.run(config(train_steps=9, latent_warmup_steps=6), tmp_path)
    assert StandIn.warmed == [True] * 2 + [False] * 7
    with pytest.raises(ValueError, match="latent_warmup_steps=2 and not 6"):
        training.run(config(train_steps=10, latent_warmup_steps=2), tmp_path)


def test_a_run_gone_on_with_does_not_end_within_its_warm_up(tmp_path):
    """Its PixelCNN would count as trained."""
    StandIn.kills = {2: [signal.SIGINT]}
    with pytest.raises(Stopped):
        training.run(config(train_steps=12, latent_warmup_steps=6), tmp_path)
    with pytest.raises(ValueError, match="6 steps of latent warm-up, so that 4 in all would leave"):
        training.run(config(train_steps=4, latent_warmup_steps=6), tmp_path)
    training.run(config(train_steps=8, latent_warmup_steps=6), tmp_path)
    assert StandIn.warmed == [True] * 6 + [False] * 2


@pytest.fixture
def measured(monkeypatch):
    """A machine on which the faster precision is another one each time."""
    answers = ["float32", "mixed_bfloat16", "float32"]
    monkeypatch.setattr(learner, "fastest_precision", lambda: answers.pop(0))
    return answers


def precision(path):
    return Config.from_json(checkpoints.read(path)[1]["config"]).optimiser.precision


def test_auto_precision_is_measured_once_for_a_directory(tmp_path, measured):
    training.run(config("train", precision="auto"), tmp_path)
    training.run(config("stage2", 9, precision="auto"), tmp_path / "stage2")
    for stage in ("stage1", "stage2"):
        assert precision(tmp_path / stage / training.MODEL_FILE) == "float32"
    assert len(measured) == 2
    # a finished model tells it too, once its checkpoints were removed
    (half := tmp_path / "half").mkdir()
    (tmp_path / "stage1").rename(half / "stage1")
    for file in (half / "stage1/checkpoints").iterdir():
        file.unlink()
    training.run(config("train", precision="auto"), half)
    assert len(measured) == 2
    assert precision(half / "stage2" / training.MODEL_FILE) == "float32"


def test_the_measured_precision_named_goes_on_and_the_other_does_not(tmp_path, measured):
    place = f"--run_dir={tmp_path / 'run'}"
    assert main(*arguments(config(precision="auto"), place)) == 0
    assert main(*arguments(config(train_steps=9, precision="mixed_bfloat16"), place)) == 2
    assert main(*arguments(config(train_steps=9, precision="float32"), place)) == 0


def test_auto_takes_a_stage_one_of_any_precision_and_measures_for_itself(tmp_path, measured):
    training.run(config(precision="auto"), tmp_path / "one")
    training.run(config("stage2", precision="auto"), tmp_path / "two")
    assert not (tmp_path / "two" / "stage1").exists()
    assert precision(tmp_path / "one" / training.MODEL_FILE) == "float32"
    assert precision(tmp_path / "two" / training.MODEL_FILE) == "mixed_bfloat16"
    training.run(config("stage2", precision="mixed_bfloat16"), tmp_path / "other")
    assert (tmp_path / "other" / "stage1").exists()


def test_stage_two_finds_a_stage_one_with_its_settings(tmp_path, capsys):
    training.run(config(), tmp_path / "a")
    training.run(config("train"), tmp_path / "b")  # in b/stage1
    training.run(config(model={"filters": 7}), tmp_path / "c")
    training.run(config("one_stage"), tmp_path / "d")
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / training.MODEL_FILE).write_bytes(b"somebody else's file of this name")
    # What only stage two has may differ, and how long it is trained and watched.
    asked = config(
        "stage2",
        3,
        {"log_every": 7, "stage2_init": "published"},
        {"reverse_features": 9},
        stage2_learning_rate=0.2,
    )
    found = tmp_path / "b" / "stage1" / training.MODEL_FILE
    assert stage_one.find(asked, tmp_path / "e") == found
    # Of those that saw equally many images, the newest.
    os.utime(tmp_path / "a" / training.MODEL_FILE)
    assert stage_one.find(asked, tmp_path / "e") == tmp_path / "a" / training.MODEL_FILE
    assert stage_one.find(config("stage2", learning_rate=0.5), tmp_path / "e") is None
    # A rate that was given to stage one and is now given to stage two
    given = {"learning_rate": 0.5, "stage2_learning_rate": config().optimiser.learning_rate}
    assert "but for its rate" not in capsys.readouterr().out
    assert stage_one.find(config("stage2", **given), tmp_path / "e").parent == tmp_path / "a"
    assert "with these settings, but for its rate, is" in capsys.readouterr().out
    # One of the very rate goes before it.
    training.run(config(learning_rate=0.5), tmp_path / "i")
    os.utime(tmp_path / "a" / training.MODEL_FILE)
    assert stage_one.find(config("stage2", **given), tmp_path / "e").parent == tmp_path / "i"
    with pytest.raises(ValueError, match="has filters 7, stage two is asked for 6"):
        training.run(config("stage2", loop={"stage1": str(tmp_path / "c")}), tmp_path / "f")
    with pytest.raises(ValueError, match="holds a one_stage model"):
        training.run(config("stage2", loop={"stage1": str(tmp_path / "d")}), tmp_path / "g")
    with pytest.raises(ValueError, match="no finished stage one in"):
        training.run(config("stage2", loop={"stage1": str(tmp_path / "no")}), tmp_path / "h")


def later(path):
    """The file as a later version with one more setting might have written it."""
    arrays, info = checkpoints.read(path)
    settings = json.loads(info["config"])
    settings["model"]["attention"] = 8
    checkpoints.write(path, arrays, info | {"config": json.dumps(settings), "version": "9.9"})


def test_files_of_a_later_version_are_passed_over_and_explained_where_named(tmp_path):
    training.run(config(), tmp_path / "a")
    training.run(config(), tmp_path / "b")
    model = tmp_path / "b" / training.MODEL_FILE
    later(model)
    assert stage_one.find(config("stage2"), tmp_path / "c") == tmp_path / "a" / training.MODEL_FILE
    explained = "does not fit csi-tf .*written by 9.9, which can load it.*'attention'"
    with pytest.raises(ValueError, match=f"{model} {explained}"):
        training.run(config("stage2", loop={"stage1": str(model)}), tmp_path / "c")
    later(checkpoints.latest(tmp_path / "b" / "checkpoints"))
    for precision in ("float32", "auto"):
        with pytest.raises(ValueError, match=f"{tmp_path / 'b'} {explained}"):
            training.run(config(train_steps=9, precision=precision), tmp_path / "b")


@pytest.mark.parametrize("setting", [{"stage2_init": "published"}, {"stage1": "elsewhere"}])
def test_where_a_stage_two_started_from_cannot_be_changed_later(tmp_path, setting):
    training.run(config("stage2"), tmp_path)
    name = next(iter(setting))
    with pytest.raises(ValueError, match=f"{name}={setting[name]} and not"):
        training.run(config("stage2", 9, loop=setting), tmp_path)


def test_more_steps_are_said_and_recorded_and_refused_settings_are_not(tmp_path, capsys):
    place = f"--run_dir={tmp_path / 'run'}"
    files = [tmp_path / "run" / name for name in ("config.json", "flagfile.txt")]
    assert main(*arguments(config(), place)) == 0
    assert "Settings that differ" not in capsys.readouterr().out
    assert main(*arguments(config(train_steps=9), place)) == 0
    assert "Settings that differ from before: train_steps=9 and not 8\n" in capsys.readouterr().out
    assert Config.from_json(files[0].read_text()).optimiser.train_steps == 9
    assert "--train_steps=9" in files[1].read_text()
    before = [file.read_bytes() for file in files]
    assert main(*arguments(config(train_steps=5), place)) == 2
    assert "9 steps already, more than the 5 asked for" in capsys.readouterr().err
    assert main(*arguments(config(model={"filters": 7}), place)) == 2
    assert "filters=7 and not 6" in capsys.readouterr().err
    assert [file.read_bytes() for file in files] == before


def test_fewer_steps_are_refused_also_before_the_end(tmp_path):
    StandIn.kills = {5: [signal.SIGTERM]}
    with pytest.raises(Stopped):
        training.run(config(), tmp_path)
    with pytest.raises(ValueError, match="has had 5 steps already"):
        training.run(config(train_steps=4), tmp_path)


def test_a_full_disk_leaves_the_last_checkpoint_whole(tmp_path, monkeypatch):
    def full(path, arrays, info):
        if "step-000000004" in str(path):
            raise checkpoints.CheckpointError(f"cannot write checkpoint {path}: no space left")
        original(path, arrays, info)

    original = checkpoints.write
    monkeypatch.setattr(checkpoints, "write", full)
    with pytest.raises(OSError, match="no space left"):
        training.run(config(loop={"checkpoint_every": 2}), tmp_path)
    assert checkpoints.load(tmp_path / "checkpoints")[1]["step"] == 2


def test_a_finished_model_without_checkpoints_is_not_trained_over(tmp_path):
    training.run(config(), tmp_path)
    (file,) = (tmp_path / "checkpoints").iterdir()
    file.unlink()
    training.run(config(), tmp_path)
    with pytest.raises(ValueError, match="no checkpoint to train it further from"):
        training.run(config(train_steps=9), tmp_path)


def test_a_finished_model_of_other_settings_is_refused(tmp_path):
    training.run(config(), tmp_path)
    with pytest.raises(ValueError, match=r"learning_rate=0.5 and not 0.001"):
        training.run(config(learning_rate=0.5), tmp_path)


def test_a_stage_two_stopped_before_its_first_step_keeps_what_it_took_over(tmp_path):
    """Its checkpoint of step 0 is loaded like any other."""
    asked = config("stage2")
    made = StandIn(asked, "stage2", 64, 8)
    made.count = 100
    info = loop.Loop(asked, made, None, None, None, None, 8, True, []).info(0)
    checkpoints.save(tmp_path / "checkpoints", 0, made.state(), info)
    training.run(asked, tmp_path)
    assert checkpoints.read(tmp_path / training.MODEL_FILE)[0]["count"] == 108


@pytest.mark.parametrize("count", [2, 3, 64, 65, 128, 129, 2017, 4033])
def test_no_image_is_validated_alone(count):
    """4033 leaves one over with 64 to a batch and with 63."""
    images = np.zeros((count, 16, 16, 3), np.uint8)
    asked = replace(config(), masks=replace(config().masks, mask="center"))
    batches = list(validation.batches(asked, images))
    sizes = [len(batch["image"]) for batch in batches]
    assert min(sizes) >= 2
    assert max(sizes) <= validation.BATCH
    examples = np.concatenate([batch["example"] for batch in batches])
    np.testing.assert_array_equal(examples, np.arange(count))


def test_what_was_refused_leaves_no_settings_in_a_stage_of_a_run(tmp_path, capsys):
    """A stage has none of its own, so these would be taken for its."""
    assert main(*arguments(config(), f"--run_dir={tmp_path / 'run'}")) == 0
    stage = tmp_path / "stage"
    (tmp_path / "run").rename(stage)
    for name in ("config.json", "flagfile.txt"):
        (stage / name).unlink()
    assert main(*arguments(config(model={"filters": 7}), f"--run_dir={stage}")) == 2
    assert "filters" in capsys.readouterr().err
    assert not (stage / "config.json").exists()
    assert not (stage / "flagfile.txt").exists()
    assert main(*arguments(config(train_steps=9), f"--run_dir={stage}")) == 0


def test_progress_shows_the_loss_of_every_step(tmp_path, monkeypatch):
    shown = []
    advance = logs.Bar.advance
    monkeypatch.setattr(
        logs.Bar,
        "advance",
        lambda bar, steps=1, scalars=None: (shown.append(scalars), advance(bar, steps, scalars)),
    )
    training.run(config(loop={"log_every": 7}), tmp_path)
    logged = {line["step"]: line for line in curve(tmp_path) if "train/nats" in line}
    assert [*logged] == [1, 7, 8]
    bits = [each["bits/dim"] for each in shown if each]
    assert len(bits) == 8
    for step, line in logged.items():
        assert bits[step - 1] == pytest.approx(line["train/bits_per_dim"])


def test_bfloat16_is_taken_where_it_is_clearly_faster_only(monkeypatch):
    clock = {"float32": 1.0, "mixed_bfloat16": 0.9}
    now = [0.0]

    class Layer:
        def __init__(self, *_, dtype):
            self.dtype = dtype

        def __call__(self, images):
            now[0] += clock[self.dtype]
            return images

    monkeypatch.setattr(learner.keras.layers, "Conv2D", Layer)
    monkeypatch.setattr(learner.time, "perf_counter", lambda: now[0])
    assert learner.fastest_precision() == "float32"
    clock["mixed_bfloat16"] = 0.5
    assert learner.fastest_precision() == "mixed_bfloat16"
