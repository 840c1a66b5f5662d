"""Inpainting from the command line: what comes out, what it tells of itself, how it goes wrong."""

import hashlib
import json
import shutil
import signal
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from commanding import (
    SIZE,
    complaint,
    export,
    main,
    mask_file,
    names,
    picture,
    pixels,
    place,  # noqa: F401
    repeat,
    results,
    shown,
    texts,
    trained,  # noqa: F401
)
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import csi_tf
import run
from csi_tf import files, masks
from csi_tf.commands import completions, drawn, output, traversal
from csi_tf.latents import Latent


def test_the_files_are_what_the_call_gives(tmp_path):
    assert main("--input=face.png", "--mask=eyes", "--num_samples=3", "--output=out") == 0
    numbered = [f"face-00{i}.png" for i in range(3)]
    assert names("out") == [*numbered, "face-grid.png", "face-uncertainty.png", "results.jsonl"]
    model = csi_tf.load("trained")
    made = csi_tf.inpaint(model, shown(), "eyes", 3, batch=4)
    for i, line in enumerate(results("out")):
        np.testing.assert_array_equal(pixels(f"out/face-00{i}.png"), made.images[0, i])
        assert (line["input"], line["file"]) == (str(tmp_path / "face.png"), numbered[i])
        assert (line["sample"], line["key"]) == (i, made.seeds[0, i])
        assert line["log_likelihood"] == made.log_likelihood[0, i]
        np.testing.assert_array_equal(np.float32(line["latents"]), made.latents[0, i])
    for name in ("grid", "uncertainty"):
        assert pixels(f"out/face-{name}.png").std() > 0


def test_completions_that_look_the_same_are_explained_once(capsys, monkeypatch):
    given = ("--input=face.png,face.png", "--mask=eyes", "--num_samples=2", "--output=out")
    assert main(*given) == 0
    assert "completions differ by" not in capsys.readouterr().err
    monkeypatch.setattr(completions, "ALIKE", 256)
    for z, first in (("mean", "("), ("posterior", "(--z=whole varies what the hole hides")):
        assert main(*given, f"--z={z}", "--overwrite") == 0
        (said,) = [line for line in capsys.readouterr().err.splitlines() if "differ by" in line]
        assert f"leaves little open {first}" in said
        assert said.endswith("--truncation=none lets colours vary)")


def test_every_file_says_how_it_was_made(tmp_path):
    assert main("--input=face.png", "--mask=mouth", "--latents=2=1.5", "--output=out") == 0
    for path in Path("out").glob("*.png"):
        said = texts(path)
        assert said["model"] == str(tmp_path / "trained" / "model.safetensors")
        assert (said["seed"], said["mask"], said["latents"]) == ("0", "mouth", "2=1.5")
        assert said["Software"] == f"csi-tf {csi_tf.__version__}"
        record = json.loads(said["csi-tf"])
        sums = {
            name: hashlib.sha256((tmp_path / file).read_bytes()).hexdigest()
            for name, file in (("model", "trained/model.safetensors"), ("input", "face.png"))
        }
        assert sums.items() <= record["settings"]["sha256"].items()
    assert all(line["latents"][2] == 1.5 for line in results("out"))


@pytest.mark.parametrize(
    ("mode", "arguments", "again"),
    [
        ("inpaint", ["--mask=mouth", "--num_samples=6"], ["face-005", "face-uncertainty"]),
        (
            "inpaint",
            [
                *("--mask=brush", "--latents=1=2", "--z=0.5", "--truncation=none", "--seed=3"),
                *("--num_samples=3", "--order=likelihood", "--paste_back", "--crop=2,1,20,18"),
            ],
            ["face-001", "face-grid"],
        ),
        ("inpaint", ["--mask=file:h.png:0.5,eyes", "--num_samples=1"], ["face-000"]),
        ("traverse", ["--latents=2,0", "--values=-2,2"], ["face-latent_0-1", "face-grid"]),
        ("traverse", ["--mask=eyes", "--values=-1:1:2"], ["face-latent_3-0"]),
        ("reconstruct", ["--num_samples=2", "--z=mean", "--latents=1=2"], ["face-001"]),
        ("sample", ["--num_samples=3", "--latents=0=1"], ["sample-002", "sample-grid"]),
    ],
)
def test_a_file_can_be_made_again_from_itself(mode, arguments, again, tmp_path, monkeypatch):
    """To the byte, and from another directory: every path in it holds everywhere."""
    mask_file("h.png", 24, 24, (5, 12, 5, 12))
    given = [] if mode == "sample" else ["--input=face.png"]
    assert main(*given, *arguments, "--output=out", mode=mode) == 0
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    for name in again:
        before = (tmp_path / f"out/{name}.png").read_bytes()
        assert repeat(tmp_path / f"out/{name}.png", "--output=again", mode=mode) == 0
        assert Path(f"again/{name}.png").read_bytes() == before, name


