"""What commands write and what they leave alone: files of before, results, directories in use."""

import fcntl
import json
import shutil
from pathlib import Path

import pytest
from commanding import (
    SIZE,
    complaint,
    main,
    mask_file,
    names,
    picture,
    pixels,
    place,  # noqa: F401
    results,
    trained,  # noqa: F401
)

from csi_tf import files, runs
from csi_tf.commands import Command
from csi_tf.commands.sources import Source


def test_nothing_is_written_over_unasked(capsys):
    call = ("--input=face.png", "--mask=eyes", "--num_samples=1", "--output=out")
    assert main(*call) == 0
    before = Path("out/face-000.png").read_bytes()
    capsys.readouterr()
    assert main(*call, "--seed=1") == 2
    said = complaint(capsys)
    assert "out/face-000.png is there already, made with seed=0 rather than 1" in said
    assert Path("out/face-000.png").read_bytes() == before
    assert main(*call, "--seed=1", "--overwrite") == 0
    assert Path("out/face-000.png").read_bytes() != before
    assert len(results("out")) == 1
    shutil.copy("face.png", "out/face-000.png")
    assert main(*call, "--seed=1") == 2
    assert "tells nothing of how it was made" in complaint(capsys)
    # Not even when asked: a picture is never replaced by its own completion.
    shutil.copy("face.png", "face-000.png")
    assert main("--input=face.png,face-000.png", *call[1:3], "--output=.", "--overwrite") == 1
    assert Path("face-000.png").read_bytes() == Path("face.png").read_bytes()


def test_what_changes_while_it_is_filled_fails_alone(monkeypatch, capsys):
    """With --paste_back pictures are read again, to be pasted into."""
    for number, name in enumerate(("a", "b", "c", "d")):
        picture(f"album/{name}.png", 24, 24, seed=number)
    read, reads = Source.read, []

    def changing(self):
        reads.append(self.where)
        if len(reads) == 5:  # all have been filled
            picture("album/b.png", 24, 24, seed=9)
            picture("album/c.png", 8, 8)
            Path("album/d.png").unlink()
        return read(self)

    monkeypatch.setattr(Source, "read", changing)
    call = ("--input=album", "--mask=eyes", "--paste_back", "--num_samples=2", "--output=out")
    assert main(*call) == 1
    said = capsys.readouterr().err
    for name in ("b", "c"):
        assert f"{name}.png, or its mask, has been changed while its hole was being filled" in said
    assert "3 of 4 pictures failed" in said
    assert {*names("out")} == {"a-000.png", "a-001.png", "a-grid.png", "a-uncertainty.png",
                               "results.jsonl"}  # fmt: skip
    told = [(Path(line["input"]).stem, "error" in line) for line in results("out")]
    assert sorted(told) == [("a", False), ("a", False), ("b", True), ("c", True), ("d", True)]


def test_a_mask_that_changes_meanwhile_fails_its_picture(monkeypatch, capsys):
    for name in ("a", "b"):
        picture(f"album/{name}.png", 24, 24)
        mask_file(f"holes/{name}.png", 24, 24, (2, 9, 3, 9))
    read, reads = Source.read, []

    def changing(self):
        reads.append(self.where)
        if len(reads) == 3:
            mask_file("holes/b.png", 24, 24, (2, 9, 3, 12))
        return read(self)

    monkeypatch.setattr(Source, "read", changing)
    call = ("--input=album", "--mask=holes", "--paste_back", "--num_samples=1", "--output=out")
    assert main(*call) == 1
    assert "b.png, or its mask, has been changed" in capsys.readouterr().err
    assert {name for name in names("out") if name.startswith("b")} == set()


def test_of_a_folder_of_results_a_mask_is_not_the_only_picture(capsys):
    assert main("--input=face.png", "--mask=eyes", "--num_samples=2", "--output=out") == 0
    mask_file("out/mask.png", 24, 24, (2, 9, 3, 9))
    call = ("--input=out", "--mask=out/mask.png", "--num_samples=1", "--output=again")
    assert main(*call) == 0
    assert "face-001-000.png" in names("again")


def test_results_tell_of_no_picture_whose_files_another_s_have_replaced():
    picture("other/face.png", 24, 24, seed=1)
    call = ("--mask=eyes", "--output=out", "--overwrite")
    assert main("--input=face.png", *call, "--num_samples=2") == 0
    assert main("--input=other/face.png", *call, "--num_samples=1") == 0
    told = [(Path(line["input"]).parent.name, line["file"]) for line in results("out")]
    assert [each for each in told if each[1] == "face-000.png"] == [("other", "face-000.png")]
    assert len({file for _, file in told}) == len(told)


def test_what_is_replaced_leaves_no_file_of_before():
    picture("other.png", 24, 24, seed=1)
    call = ("--input=face.png,other.png", "--mask=eyes", "--output=out", "--overwrite")
    assert main(*call, "--num_samples=3") == 0
    shutil.copy("face.png", "out/face-001.png")  # by now another picture, of which nothing is known
    assert main("--input=face.png", *call[1:], "--seed=1", "--num_samples=1") == 0
    kept = ["000.png", "001.png", "002.png", "grid.png", "uncertainty.png"]
    of_face = ["face-000.png", "face-001.png", "face-grid.png"]
    assert names("out") == [*of_face, *(f"other-{each}" for each in kept), "results.jsonl"]
    assert main("--input=face.png", *call[1:], "--seed=1", "--num_samples=2") == 0
    assert pixels("out/face-001.png").shape == (SIZE, SIZE, 3)
    assert [line["file"] for line in results("out")[-2:]] == ["face-000.png", "face-001.png"]
    for count in (2, 1):
        sample = (f"--num_samples={count}", "--output=sampled", "--overwrite")
        assert main(*sample, mode="sample") == 0
    assert names("sampled") == ["results.jsonl", "sample-000.png", "sample-grid.png"]


