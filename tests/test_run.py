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

import flags
import run
from csi_tf import checks, config, masks, remarks, runs, summary
from csi_tf.data import image_files
from csi_tf.data.base import held_out
from csi_tf.figures import contact_sheet, layout
from csi_tf.figures.layout import Row
from csi_tf.modes import MODES

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
    names = {path.name for path in Path("here").iterdir()}
    assert names == {"config.json", "contact_sheet.png", "flagfile.txt"}


def test_the_flagfile_repeats_the_run(in_tmp_path):
    assert main("--mode=data", "--run_dir=one", "--mask=brush", "--seed=3", "--preset=cpu") == 0
    assert main("--flagfile=one/flagfile.txt", "--run_dir=two") == 0
    assert main("--flagfile=one/flagfile.txt", "--run_dir=three", "--seed=4") == 0
    for name in ("config.json", "flagfile.txt", "contact_sheet.png"):
        first, again, other = (Path(d, name).read_bytes() for d in ("one", "two", "three"))
        assert first == again, name
        assert first != other, name


def picture(path: str, level: int = 0) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((20, 20, 3), level, np.uint8)).save(path)


def test_the_flagfile_repeats_the_run_from_another_directory(in_tmp_path, monkeypatch):
    for level in (0, 100, 200):
        picture(f"at/pictures/{level}.png", level)
    masks.to_file(masks.named("mouth", 32), "at/hole.png")
    monkeypatch.chdir("at")
    paths = ["--dataset=images:pictures", "--mask=file:hole.png:0.5,nose"]
    assert main("--mode=data", "--run_dir=../one", "--stage1=../old", *paths) == 0
    monkeypatch.chdir(in_tmp_path)
    assert main("--flagfile=one/flagfile.txt", "--run_dir=two") == 0
    for name in ("config.json", "flagfile.txt", "contact_sheet.png"):
        assert Path("one", name).read_bytes() == Path("two", name).read_bytes(), name
    recorded = config.Config.from_json(Path("one/config.json").read_text())
    assert recorded.loop.stage1 == str(in_tmp_path / "old")


@pytest.mark.parametrize(
    "flag",
    ["dataset=images:~/x", "data_dir=gs://bucket/x", "dataset=tfds:x/y", "mask=mouth,file:~/x.png"],
)
def test_paths_that_hold_everywhere_stay_as_they_are(flag, in_tmp_path, monkeypatch):
    monkeypatch.setattr("flags.build._check_inputs", lambda config: None)
    given = flags.parse(["run.py", "--mode=data", f"--{flag}"])
    assert flag.split("=")[1] in (given.data.dataset, given.data.data_dir, given.masks.mask)


def test_flagfiles_of_windows_editors(in_tmp_path):
    """They put a byte order mark in front; absl would take the first line for no flag."""
    Path("mine.cfg").write_text("\ufeff--filters=7\r\n--mode=data\r\n", encoding="utf-8")
    assert flags.parse(["run.py", "--flagfile=mine.cfg"]).model.filters == 7
    Path("mine.cfg").write_text("\ufeff# a comment\n--mode=data\n", encoding="utf-8")
    assert flags.parse(["run.py", "--flagfile=mine.cfg"]) == CONFIG


@pytest.mark.parametrize("line", ["--mode=data --limit=2", "--run_dir=here --noreverse"])
def test_two_flags_on_a_line_are_told(line, in_tmp_path, capsys):
    Path("mine.cfg").write_text(f"{line}\n")
    assert main("--mode=data", "--flagfile=mine.cfg") == 2
    assert f"'{line}' holds more than one flag; in a flagfile each has its own" in one_line(capsys)
    assert os.listdir() == ["mine.cfg"]


def test_paths_that_are_no_text_are_refused(in_tmp_path, capsys):
    picture("pictures/a.png")
    place = os.fsdecode(b"\xff")
    os.rename("pictures", place)
    for flag in ("--dataset=images:", "--run_dir="):
        assert main("--mode=data", f"{flag}{place}") == 2
        assert "is not UTF-8" in one_line(capsys)


def test_names_of_pictures_are_not_taken_for_flags():
    """Nothing is written to a flagfile, and image generators name files like this."""
    for name in ("portrait --seed 42.png", os.fsdecode(b"\xff.png")):
        asked = ["--mode=inpaint", "--model=m", "--mask=eyes", f"--input={name}"]
        settings = flags.parse(["run.py", *asked])
        assert settings.input == name


@pytest.mark.parametrize("split", [None, ["training", "val", "val"]])
def test_a_sheet_of_images_without_a_training_split(split, in_tmp_path, capsys):
    images = np.zeros((1 if split is None else 3, 16, 16, 3), np.uint8)
    np.savez("set.npz", images=images, **({} if split is None else {"split": split}))
    assert main("--mode=data", "--dataset=npz:set.npz", "--run_dir=here") == 0
    assert f"Contact sheet of {len(images)} image" in capsys.readouterr().out