def test_what_has_changed_cannot_be_repeated(capsys):
    mask_file("hole.png", 24, 24, (5, 12, 5, 12))
    assert main("--input=face.png", "--mask=hole.png", "--num_samples=1", "--output=out") == 0
    file = Path("out/face-000.png")
    hole, face = Path("hole.png").read_bytes(), Path("face.png").read_bytes()
    mask_file("hole.png", 24, 24, (5, 12, 5, 13))
    assert repeat(file) == 1
    assert "the mask" in (said := complaint(capsys))
    assert "hole.png" in said
    Path("hole.png").write_bytes(hole)
    picture("face.png", 24, 24, seed=1)
    assert repeat(file) == 1
    assert "the input" in complaint(capsys)
    Path("face.png").unlink()
    assert repeat(file) == 2
    said = complaint(capsys)
    assert "no file" in said
    assert "name by its flag what lies elsewhere now" in said
    Path("moved.png").write_bytes(face)
    Path("hole.png").rename("its hole.png")
    assert repeat(file, "--input=moved.png") == 2
    said = complaint(capsys)
    assert f"{Path('hole.png').absolute()}: name by its flag what lies elsewhere now" in said
    moved = ("--input=moved.png", "--mask=its hole.png")
    assert repeat(file, *moved, "--output=moved") == 0
    Path("its hole.png").rename("hole.png")
    export(Path("trained"), "stage1")
    assert repeat(file, "--input=moved.png") == 1
    assert "the model" in complaint(capsys)


def test_a_result_that_differs_is_told(capsys):
    assert main("--input=face.png", "--mask=eyes", "--num_samples=1", "--output=out") == 0
    path = Path("out/face-000.png")
    record = output.read_record(path)
    forged = output.Output(Path("out"), True)
    forged.write(path, 255 - pixels(path), record["settings"], record["result"])
    assert repeat(path) == 1
    assert "pixels are not those of" in complaint(capsys)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mode=inpaint", "--repeat=face.png"], "does not tell how it was made"),
        (["--mode=sample", "--repeat=out/face-000.png"], "made by --mode=inpaint"),
        (["--mode=inpaint", "--repeat=out/face-000.png", "--seed=1"], "leave --seed out"),
        (["--mode=inpaint", "--repeat=out/face-000.png", "--output=out"], "with itself"),
        (
            ["--mode=inpaint", "--repeat=out/face-000.png", "--output=out", "--overwrite"],
            "with itself",
        ),
        (["--mode=inpaint", "--repeat=out/face-000.png", "--input=out"], "give that one"),
        (["--mode=inpaint", "--repeat=nowhere.png"], "nowhere.png"),
    ],
)
def test_what_repeat_does_not_do(arguments, words, capsys):
    assert main("--input=face.png", "--mask=none", "--num_samples=1", "--output=out") == 0
    capsys.readouterr()
    assert run.main(["run.py", *arguments]) == 2
    assert words in complaint(capsys)


