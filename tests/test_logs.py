"""Logs: curves without duplicates, valid JSON whatever the numbers, clean lines off a terminal."""

import errno
import io
import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto import event_pb2
from tensorboard.util import tensor_util

from csi_tf import logs


def curve(directory, name="loss"):
    return [(line["step"], line[name]) for line in logs.read_metrics(directory) if name in line]


def events(directory):
    """All events, in the order in which TensorBoard reads the files."""
    return [
        event_pb2.Event.FromString(raw)
        for path in sorted((directory / "tensorboard").iterdir())
        for raw in RawEventFileLoader(str(path)).Load()
    ]


def summaries(directory):
    return {
        (event.step, value.tag): (
            value.metadata.plugin_data.plugin_name,
            tensor_util.make_ndarray(value.tensor),
        )
        for event in events(directory)
        for value in event.summary.value
    }


# metrics.jsonl


def test_each_call_is_a_line_that_is_there_at_once(tmp_path):
    with logs.Recorder(tmp_path, tensorboard=False) as recorder:
        recorder.scalars(1, {"loss": np.float32(0.5), "count": 3})
        assert curve(tmp_path) == [(1, 0.5)]
        recorder.scalars(1, {"valid/loss": np.array(0.25)})
        assert curve(tmp_path, "valid/loss") == [(1, 0.25)]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2
    assert not (tmp_path / "tensorboard").exists()


@given(st.dictionaries(st.text(max_size=6), st.floats() | st.integers(-(2**60), 2**60)))
def test_lines_are_valid_json_and_hide_nothing(tmp_path_factory, values):
    values = {name: value for name, value in values.items() if name not in ("step", "time")}
    directory = tmp_path_factory.mktemp("run")
    with logs.Recorder(directory, tensorboard=False) as recorder:
        recorder.scalars(4, values)

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    (text,) = (directory / "metrics.jsonl").read_text().splitlines()
    line = json.loads(text, parse_constant=refuse)
    for name, value in values.items():
        if np.isfinite(value):
            assert line[name] == float(value)
        else:
            assert line[name] is None
            assert line["nonfinite"][name] == str(value)
    assert ("nonfinite" in line) == (not all(np.isfinite(v) for v in values.values()))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"loss": np.zeros(3)}, r"'loss' has shape \(3,\).*one number"),
        ({"step": 3}, "cannot be named 'step'"),
        ({"loss": "low"}, "could not convert"),
    ],
)
def test_what_is_no_scalar_is_refused(tmp_path, values, message):
    with (
        logs.Recorder(tmp_path, tensorboard=False) as recorder,
        pytest.raises(ValueError, match=message),
    ):
        recorder.scalars(1, values)
    assert logs.read_metrics(tmp_path) == []


@pytest.mark.parametrize(
    ("start", "kept"), [(None, [1, 2, 3]), (3, [1, 2]), (0, []), (9, [1, 2, 3])]
)
def test_resumed_curve_has_no_step_twice(tmp_path, start, kept):
    with logs.Recorder(tmp_path, tensorboard=False) as recorder:
        for step in (1, 2, 3):
            recorder.scalars(step, {"loss": 0})
    with logs.Recorder(tmp_path, start, tensorboard=False) as recorder:
        recorder.scalars(10, {"loss": 1})
    assert curve(tmp_path) == [*((step, 0) for step in kept), (10, 1)]


