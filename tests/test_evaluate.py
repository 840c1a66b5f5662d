"""--mode=evaluate: the report, its file, and what it says of mistakes."""

import json
import math
import re
import signal

import numpy as np
import pytest
import tiny
from test_loading import export

import run
from csi_tf import masks, provenance, runs
from csi_tf.evaluation import evaluate as evaluation
from csi_tf.evaluation import report as reports
from csi_tf.evaluation.parts import latents
from csi_tf.evaluation.report import Report
from csi_tf.evaluation.settings import Evaluation
from csi_tf.evaluation.subject import PartRefused, held_out

QUICK = ("--images=10", "--masks=mouth", "--posterior_draws=2", "--encoded_images=64")


@pytest.fixture
def model(tmp_path):
    config = tiny.config("stage1", loop={"warm_start": "/elsewhere/before"})
    export(tmp_path / "model.safetensors", config, "stage1")
    return tmp_path


def evaluate(model, *arguments):
    return run.main(["run.py", "--mode=evaluate", f"--model={model}", *QUICK, *arguments])


def test_a_number_comes_with_its_interval_and_rows():
    report = Report()
    report.add("a/b/c", np.arange(20.0), unit="dB", better="higher", keep=True)
    found = report.measures["a/b/c"]
    assert (found.estimate, found.images, found.unit) == (9.5, 20, "dB")
    # The standard error of 20 rows with a standard deviation of 5.8
    assert 6 < found.low < 8 < 11 < found.high < 13
    np.testing.assert_array_equal(report.rows("a/b/c"), np.arange(20.0))
    report.add("a/some", [*np.arange(20.0), math.inf], keep=True)
    assert report.measures["a/some"].estimate == 9.5
    with pytest.raises(ValueError, match="a/some was not kept"):
        report.rows("a/some")
    report.add("a/ratio", np.ones((10, 2)), lambda r: r[:, 0].sum() / r[:, 1].sum())
    assert report.measures["a/ratio"].low == 1
    with pytest.raises(ValueError, match="a/ratio was not kept"):
        report.rows("a/ratio")


def test_a_report_comes_back_from_its_file(tmp_path):
    report = Report({"model": "m"}, ["likelihood"])
    report.add("a/b/c", np.arange(12.0), keep=True)
    report.add_number("a/nan", math.nan)
    report.write(tmp_path)
    again = Report.read(tmp_path)
    assert again.measures["a/b/c"] == report.measures["a/b/c"]
    assert math.isnan(again.measures["a/nan"].estimate)
    assert (again.about, again.done) == (report.about, report.done)
    (tmp_path / reports.FILE).write_text('{"measures": 3}')
    with pytest.raises(ValueError, match="no evaluation of this version"):
        Report.read(tmp_path)


def test_what_is_forgotten_leaves_nothing_behind():
    report = Report({"latents": [{"dead": True}], "unread": {}, "seed": 0}, ["control", "seam"])
    report.add_number("control/axes/count", 3)
    report.add_number("seam/none/top", 1)
    report.drop(["control"])
    assert (report.about, report.done) == ({"seed": 0}, ["seam"])
    assert list(report.measures) == ["seam/none/top"]


def test_the_table_says_what_is_better():
    report = Report()
    report.add("pictures/mouth/psnr", np.arange(12.0), unit="dB", better="higher")
    (row,) = [line for line in report.table().splitlines() if "psnr" in line]
    assert row.startswith("| mouth/psnr (more is better) | 5.5 dB | ")
    assert row.endswith(" | 12 |")


def test_what_few_images_show_is_left_out_and_said(capsys):
    report = Report()
    report.add("wide_z/rectangle/corner_noise", [1.0] * 9 + [np.nan] * 5)
    assert not report.measures
    assert "wide_z/rectangle/corner_noise is left out: 9 images show it" in capsys.readouterr().out


