"""Checkpoints: exact, whole or absent, and never worse off after a crash."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings

import hypothesis.extra.numpy as hnp
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csi_tf import checkpoints

DTYPES = [
    *(f"float{bits}" for bits in (16, 32, 64)),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    "bool",
]


def state(step, size=3):
    """Arrays that tell which step they are of."""
    return {
        "model/kernel": np.full((size, 2), step, np.float32),
        "adam/iterations": np.array(step, np.int64),
    }


def steps(directory):
    return [int(path.name.split("-")[1].split(".")[0]) for path in sorted(directory.iterdir())]


def damage(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def same_bits(one, other):
    """NaNs and signed zeros included, which == would not tell apart or would not equal."""
    assert (one.dtype, one.shape) == (other.dtype, other.shape)
    assert one.tobytes() == other.tobytes()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """For hypothesis, whose examples share one test."""
    return tmp_path_factory.mktemp("scratch") / f"file{checkpoints.SUFFIX}"


@given(
    arrays=st.dictionaries(
        st.text(max_size=8).filter(lambda name: name != "__metadata__"),
        st.sampled_from(DTYPES).flatmap(
            lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0, max_side=3))
        ),
        max_size=4,
    ),
    info=st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers() | st.none()),
)
def test_round_trip_is_exact(scratch, arrays, info):
    checkpoints.write(scratch, arrays, info)
    read, read_info = checkpoints.read(scratch)
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        same_bits(read[name], array)
    assert read_info == info


def test_bfloat16_scalars_and_odd_layouts(tmp_path):
    arrays = {
        "bfloat16": np.array([1.5, np.nan, -0.0, 3e38], ml_dtypes.bfloat16),
        "scalar": np.float16(0.1),
        "number": 7,
        "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "strided": np.arange(10, dtype=np.int16)[::-3],
        "empty": np.zeros((0, 3), bool),
    }
    path = tmp_path / "odd.safetensors"
    checkpoints.write(path, arrays, {})
    read, _ = checkpoints.read(path)
    for name, array in arrays.items():
        same_bits(read[name], np.asarray(array))
    big_endian = {"big": np.arange(3, dtype=">f4")}
    checkpoints.write(path, big_endian, {})
    np.testing.assert_array_equal(checkpoints.read(path)[0]["big"], [0, 1, 2])


def test_arrays_read_can_be_written_to(tmp_path):
    checkpoints.save(tmp_path, 1, state(1), {})
    arrays, _ = checkpoints.load(tmp_path)
    arrays["model/kernel"] += 1
    assert (arrays["model/kernel"] == 2).all()


def test_same_content_makes_the_same_file(tmp_path):
    one, other = state(5), dict(reversed(state(5).items()))
    checkpoints.write(tmp_path / "one.safetensors", one, {"a": 1})
    checkpoints.write(tmp_path / "other.safetensors", other, {"a": 1})
    assert (tmp_path / "one.safetensors").read_bytes() == (
        tmp_path / "other.safetensors"
    ).read_bytes()


def test_file_is_in_the_safetensors_format(tmp_path):
    """Read as the format's description says, without our own reader."""
    path = checkpoints.save(tmp_path, 2, state(2), {"epoch": 1})
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    assert json.loads(header.pop("__metadata__")["info"])["epoch"] == 1
    spans = sorted(entry["data_offsets"] for entry in header.values())
    assert [end for _, end in spans] == [start for start, _ in spans[1:]] + [len(raw) - 8 - length]
    entry = header["model/kernel"]
    assert (entry["dtype"], entry["shape"], (8 + length) % 8) == ("F32", [3, 2], 0)
    start, end = (8 + length + offset for offset in entry["data_offsets"])
    np.testing.assert_array_equal(np.frombuffer(raw[start:end], "<f4"), np.full(6, 2))