def test_half_a_line_at_the_end_is_dropped_wherever_it_was_cut(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with logs.Recorder(tmp_path, tensorboard=False) as recorder:
        for step in (1, 2):
            recorder.scalars(step, {"loss": step})
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for length in range(first, len(whole)):
        path.write_bytes(whole[:length])
        assert curve(tmp_path) == [(1, 1)]
        with logs.Recorder(tmp_path, 2, tensorboard=False) as recorder:
            recorder.scalars(2, {"loss": 7})
        assert curve(tmp_path) == [(1, 1), (2, 7)]


def test_zeros_left_by_a_power_failure_do_not_hide_what_follows(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1, "loss": 1}\n\0\0\0\0\n{"step": 2, "loss": 2}\n')
    assert curve(tmp_path) == [(1, 1), (2, 2)]


def test_curve_survives_a_crash_while_it_is_trimmed(tmp_path, monkeypatch):
    with logs.Recorder(tmp_path, tensorboard=False) as recorder:
        for step in (1, 2, 3):
            recorder.scalars(step, {"loss": step})

    class Crash(BaseException):
        pass

    def crash(*_):
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", crash)
        with pytest.raises(Crash):
            logs.Recorder(tmp_path, 2, tensorboard=False)
    assert curve(tmp_path) == [(1, 1), (2, 2), (3, 3)]


def test_full_disk_is_one_sentence_with_the_path(tmp_path):
    with logs.Recorder(tmp_path, tensorboard=False) as recorder:

        class Full(io.StringIO):
            def flush(self):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        recorder._lines.close()
        recorder._lines = Full()
        with pytest.raises(logs.LogError, match=f"{re.escape(str(tmp_path))}: No space left"):
            recorder.scalars(1, {"loss": 1})
        recorder._lines = io.StringIO()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_disk_that_stays_full_is_the_same_sentence_when_the_log_is_closed(tmp_path):
    recorder = logs.Recorder(tmp_path)
    recorder._lines.close()
    recorder._lines = Path("/dev/full").open("a")  # noqa: SIM115
    said = f"{re.escape(str(tmp_path))}: No space left.*make room"
    with pytest.raises(logs.LogError, match=said):
        recorder.scalars(1, {"loss": 1})
    with pytest.raises(logs.LogError, match=said):
        recorder.close()
    assert recorder._events._writer._writer.closed


def test_full_disk_when_a_curve_is_cut_back_spares_it(tmp_path, monkeypatch):
    with logs.Recorder(tmp_path, tensorboard=False) as recorder:
        for step in (1, 2):
            recorder.scalars(step, {"loss": step})

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match=r"metrics.jsonl: No space left on device; make room"):
            logs.Recorder(tmp_path, 2, tensorboard=False)
    assert curve(tmp_path) == [(1, 1), (2, 2)]
    assert not list(tmp_path.glob("*.partial"))


# TensorBoard


def test_tensorboard_gets_everything(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), np.uint8)
    with logs.Recorder(tmp_path) as recorder:
        recorder.scalars(3, {"loss": 0.5, "broken": np.nan})
        recorder.images(3, "samples", images)
        recorder.images(3, "mask", images[0, :, :, :1])
        recorder.histogram(3, "z", np.array([[0.0, 1.0], [2.0, np.inf]]))
        recorder.text("config", "**bold**")
    found = summaries(tmp_path)
    assert found[3, "loss"] == ("scalars", 0.5)
    assert np.isnan(found[3, "broken"][1])
    assert found[0, "config"] == ("text", b"**bold**")
    plugin, (width, height, *pngs) = found[3, "samples"]
    assert (plugin, width, height) == ("images", b"4", b"5")
    for image, png in zip(images, pngs, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), image)
    mask = np.asarray(Image.open(io.BytesIO(found[3, "mask"][1][2])))
    np.testing.assert_array_equal(mask, images[0, :, :, 0])
    plugin, buckets = found[3, "z"]
    assert (plugin, buckets[:, 2].sum()) == ("histograms", 3)
    assert (buckets[0, 0], buckets[-1, 1]) == (0, 2)
    assert curve(tmp_path, "z/nonfinite_values") == [(3, 1)]


def test_tensorboard_is_told_where_a_resumed_run_starts(tmp_path):
    """Its readers drop what earlier files hold from that step on, as the START event asks."""
    for start, steps in ((0, (1, 2, 3)), (2, (2, 3, 4))):
        with logs.Recorder(tmp_path, start) as recorder:
            for step in steps:
                recorder.scalars(step, {"loss": 10 * start + step})
    assert [event.file_version for event in events(tmp_path) if event.file_version] == [
        "brain.Event:2"
    ] * 2
    shown = {}
    for event in events(tmp_path):
        if event.session_log.status == event_pb2.SessionLog.START:
            shown = {step: value for step, value in shown.items() if step < event.step}
        for value in event.summary.value:
            assert event.step not in shown
            shown[event.step] = float(tensor_util.make_ndarray(value.tensor))
    assert shown == {1: 1, 2: 22, 3: 23, 4: 24}