def test_an_evaluation_goes_on_and_is_never_mixed_with_another(model, monkeypatch, capsys):
    monkeypatch.setattr(latents, "PARTS", 3)  # intervals of DCI take most of what measuring takes
    assert evaluate(model, "--parts=likelihood") == 0
    place = model / "evaluation"
    first = json.loads((place / "evaluation.json").read_text())
    assert first["about"]["stage"] == "stage1"
    assert first["about"]["config"]["loop"]["warm_start"] == "before"  # no place of a machine
    assert "--mode=evaluate" in first["about"]["command"]
    assert "likelihood/whole/importance" in first["measures"]
    assert "| whole/importance" in (place / "evaluation.md").read_text()
    assert evaluate(model, "--parts=likelihood,latents") == 0
    assert "likelihood: measured before" in capsys.readouterr().out
    second = json.loads((place / "evaluation.json").read_text())
    assert second["done"] == ["likelihood", "latents"]
    assert second["measures"].items() >= first["measures"].items()
    assert evaluate(model, "--seed=3") == 2
    assert "with seed=0 and not 3" in capsys.readouterr().err
    export(model / "model.safetensors", tiny.config("stage1", model={"filters": 7}), "stage1")
    assert evaluate(model) == 2
    assert "another model" in capsys.readouterr().err
    assert evaluate(model, "--parts=likelihood", "--overwrite") == 0
    third = json.loads((place / "evaluation.json").read_text())
    assert third["done"] == ["likelihood"]
    assert third["measures"] != first["measures"]


def measuring(name):
    """In place of `latents.measure`, which trains readers, where one number will do."""
    return lambda subject, report: report.add_number(f"latents/{name}", 1.0)


def test_a_part_is_measured_anew(model, monkeypatch):
    monkeypatch.setattr(latents, "measure", measuring("before"))
    assert evaluate(model, "--parts=likelihood,latents") == 0
    place = model / "evaluation"
    first = json.loads((place / "evaluation.json").read_text())
    assert "latents/before" in first["measures"]
    monkeypatch.setattr(latents, "measure", measuring("anew"))
    monkeypatch.setattr(provenance, "commit", lambda: "later")
    assert evaluate(model, "--parts=latents", "--overwrite") == 0
    second = json.loads((place / "evaluation.json").read_text())
    assert second["done"] == ["likelihood", "latents"]
    kept = {k: v for k, v in first["measures"].items() if not k.startswith("latents/")}
    assert second["measures"] == kept | {"latents/anew": {"estimate": 1.0, "unit": ""}}
    assert second["about"] == first["about"] | {"other_commits": {"latents": "later"}}
    assert "latents: commit later." in (place / "evaluation.md").read_text()
    monkeypatch.setattr(provenance, "commit", lambda: first["about"]["commit"])
    assert evaluate(model, "--parts=latents", "--overwrite") == 0
    third = json.loads((place / "evaluation.json").read_text())
    assert not third["about"]["other_commits"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_was_measured_is_kept_when_stopped(number, model, monkeypatch, capsys):
    def interrupted(*_):
        signal.raise_signal(number)

    monkeypatch.setattr(latents, "measure", interrupted)
    asked = "--parts=likelihood,latents"
    assert evaluate(model, asked) == 128 + number
    said = capsys.readouterr().err
    place = model / "evaluation"
    assert f"stopped after measuring likelihood, saved in {place}; to go on: python run.py" in said
    monkeypatch.setattr(latents, "measure", measuring("now"))
    assert evaluate(model, asked) == 0
    assert "likelihood: measured before" in capsys.readouterr().out


def test_the_same_numbers_again(model, tmp_path):
    for name in ("a", "b"):
        assert evaluate(model, "--parts=likelihood", f"--output={tmp_path / name}") == 0
    a, b = (json.loads((tmp_path / n / "evaluation.json").read_text())["measures"] for n in "ab")
    assert a == b


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--parts=seam"], "needs a model of stage two.*--mode=stage2 --stage1=.*--clamped"),
        (["--parts=looks"], "unknown part 'looks'; choose from likelihood"),
        (["--images=9"], "images must be 10 or more, for an interval"),
        (["--masks=elbow"], "Unknown mask 'elbow'"),
        (["--masks=mouth,none"], "mask none hides nothing that could be measured"),
        (["--dataset=images:nowhere"], "nowhere"),
        (["--filters=3"], "--filters has no place in --mode=evaluate"),
    ],
)
def test_mistakes_are_one_sentence(model, arguments, said, capsys):
    assert evaluate(model, *arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(said, error), error
    assert not (model / "evaluation").exists()


def test_what_is_refused_names_its_part(model, tmp_path, monkeypatch, capsys):
    """So that a reproduction leaves out that one and measures the rest."""

    def measured(parts):
        asked = Evaluation(str(model), images=10, encoded_images=64, posterior_draws=2, parts=parts)
        return evaluation.run(asked, tmp_path / "out")

    (tmp_path / "out").mkdir()
    with pytest.raises(PartRefused, match="part seam needs a model of stage two") as refused:
        measured("likelihood,seam")
    assert refused.value.part == "seam"
    assert not (tmp_path / "out/evaluation.json").exists()

    def refused_half_way(subject, report):
        report.add_number("latents/begun", 1.0)
        masks.parse("moth")

    monkeypatch.setattr(latents, "measure", refused_half_way)
    with pytest.raises(PartRefused, match="Unknown mask") as refused:
        measured("likelihood,latents")
    assert refused.value.part == "latents"
    assert Report.read(tmp_path / "out").done == ["likelihood"]

    assert measured(None).done == ["likelihood", "reconstruction"]
    assert "latents/begun" not in Report.read(tmp_path / "out").measures
    assert "latents is left out: Unknown mask" in capsys.readouterr().out
    assert (tmp_path / "out/evaluation.md").exists()


def test_a_mistake_of_ours_is_no_refusal(model, tmp_path, monkeypatch):
    monkeypatch.setattr(latents, "measure", lambda subject, report: int("moth"))
    asked = Evaluation(str(model), images=10, encoded_images=64, parts="latents")
    with pytest.raises(ValueError, match="invalid literal") as mistake:
        evaluation.run(asked, tmp_path)
    assert not isinstance(mistake.value, PartRefused)


def test_factors_that_hardly_vary_are_left_out_of_the_scores(model, tmp_path, capsys):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (200, 16, 16, 3)).astype("uint8")
    factors = rng.uniform(size=(200, 4))
    factors[:, 1], factors[:, 2] = 3, np.arange(200) == 190
    split = np.array(["train"] * 20 + ["validation"] * 80 + ["test"] * 100)
    names = ["first", "constant", "rare", "last"]
    np.savez(tmp_path / "a.npz", images=images, factors=factors, factor_names=names, split=split)

    def measured():
        arguments = (f"--dataset=npz:{tmp_path / 'a.npz'}", "--parts=latents", "--overwrite")
        assert evaluate(model, *arguments) == 0
        return Report.read(model / "evaluation").measures

    found = measured()
    assert "SAP and DCI are without constant, rare:" in capsys.readouterr().out
    assert {"latents/sap", "latents/dci_disentanglement", "latents/told/first"} <= {*found}
    factors[:, 0] = 7
    np.savez(tmp_path / "a.npz", images=images, factors=factors, factor_names=names, split=split)
    found = measured()
    assert "latents/told/last" in found
    assert "latents/sap" not in found