def test_a_folder_is_done_once_and_then_gone_on_with(capsys):
    for i in range(3):
        picture(f"photos/sub{i}/a.png", 20, 20, seed=i)
    call = ("--input=photos", "--mask=rectangle", "--num_samples=2", "--output=out")
    assert main(*call) == 0
    before = {name: Path("out", name).read_bytes() for name in names("out")}
    assert len(before) == 3 * 4 + 1
    Path("out/sub1/a-001.png").unlink()
    written = Path("out/sub0/a-000.png").stat().st_mtime_ns
    capsys.readouterr()
    assert main(*call) == 0
    assert "2 pictures done before" in capsys.readouterr().out
    assert {name: Path("out", name).read_bytes() for name in names("out")} == {
        **before,
        "results.jsonl": Path("out/results.jsonl").read_bytes(),
    }
    assert sorted(map(str, results("out"))) == sorted(
        str(json.loads(line)) for line in before["results.jsonl"].splitlines()
    )
    assert Path("out/sub0/a-000.png").stat().st_mtime_ns == written


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_finished_is_kept_when_stopped(number, monkeypatch, capsys):
    for i in range(4):
        picture(f"photos/{i}.png", 20, 20, seed=i)
    call = ("--input=photos", "--mask=brush", "--num_samples=1")
    assert main(*call, "--output=whole") == 0
    write = files.write

    def interrupted(path, content):
        write(path, content)
        if path.name == "2-000.png":
            signal.raise_signal(number)

    monkeypatch.setattr(files, "write", interrupted)
    assert main(*call) == 128 + number
    (directory,) = Path("inpainted").iterdir()
    assert f"stopped after 2 of 4 pictures, saved in {directory}; to go on:" in (
        said := complaint(capsys)
    )
    assert said.endswith(f"--output={directory}")
    monkeypatch.setattr(files, "write", write)
    assert main(*call, f"--output={directory}") == 0
    assert names(directory) == names("whole")
    for name in names(directory):
        assert (directory / name).read_bytes() == Path("whole", name).read_bytes(), name


@pytest.mark.parametrize("mode", ["inpaint", "sample"])
def test_a_picture_is_gone_on_with_where_it_was_stopped(mode, monkeypatch):
    """Among others, of which one is finished and one not begun; what is there is not drawn anew."""
    for i in range(3):
        picture(f"photos/{i}.png", 20, 20, seed=i)
    given = ["--input=photos", "--mask=brush", "--truncation=none"] if mode == "inpaint" else []
    call = (*given, f"--mode={mode}", "--num_samples=5", "--batch=2", "--latents=1=2")
    assert main(*call, "--output=whole") == 0
    last = "1-002.png" if mode == "inpaint" else "sample-002.png"
    write = files.write

    def interrupted(path, content):
        write(path, content)
        if path.name == last:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(files, "write", interrupted)
    assert main(*call, "--output=out") == 130
    before = {path: path.stat().st_mtime_ns for path in Path("out").glob("*.png")}
    assert any(path.name == last for path in before)
    asked = []

    def drawing(*arguments):
        asked.append((len(arguments[2]), arguments[4].tolist()))
        return draw(*arguments)

    draw = drawn.draw
    monkeypatch.setattr(files, "write", write)
    monkeypatch.setattr(drawn, "draw", drawing)
    assert main(*call, "--output=out") == 0
    assert (1, [3, 4]) in asked
    assert (1, [0, 1, 2, 3, 4]) in asked or mode == "sample"
    assert names("out") == names("whole")
    for name in names("out"):
        assert Path("out", name).read_bytes() == Path("whole", name).read_bytes(), name
    for path, when in before.items():
        assert path.stat().st_mtime_ns == when, path
    Path("out", last.replace("002", "grid")).unlink()
    other = Path("out", last.replace("002", "001"))
    with Image.open(other) as image:
        said = PngInfo()
        said.add_text("csi-tf", image.info["csi-tf"])
        image.resize((5, 5)).save(other, pnginfo=said)  # as an editor might: it is drawn again
    asked.clear()
    assert main(*call, "--output=out") == 0
    assert asked == [(1, [1])]
    grid = Path("out", last.replace("002", "grid"))
    assert grid.read_bytes() == Path("whole", grid.name).read_bytes(), "in the order of numbers"
    grid.unlink()
    asked.clear()
    assert main(*call, "--output=out") == 0
    assert not asked
    for name in names("out"):
        made, expected = (sorted(Path(o, name).read_bytes().splitlines()) for o in ("out", "whole"))
        assert made == expected, name  # lines of results may come in another order


