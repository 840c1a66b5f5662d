"""One command for the whole paper: its plan, that it goes on where it was, and all of it, small."""

import json
import os
import time
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
from commanding import load_once

from csi_tf import checkpoints, files, loading, training
from csi_tf import learner as learners
from csi_tf.config import Config, OptimiserConfig, RunConfig
from csi_tf.errors import RunFailed, Stopped
from csi_tf.evaluation import evaluate
from csi_tf.evaluation.parts import latents
from csi_tf.evaluation.report import Report
from csi_tf.evaluation.settings import PARTS
from csi_tf.evaluation.subject import PartRefused
from csi_tf.figures import paper
from csi_tf.reproduce import plan, run
from csi_tf.reproduce.claims import CLAIMS
from csi_tf.reproduce.evidence import Of
from run import main

IMAGES = 60_000


def asked(only=None, **optimiser):
    return Config(RunConfig("reproduce", only=only), optimiser=OptimiserConfig(**optimiser))


def jobs(config=None, images=IMAGES):
    config = config or asked(train_steps=20_000, latent_warmup_steps=6000)
    return {job.name: job for job in plan.plan(config, images)}


def in_all(job):
    """Images seen by both stages."""
    return job.images_before + job.images


# The plan


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.key)
def test_what_a_claim_compares_is_trained_on_equally_many_images(claim):
    found = jobs()
    for check in claim.checks:
        sides = [side for side in (check.first, check.second) if isinstance(side, Of)]
        models = {side.model.removesuffix("_clamped") for side in sides}
        assert len({in_all(found[model]) for model in models}) == 1, models


def test_one_stage_sees_what_both_stages_see():
    found = jobs()
    whole = 20_000 * 64
    assert found["info_vae"].images == found["csi"].images == whole
    for name in ("csi", "noreverse", "one_stage", "nolatents"):
        assert in_all(found[name]) == 2 * whole
    assert found["one_stage"].config.optimiser.train_steps == 40_000


def test_epochs_count_where_no_steps_are_asked_for():
    found = jobs(asked(epochs=2, batch_size=50), images=1000)
    assert found["info_vae"].images == 2000
    assert found["nolatents"].images == 4000


