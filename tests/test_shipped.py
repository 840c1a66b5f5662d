"""The models that come along: whole, small, described, and better than knowing nothing."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from test_demo import assert_shown

import csi_tf
import run
from csi_tf import checkpoints, data, demo, files, latents, loading, logs, whole
from csi_tf.evaluation import evaluate
from csi_tf.evaluation import report as reports
from csi_tf.evaluation.report import Report
from csi_tf.evaluation.settings import Evaluation
from csi_tf.figures.arrays import Sizes
from csi_tf.inpaint import sample_prior
from csi_tf.settings import FEWEST

NAMES = csi_tf.available()
MEGABYTES = 50  # for all of them
SECTIONS = ("Data", "Training", "Measured", "Limits", "Bias", "Licence")


def folder(name):
    return loading.SHIPPED / name


def test_procedural_faces_is_the_model_of_the_demo():
    assert "procedural_faces" in NAMES
    assert loading.find(Path("procedural_faces")) == loading.find("procedural_faces")


def test_they_are_small():
    sizes = [path.stat().st_size for path in loading.SHIPPED.rglob("*") if path.is_file()]
    assert sum(sizes) < MEGABYTES * 1e6


@pytest.mark.parametrize("name", NAMES)
def test_each_has_a_card_that_its_files_bear_out(name):
    card = (folder(name) / "README.md").read_text()
    assert re.findall("^## (.*)$", card, re.M) == list(SECTIONS)
    for stage in ("stage1", "stage2"):
        weights, info = checkpoints.read(folder(name) / stage / loading.MODEL_FILE)
        assert any(values.dtype == np.float16 for values in weights.values())
        assert f"{info['images_seen']:,} images" in card
        kept = logs.read_metrics(folder(name) / stage)
        assert kept[-1]["step"] == info["step"]
        assert f"{info['validation']['validation/bits_per_dim']:.3f}" in card
        assert (folder(name) / stage / "curves.png").stat().st_size > 10_000


def test_a_damaged_model_is_not_loaded(tmp_path, monkeypatch):
    """Hashes are checked at every load, so those of the files are the ones written down."""
    for name in NAMES:
        for stage in ("stage1", "stage2"):
            csi_tf.load(folder(name) / stage)
    broken = tmp_path / "procedural_faces" / "stage1" / loading.MODEL_FILE
    broken.parent.mkdir(parents=True)
    (tmp_path / loading.HASHES).write_text((loading.SHIPPED / loading.HASHES).read_text())
    intact = (folder("procedural_faces") / "stage1" / loading.MODEL_FILE).read_bytes()
    broken.write_bytes(intact[:-1] + bytes([intact[-1] ^ 1]))
    folder_before = loading.SHIPPED
    monkeypatch.setattr(loading, "SHIPPED", tmp_path)
    with pytest.raises(ValueError, match=r"stage1/model.safetensors is damaged"):
        csi_tf.load(broken)
    place = tmp_path / "celeba32" / "stage2"
    shutil.copytree(folder_before / "celeba32" / "stage2", place)
    fitted = place / whole.FILE
    content = fitted.read_bytes()
    fitted.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"stage2/whole.safetensors is damaged"):
        csi_tf.load(place)


def evaluation(name):
    return Report.read(folder(name) / "stage2" / "evaluation")


@pytest.mark.parametrize("name", NAMES)
def test_what_its_card_says_was_measured_of_this_very_file(name):
    report = evaluation(name)
    assert report.about["sha256"] == files.digest(loading.find(name))
    card = (folder(name) / "README.md").read_text()
    rows = re.findall(r"^\| `(\S+)` .*\| (\S+) \((\S+) to (\S+)\) \|$", card, re.M)
    assert len(rows) > 10
    for key, *said in rows:
        found = report.measures[key]
        assert said == [reports.said(x) for x in (found.estimate, found.low, found.high)], key


@pytest.mark.parametrize("name", NAMES)
def test_its_latents_have_names_and_can_be_drawn_as_of_whole_pictures(name):
    model = csi_tf.load(name)
    assert model.draw_whole is not None
    assert len(model.named_latents) >= 5
    assert all(isinstance(each, latents.Latent) for each in model.named_latents)


def test_the_evaluation_of_procedural_faces_can_be_had_again(tmp_path):
    """The bits/dim of the first held-out images, one by one."""
    kept = evaluation("procedural_faces")
    settings = Evaluation(
        model="procedural_faces",
        parts="likelihood",
        images=FEWEST,
        masks="mouth",
        posterior_draws=1,
    )
    again = evaluate.run(settings, tmp_path)
    key = "likelihood/mouth/given_z"
    # Sums in another order, on another processor
    np.testing.assert_allclose(again.rows(key), kept.rows(key)[:FEWEST], atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_the_demo_shows_it(name, tmp_path, capsys, monkeypatch):
    """Fewer pictures than it draws for people, of the same kinds."""
    sizes = Sizes(samples=2, latents=1, values=3, candidates=3, judges=1)
    monkeypatch.setattr(demo, "SIZES", sizes)
    monkeypatch.setattr(demo, "HOLES", ("mouth",))
    faces = data.arrays("procedural_faces", "test", 32, limit=3).images

    def drawn(*arguments, **settings):
        faces[:] = sample_prior(*arguments, **settings)
        return faces

    monkeypatch.setattr(demo, "sample_prior", drawn)
    assert run.main(["run.py", "--mode=demo", f"--model={name}", f"--output={tmp_path}"]) == 0
    assert_shown(tmp_path, faces[sizes.judges :], sizes.latents)
    assert f"--model={name}" in capsys.readouterr().out
