"""Several replicas and several workers compute what one does, and fail in one sentence."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny

from csi_tf import checkpoints, learner, logs, tensorflow_learner, training, workers
from csi_tf.errors import RunFailed

REPOSITORY = Path(__file__).parent.parent
STEPS = 4
# With factor_vae: what has terms of the whole batch
GATHERED = ("aae", "info_vae_mmd", "beta_tcvae")
ONE_STAGE = tiny.config(
    "one_stage",
    model={"dropout": 0.0},
    objective={"objective": "factor_vae"},
    optimiser={"ema": 0.9, "clip_norm": 100.0},
)
BOTH_STAGES = replace(ONE_STAGE, run=replace(ONE_STAGE.run, mode="train"))


def warming_up(objective):
    """Encoder and decoder only, which are all that an objective is about, and quick to compile."""
    return tiny.config(
        model={"dropout": 0.0},
        objective={"objective": objective},
        optimiser={"latent_warmup_steps": STEPS, "ema": 0.9},
    )


def trained(config, stage, spoilt=None):
    """A learner after STEPS steps, the losses, and whether a spoilt batch left traces."""
    images, _ = training._images(config)
    made = learner.make(config, stage, len(images), 2 * STEPS)
    count, index = made.workers
    batches = replace(training.batches_of(config, images), num_shards=count, shard_index=index)
    warm, losses, undone = made.warms_up, [], None
    for step in range(STEPS):
        batch = batches.batch(step)
        if step == spoilt:
            before = made.state()
            bad = batch | {"hole_noise": np.full_like(batch["hole_noise"], np.nan)}
            assert float(made.step(bad, warm)["finite"]) == 0
            after = made.state()
            undone = all(np.array_equal(before[name], after[name]) for name in before)
        losses.append(float(made.step(batch, warm)["loss"]))
    return made, losses, undone


def two_replicas(out):
    """What the test of two replicas runs in a process of its own: devices are cut up at once."""
    import tensorflow as tf

    from pixel_cnn_pp.dropout import ByteDropout

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    tensorflow_learner.strategy = lambda devices: two

    def copies(value):
        return [np.asarray(copy) for copy in two.experimental_local_results(value)]

    made, losses, undone = trained(ONE_STAGE, "one_stage", spoilt=2)
    apart = [
        name
        for name, variable in made.named_variables().items()
        if not np.array_equal(*copies(variable.value))
    ]
    with two.scope():
        layer = ByteDropout(0.5, seed=1)
    kept = tf.function(lambda: two.run(lambda: layer.kept(tf.zeros((50, 8)))))
    drawn = [copies(kept()) for _ in range(2)]
    checkpoints.write(
        out,
        made.state(),
        {
            "losses": losses,
            "undone": undone,
            "apart": apart,
            "kept": [[mask.ravel().tolist() for mask in masks] for masks in drawn],
            "counters": [counter.tolist() for counter in copies(layer.seed_generator.state.value)],
        },
    )


def run_both_stages(run, finished):
    """`finished` is called with the learner of each stage."""
    meet = tensorflow_learner.TensorFlowLearner.meet

    def noted(self):
        finished(self)
        meet(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensorflow_learner.TensorFlowLearner, "meet", noted)
        run()


def worker(directory):
    """What each of two workers runs."""
    sys.path.insert(0, str(REPOSITORY))
    import run

    directory = Path(directory)
    index = workers.task().index
    command = ["run.py", *tiny.flags(BOTH_STAGES), f"--run_dir={directory / 'run'}"]

    def keep(made, name, losses=()):
        path = directory / f"{name}-{index}.safetensors"
        checkpoints.write(path, made.state(), {"losses": losses})

    run_both_stages(lambda: run.main(command), lambda made: keep(made, made.stage))
    for objective in GATHERED:
        made, losses, _ = trained(warming_up(objective), "stage1")
        keep(made, objective, losses)
    made.agree(7)
    try:
        made.agree(index)
    except RunFailed as error:
        (directory / f"unlike-{index}").write_text(str(error))
    made.meet()
    if index == 0:
        os._exit(0)  # dies, as far as the other can tell
    try:
        made.meet()
    except RunFailed as error:
        (directory / "said").write_text(str(error))


def run_apart(function, argument, **environment):
    return subprocess.Popen(
        [sys.executable, __file__, function, argument],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(*processes):
    said = [process.communicate(timeout=400)[0][-3000:] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), "\n".join(said)


def assert_alike(found, one):
    """The state of several equals that of a learner by itself, up to the order of sums.

    Adam divides by roots of small sums, so weights agree to a step of it, and the stage two that
    starts from them has gradients a little different. Moments, which are linear and quadratic in
    these, tell a sum that lacks a part, or has one twice: weights hardly would.
    """
    expected = one.state()
    assert found.keys() == expected.keys()
    groups, paths = {}, {name: variable.path for name, variable in one.named_variables().items()}
    for name, path in paths.items():
        owner, kind = name.split("/")[0], path.rsplit("_", 1)[-1]
        is_moment = owner.endswith("_adam") and kind in ("momentum", "velocity")
        groups.setdefault((owner, kind if is_moment else ""), []).append(name)
    for (_, moment), names in groups.items():
        whole = np.sqrt(sum(np.square(expected[name].astype(float)).sum() for name in names))
        for name in names:
            if not moment and before_normalisation(paths[name]):
                continue
            apart = np.linalg.norm(found[name].astype(float) - expected[name])
            size = np.linalg.norm(expected[name].astype(float))
            bound = (
                1e-2 * size + 3e-4 * whole
                if moment
                else 1e-2 * size + 1e-3 * np.sqrt(expected[name].size)
            )
            assert apart <= bound, f"{name} {moment}: {apart} of {size}"


def before_normalisation(path):
    """Biases that BatchNorm cancels: their gradient is rounding, which Adam magnifies."""
    return "bias" in path and ("encoder" in path or "decoder" in path)


def test_two_replicas_train_as_one(tmp_path):
    process = run_apart("two_replicas", tmp_path / "two.safetensors")
    one, losses, _ = trained(ONE_STAGE, "one_stage")
    finish(process)
    state, info = checkpoints.read(tmp_path / "two.safetensors")
    np.testing.assert_allclose(info["losses"], losses, rtol=1e-5)  # float32 sums in another order
    assert_alike(state, one)
    assert info["undone"], "a batch that is not finite left traces"
    assert info["apart"] == [], "replicas parted"
    (first, second), (third, _) = info["kept"]
    assert first != second, "replicas drop the same features"
    assert first != third
    assert info["counters"][0] == info["counters"][1]


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def launch_two_workers(place):
    place.mkdir()
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    tasks = [{"cluster": cluster, "task": {"type": "worker", "index": i}} for i in range(2)]
    finish(*(run_apart("worker", place, TF_CONFIG=json.dumps(task)) for task in tasks))


def test_two_workers_train_as_one_process(tmp_path, eagerly):
    try:
        launch_two_workers(tmp_path / "first")
        tmp_path = tmp_path / "first"
    except AssertionError as error:
        # TensorFlow gives up a worker that is not heard of for 10 s, and has no public way to wait
        # longer; on a machine busy with other things that happens. Nothing else is tried again.
        if "heartbeat" not in str(error):
            raise
        launch_two_workers(tmp_path / "second")
        tmp_path = tmp_path / "second"
    ones = {}
    run_both_stages(
        lambda: training.run(BOTH_STAGES, tmp_path / "one"),
        lambda made: ones.update({made.stage: (made, None)}),
    )
    for objective in GATHERED:
        made, losses, _ = trained(warming_up(objective), "stage1")
        ones[objective] = made, losses
    for name, (one, losses) in ones.items():
        (first, info), (second, other) = (
            checkpoints.read(tmp_path / f"{name}-{index}.safetensors") for index in range(2)
        )
        for array in first:
            np.testing.assert_array_equal(second[array], first[array], err_msg=f"{name} {array}")
        assert_alike(first, one)
        if losses is None:
            ours, *theirs = (
                [line["train/loss"] for line in logs.read_metrics(place) if "train/loss" in line]
                for place in (
                    tmp_path / "one" / name,
                    tmp_path / "run" / name,
                    tmp_path / "run" / name / "worker-1",
                )
            )
        else:
            ours, theirs = losses, [info["losses"], other["losses"]]
        assert theirs[0] == theirs[1], name
        assert len(ours) == STEPS
        np.testing.assert_allclose(theirs[0], ours, rtol=1e-4, err_msg=name)
    for index in range(2):  # what either of them started with
        assert "do not start alike" in (tmp_path / f"unlike-{index}").read_text()
    assert "another worker of TF_CONFIG ended" in (tmp_path / "said").read_text()
    assert "\n" not in (tmp_path / "said").read_text()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("{", "TF_CONFIG is no JSON"),
        ("[]", "names no workers"),
        ({"task": {"type": "worker", "index": 0}}, "names no workers"),
        ({"cluster": {"worker": "host:1"}}, "names no workers"),
        ({"cluster": {"worker": ["a:1"]}}, "does not say which of its 1 workers"),
        ({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker"}}, "does not say which"),
        ({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}, "does not say"),
        ({"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}, "does not say"),
        ({"cluster": {"worker": ["a:1"], "ps": ["b:1"]}}, "tasks of the type ps; only workers"),
    ],
    ids=str,
)
def test_a_malformed_tf_config_is_one_sentence(given, says, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", given if isinstance(given, str) else json.dumps(given))
    with pytest.raises(ValueError, match=says) as raised:
        workers.task()
    assert '"index": 0' in str(raised.value), "says what it should be"


def test_the_worker_of_a_tf_config(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert workers.task() is None
    monkeypatch.setenv("TF_CONFIG", "")
    assert workers.task() is None
    task = {"type": "worker", "index": "1"}  # text, as of a launcher that fills in a template
    monkeypatch.setenv(
        "TF_CONFIG", json.dumps({"cluster": {"worker": ["a:1", "b:1"]}, "task": task})
    )
    assert workers.task() == workers.Task(index=1, count=2)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"optimiser": {"batch_size": 7}}, r"batch of 7 .* 3 devices: choose --batch_size=6"),
        ({"optimiser": {"batch_size": 2}}, r"batch of 2 .* choose --batch_size=3"),
        ({"optimiser": {"batch_size": 6, "xla": True}}, "xla compiles a step for one device"),
    ],
    ids=str,
)
def test_what_several_devices_cannot_do_is_refused_first(changes, says, tmp_path, monkeypatch):
    three = SimpleNamespace(num_replicas_in_sync=3)
    monkeypatch.setattr(tensorflow_learner, "strategy", lambda devices: three)
    # TensorFlow Datasets would run TensorFlow, after which workers could not meet any more.
    monkeypatch.setattr(training, "_images", lambda config: pytest.fail("data were read before"))
    with pytest.raises(ValueError, match=says):
        training.run(tiny.config(**changes), tmp_path)
    assert not list(tmp_path.iterdir())


def test_workers_that_nothing_will_use_are_refused(tmp_path, monkeypatch):
    cluster = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    with pytest.raises(ValueError, match="devices one has no use for the workers"):
        training.run(tiny.config(loop={"devices": "one"}), tmp_path)
    monkeypatch.setattr(learner.keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="train on TensorFlow only"):
        training.run(tiny.config(), tmp_path)


def test_a_run_directory_that_is_not_shared_is_told(tmp_path):
    (tmp_path / "there").touch()
    workers.await_file(tmp_path / "there", seconds=0)
    with pytest.raises(RunFailed, match="a file system that all workers share"):
        workers.await_file(tmp_path / "elsewhere", seconds=0)


if __name__ == "__main__":
    {"two_replicas": two_replicas, "worker": worker}[sys.argv[1]](sys.argv[2])