def test_a_sheet_of_a_single_picture(in_tmp_path, capsys):
    picture("pictures/a.png")
    assert main("--mode=data", "--dataset=images:pictures", "--run_dir=here") == 0
    assert "Contact sheet of 1 image: " in capsys.readouterr().out


def test_a_look_at_the_data_finds_what_would_stop_a_training(in_tmp_path, capsys):
    for number in range(6):
        picture(f"pictures/{number}.png")
    table = Path("pictures/attributes.csv")
    rows = [f"{number}.png,{number % 2}\n" for number in range(6)]
    table.write_text("".join(["file,Smiling\n", *rows]))
    assert main("--mode=data", "--dataset=images:pictures", "--run_dir=here") == 0
    held_out = [path.name for path in folders_held_out("pictures")]
    said = capsys.readouterr().out
    assert f"Pictures: {6 - len(held_out)} for train, {len(held_out)} for test" in said
    assert "attributes: Smiling" in said
    table.write_text("".join(["file,Smiling\n", *(r for r in rows if r[:5] != held_out[0])]))
    assert main("--mode=data", "--dataset=images:pictures", "--run_dir=other") == 2
    assert f"or names them otherwise: {held_out[0]}" in one_line(capsys)


def folders_held_out(folder):
    paths = image_files.list_images(folder)
    keys = [path.relative_to(folder).as_posix() for path in paths]
    return [paths[number] for number in held_out(keys, "test", folder)]


