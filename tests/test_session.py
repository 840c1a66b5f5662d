"""What the studio saves, and the command that draws the same from it."""

import base64
import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from test_loading import export, fit_whole
from test_masks_files import ZOO

import csi_tf
import run
from csi_tf import checkpoints, latents, loading, masks, session, whole
from csi_tf.commands import run as commands
from csi_tf.commands.settings import Command
from csi_tf.data import image_files
from csi_tf.errors import RunFailed
from csi_tf.session import Session
from csi_tf.studio.engine import Engine


def as_png(image, **how):
    content = io.BytesIO()
    image.save(content, "PNG", **how)
    return content.getvalue()


BOMB = base64.b64encode(session.png(np.zeros((3000, 3000), "uint8"))).decode()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    directory = tmp_path_factory.mktemp("exported")
    export(directory / "model.safetensors", stage="stage2")
    fit_whole(directory)
    return directory


@pytest.fixture
def saved(tmp_path, exported):
    """A session whose model and what its z is drawn from lie beside it."""
    for file in exported.iterdir():
        shutil.copy(file, tmp_path)
    image = np.random.default_rng(1).integers(0, 256, (16, 16, 3)).astype("uint8")
    return Session(
        str(tmp_path / "model.safetensors"),
        image,
        masks.named("mouth", 16),
        {2: 1.5},
        {2: "Bärtig"},
        seed=7,
        num_samples=2,
        truncation=None,
        z="whole",
        said="a picture",
        sha256=loading.digests(tmp_path / "model.safetensors"),
    )


def same(one, other):
    assert (one.image == other.image).all()
    assert (one.context_mask == other.context_mask).all()
    texts = ("model", "said", "sha256")
    for name in (*texts, "latents", "names", "seed", "num_samples", "truncation", "z"):
        assert getattr(one, name) == getattr(other, name)


def test_a_session_comes_back_from_json_and_from_a_png(saved, tmp_path):
    (tmp_path / "s.json").write_text(saved.to_json())
    (tmp_path / "s.png").write_bytes(saved.to_png(saved.image, 1))
    same(session.read(tmp_path / "s.json"), saved)
    same(session.read(tmp_path / "s.png"), saved)


def test_the_command_draws_the_pixels_that_the_call_draws(saved, tmp_path):
    (tmp_path / "s.png").write_bytes(saved.to_png(saved.image, 1))
    arguments = ["--mode=inpaint", f"--session={tmp_path}/s.png", f"--output={tmp_path}/out"]
    assert run.main(["run.py", *arguments]) == 0
    made = csi_tf.inpaint(
        csi_tf.load(saved.model), saved.image, saved.context_mask, 2, {2: 1.5}, seed=7,
        truncation=None, z="whole",
    )  # fmt: skip
    for number in range(2):
        drawn = image_files.read_image(tmp_path / "out" / f"session-picture-{number:03d}.png")
        np.testing.assert_array_equal(drawn, made.images[0, number])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"csi-tf session": 9}, "format 1"),
        ({"picture": "AAAA"}, "no session"),
        ({"seed": -1}, "seed"),
        ({"num_samples": 10_000}, "num_samples"),
        ({"truncation": 5}, "truncation"),
        ({"z": "prior"}, "posterior or whole"),
        ({"latents": {"2": "nan"}}, "no number"),
        ({"names": None}, "not as it should be"),
        ({"latents": {"2": "much"}}, "much"),
        ({"model": None}, "None"),
        ({"picture": BOMB}, "on a side at most"),
    ],
)
def test_files_that_are_no_sessions_are_refused(saved, tmp_path, change, words):
    (tmp_path / "s.json").write_text(json.dumps(json.loads(saved.to_json()) | change))
    with pytest.raises(ValueError, match=words):
        session.read(tmp_path / "s.json")


def test_a_session_of_before_there_was_a_choice_of_z_is_of_the_posterior(saved, tmp_path):
    found = json.loads(saved.to_json())
    del found["z"]
    (tmp_path / "s.json").write_text(json.dumps(found))
    assert session.read(tmp_path / "s.json").z == "posterior"


@pytest.mark.parametrize("name", [name for name in ZOO if name.endswith(".png")])
def test_masks_of_programs_are_read_as_files_are(saved, tmp_path, name):
    mask = ZOO[name].resize((16, 16), Image.Resampling.NEAREST)
    (tmp_path / "mask.png").write_bytes(as_png(mask))
    sent = {"mask": base64.b64encode(as_png(mask)).decode()}
    read = session.parse(saved.to_dict() | sent).context_mask
    np.testing.assert_array_equal(read, masks.from_file(tmp_path / "mask.png", 16))
    assert 0 < read.mean() < 1


GREY = np.arange(256).reshape(16, 16)
UPSIDE_DOWN = Image.Exif()
UPSIDE_DOWN[0x0112] = 3