def test_one_failure_does_not_keep_the_others(capsys):
    for name in ("b.png", "d.png"):
        picture(f"photos/{name}", 20, 20)
    Path("photos/a.png").write_text("no picture")
    picture("photos/c.jpg", 20, 20)
    Path("photos/c.jpg").write_bytes(Path("photos/c.jpg").read_bytes()[:300])
    assert main("--input=photos,gone.png", "--mask=eyes", "--num_samples=1", "--output=out") == 1
    err = capsys.readouterr().err
    assert err.splitlines()[-1] == "run.py: 3 of 5 pictures failed, as said above"
    for name in ("a.png is not a", "c.jpg is damaged", "gone.png'; check the path"):
        assert err.count(name) == 1
    assert {name[0] for name in names("out")} == {"b", "d", "r"}
    assert sum("error" in line for line in results("out")) == 3
    picture("photos/a.png", 20, 20)
    assert main("--input=photos,gone.png", "--mask=eyes", "--num_samples=1", "--output=out") == 1
    assert [line["input"][-5:] for line in results("out") if "error" in line] == ["c.jpg", "e.png"]


def test_masks_from_a_folder_go_by_name(capsys):
    for name in ("sub/a.png", "sub/b.jpg", "c.png"):
        picture(f"photos/{name}", 16, 16)
    boxes = {"sub/a": (2, 5, 3, 9), "sub/b": (8, 12, 0, 4)}
    for stem, box in boxes.items():
        mask_file(f"holes/{stem}.bmp", 16, 16, box)
    assert main("--input=photos", "--mask=holes", "--num_samples=1", "--output=out") == 1
    assert f"no mask for {Path('photos/c.png').absolute()}" in capsys.readouterr().err
    for stem, (top, bottom, left, right) in boxes.items():
        (suffix,) = (path.suffix for path in Path("photos/sub").glob(f"{stem[-1]}.*"))
        changed = (pixels(f"out/{stem}-000.png") != shown(f"photos/{stem}{suffix}")).any(axis=-1)
        hole = np.zeros((16, 16), bool)
        hole[top:bottom, left:right] = True
        assert not changed[~hole].any()
        assert changed[hole].mean() > 0.9
    mask_file("holes/c.png", 16, 16, (0, 4, 0, 4))
    mask_file("holes/c.bmp", 16, 16, (0, 4, 0, 4))
    assert main("--input=photos/c.png", "--mask=holes", "--num_samples=1", "--output=c") == 0
    Path("holes/c.png").rename("holes/c.gif")  # neither is called as the picture is
    assert main("--input=photos/c.png", "--mask=holes", "--num_samples=1", "--output=d") == 2
    assert "several masks" in complaint(capsys)


def test_masks_go_by_name_however_accents_are_written():
    """A Mac's files have them apart from their letters."""
    apart, joined = (unicodedata.normalize(form, "photos/é.png") for form in ("NFD", "NFC"))
    assert apart != joined
    picture(apart, 16, 16)
    mask_file(joined.replace("photos", "holes"), 16, 16, (2, 5, 3, 9))
    assert main("--input=photos", "--mask=holes", "--num_samples=1", "--output=out") == 0