def test_results_of_others_are_not_touched(capsys):
    for foreign in ("[1]\n", "notes", '{"input": 3}\nnotes\n'):
        Path("out").mkdir(exist_ok=True)
        Path("out/results.jsonl").write_text(foreign)
        assert main("--input=face.png", "--mask=eyes", "--output=out") == 2
        assert "none of this program's" in complaint(capsys)
        assert Path("out/results.jsonl").read_text() == foreign
    Path("out/results.jsonl").write_text('{"input": "a"}\n{"input": "b", "fi')  # killed meanwhile
    assert main("--input=face.png", "--mask=none", "--num_samples=1", "--output=out") == 0
    assert [line["input"][-8:] for line in results("out")] == ["a", "face.png"]


def test_what_is_refused_leaves_the_results_of_before(capsys):
    for name in ("a", "b"):
        picture(f"photos/{name}.png", 20, 20)
    call = ("--input=photos", "--mask=eyes", "--num_samples=1", "--output=out")
    assert main(*call) == 0
    before = Path("out/results.jsonl").read_bytes()
    assert main(*call, "--seed=1") == 1
    assert "there already, made with seed=0 rather than 1" in capsys.readouterr().err
    whole = Path("photos/a.png").read_bytes()
    Path("photos/a.png").write_bytes(whole[:100])
    assert main(*call) == 1
    assert Path("out/results.jsonl").read_bytes() == before
    Path("photos/a.png").write_bytes(whole)
    assert main(*call, "--seed=1", "--overwrite") == 0
    assert len(results("out")) == 2
    assert results("out")[0]["key"] != json.loads(before.splitlines()[0])["key"]


def test_results_are_written_anew_once_and_not_with_every_picture(monkeypatch):
    for i in range(4):
        picture(f"photos/{i}.png", 16, 16, seed=i)
    call = ("--input=photos", "--mask=eyes", "--num_samples=2", "--output=out")
    assert main(*call) == 0
    written, write = [], files.write
    monkeypatch.setattr(files, "write", lambda path, c: (written.append(path.name), write(path, c)))
    assert main(*call, "--seed=1", "--overwrite") == 0
    assert written.count("results.jsonl") == 1
    assert len(results("out")) == 8
    # Killed before that: what was told of each last counts.
    once = Path("out/results.jsonl").read_text()
    Path("out/results.jsonl").write_text(once.replace('"key": ', '"key": 1') + once)
    assert main(*call, "--seed=1") == 0
    assert Path("out/results.jsonl").read_text() == once


def test_an_output_that_cannot_be_is_a_failure(capsys):
    assert main("--input=face.png", "--mask=eyes", "--output=face.png/below") == 1
    assert "cannot make the directory face.png/below, so give another --output" in complaint(capsys)
    Path("photos").mkdir()
    picture("photos/a.png", 16, 16)
    assert main("--input=photos", "--mask=eyes", "--output=photos") == 2
    assert "the input and the output" in complaint(capsys)


def test_an_output_in_use_is_refused(capsys):
    call = ("--input=face.png", "--mask=eyes", "--num_samples=1", "--output=out")
    Path("out").mkdir()
    with runs.locked(Path("out")):
        assert main(*call) == 1
        assert "another process is using the directory out" in complaint(capsys)
    assert main(*call) == 0
    assert ".lock" not in names("out")


def test_a_lock_that_its_owner_has_removed_holds_nothing(monkeypatch):
    """Opened before that and taken after it, while a third process has made another."""
    flock = fcntl.flock

    def late(file, how):
        Path(".lock").unlink()
        Path(".lock").touch()
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(files.FileError, match="another process"), runs.locked(Path()):
        pass


def test_commands_of_one_second_have_a_directory_each():
    command = Command("sample", model="trained")
    made = {command.default_output() for _ in range(3)}
    assert len(made) == 3
    assert all(path.is_dir() for path in made)
    assert main("--values=1", mode="sample") == 2
    assert main("--latents=9=4", mode="sample") == 2
    assert {*Path("inpainted").iterdir()} == made, "one that nothing came into goes again"


@pytest.mark.parametrize("letters", [240, 251])  # the file's name, and that while it is written
def test_a_long_name_does_not_keep_the_others(letters, capsys):
    long = f"{'m' * letters}.png"
    for name in ("a.png", long, "z.png"):
        picture(f"photos/{name}", 16, 16)
    call = ("--input=photos", "--latents=1", "--values=0,1", "--output=out")
    assert main(*call, mode="traverse") == 1
    err = capsys.readouterr().err
    assert "so rename the picture: File name too long" in err
    assert err.splitlines()[-1] == "run.py: 1 of 3 pictures failed, as said above"
    told = {Path(line["input"]).name: "error" in line for line in results("out")}
    assert told == {"a.png": False, long: True, "z.png": False}


def test_results_are_no_inputs():
    picture("a.png", 16, 16)
    call = ("--input=.", "--mask=none", "--num_samples=1")
    for _ in range(2):
        assert main(*call, "--output=out") == 0
        assert len(results("out")) == 2
    Path("out").rename("inpainted")
    assert main(*call) == 0
    (directory,) = (path for path in Path("inpainted").iterdir() if path.is_dir())
    assert {Path(line["input"]).name for line in results(directory)} == {"a.png", "face.png"}
