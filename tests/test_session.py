"""What the studio saves, and the command that draws the same from it."""

import base64
import json

import numpy as np
import pytest
from test_loading import export

import csi_tf
import run
from csi_tf import masks, session
from csi_tf.data import image_files
from csi_tf.session import Session

BOMB = base64.b64encode(session.png(np.zeros((3000, 3000), "uint8"))).decode()


@pytest.fixture
def saved(tmp_path):
    export(tmp_path / "model.safetensors", stage="stage2")
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
        said="a picture",
    )


def same(one, other):
    assert (one.image == other.image).all()
    assert (one.context_mask == other.context_mask).all()
    for name in ("model", "latents", "names", "seed", "num_samples", "truncation", "said"):
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
        truncation=None,
    )  # fmt: skip
    for number in range(2):
        drawn = image_files.read_image(tmp_path / "out" / f"picture-{number:03d}.png")
        np.testing.assert_array_equal(drawn, made.images[0, number])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"csi-tf session": 9}, "format 1"),
        ({"picture": "AAAA"}, "no session"),
        ({"seed": -1}, "seed"),
        ({"num_samples": 10_000}, "num_samples"),
        ({"truncation": 3.5}, "truncation"),
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


def test_other_files_are_refused(saved, tmp_path):
    (tmp_path / "text.json").write_text("[1, 2")
    (tmp_path / "image.png").write_bytes(session.png(saved.image))
    for name in ("text.json", "image.png"):
        with pytest.raises(ValueError, match=name):
            session.read(tmp_path / name)


def test_what_the_session_says_is_not_said_again(tmp_path, capsys):
    assert run.main(["run.py", "--mode=inpaint", "--session=s.json", "--seed=3"]) == 2
    assert "--seed" in capsys.readouterr().err
    assert run.main(["run.py", "--mode=traverse", "--session=s.json"]) == 2
    assert "--session has no place" in capsys.readouterr().err