def test_masks_are_no_pictures(capsys):
    for name in ("a", "sub/b"):
        picture(f"album/{name}.png", 16, 16)
        mask_file(f"album/masks/{name}.png", 16, 16, (2, 5, 3, 9))
    mask_file("album/hole.png", 16, 16, (2, 5, 3, 9))
    given = ("--input=album", "--num_samples=1")
    for mask, others in (
        ("album/masks", {"hole"}),
        ("album/hole.png", {"masks/a", "masks/sub/b"}),
        ("file:album/hole.png:0.5,eyes", {"masks/a", "masks/sub/b"}),
    ):
        out = f"out-{len(others)}-{mask[:5]}"
        # There is no mask for hole.png in the folder.
        assert main(*given, f"--mask={mask}", f"--output={out}") == (mask == "album/masks")
        told = {str(Path(line["input"]).with_suffix("")) for line in results(out)}
        assert told == {str(Path("album", each).absolute()) for each in {"a", "sub/b"} | others}
    # A folder of pictures within that of the masks is all there is to fill.
    picture("album/a/x.png", 16, 16)
    mask_file("album/x.png", 16, 16, (2, 5, 3, 9))
    call = ("--input=album/a", "--mask=album", "--num_samples=1")
    assert main(*call, "--output=inside") == 0
    capsys.readouterr()
    for input_, mask, said in (
        ("album", "album", "album is the input and the masks; give these a folder"),
        ("album/a.png", "album/a.png", "a.png is the picture and its mask"),
        ("album/a.png", "album", "a.png is the picture and its mask"),
        ("album/masks", "album/masks", "is the input and the masks"),
    ):
        assert main(f"--input={input_}", f"--mask={mask}", "--output=new") == 2
        assert said in complaint(capsys)
    shutil.rmtree("album/a")
    for name in ("a.png", "sub/b.png", "hole.png", "x.png"):
        Path("album", name).unlink()
    assert main("--input=album", "--mask=album/masks", "--output=new") == 2
    assert "album holds nothing but masks and results" in complaint(capsys)


def test_a_random_mask_depends_on_seed_and_picture_alone():
    for i in range(3):
        picture(f"photos/{i}.png", 20, 20, seed=i)
    call = ("--mask=rectangle", "--num_samples=1")
    assert main("--input=photos", *call, "--output=all") == 0
    assert main("--input=photos/2.png", *call, "--output=alone") == 0
    assert main("--input=photos/2.png", *call, "--seed=1", "--output=other") == 0
    whole, alone, other = (
        texts(f"{where}/2-000.png")["csi-tf"] for where in ("all", "alone", "other")
    )
    assert whole == alone
    sums = {
        json.loads(text)["settings"]["sha256"]["mask"]
        for text in (whole, other, texts("all/1-000.png")["csi-tf"])
    }
    assert len(sums) == 3


def test_data_sets_are_inputs(capsys):
    text = "--input=dataset:procedural_faces:test:2-4"
    assert main(text, "--mask=eyes", "--num_samples=1", "--output=out") == 0
    images = csi_tf.data.arrays("procedural_faces", "test", SIZE, limit=5).images
    context = masks.named("eyes", SIZE)[..., 0] == 1
    for number in (2, 3, 4):
        made = pixels(f"out/procedural_faces-test-{number}-000.png")
        np.testing.assert_array_equal(made[context], images[number][context])
    assert repeat("out/procedural_faces-test-3-000.png", "--output=again") == 0
    here = "dataset:procedural_faces:test:"
    lists = {"a": f"face.png,{here}2", "b": f"{here}2,face.png", "c": f"{here}2,{here}3"}
    for out, given in lists.items():
        assert main(f"--input={given}", "--mask=eyes", "--num_samples=1", f"--output={out}") == 0
        assert len(results(out)) == 2
    np.savez("set.npz", images=images[:3])
    picture("my, own.png", 16, 16)
    assert (
        main("--input=my, own.png, face.png", "--mask=eyes", "--num_samples=1", "--output=d") == 0
    )
    assert {"my, own-000.png", "face-000.png"} < {*names("d")}
    np.savez("a,b.npz", images=images[:3])  # commas and all
    assert main("--input=dataset:npz:a,b.npz:all:1", "--mask=eyes", "--num_samples=1") == 0
    assert main("--input=dataset:npz:set.npz:all:3", "--mask=eyes") == 2
    assert "all has 0-2" in complaint(capsys)


def test_sampling_and_reconstructing_are_the_calls():
    model = csi_tf.load("trained")
    assert main("--num_samples=3", "--seed=2", "--output=out", mode="sample") == 0
    for i, expected in enumerate(csi_tf.sample_prior(model, 3, seed=2)):
        np.testing.assert_array_equal(pixels(f"out/sample-00{i}.png"), expected)
    call = ("--input=face.png", "--num_samples=2", "--latents=1=2", "--output=out")
    assert main(*call, mode="reconstruct") == 0
    for i, expected in enumerate(csi_tf.reconstruct(model, shown(), 2, latents={1: 2}).images[0]):
        np.testing.assert_array_equal(pixels(f"out/face-00{i}.png"), expected)