@pytest.mark.parametrize(
    ("arrays", "info", "message"),
    [
        ({"a": np.array(["x"])}, {}, "'a' has dtype <U1.*float32"),
        ({"a": np.array([None])}, {}, "'a' has dtype object"),
        ({"a": np.array(1j)}, {}, "'a' has dtype complex128"),
        ({"__metadata__": np.array(1)}, {}, "cannot name an array"),
        ({}, {"loss": np.float32(1)}, "JSON values only"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_anything_is_written(tmp_path, arrays, info, message):
    with pytest.raises(ValueError, match=message):
        checkpoints.save(tmp_path, 1, arrays, info)
    assert list(tmp_path.iterdir()) == []


# Damage


def test_every_flipped_bit_is_detected(tmp_path):
    path = tmp_path / "x.safetensors"
    checkpoints.write(path, state(3), {})
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(checkpoints.CheckpointError, match="damaged"):
            checkpoints.read(path)
    path.write_bytes(whole)
    assert checkpoints.read(path)[0].keys() == state(3).keys()


def test_every_truncation_and_anything_appended_is_detected(tmp_path):
    path = tmp_path / "x.safetensors"
    checkpoints.write(path, state(3), {})
    whole = path.read_bytes()
    for content in [*(whole[:length] for length in range(len(whole))), whole + b"\0"]:
        path.write_bytes(content)
        with pytest.raises(checkpoints.CheckpointError, match="truncated"):
            checkpoints.read(path)


@given(st.data())
def test_any_overwritten_stretch_is_detected(scratch, data):
    checkpoints.write(scratch, state(3, size=500), {})
    whole = scratch.read_bytes()
    start = data.draw(st.integers(0, len(whole) - 1))
    stretch = data.draw(st.binary(min_size=1, max_size=64))[: len(whole) - start]
    changed = whole[:start] + stretch + whole[start + len(stretch) :]
    scratch.write_bytes(changed)
    if changed == whole:
        checkpoints.read(scratch)
    else:
        with pytest.raises(checkpoints.CheckpointError):
            checkpoints.read(scratch)


def test_damaged_newest_falls_back_with_a_warning_that_names_it(tmp_path):
    for step in (1, 2, 3):
        newest = checkpoints.save(tmp_path, step, state(step), {})
    damage(newest)
    with pytest.warns(checkpoints.CheckpointWarning, match=newest.name):
        arrays, info = checkpoints.load(tmp_path)
    assert (info["step"], arrays["adam/iterations"]) == (2, 2)
    checkpoints.save(tmp_path, 3, state(3), {})
    assert checkpoints.load(tmp_path)[1]["step"] == 3


def test_damaged_later_checkpoint_does_not_outlive_the_run_that_went_on_without_it(tmp_path):
    for step in (10, 20):
        newest = checkpoints.save(tmp_path, step, state(step), {})
    damage(newest)
    checkpoints.save(tmp_path, 15, state(15), {})
    assert steps(tmp_path) == [10, 15]


def test_whole_later_checkpoint_is_never_lost_to_an_earlier_step(tmp_path):
    checkpoints.save(tmp_path, 20, state(20), {})
    with pytest.raises(checkpoints.CheckpointError, match="holds step 20: resume"):
        checkpoints.save(tmp_path, 5, state(5), {})
    assert steps(tmp_path) == [20]


def test_all_damaged_is_an_error_and_none_at_all_is_none(tmp_path):
    assert checkpoints.load(tmp_path) is None
    assert checkpoints.load(tmp_path / "absent") is None
    assert checkpoints.latest(tmp_path) is None
    for step in (1, 2):
        damage(checkpoints.save(tmp_path, step, state(step), {}))
    with (
        pytest.warns(checkpoints.CheckpointWarning),
        pytest.raises(checkpoints.CheckpointError, match="all 2 checkpoints"),
    ):
        checkpoints.load(tmp_path)


def test_named_file_has_no_substitute(tmp_path):
    checkpoints.save(tmp_path, 1, state(1), {})
    path = checkpoints.save(tmp_path, 2, state(2), {})
    assert checkpoints.load(path)[1]["step"] == 2
    damage(path)
    with pytest.raises(checkpoints.CheckpointError, match=path.name):
        checkpoints.load(path)
    with pytest.raises(checkpoints.CheckpointError, match="No such file"):
        checkpoints.load(tmp_path / "step-000000003.safetensors")


# Which are kept


@given(
    metrics=st.lists(st.none() | st.floats(), min_size=1, max_size=8),
    keep=st.integers(1, 4),
)
def test_last_few_and_the_best_are_kept(tmp_path_factory, metrics, keep):
    directory = tmp_path_factory.mktemp("kept")
    for step, metric in enumerate(metrics):
        checkpoints.save(directory, step, state(step), {}, keep=keep, metric=metric)
        known = {
            s: m for s, m in enumerate(metrics[: step + 1]) if m is not None and np.isfinite(m)
        }
        best = min(known, key=lambda s: (known[s], -s), default=step)
        assert set(steps(directory)) == {*range(step + 1)[-keep:], best}
        assert checkpoints.load(directory)[1] == {"step": step, "metric": known.get(step)}
        (kept,) = directory.glob(f"step-{best:09d}*")
        assert checkpoints.load(kept)[1] == {"step": best, "metric": known.get(best)}


def test_step_saved_again_replaces_itself_and_keeps_its_metric(tmp_path):
    checkpoints.save(tmp_path, 7, state(7), {"pass": 1}, metric=0.0)
    checkpoints.save(tmp_path, 7, state(7), {"pass": 2})
    assert checkpoints.load(tmp_path)[1] == {"pass": 2, "step": 7, "metric": 0.0}
    checkpoints.save(tmp_path, 7, state(7), {"pass": 3}, metric=1e-7)
    assert steps(tmp_path) == [7]
    assert checkpoints.load(tmp_path)[1] == {"pass": 3, "step": 7, "metric": 1e-7}


def test_other_files_are_left_alone(tmp_path):
    others = ["notes.txt", "step-1.safetensors.bak", "model.safetensors", "x.partial"]
    for name in others:
        (tmp_path / name).write_text("mine")
    for step in range(6):
        checkpoints.save(tmp_path, step, state(step), {}, keep=1)
    assert {path.name for path in tmp_path.iterdir()} == {*others, "step-000000005.safetensors"}


def test_mistaken_arguments_are_refused(tmp_path):
    with pytest.raises(ValueError, match="keep at least 1"):
        checkpoints.save(tmp_path, 1, {}, {}, keep=0)
    with pytest.raises(ValueError, match="step must be at least 0"):
        checkpoints.save(tmp_path, -1, {}, {})


# Crashes and full disks

SAVE_FOREVER = """
import sys
import numpy as np
from csi_tf import checkpoints

step = (checkpoints.load(sys.argv[1]) or ({}, {"step": 0}))[1]["step"]
print("ready", flush=True)
while True:
    step += 1
    arrays = {str(i): np.full(250_000, step, np.float32) for i in range(4)}
    checkpoints.save(sys.argv[1], step, arrays, {}, keep=2, metric=-step)
"""


def test_killed_at_any_moment_a_complete_state_remains(tmp_path):
    chance, reached = random.Random(0), 0
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVE_FOREVER, tmp_path], stdout=subprocess.PIPE
        )
        assert process.stdout.readline() == b"ready\n"
        while checkpoints.latest(tmp_path) is None:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # killing alone damages nothing that has its name
            arrays, info = checkpoints.load(tmp_path)
        assert info["step"] >= reached
        reached = info["step"]
        assert all((array == reached).all() for array in arrays.values())
    # Leftovers do not pile up: after one whole save, only what is wanted is there.
    checkpoints.save(tmp_path, reached + 1, state(reached + 1), {}, keep=2)
    assert steps(tmp_path) == [reached, reached + 1]


class Crash(BaseException):
    """The process ends here: nothing after it reaches the disk."""


def crash_at(monkeypatch, number):
    """From the number-th operation on, each raises; the operations that came before."""
    done = []

    def crashing(name, real):
        def operation(*args, **kwargs):
            if len(done) >= number:
                raise Crash
            done.append(name)
            return real(*args, **kwargs)

        return operation

    for name in ("fsync", "replace", "unlink"):
        monkeypatch.setattr(os, name, crashing(name, getattr(os, name)))
    return done


def test_crash_between_any_two_operations(tmp_path, monkeypatch):
    for number in range(10):
        directory = tmp_path / str(number)
        for step in (1, 2, 3):
            checkpoints.save(directory, step, state(step), {}, keep=2)
        (directory / "step-000000001.safetensors.partial").write_bytes(b"left by an earlier crash")
        with monkeypatch.context() as patch:
            done = crash_at(patch, number)
            crashed = False
            try:
                checkpoints.save(directory, 4, state(4), {}, keep=2)
            except Crash:
                crashed = True
        arrays, info = checkpoints.load(directory)
        assert info["step"] == (4 if "replace" in done else 3)
        assert arrays["adam/iterations"] == info["step"]
        checkpoints.save(directory, 5, state(5), {}, keep=2)
        assert steps(directory)[-1] == 5
        assert not list(directory.glob("*.partial"))
        if not crashed:
            break
    # The leftover goes; the new file is on disk before it gets its name, and its name before
    # anything older is deleted.
    assert done == ["unlink", "fsync", "replace", "fsync", "unlink"]


def test_full_disk_keeps_every_earlier_checkpoint(tmp_path):
    resource = pytest.importorskip("resource")
    for step in (1, 2, 3):
        checkpoints.save(tmp_path, step, state(step), {}, keep=3)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # real writes fail, as if full
    try:
        with pytest.raises(checkpoints.CheckpointError) as caught:
            checkpoints.save(tmp_path, 4, state(4, size=250_000), {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert f"{tmp_path}" in str(caught.value)
    assert "(3 MB)" in str(caught.value)
    assert "make room" in str(caught.value)
    checkpoints.save(tmp_path, 4, state(4, size=250_000), {})
    assert checkpoints.load(tmp_path)[1]["step"] == 4


@pytest.mark.parametrize("operation", ["fsync", "replace"])
def test_disk_that_fills_up_at_the_last_moment(tmp_path, monkeypatch, operation):
    checkpoints.save(tmp_path, 1, state(1), {}, keep=1)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, operation, full)
        with pytest.raises(checkpoints.CheckpointError, match=r"No space left.*make room"):
            checkpoints.save(tmp_path, 2, state(2), {}, keep=1)
    assert steps(tmp_path) == [1]
    assert checkpoints.load(tmp_path)[1]["step"] == 1


def test_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(checkpoints.CheckpointError, match=r"cannot save.*file"):
        checkpoints.save(tmp_path / "file" / "run", 1, state(1), {})


# Fitting a model, and shipping it


def test_match_names_what_differs():
    expected = state(1) | {f"lost{i}": np.zeros(1) for i in range(5)}
    found = state(1, size=4) | {"extra": np.zeros(1)}
    checkpoints.match(state(1), state(2))
    with pytest.raises(ValueError, match="do not fit") as caught:
        checkpoints.match(found, expected)
    assert str(caught.value) == (
        "the checkpoint's arrays do not fit: 5 missing (lost0; lost1; lost2; ...),"
        " 1 unexpected (extra), 1 of another shape or type"
        " (model/kernel: float32 (4, 2), expected float32 (3, 2))"
    )
    with pytest.raises(ValueError, match=r"int64 \(\), expected int32 \(\)"):
        checkpoints.match({"n": np.int64(1)}, {"n": np.int32(1)})


def test_half_precision_export():
    generator = np.random.default_rng(0)
    arrays = {
        "conv/kernel": generator.standard_normal((3, 3, 8, 4)).astype(np.float32),
        "conv/bias": generator.standard_normal(4).astype(np.float32),
        "norm/moving_variance": np.full(4, 1e6, np.float32),
        "norm/gamma": np.full(4, 1e-9, np.float32),
        "large/kernel": np.full((2, 2), 1e5, np.float32),
        "broken/kernel": np.full((2, 2), np.nan, np.float32),
        "steps": np.array(3),
    }
    exported = checkpoints.export_half(arrays)
    halved = {name for name, array in exported.items() if array.dtype == np.float16}
    assert halved == {"conv/kernel"}
    restored = checkpoints.import_half(exported)
    checkpoints.match(restored, arrays)
    for name in arrays.keys() - halved:
        same_bits(restored[name], arrays[name])
    # Half a unit in the last of 11 bits for normal numbers, and of the smallest for the rest.
    np.testing.assert_allclose(
        restored["conv/kernel"], arrays["conv/kernel"], rtol=2**-11, atol=2**-25
    )