def test_a_split_that_is_too_small_is_refused_whatever_it_is_called(tmp_path, capsys):
    few = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3)).astype("uint8")
    split = np.array(["train"] * 20 + ["validation"] * 11 + ["test"] * 9)
    np.savez(tmp_path / "few.npz", images=few, split=split)
    place = f"npz:{tmp_path / 'few.npz'}"
    with pytest.raises(ValueError, match="holds out 9 images for test, too few"):
        held_out(place, None, 16, most=10, wanted=10)
    test, validation = held_out(place, None, 16, most=10, wanted=8)
    assert (len(test), len(validation)) == (9, 10)
    split[20] = "test"
    np.savez(tmp_path / "few.npz", images=few, split=split)
    held_out(place, None, 16, most=30, wanted=30)
    assert "10 are reported on, not 30" in capsys.readouterr().out


def test_pictures_for_control_are_wanted_where_it_is_measured(model, tmp_path, capsys):
    few = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3)).astype("uint8")
    split = np.array(["train"] * 20 + ["validation"] * 10 + ["test"] * 10)
    np.savez(tmp_path / "few.npz", images=few, split=split)
    said = []
    for parts in ("likelihood", "likelihood,reconstruction"):
        assert evaluate(model, f"--dataset=npz:{tmp_path / 'few.npz'}", f"--parts={parts}") == 0
        said.append(capsys.readouterr().out)
    assert "reported on" not in "".join(said)


def test_a_directory_in_use_is_refused(model, capsys):
    (model / "evaluation").mkdir()
    with runs.locked(model / "evaluation"):
        assert evaluate(model, "--parts=likelihood") == 1
    said = capsys.readouterr().err
    assert "another process is using" in said
    assert said.endswith("give another --output\n")


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="masks is empty"):
        Evaluation("m", masks=",")
    assert Evaluation("m", parts="seam, likelihood,seam").chosen == ("seam", "likelihood")