def test_a_traversal_is_the_call(capsys):
    model = csi_tf.load("trained")
    for mask, given in ((None, []), ("mouth", ["--mask=mouth"])):
        out = f"--output={mask}"
        assert (
            main(
                "--input=face.png", "--latents=3,1", "--values=-2:2:3", *given, out, mode="traverse"
            )
            == 0
        )
        for latent in (3, 1):
            made = csi_tf.traverse(model, shown(), latent, [-2, 0, 2], mask)
            for i, expected in enumerate(made):
                found = pixels(f"{mask}/face-latent_{latent}-{i}.png")
                np.testing.assert_array_equal(found, expected)
        assert [line["set"] for line in results(str(mask))][:3] == [
            {"latent 3": value} for value in (-2.0, 0.0, 2.0)
        ]


def test_latents_go_by_name(capsys):
    direction = [0.6, 0.8, 0.0, 0.0]
    entries = [
        {"name": "big smile", "dimension": 2, "interval": [-1, 1], "rank": 1},
        {"name": "age", "direction": direction, "interval": [0, 2], "rank": 2},
    ]
    Path("trained/latents.json").write_text(json.dumps(entries))
    call = ("--input=face.png", "--mask=eyes", "--num_samples=1")
    assert main(*call, "--latents=big smile=0.5,age=1", "--output=out") == 0
    (line,) = results("out")
    assert line["latents"][2] == 0.5
    np.testing.assert_allclose(np.dot(line["latents"], direction), 1, atol=1e-6)  # float32
    # A traversal without --latents moves those that have names, each over its interval.
    assert main("--input=face.png", "--output=moved", mode="traverse") == 0
    moved = [line["set"] for line in results("moved")]
    assert moved[0] == {"big smile": -1.0}
    assert moved[-1] == {"age": 2.0}
    assert len(moved) == 14
    capsys.readouterr()
    assert main(*call, "--latents=smile=1", "--output=no") == 2
    assert "no latent called 'smile'; perhaps big smile is meant" in complaint(capsys)
    assert main(*call, "--latents=nose=1", "--output=no") == 2
    assert "it has big smile, age" in complaint(capsys)
    assert main(*call, "--latents=age=30", "--output=far") == 0
    assert capsys.readouterr().err.count("far from where it is of use") == 1
    Path("trained/latents.json").write_text(json.dumps([entries[1], entries[0] | {"dimension": 3}]))
    assert repeat("out/face-000.png") == 1
    assert "the latents.json" in complaint(capsys)


def test_names_of_an_evaluation_are_recorded_too(capsys):
    Path("trained/evaluation").mkdir()
    names = Path("trained/evaluation/latents.json")
    entry = {"name": "smile", "dimension": 2, "interval": [-1, 1], "rank": 1}
    names.write_text(json.dumps([entry]))
    call = ("--input=face.png", "--mask=eyes", "--num_samples=1", "--latents=smile=1")
    assert main(*call, "--output=out") == 0
    names.write_text(json.dumps([entry | {"dimension": 3}]))
    assert main(*call, "--output=out") == 2
    assert "made from another latents.json" in complaint(capsys)
    assert repeat("out/face-000.png") == 1
    assert "the latents.json (of " in complaint(capsys)