@pytest.mark.parametrize(
    "content",
    [
        as_png(Image.fromarray((GREY * 200).astype("uint16"))),
        as_png(Image.fromarray(np.dstack([GREY] * 3 + [GREY.T]).astype("uint8"))),
        as_png(Image.fromarray(GREY.astype("uint8")).convert("P"), transparency=7),
        as_png(Image.fromarray(GREY.astype("uint8")), exif=UPSIDE_DOWN),
        as_png(Image.fromarray(GREY.astype("uint8")), exif=b"II*\0\x08\0"),
    ],
    ids=["16 bits", "alpha", "palette", "upside down", "broken EXIF"],
)
def test_pictures_of_programs_are_read_as_files_are(saved, tmp_path, content):
    (tmp_path / "picture.png").write_bytes(content)
    sent = {"picture": base64.b64encode(content).decode()}
    read = session.parse(saved.to_dict() | sent).image
    np.testing.assert_array_equal(read, image_files.read_image(tmp_path / "picture.png"))


def asked(saved, directory, **more):
    """What the command understands of the session, which is saved first."""
    (directory / "s.json").write_text(saved.to_json())
    command = Command("inpaint", session=str(directory / "s.json"), **more)
    return commands.opened(command, directory)


def made_anew(file):
    """The same numbers in other bytes."""
    weights, info = checkpoints.read(file)
    checkpoints.write(file, weights, info | {"made": "anew"})


@pytest.mark.parametrize("changed", ["model.safetensors", whole.FILE, latents.FILE])
def test_a_session_is_not_drawn_by_another_model_without_a_word(saved, tmp_path, capsys, changed):
    names = tmp_path / latents.FILE
    names.write_text("[]")
    saved = replace(saved, sha256=loading.digests(tmp_path / "model.safetensors"))
    uses = replace(saved, z="whole", latents={"smile": 1.0})
    without = replace(saved, z="posterior", latents={2: 1.0})
    assert asked(uses, tmp_path).model == saved.model
    if changed == latents.FILE:
        names.write_text("[ ]")
    else:
        made_anew(tmp_path / changed)
    said = rf"the {changed.removesuffix('.safetensors')}.* is not the one .*s.json.* --model"
    with pytest.raises(RunFailed, match=said):
        asked(uses, tmp_path)
    asked(uses, tmp_path, model=str(tmp_path))  # as one that is asked for
    assert "note: the " in capsys.readouterr().err
    asked(replace(uses, sha256={}), tmp_path)  # which those of before do not tell
    if changed == "model.safetensors":
        with pytest.raises(RunFailed, match="is not the one"):
            asked(without, tmp_path)
    else:
        asked(without, tmp_path)
    assert not capsys.readouterr().err


def test_sessions_of_before_there_were_sums_open(saved, tmp_path):
    found = json.loads(saved.to_json())
    del found["sha256"]
    same(session.parse(found), replace(saved, sha256={}))


def test_the_command_says_where_to_name_a_model_that_has_moved(saved, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    for file in ("model.safetensors", whole.FILE):
        (tmp_path / file).rename(tmp_path / "elsewhere" / file)
    with pytest.raises(ValueError, match=r"s\.json was made with .*--model: there is no finished"):
        asked(saved, tmp_path)
    assert asked(saved, tmp_path, model=str(tmp_path / "elsewhere")).seed == saved.seed


def test_a_studio_takes_z_of_whole_pictures_only_where_it_is_fitted(saved, tmp_path):
    def made():
        engine = Engine([saved.model])
        return engine.complete(engine.checked(saved)).images

    drawn = made()
    engine = Engine([saved.model])
    assert not np.array_equal(drawn, engine.complete(replace(saved, z="posterior")).images)
    (tmp_path / whole.FILE).unlink()
    with pytest.raises(ValueError, match="--mode=whole"):
        made()


def test_other_files_are_refused(saved, tmp_path):
    (tmp_path / "text.json").write_text("[1, 2")
    (tmp_path / "image.png").write_bytes(session.png(saved.image))
    for name in ("text.json", "image.png"):
        with pytest.raises(ValueError, match=name):
            session.read(tmp_path / name)


def test_what_the_session_says_is_not_said_again(tmp_path, capsys):
    assert run.main(["run.py", "--mode=inpaint", "--session=s.json", "--seed=3"]) == 2
    assert "--seed" in capsys.readouterr().err
    assert run.main(["run.py", "--mode=inpaint", "--session=s.json", "--paste_back"]) == 2
    assert "s.json has the picture at the model's size" in capsys.readouterr().err
    assert run.main(["run.py", "--mode=traverse", "--session=s.json"]) == 2
    assert "--session has no place" in capsys.readouterr().err