@pytest.mark.parametrize(
    "images",
    [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 2), "u1")],
)
def test_images_must_be_uint8(tmp_path, images):
    with (
        logs.Recorder(tmp_path, tensorboard=False) as recorder,
        pytest.raises(ValueError, match="expected uint8"),
    ):
        recorder.images(1, "x", images)


def test_nothing_here_needs_tensorflow(tmp_path):
    program = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "import numpy as np\n"
        "from csi_tf import checkpoints, logs\n"
        "with logs.Recorder(sys.argv[1]) as recorder:\n"
        "    recorder.scalars(1, {'loss': 1}); recorder.histogram(1, 'h', [1, 2])\n"
        "    recorder.text('t', 'x'); recorder.images(1, 'i', np.zeros((2, 2, 3), np.uint8))\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program, tmp_path], check=True)
    assert len(summaries(tmp_path)) == 4


# Progress


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only when told to."""
    now = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(logs, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(params=[{}, {"FORCE_COLOR": "1"}, {"TTY_COMPATIBLE": "1"}])
def environment(request, monkeypatch):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in request.param.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("environment")
def test_plain_lines_where_there_is_no_terminal(clock):
    file = io.StringIO()
    with logs.progress(
        20_000, 1_000, "Training [7x15]", images_per_step=64, every=30, file=file
    ) as bar:
        for _ in range(100):
            clock.seconds += 0.5
            bar.advance(scalars={"bits/dim": 3.21987})
    lines = file.getvalue().splitlines()
    assert "\x1b" not in file.getvalue()
    assert "\r" not in file.getvalue()
    # 50 seconds: an early line, one 30 seconds later, one at the end
    assert [line.split(" steps")[0] for line in lines] == [
        f"Training [7x15]: {count}/20,000" for count in ("1,010", "1,070", "1,100")
    ]
    assert lines[0] == (
        "Training [7x15]: 1,010/20,000 steps (5%), 2 steps/s, 128 images/s, 2 h 38 min left,"
        " bits/dim 3.22"
    )


def test_rate_ignores_what_came_before_and_the_first_step(clock):
    file = io.StringIO()
    with logs.progress(1000, 900, file=file) as bar:
        assert bar.rate is None
        clock.seconds += 60  # compiles
        bar.advance()
        assert bar.rate is None
        for _ in range(99):
            clock.seconds += 0.25
            bar.advance()
        assert bar.rate == pytest.approx(4)
    assert file.getvalue().splitlines()[-1] == (
        "Working: 1,000/1,000 steps (100%), 4 steps/s, in 85 s"
    )


def test_slow_steps_have_a_rate_too(clock):
    with logs.progress(100, file=io.StringIO()) as bar:
        for _ in range(5):
            clock.seconds += 400
            bar.advance()
        assert bar.rate == pytest.approx(1 / 400)
        assert "10 h 33 min left" in bar.status


def test_interrupted_work_leaves_its_last_count(clock):
    file = io.StringIO()

    def interrupted():
        with logs.progress(10, file=file) as bar:
            bar.advance(3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert file.getvalue() == "Working: 3/10 steps (30%)\n"


def test_live_bar_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    file = Terminal()
    with logs.progress(20_000, description="Training", images_per_step=64, file=file) as bar:
        for _ in range(3):
            bar.advance(scalars={"bits/dim": 3.2})
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", file.getvalue())
    assert text != file.getvalue()
    assert "3/20,000" in text
    # At 80 columns nothing is cut off.
    assert "…" not in text
    assert re.search(r"steps/s, .* images/s, .* left, bits/dim 3.2\s", text)


def test_dumb_terminal_gets_plain_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    file = Terminal()
    with logs.progress(2, file=file) as bar:
        bar.advance(2)
    assert file.getvalue().startswith("Working: 2/2 steps (100%)")
    assert "\x1b" not in file.getvalue()


def test_empty_work_is_done():
    file = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with logs.progress(0, file=file):
            pass
    assert file.getvalue().startswith("Working: 0/0 steps")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (99.4, "99 s"),
        (99.6, "2 min"),
        (3569, "59 min"),
        (3571, "1 h 0 min"),  # not 60 min
        (12_000, "3 h 20 min"),
        (172_799, "2 days 0 h"),
        (1e6, "11 days 14 h"),
    ],
)
def test_durations(seconds, text):
    assert logs.duration(seconds) == text