def test_models_without_latents_or_reverse_net(capsys):
    export(Path("first"), "stage1")
    call = ("--input=face.png", "--mask=eyes", "--num_samples=1")
    assert main(*call, "--output=out", model="--model=first") == 0
    assert capsys.readouterr().err.count("no reverse net") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mask=eyes"], "--input is needed"),
        (["--input=face.png"], "--mask is needed"),
        (["--input=face.png", "--mask=eyes", "--model=none"], "--model is needed"),
        (["--input=face.png", "--mask=eyes", "--model=gone"], "no finished model in gone"),
        (["--input=gone.png", "--mask=eyes"], "gone.png"),
        (["--input=bad.png", "--mask=eyes"], "bad.png is not a PNG"),
        (["--input=empty", "--mask=eyes"], "No image lies under empty"),
        (["--input=face.png,,face.png", "--mask=eyes"], "leave the comma out"),
        (["--input=dataset:faces", "--mask=eyes"], "dataset:NAME:SPLIT:FIRST-LAST"),
        (["--input=dataset:procedural_faces:test:3-1", "--mask=eyes"], "before it begins"),
        (["--input=face.png", "--mask=eye s"], "Unknown mask 'eye s'"),
        (["--input=face.png", "--mask=bad.png"], "bad.png is not a PNG"),
        (
            ["--input=face.png", "--mask=eyes", "--mask_convention=black_is_hole"],
            "what files of masks mean, and eyes is none: leave it out",
        ),
        (["--input=face.png", "--mask=eyes", "more.png"], "quotes around a value that has spaces"),
        (["--input=face.png", "--mask=empty"], "there is no mask for"),
        (["--input=face.png", "--mask=eyes", "--crop=20,20,9,9"], "reaches beyond"),
        (["--input=face.png", "--mask=eyes", "--crop=1,2"], "LEFT,TOP,WIDTH,HEIGHT"),
        (["--input=face.png", "--mask=eyes", "--crop=1,2,0,3"], "is empty"),
        (["--input=face.png", "--mask=eyes", "--latents=smile"], "smile=4"),
        (["--input=face.png", "--mask=eyes", "--latents=smile=4"], "no latent called 'smile'"),
        (["--input=face.png", "--mask=eyes", "--latents=9=4"], "from 0 to 3"),
        (["--input=face.png", "--mask=eyes", "--latents=1=nan"], "'nan'; give a finite"),
        (["--input=face.png", "--mask=eyes", "--latents=1=2,1=3"], "sets 1 twice"),
        (["--input=face.png", "--mask=eyes", "--num_samples=0"], "num_samples must be at least 1"),
        (["--input=face.png", "--mask=eyes", "--z=far"], "z is 'far'"),
        (["--input=face.png", "--mask=eyes", "--truncation=-1"], "truncation"),
        (["--input=face.png", "--mask=eyes", "--values=1,2"], "--values has no place"),
        (["--input=face.png", "--mask=eyes", "--filters=3"], "--filters has no place"),
        (["--mode=sample", "--input=face.png"], "--input has no place"),
        (["--mode=sample", "--z=mean"], "z is 'mean'"),
        (["--mode=reconstruct", "--input=face.png", "--mask=eyes"], "--mask has no place"),
        (["--mode=traverse", "--input=face.png", "--latents=1=2"], "from --values"),
        (["--mode=traverse", "--input=face.png", "--latents=1,1"], "twice"),
        (["--mode=traverse", "--input=face.png", "--values=1:2"], "FROM:TO:COUNT"),
        (["--mode=traverse", "--input=face.png", "--values=a"], "'a'; give a finite"),
        (["--mode=traverse", "--input=face.png", "--paste_back"], "--paste_back needs --mask"),
    ],
    ids=" ".join,
)
def test_mistakes_are_one_line_and_leave_nothing(arguments, words, capsys):
    Path("bad.png").write_text("no picture")
    Path("empty").mkdir()
    before = {"bad.png", "empty", "face.png", "trained"}
    assert main(*arguments, "--output=new") == 2
    assert words in complaint(capsys)
    assert {path.name for path in Path().iterdir()} == before


def test_a_model_that_is_damaged_is_a_failure(capsys):
    Path("trained/model.safetensors").write_bytes(b"0" * 500)
    assert main("--input=face.png", "--mask=eyes") == 1
    assert "damaged" in complaint(capsys)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["Smile", "open mouth"], ["smile", "open_mouth"]),
        (["Smile", "smile", "x"], ["smile_0", "smile_1", "x"]),
        (["Smile", "smile", "smile_0"], ["smile_0", "smile_1", "smile_0_2"]),
    ],
)
def test_files_of_latents_are_never_one(names, expected):
    rows = [Latent(name, np.ones(1), (-1.0, 1.0), 1) for name in names]
    assert traversal._stems(rows) == expected