def test_training_reaches_the_steps_of_the_plan():
    """training.train stops at the epochs as well."""
    for job in jobs(asked(epochs=3, batch_size=64), images=1000).values():
        optimiser = job.config.optimiser
        assert optimiser.train_steps <= optimiser.epochs * (1000 // 64)
        assert job.images == optimiser.train_steps * 64


def test_small_variants_have_a_budget_of_their_own():
    found = jobs(asked(train_steps=20_000, latent_warmup_steps=2000))
    small = {name: job for name, job in found.items() if name.startswith("small_")}
    assert {job.images for job in small.values()} == {plan.SMALL_IMAGES}
    for name, job in small.items():  # a tenth of that, too
        warm = 0 if name.endswith("_cold") else 312
        assert job.config.optimiser.latent_warmup_steps == warm, name
    short = jobs(asked(train_steps=10))
    assert short["small_vae"].images == short["info_vae"].images == 640


def test_warm_up_is_as_long_in_one_stage():
    assert (
        jobs(asked(train_steps=100, latent_warmup_steps=10))[
            "one_stage"
        ].config.optimiser.latent_warmup_steps
        == 10
    )


@pytest.mark.parametrize(
    ("name", "than", "settings"),
    [
        ("vae_3x5", "info_vae", {"objective", "receptive_field"}),
        ("beta_tcvae_3x5", "vae_3x5", {"objective", "beta"}),
        ("info_beta_tcvae", "beta_tcvae_3x5", {"objective"}),
        ("noreverse", "csi", {"reverse"}),
        ("nolatents", "one_stage", {"latents"}),
        ("small_published_rectangle", "small_csi", {"mask"}),
        ("small_beta_tcvae_3x5_published", "small_beta_tcvae_3x5", {"estimator"}),
        ("small_beta_tcvae_3x5_exact", "small_beta_tcvae_3x5", {"field_mode"}),
        ("small_vae", "small_vae_3x5", {"receptive_field"}),
        ("small_mmd_1e5", "small_mmd_2e6", {"mmd_weight"}),
        ("small_vae_cold", "small_vae_3x5_cold", {"receptive_field"}),
        ("small_beta_tcvae_3x5_cold", "small_beta_tcvae_3x5", {"latent_warmup_steps"}),
        ("small_zeros", "small_info_vae", {"hole_fill"}),
        ("small_full_image", "small_info_vae", {"full_image_encoder"}),
    ],
)
def test_models_differ_in_what_they_are_compared_for(name, than, settings):
    found = jobs(asked(latent_warmup_steps=50))
    assert {*found[name].config.changes(found[than].config)} == settings


def test_what_is_needed_comes_first():
    names = [*jobs()]
    assert len(names) == len({*names}) == len(plan.MODELS)
    for job in jobs().values():
        assert job.needs is None or names.index(job.needs) < names.index(job.name)


def test_only_brings_what_it_starts_from():
    assert [*jobs(asked("small_csi, one_stage"))] == ["one_stage", "small_info_vae", "small_csi"]


def test_models_are_trained_without_a_warm_up_apart_only_where_others_have_one():
    cold = {name for name in jobs() if name.endswith("_cold")}
    assert "small_vae_cold" in cold
    assert {*jobs()} - {*jobs(asked())} == cold
    assert [*jobs(asked("small_vae_cold"))] == ["small_vae_cold"]


@pytest.mark.parametrize("only", ["cis", "", ","])
def test_only_names_models(only):
    with pytest.raises(ValueError, match="choose from info_vae, csi, one_stage"):
        jobs(asked(only))


@pytest.mark.parametrize(
    "setting",
    [{"objective": "vae"}, {"reverse": False}, {"mask": "eyes"}, {"estimator": "published"}],
    ids=str,
)
def test_what_models_differ_in_cannot_be_asked_for(setting):
    (name,) = setting
    with pytest.raises(ValueError, match=f"differ in {name}"):
        jobs(plan.changed(asked(), setting))


def test_models_have_the_weight_in_their_name_or_that_asked_for():
    named = {"small_mmd_1e5": 1e5, "small_mmd_5e5": 5e5, "small_mmd_2e6": 2e6, "small_mmd_5e6": 5e6}
    for name, job in jobs(plan.changed(asked(), {"mmd_weight": 2e5})).items():
        assert job.config.objective.mmd_weight == named.get(name, 2e5)
    assert jobs()["info_vae"].config.objective.mmd_weight == 2e6  # the paper's, if none is


def test_a_run_that_was_trained_can_be_gone_on_with():
    """Neither --only nor where the command was begun may stand in the way."""
    one, all_ = jobs(asked("csi", train_steps=10))["csi"], jobs(asked(train_steps=20))["csi"]
    assert all_.config.differences(one.config) == []


# The command, with stand-ins for what takes long


CHECK_MEASURING = run._check_measuring


class StandIns:
    def __init__(self, monkeypatch):
        self.trained, self.evaluated, self.drawn = [], [], []
        self.fails, self.refuses, self.stops, self.undrawn = set(), {}, None, set()
        monkeypatch.setattr(training, "train", self.train)
        monkeypatch.setattr(evaluate, "run", self.evaluate)
        monkeypatch.setattr(paper, "run", self.draw)
        monkeypatch.setattr(run, "_seconds_per_image", lambda job, images: 0.5)
        monkeypatch.setattr(run, "_check_measuring", lambda config: None)
        # Nothing is trained that could be freed, and to look for it among all of TensorFlow's
        # objects takes half a second a model.
        monkeypatch.setattr(run, "gc", SimpleNamespace(collect=lambda: None))

    def train(self, config, stage, directory, stage1=None):
        self.trained.append((directory.name, stage, stage1 and stage1.parent.name))
        if directory.name in self.fails:
            raise RunFailed("step 3 is not finite")
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / "model.safetensors"
        if not path.exists():
            path.write_text(str(config.optimiser.train_steps))
        return path

    def evaluate(self, settings, directory, cache):
        name = f"{directory.parent.name}/{directory.name}"
        self.evaluated.append((name, settings))
        if self.stops == name:
            raise KeyboardInterrupt
        about = {"sha256": files.digest(Path(settings.model)), "settings": asdict(settings)}
        report = Report(about, [])
        directory.mkdir(parents=True, exist_ok=True)
        parts = settings.parts.split(",")
        if (refused := self.refuses.get(name)) in parts:  # before anything is measured
            raise PartRefused(refused, f"no {refused} of such data")
        report.done += parts
        report.write(directory)
        return report

    def draw(self, settings, directory):
        self.drawn.append(settings)
        directory.mkdir(exist_ok=True)
        for number in settings.numbers:
            if number in self.undrawn:
                raise KeyboardInterrupt
            (directory / f"figure{number}.npz").touch()


@pytest.fixture
def standins(monkeypatch):
    return StandIns(monkeypatch)


def small(only="csi,one_stage,vae_3x5"):
    config = tiny.config("stage1")
    return replace(config, run=RunConfig("reproduce", only=only))


def test_trains_measures_draws_and_judges(tmp_path, standins, capsys):
    run.run(small(), tmp_path)
    assert standins.trained == [
        ("info_vae", "stage1", None),
        ("csi", "stage2", "info_vae"),
        ("one_stage", "one_stage", None),
        ("vae_3x5", "stage1", None),
    ]
    evaluated = dict(standins.evaluated)
    assert [*evaluated] == [
        "info_vae/evaluation",
        "info_vae/evaluation_clamped",
        "csi/evaluation",
        "one_stage/evaluation",
        "vae_3x5/evaluation",
    ]
    assert evaluated["vae_3x5/evaluation"].parts == "likelihood,latents,reconstruction"
    assert evaluated["info_vae/evaluation_clamped"].clamped
    assert "baselines" in evaluated["csi/evaluation"].parts
    assert len(standins.drawn) == 1
    found = json.loads((tmp_path / "claims.json").read_text())
    assert [claim["key"] for claim in found["claims"]] == [claim.key for claim in CLAIMS]
    assert (tmp_path / "results.md").exists()
    said = capsys.readouterr().out
    assert "Training takes about 80 s" in said  # of 32 + 32 + 64 + 32 images
    assert "not measured" in said


def test_the_command_in_the_ledger_asks_for_what_was_trained(tmp_path, standins):
    preset = plan.changed(small(), {"mmd_weight": 2e5, "mmd_prior_draws": 7})
    run.run(preset, tmp_path)
    asked = json.loads((tmp_path / "claims.json").read_text())["about"]["command"]
    assert "--mmd_prior_draws=7" in asked
    assert "--mmd_weight=200000" in asked


def test_again_it_does_only_what_is_new(tmp_path, standins, capsys):
    run.run(small(), tmp_path)
    capsys.readouterr()
    run.run(small(), tmp_path)
    said = capsys.readouterr().out
    assert "Trained before: 4 of 4 models" in said
    assert "drawn before" in said
    assert len(standins.drawn) == 1
    run.run(small("csi,one_stage,vae_3x5,noreverse"), tmp_path)
    said = capsys.readouterr().out
    assert "Training takes about 16 s" in said
    assert [each.figure for each in standins.drawn] == ["3,4,6,7,8", "5b"]


def test_figures_are_drawn_anew_when_latents_have_other_names(tmp_path, standins):
    """Those of the full model and of its stage one, which has the same latents."""
    run.run(small("csi,vae_3x5,beta_tcvae_3x5"), tmp_path)
    names = tmp_path / "models" / "csi" / "evaluation" / "latents.json"
    names.write_text("[]")
    later = time.time() + 60
    os.utime(names, (later, later))
    run.run(small("csi,vae_3x5,beta_tcvae_3x5"), tmp_path)
    assert [each.figure for each in standins.drawn] == ["3,4,5a,6,7"] * 2
    for figure in (tmp_path / "figures").iterdir():
        os.utime(figure, (later + 1, later + 1))
    run.run(small("csi,vae_3x5,beta_tcvae_3x5"), tmp_path)
    assert len(standins.drawn) == 2


def test_figures_are_gone_on_with(tmp_path, standins, capsys):
    standins.undrawn = {"6", "7", "8"}
    with pytest.raises(Stopped):
        run.run(small("csi"), tmp_path)
    standins.undrawn = set()
    run.run(small("csi"), tmp_path)
    assert [each.figure for each in standins.drawn] == ["3,4,6,7", "6,7"]
    assert "figure 5b: not drawn, it needs noreverse" in capsys.readouterr().out


def test_what_cannot_be_measured_is_not_trained(tmp_path, standins, monkeypatch):
    monkeypatch.setattr(run, "_check_measuring", CHECK_MEASURING)
    images = np.random.default_rng(0).integers(0, 256, (30, 16, 16, 3)).astype("uint8")
    np.savez(tmp_path / "few.npz", images=images)
    config = plan.changed(small(), {"dataset": f"npz:{tmp_path / 'few.npz'}", "limit": None})
    with pytest.raises(ValueError, match="holds out 6 images, too few"):
        run.run(config, tmp_path / "run")
    assert not standins.trained


def test_a_model_that_was_trained_further_is_measured_anew(tmp_path, standins):
    run.run(small("vae_3x5"), tmp_path)
    run.run(small("vae_3x5"), tmp_path)
    assert not standins.evaluated[-1][1].overwrite
    (tmp_path / "models/vae_3x5/model.safetensors").write_text("more steps")
    run.run(small("vae_3x5"), tmp_path)
    assert standins.evaluated[-1][1].overwrite


def test_so_many_images_are_measured_as_are_asked_for(tmp_path, standins):
    few = plan.changed(small("vae_3x5"), {"test_images": 48})
    run.run(few, tmp_path)
    (_, settings) = standins.evaluated[-1]
    assert (settings.images, settings.control_images) == (48, 12)
    run.run(few, tmp_path)
    assert not standins.evaluated[-1][1].overwrite
    # Others than before are measured anew, and what was is no evidence beside them.
    run.run(plan.changed(few, {"test_images": 20}), tmp_path)
    (_, settings) = standins.evaluated[-1]
    assert (settings.images, settings.control_images, settings.overwrite) == (20, 10, True)
    with pytest.raises(ValueError, match="test_images"):
        replace(few.run, test_images=9)


def test_claims_are_of_all_models_there_are(tmp_path, standins):
    run.run(small("csi"), tmp_path)
    run.run(small("small_vae"), tmp_path)
    found = json.loads((tmp_path / "claims.json").read_text())["about"]["models"]
    assert [*found] == ["info_vae", "info_vae_clamped", "csi", "small_vae"]
    (tmp_path / "models/csi/model.safetensors").write_text("more steps")
    run.run(small("small_vae"), tmp_path)
    assert "csi" not in json.loads((tmp_path / "claims.json").read_text())["about"]["models"]


def test_another_length_is_refused_before_anything_is_trained(tmp_path, standins):
    """More steps would change a stage one that a stage two was begun from."""
    config = small("csi")
    run.run(config, tmp_path)
    checkpoint = {"config": jobs(config, images=64)["info_vae"].config.to_json()}
    checkpoints.save(tmp_path / "models" / "info_vae" / "checkpoints", 4, {}, checkpoint, 2, 1.0)
    before = len(standins.trained)
    run.run(config, tmp_path)
    assert len(standins.trained) > before
    longer = plan.changed(config, {"train_steps": 2 * config.optimiser.train_steps})
    with pytest.raises(ValueError, match=r"another length \(info_vae of \d+ steps and not \d+\)"):
        run.run(longer, tmp_path)
    assert len(standins.trained) == 2 * before


def test_what_is_left_to_train_is_counted_from_the_checkpoints(tmp_path):
    job = jobs(asked("info_vae", train_steps=100))["info_vae"]
    this = run.Reproduction(tmp_path, job.config)
    assert this.images_left(job) == 6400
    for step in (25, 75):
        checkpoints.save(this.place("info_vae") / "checkpoints", step, {}, {}, metric=1.5)
    assert this.images_left(job) == 25 * 64


def test_a_model_that_fails_keeps_only_those_that_start_from_it(tmp_path, standins):
    standins.fails = {"info_vae"}
    with pytest.raises(RunFailed, match=r"2 models were not trained.*info_vae: step 3"):
        run.run(small(), tmp_path)
    assert [name for name, *_ in standins.trained] == ["info_vae", "one_stage", "vae_3x5"]
    assert {name for name, _ in standins.evaluated} == {
        "one_stage/evaluation",
        "vae_3x5/evaluation",
    }
    assert (tmp_path / "claims.json").exists()


def test_a_part_that_the_data_does_not_allow_is_left_out(tmp_path, standins, capsys):
    standins.refuses = {"csi/evaluation": "control"}
    run.run(small("csi"), tmp_path)
    assert "csi: control is left out: no control of such data" in capsys.readouterr().out
    done = Report.read(tmp_path / "models/csi/evaluation").done
    assert done == [part for part in PARTS if part not in ("reconstruction", "control")]


def test_stopped_while_measuring_it_goes_on(tmp_path, standins):
    standins.stops = "csi/evaluation"
    with pytest.raises(Stopped, match=r"stopped after training 4 of 4 models") as stopped:
        run.run(small(), tmp_path)
    assert stopped.value.exit_code == 130
    standins.stops = None
    run.run(small(), tmp_path)
    assert (tmp_path / "claims.json").exists()


def test_without_the_models_of_a_figure_none_is_drawn(tmp_path, standins):
    run.run(small("small_vae"), tmp_path)
    assert standins.drawn == []


def test_precision_is_chosen_once(tmp_path, standins, monkeypatch):
    seen = []
    monkeypatch.setattr(run.learners, "fastest_precision", lambda: "mixed_bfloat16")
    monkeypatch.setattr(
        training, "train", lambda config, *_: seen.append(config.optimiser.precision)
    )
    monkeypatch.setattr(run, "_evaluate_all", lambda this: None)
    config = plan.changed(small(), {"precision": "auto"})
    run.run(config, tmp_path)
    assert seen == ["mixed_bfloat16"] * 4


# All of it


def test_every_kind_of_job_can_be_timed(monkeypatch, eagerly):
    kinds = {run._kind(job): job for job in jobs(plan.smoke(small(None)), images=64).values()}
    assert {stage for stage, *_ in kinds} == {"stage1", "stage2", "one_stage"}
    job = next(job for job in kinds.values() if job.stage == "stage2")
    make, clock = learners.make, SimpleNamespace(now=0.0)

    def slow(*settings):
        """A minute for the first step, which compiles, and a second for each other."""
        made = make(*settings)
        step = made.step

        def timed(*batch):
            clock.now += 1 if clock.now else 60
            return step(*batch)

        made.step = timed
        return made

    monkeypatch.setattr(learners, "make", slow)
    monkeypatch.setattr(run, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    images = np.zeros((64, 16, 16, 3), np.uint8)
    assert run._seconds_per_image(job, images) == 1 / job.config.optimiser.batch_size


def command(directory):
    return main(["run.py", "--mode=reproduce", "--smoke", f"--run_dir={directory}"])


@pytest.mark.timeout(1500)  # eight models, measured and drawn
def test_smoke(tmp_path, monkeypatch, capsys, eagerly):
    """From nothing to claims; then again, with everything there."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(run, "TIMED_STEPS", 1)
    monkeypatch.setattr(loading, "load", load_once)
    monkeypatch.setattr(latents, "PARTS", 3)  # intervals of DCI take most of what measuring takes
    assert command(tmp_path) == 0, capsys.readouterr().err[-3000:]
    for number in ("3", "4", "5a", "5b", "5c", "6", "7", "8"):
        assert (tmp_path / f"figures/figure{number}.png").exists(), number
    found = json.loads((tmp_path / "claims.json").read_text())
    assert found["about"]["toy_size"]
    assert {*found["about"]["models"]} >= {"csi", "one_stage", "info_vae_clamped", "nolatents"}
    checks = [check for claim in found["claims"] for check in claim["checks"]]
    measured = [check for check in checks if check["first"] is not None]
    assert len(measured) >= 15
    # What is not measured is of models that --smoke leaves out, of masks that it leaves out, or
    # asks for a classifier, latents or as many images as toy models do not have.
    of_latents = ("control/additivity", "control/one_sided", "control/*/effect")
    allowed = ("is missing", "proxy_kid", "latents/mig", *of_latents)
    for check in checks:
        if check["first"] is None:
            assert any(words in check["reason"] for words in allowed), check["reason"]
    page = (tmp_path / "results.md").read_text()
    assert str(tmp_path) not in page
    assert "numbers mean nothing" in page

    capsys.readouterr()
    assert command(tmp_path) == 0, capsys.readouterr().err[-3000:]
    said = capsys.readouterr().out
    assert "Trained before: 8 of 8 models" in said
    assert "drawn before" in said
    assert "not measured" in said
    assert json.loads((tmp_path / "claims.json").read_text())["claims"] == found["claims"]