def test_keras_backends_that_do_not_run_are_refused_early(in_tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert main("--mode=summary", "--run_dir=here") == 2
    assert "'torch'; set KERAS_BACKEND to one of tensorflow, jax" in one_line(capsys)
    assert not Path("here").exists()
    assert main("--mode=data", "--run_dir=here") == 0  # which needs no networks
    capsys.readouterr()
    monkeypatch.delenv("KERAS_BACKEND")
    monkeypatch.setenv("KERAS_HOME", str(in_tmp_path))
    Path("keras.json").write_text('{"backend": "openvino"}')
    assert main("--mode=summary") == 2
    assert "'openvino'" in one_line(capsys)
    Path("keras.json").write_text('{"backend": "jax"}')
    monkeypatch.setattr(checks.util, "find_spec", lambda name: None)
    assert main("--mode=summary") == 2
    assert "jax is not installed; install it with pip.\n" in one_line(capsys)
    Path("keras.json").unlink()
    monkeypatch.setattr(checks.util, "find_spec", lambda name: name == "jax" or None)
    assert main("--mode=summary") == 2
    assert "tensorflow is not installed; install it with pip, or set KERAS_BACKEND=jax" in (
        one_line(capsys)
    )


def test_the_backend_is_checked_before_anything_heavy_is_imported():
    code = (
        "import sys, run; run.main(['', '--mode=summary']);"
        "sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env=os.environ | {"KERAS_BACKEND": "torch"},
        stderr=subprocess.PIPE,
        check=False,
    )
    assert done.returncode == 0


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
    monkeypatch.setattr(masks, "sample", lambda _, n, *__, **___: np.zeros((n, 3, 4, 1)))
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
        said = one_line(capsys)
        assert "another process is using the directory here" in said
        assert said.endswith("give another --run_dir\n")
        assert Path("here/flagfile.txt").read_text() == "mine"
    assert main("--mode=data", "--run_dir=here", "--limit=1") == 0


def test_sigterm_leaves_nothing_behind(in_tmp_path, monkeypatch, capsys):
    def write(config, directory):
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the signal was ignored")

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(contact_sheet, "write", write)
    assert main("--mode=data", "--run_dir=here") == 128 + signal.SIGTERM
    assert one_line(capsys) == "run.py: terminated\n"
    assert not Path("here").exists()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_failed_write_leaves_no_partial_file(in_tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    assert main("--mode=data", "--run_dir=here", "--limit=1") == 130
    assert not Path("here").exists()


def test_a_run_of_another_version_is_named(in_tmp_path, capsys):
    Path("here/checkpoints").mkdir(parents=True)
    Path("here/config.json").write_text('{"run": {"mode": "data"}, "model": {"tentacles": 8}}')
    before = Path("here/config.json").read_bytes()
    assert main("--mode=data", "--run_dir=here") == 2
    assert "here/config.json is not of this version of the program" in (said := one_line(capsys))
    assert "tentacles" in said
    assert Path("here/config.json").read_bytes() == before


@pytest.mark.parametrize("name", ["config.json", "flagfile.txt", "metrics.jsonl"])
def test_files_of_others_are_left_alone(name, in_tmp_path, capsys):
    Path("mine").mkdir()
    Path("mine", name).write_text('{"mine": true}')
    assert main("--mode=data", "--run_dir=mine") == 2
    assert "choose another --run_dir" in one_line(capsys)
    assert [path.name for path in Path("mine").iterdir()] == [name]
    assert Path("mine", name).read_text() == '{"mine": true}'


def test_a_model_keeps_its_settings_when_its_checkpoints_are_gone(in_tmp_path, capsys):
    assert main("--mode=data", "--run_dir=mine", "--limit=1") == 0
    recorded = Path("mine/config.json").read_text()
    trained = recorded.replace('"mode": "data"', '"mode": "stage1"')
    assert trained != recorded
    Path("mine/config.json").write_text(trained)
    Path("mine/model.safetensors").write_text("weights")
    assert main("--mode=data", "--run_dir=mine", "--limit=1") == 2
    assert "mine holds a model of --mode=stage1; choose another" in capsys.readouterr().err
    assert Path("mine/config.json").read_text() == trained


def test_a_broken_tf_config_is_one_line_and_makes_no_directory(in_tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TF_CONFIG", "{")
    assert main("--mode=data", "--run_dir=here") == 2
    assert "TF_CONFIG" in one_line(capsys)
    assert not Path("here").exists()


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
    for place in MODES.values():
        module, function = place.split(":")
        assert callable(getattr(__import__(module, fromlist=[function]), function))
    assert json.loads(CONFIG.to_json())["run"]["mode"] in MODES


def test_sheet_shows_square_pixels_and_hatched_holes():
    """Found by its first pixel, each image is on the sheet exactly, every pixel a square."""
    size, scale = 16, 6
    image = np.arange(size * size * 3, dtype=np.uint32).reshape(1, size, size, 3)
    image = (image * 37 % 181).astype(np.uint8)
    image[0, 0, 0] = 250, 3, 251
    context_mask = np.ones((1, size, size, 1), np.float32)
    context_mask[0, 4:9, 5:12] = 0
    sheet = layout.pixels(contact_sheet.draw(image, context_mask, [], "caption"))
    corners = np.argwhere((sheet == image[0, 0, 0]).all(axis=-1)).reshape(2, scale, scale, 2)[
        :, 0, 0
    ]
    side = size * scale
    shown, holed = (sheet[y : y + side, x : x + side] for y, x in corners)
    enlarged = image[0].repeat(scale, 0).repeat(scale, 1)
    np.testing.assert_array_equal(shown, enlarged)
    hole = (context_mask[0] == 0).repeat(scale, 0).repeat(scale, 1)[..., 0]
    np.testing.assert_array_equal(holed[~hole], enlarged[~hole])
    stripes = np.unique(holed[hole], axis=0).astype(int)
    assert len(stripes) == 2
    assert np.ptp(stripes, axis=1).max() < 10  # no hue that a picture might have
    assert np.ptp(stripes, axis=0).min() > 64  # and a pattern that shows


@pytest.mark.parametrize("size", [16, 32, 48, 128, 256])
def test_sheet_has_room_at_every_size(size):
    """Nothing is cut off at the edges, where the margins are, and pictures reach up to them."""
    count = contact_sheet.columns(size)
    assert count >= 3
    images = np.zeros((count, size, size, 3), np.uint8)
    rows = [Row(layout.tiles(images[: min(9, count)]), "a factor", "0 to 1", heading="Factors")]
    masks = np.ones((count, size, size, 1), np.float32)
    for caption in ("short", "a path of many letters/" * 40):
        sheet = layout.pixels(contact_sheet.draw(images, masks, rows, caption))
        assert (sheet[:, -layout.MARGIN :] == 255).all()
        assert (sheet[-8:] == 255).all()
        assert (sheet[:, : layout.MARGIN] == 255).all()
    black = np.flatnonzero((sheet == 0).all(axis=-1).any(axis=0))
    assert black.max() == sheet.shape[1] - layout.MARGIN - 1


@pytest.mark.parametrize(("asked", "used"), [(None, "1"), ("0", "0")])
def test_tensorflow_takes_onednn_unless_told_otherwise(asked, used, monkeypatch):
    """Without AVX-512 it would not, and train more slowly."""
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", str(asked))  # so that it is put back
    if asked is None:
        monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    assert run.main(["run.py", "--help"]) == 0
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == used


@pytest.mark.parametrize(
    ("level", "left"),
    [
        ("3", "a word of ours\n"),
        ("2", "E0000 00:00:17 cuda: an error\na word of ours\n"),
        ("0", None),
        ("as loud as can be", None),
    ],
)
def test_remarks_of_tensorflow_keep_to_its_level_on_import(level, left, monkeypatch, capfd):
    said = (
        "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
        "I0000 00:00:17 port.cc: a remark\n"
        "E0000 00:00:17 cuda: an error\n"
        "a word of ours\n"
    )
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level)

    def fail() -> None:
        with remarks.kept_out():
            os.write(2, said.encode())
            raise ImportError

    with pytest.raises(ImportError):
        fail()
    assert capfd.readouterr().err == (said if left is None else left)
    os.write(2, said.encode())
    assert capfd.readouterr().err == said


def test_nothing_but_our_own_words_on_stderr(in_tmp_path):
    done = subprocess.run(
        [sys.executable, REPOSITORY / "run.py", "--mode=summary", "--preset=tiny"],
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("TF_")},
    )
    assert (done.returncode, done.stderr) == (0, "")
