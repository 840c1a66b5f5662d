"""run.py from start to end: what it writes, how it fails, and whose directory it is."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import run
from csi_tf import config, masks, runs, summary
from csi_tf.config import MODES
from csi_tf.figures import contact_sheet

REPOSITORY = Path(__file__).parent.parent
CONFIG = config.Config(config.RunConfig("data"))


def main(*arguments: object) -> int:
    return run.main(["run.py", *map(str, arguments)])


@pytest.fixture
def in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def one_line(capsys) -> str:
    err = capsys.readouterr().err
    assert err.startswith("run.py: ")
    assert err.count("\n") == 1
    return err


def test_data_mode_writes_a_sheet_and_its_settings(in_tmp_path, capsys):
    assert main("--mode=data", "--run_dir=here", "--limit=5", "--filters=7") == 0
    assert "here/contact_sheet.png" in capsys.readouterr().out
    with Image.open("here/contact_sheet.png") as sheet:
        sheet.verify()
    recorded = config.Config.from_json(Path("here/config.json").read_text())
    assert (recorded.data.limit, recorded.model.filters) == (5, 7)
    assert {path.name for path in Path("here").iterdir()} == {
        *(".lock", "config.json", "contact_sheet.png", "flagfile.txt")
    }


def test_the_flagfile_repeats_the_run(in_tmp_path):
    assert main("--mode=data", "--run_dir=one", "--mask=brush", "--seed=3", "--preset=cpu") == 0
    assert main("--flagfile=one/flagfile.txt", "--run_dir=two") == 0
    assert main("--flagfile=one/flagfile.txt", "--run_dir=three", "--seed=4") == 0
    for name in ("config.json", "flagfile.txt", "contact_sheet.png"):
        first, again, other = (Path(d, name).read_bytes() for d in ("one", "two", "three"))
        assert first == again, name
        assert first != other, name


def test_summary_counts_and_measures(in_tmp_path, capsys):
    """The counts of eq. (3) with five blocks: 1,832,300 and 1,569,400; the true field 13 x 24."""
    assert main("--mode=summary", "--run_dir=here") == 0
    text = Path("here/summary.txt").read_text()
    assert "1,832,300" in text
    assert "1,569,400" in text
    assert "3,401,700" in text
    assert "13 rows above, 24 columns, 11 pixels to the left" in text
    assert "3,401,700" in capsys.readouterr().out


def test_summary_follows_the_settings():
    exact = config.ModelConfig(filters=4, field_mode="exact", latents=False, reverse=False)
    (only,) = summary.pixel_cnns(exact, 32)
    assert only.field == "7 rows above, 15 columns, 7 pixels to the left"
    linear, _ = summary.pixel_cnns(config.ModelConfig(filters=4), 32)
    fewer, _ = summary.pixel_cnns(config.ModelConfig(filters=4, latents=False), 32)
    # V of eq. (3): 32 maps into 2F channels, in both streams of five blocks
    assert linear.parameters - fewer.parameters == 32 * 8 * 2 * 5


def test_default_directories_are_named_and_never_shared(in_tmp_path, monkeypatch):
    class Noon(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2018, 6, 15, 12)

    monkeypatch.setattr(runs, "datetime", Noon)
    with runs.open_directory(CONFIG, ""), runs.open_directory(CONFIG, ""):
        pass
    stem = "20180615_120000-data-procedural_faces-32px-info_vae_mmd-7x15-seed0"
    assert sorted(os.listdir("runs")) == [stem, f"{stem}-2"]


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ("npz:/data/my faces.npz", "my_faces"),
        ("images:../holiday/", "holiday"),
        ("tfds:a/b:1", "b_1"),
    ],
)
def test_directory_names_suit_every_file_system(dataset, expected):
    changed = replace(CONFIG, data=config.DataConfig(dataset))
    name = runs.default_name(changed, datetime(2018, 6, 15))
    assert f"-{expected}-" in name
    assert re.fullmatch(r"[\w.-]+", name)


def test_mistakes_of_the_user_are_one_line(in_tmp_path, capsys):
    assert main("--mode=data", "--filtres=3") == 2
    assert "--filters" in one_line(capsys)
    Path("empty").mkdir()
    assert main("--mode=data", "--dataset=images:empty") == 2  # known only once it is opened
    assert "empty" in one_line(capsys)
    Path("file").touch()
    assert main("--mode=data", "--run_dir=file/below") == 1
    assert "file/below" in one_line(capsys)
    assert main("--mode=data", "--run_dir=file") == 1
    assert "file" in one_line(capsys)


def test_no_traceback_from_the_shell():
    done = subprocess.run(
        [sys.executable, REPOSITORY / "run.py", "--mode=dat"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"run.py: flag --mode=dat: expected one of {', '.join(MODES)}\n"


def test_help_exits_with_0(capsys):
    assert main("--help") == 0
    assert "Optimiser" in capsys.readouterr().out


def failing(error):
    def write(config, directory):
        raise error

    return write


@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyboardInterrupt(), 130), (OSError("no such luck"), 1), (OSError(28, "No space left"), 1)],
    ids=str,
)
def test_failures_of_a_mode(error, code, in_tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(contact_sheet, "write", failing(error))
    assert main("--mode=data", "--run_dir=here") == code
    one_line(capsys)
    assert not Path("here").exists()  # nothing to show for


def test_our_own_mistakes_keep_their_traceback(in_tmp_path, monkeypatch):
    """A ValueError that NumPy raises inside our code is no explanation to a user."""
    monkeypatch.setattr(masks, "sample", lambda *_, **__: np.ones((2, 3, 4, 1), np.float32))
    with pytest.raises(ValueError, match="broadcast"):
        main("--mode=data", "--run_dir=here")


def test_a_failing_run_spares_what_was_there(in_tmp_path, monkeypatch):
    def write(config, directory):
        (directory / "result").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(contact_sheet, "write", write)
    assert main("--mode=data", "--run_dir=new") == 130
    assert Path("new/result").exists()
    Path("old").mkdir()
    monkeypatch.setattr(contact_sheet, "write", failing(KeyboardInterrupt()))
    assert main("--mode=data", "--run_dir=old") == 130
    assert Path("old").exists()


def test_a_directory_in_use_is_refused(in_tmp_path, capsys):
    mine = replace(CONFIG, run=replace(CONFIG.run, run_dir="here"))
    with runs.open_directory(mine, "mine"):
        assert main("--mode=data", "--run_dir=here") == 1
        assert "another process is using the run directory here" in one_line(capsys)
        assert Path("here/flagfile.txt").read_text() == "mine"
    assert main("--mode=data", "--run_dir=here", "--limit=1") == 0


def test_a_killed_process_lets_go(in_tmp_path):
    code = (
        "import os, signal\n"
        "from csi_tf import config, runs\n"
        "with runs.open_directory(config.Config(config.RunConfig('data', 'here')), ''):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    with runs.open_directory(replace(CONFIG, run=config.RunConfig("data", "here")), ""):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's always full device")
def test_a_full_disk_is_one_sentence_and_spares_the_old_file(in_tmp_path, capsys):
    assert main("--mode=data", "--run_dir=here", "--limit=1") == 0
    before = Path("here/contact_sheet.png").read_bytes()
    Path("here/contact_sheet.png.partial").symlink_to("/dev/full")
    assert main("--mode=data", "--run_dir=here", "--limit=2") == 1
    assert "contact_sheet.png: No space left on device" in one_line(capsys)
    assert Path("here/contact_sheet.png").read_bytes() == before


def test_every_mode_exists():
    for place in config.MODES.values():
        module, function = place.split(":")
        assert callable(getattr(__import__(module, fromlist=[function]), function))
    assert json.loads(CONFIG.to_json())["run"]["mode"] in config.MODES


def test_sheet_shows_square_pixels_and_grey_holes():
    """Found by its first pixel, each image is on the sheet exactly, every pixel a square."""
    size, scale = 16, 6
    image = np.arange(size * size * 3, dtype=np.uint32).reshape(1, size, size, 3)
    image = (image * 37 % 181).astype(np.uint8)
    image[0, 0, 0] = 250, 3, 251
    context_mask = np.ones((1, size, size, 1), np.float32)
    context_mask[0, 4:9, 5:12] = 0
    sheet = np.asarray(contact_sheet.draw("title", "subtitle", image, context_mask))
    corners = np.argwhere((sheet == image[0, 0, 0]).all(axis=-1)).reshape(2, scale, scale, 2)[
        :, 0, 0
    ]
    side = size * scale
    shown, holed = (sheet[y : y + side, x : x + side] for y, x in corners)
    enlarged = image[0].repeat(scale, 0).repeat(scale, 1)
    np.testing.assert_array_equal(shown, enlarged)
    hole = (context_mask[0] == 0).repeat(scale, 0).repeat(scale, 1)[..., 0]
    np.testing.assert_array_equal(holed[~hole], enlarged[~hole])
    grey = np.unique(holed[hole], axis=0)
    assert len(grey) == 1
    assert np.ptp(grey.astype(int)) < 10  # no hue that a picture might have


@pytest.mark.parametrize("size", [16, 32, 48, 128, 256])
def test_sheet_has_room_at_every_size(size):
    """Nothing is cut off at the right: the last column of pixels is margin."""
    count = contact_sheet.columns(size)
    assert count >= 3
    images = np.zeros((count, size, size, 3), np.uint8)
    rows = [contact_sheet.FactorRow("name", 0, 1, images[:1].repeat(contact_sheet.steps(size), 0))]
    masks = np.ones((count, size, size, 1), np.float32)
    sheet = np.asarray(contact_sheet.draw("title", "subtitle", images, masks, rows))
    assert (sheet[:, -32:] == 255).all()
    assert (sheet[-16:] == 255).all()
