"""The ledger: each claim on numbers made up so that it must hold, must fail, or is open."""

import json
from dataclasses import asdict
from functools import cache

import numpy as np
import pytest

from csi_tf.config import Config, DataConfig, MaskConfig, RunConfig
from csi_tf.evaluation.report import Measure, Report
from csi_tf.reproduce import claims, evidence, ledger, plan
from csi_tf.reproduce.claims import ALL, CLAIMS
from csi_tf.reproduce.evidence import Check, Evidence, Fixed, Of
from csi_tf.reproduce.settings import Ledger

IMAGES = 40
WORTH, SPREAD = "likelihood/whole/bits_of_z", "latents/aggregate_std_mean"
PROBE, SEAM = "latents/mask_probe", "seam/none/steps"
# What one would measure if the paper were right in everything.
PAPER = {
    "csi": {
        "likelihood/{}/averaged": 3.0,
        "likelihood/{}/given_z": 3.1,
        "likelihood/{}/bits_of_reverse": 0.05,
        "likelihood/{}/bits_of_z": 0.5,
        "baselines/linear_gaussian/{}/bits_per_dim": 4.0,
        "pictures/{}/proxy_kid": 0.01,
        "pictures/{}/diversity": 12.0,
        "baselines/mean_fill/{}/proxy_kid": 0.5,
        "baselines/nearest_face/{}/proxy_kid": 0.2,
        SEAM: 1.0,
        "control/axes/factors": 6.0,
        "control/{}/effect": 1.5,
        "control/additivity": 0.95,
        "control/global/bottom_half/effect": 1.2,
        "control/global/bottom_quarter/effect": 0.2,
        "control/one_sided": 2.0,
        "wide_z/{}/diversity": 30.0,
        "wide_z/{}/corner_noise": 1.0,
        "truncation/1/proxy_kid": 0.01,
        "truncation/none/proxy_kid": 0.05,
        "truncation/1/psnr_mean": 22.0,
        "truncation/none/psnr_mean": 20.0,
        PROBE: 0.1,
    },
    "one_stage": {
        "likelihood/{}/bits_of_reverse": 0.3,
        "likelihood/{}/bits_of_z": 0.1,
        "control/{}/effect": 0.4,
        "wide_z/{}/diversity": 15.0,
        "wide_z/{}/corner_noise": 2.5,
        "wide_z/{}/corner_noise_inferred": 1.0,
        PROBE: 0.6,
    },
    "noreverse": {SEAM: 1.8, "likelihood/{}/averaged": 3.1},
    "nolatents": {
        "likelihood/{}/given_z": 3.5,
        "pictures/{}/proxy_kid": 0.02,
        "pictures/{}/diversity": 14.0,
    },
    "nolatents_stage1": {"likelihood/whole/bits_per_dim": 3.6},
    "info_vae_clamped": {SEAM: 2.0},
    "info_vae": {
        WORTH: 0.6,
        "likelihood/whole/importance": 3.4,
        "latents/dci_disentanglement": 0.3,
        "latents/mig": 0.05,
    },
    "vae_3x5": {WORTH: 0.5},
    "beta_tcvae_3x5": {
        WORTH: 0.05,
        "latents/dci_disentanglement": 0.5,
        "latents/mig": 0.2,
    },
    "info_beta_tcvae": {SPREAD: 0.1},
    "small_info_vae": {
        WORTH: 0.5,
        "likelihood/{}/given_z": 3.0,
        "likelihood/whole/importance": 3.1,
        PROBE: 0.1,
    },
    "small_csi": {"likelihood/{}/given_z": 3.0},
    "small_published_rectangle": {"likelihood/{}/given_z": 3.4},
    "small_vae": {WORTH: 0.02},
    "small_vae_3x5": {
        WORTH: 0.4,
        "reconstruction/sharpness": 1.0,
        "reconstruction/psnr_first": 22.0,
    },
    "small_vae_3x5_exact": {WORTH: 0.5},
    "small_info_vae_3x5": {SPREAD: 0.9},
    "small_beta_vae_3x5": {"reconstruction/sharpness": 0.6, "reconstruction/psnr_first": 19.0},
    "small_aae_3x5": {SPREAD: 1.0},
    "small_beta_tcvae_3x5": {WORTH: 0.05, "reconstruction/psnr_first": 21.0},
    "small_beta_tcvae_3x5_published": {WORTH: 0.05},
    "small_beta_tcvae_3x5_exact": {WORTH: 0.05},
    "small_info_beta_tcvae": {SPREAD: 0.2},
    "small_info_beta_tcvae_published": {SPREAD: 0.1},
    "small_vae_3x5_cold": {WORTH: 0.4},
    "small_beta_tcvae_3x5_cold": {WORTH: 0.05},
    "small_vae_cold": {WORTH: 0.02},
    "small_info_vae_cold": {WORTH: 0.5},
    "small_mmd_1e5": {
        "latents/dci_disentanglement": 0.2,
        "likelihood/whole/bits_per_dim": 3.0,
        "reconstruction/psnr_first": 22.0,
    },
    "small_mmd_2e6": {
        "latents/dci_disentanglement": 0.4,
        "likelihood/whole/bits_per_dim": 3.0,
        "reconstruction/psnr_first": 22.0,
    },
    "small_zeros": {"likelihood/{}/given_z": 3.3, PROBE: 0.5},
    "small_full_image": {"likelihood/{}/given_z": 3.5, "likelihood/whole/importance": 3.0},
}
COUNTS = ("control/axes/factors", "control/one_sided")
NO_ROWS = ("kid", "corner_noise", "aggregate", "dci", "mig", "additivity")
CHECKS = [
    pytest.param(claim, check, id=f"{claim.key}-{number}")
    for claim in CLAIMS
    for number, check in enumerate(claim.checks)
]


@cache
def measured(key, value, spread, seed=0):
    """As a part of the evaluation would report it; with a spread, of rows that vary by it."""
    noise = spread * np.random.default_rng(seed).normal(size=IMAGES)
    noise -= noise.mean()
    report = Report()
    if key in COUNTS:
        report.add_number(key, value)
    elif any(name in key for name in NO_ROWS):
        half = 2 * spread / np.sqrt(IMAGES)
        report.measures[key] = Measure(value, value - half, value + half)
    elif key == SEAM:
        steps = np.ones((IMAGES, 4, 4))
        steps[..., 0] = (value + noise)[:, None]
        report.add(key, steps, lambda rows: rows[..., 0].mean(), keep=True)
    elif key == PROBE:
        rows = np.stack([1 - value + noise, np.ones(IMAGES)], axis=1)
        report.add(key, rows, lambda rows: 1 - rows[:, 0].sum() / rows[:, 1].sum(), keep=True)
    else:
        report.add(key, value + noise, keep=True)
    return report.measures[key]


def world(changes=(), spread=0.0):
    """Reports of the paper's world with (model, key): value changed, and a spread for those."""
    changes = dict(changes)
    made = {}
    for model, values in PAPER.items():
        report = Report({"images_seen_in_all": 1000, "dataset": "faces", "settings": {"seed": 0}})
        for key, value in values.items():
            changed = (model, key) in changes
            for mask in ALL if "{}" in key else ("",):
                report.measures[key.format(mask)] = measured(
                    key, changes.get((model, key), value), spread if changed else 1e-3
                )
        made[model] = report
    return made


def around(check, distance):
    """A change after which first - second differs from the check's bound by so much."""
    if isinstance(check.second, Fixed):
        second = check.second.value
    else:
        second = PAPER[check.second.model][check.second.key] * check.second.times
    value = second + check.by + distance
    return {(check.first.model, check.first.key): value / check.first.times}


def verdict(claim, reports):
    return claims.judge(claim, reports).verdict


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.key)
def test_holds_where_the_paper_is_right(claim):
    assert verdict(claim, world()) == "holds"


@pytest.mark.parametrize(("claim", "check"), CHECKS)
def test_does_not_hold_where_one_number_is_on_the_other_side(claim, check):
    wrong = -1.5 if check.relation == ">" else 1.5
    found = verdict(claim, world(around(check, wrong), 1e-3))
    assert found == ("undecided" if check.premise else "does not hold")


@pytest.mark.parametrize(("claim", "check"), CHECKS)
def test_is_undecided_where_the_interval_reaches_both_sides(claim, check):
    reports = world(around(check, 0.0), 0.3)
    assert evidence.weigh(check, reports).verdict == "undecided"
    # Not "undecided" where another check of the claim asks more of the same number.
    assert verdict(claim, reports) != "holds"


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.key)
def test_models_that_saw_unequal_numbers_of_images_are_not_compared(claim):
    for check in claim.checks:
        if isinstance(check.second, Fixed) or check.first.model == check.second.model:
            continue
        reports = world()
        reports[check.first.model].about["images_seen_in_all"] = 999
        found = evidence.weigh(check, reports)
        assert found.verdict == "not measured"
        assert "999" in found.reason
        assert "1,000" in found.reason


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.key)
def test_a_missing_model_is_named_with_its_command(claim):
    for model in claim.models:
        reports = world()
        del reports[model]
        found = [evidence.weigh(check, reports) for check in claim.checks]
        (reason, *_) = [each.reason for each in found if each.verdict == "not measured"]
        name = model.removesuffix("_clamped")
        assert f"--mode=reproduce --only={name}" in reason
        assert name in plan.NAMES
        assert verdict(claim, reports) != "holds"


def test_nothing_is_measured_without_evaluations():
    assert {verdict(claim, {}) for claim in CLAIMS} == {"not measured"}


def test_what_was_not_measured_is_named():
    reports = world()
    del reports["csi"].measures["control/axes/factors"]
    check = _claim("steers").checks[0]
    found = evidence.weigh(check, reports)
    assert "the evaluation of csi has no control/axes/factors (part control)" in found.reason


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [
        ("seed", 1, "latents/mi"),
        ("posterior_draws", 1, "latents/mi"),
        ("masks", "mouth", "seam/none/steps"),
        ("control_values", 3, "control/axes/factors"),
    ],
)
def test_models_must_be_measured_alike(name, value, key):
    reports = {}
    for model in ("a", "b"):
        reports[model] = Report({"images_seen_in_all": 1, "settings": {}})
        for each in ("latents/mi", key):
            reports[model].add(each, np.arange(20.0), keep=True)
    checks = [Check("", Of("a", each), ">", Of("b", each)) for each in ("latents/mi", key)]
    assert not any(evidence.weigh(check, reports).reason for check in checks)
    # The same data may be named in one and not in the other, or by another path.
    reports["a"].about["settings"] = {"dataset": "npz:/mine/faces.npz"}
    assert not any(evidence.weigh(check, reports).reason for check in checks)
    reports["a"].about["settings"] = {name: value}
    assert f"different {name}" in evidence.weigh(checks[1], reports).reason
    # What does not depend on a setting is compared nevertheless.
    assert (checks[0] == checks[1]) == bool(evidence.weigh(checks[0], reports).reason)


def test_only_masks_that_both_were_measured_under_count():
    reports = world({("small_csi", "likelihood/{}/given_z"): 3.0})
    reports["small_csi"].measures["likelihood/mouth/given_z"] = measured("x", 99.0, 1e-3)
    del reports["small_published_rectangle"].measures["likelihood/mouth/given_z"]
    assert verdict(_claim("rectangles"), reports) == "holds"


def test_pairs_of_images_decide_what_apart_is_open():
    """Pictures differ by far more than the models: as they do in bits/dim."""
    rows = np.random.default_rng(0).normal(size=IMAGES)
    reports = {}
    for name, shift in (("a", 0.1), ("b", 0.0)):
        reports[name] = Report({"images_seen_in_all": 1})
        reports[name].add("x", rows + shift, keep=True)
    check = Check("", Of("a", "x"), ">", Of("b", "x"))
    assert evidence.weigh(check, reports).verdict == "holds"
    reports["b"].add("x", rows, keep=False)
    assert evidence.weigh(check, reports).verdict == "undecided"


def test_rows_of_something_else_than_a_mean_are_not_averaged():
    reports = {"a": Report()}
    reports["a"].add("x", np.arange(1.0, 21.0), np.max, keep=True)
    found = evidence.weigh(Check("", Of("a", "x"), ">", Fixed(15.0)), reports)
    assert found.first.value == 20
    assert found.verdict == "holds"


@pytest.mark.parametrize(
    ("count", "verdict"),
    [(0, "does not hold"), (2, "does not hold"), (3, "undecided"), (4, "undecided"), (5, "holds")],
)
def test_counts_are_decided_by_their_margin(count, verdict):
    check = _claim("steers").checks[0]
    reports = world({("csi", "control/axes/factors"): float(count)})
    assert evidence.weigh(check, reports).verdict == verdict


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_not_measured(value):
    reports = {"a": Report()}
    reports["a"].measures["x"] = Measure(value, value, value)
    check = Check("", Of("a", "x"), ">", Fixed(1.0))
    assert evidence.weigh(check, reports).verdict == "not measured"


def test_a_number_without_interval_decides_nothing():
    reports = {"a": Report()}
    reports["a"].add_number("x", 5.0)
    found = evidence.weigh(Check("", Of("a", "x"), ">", Fixed(1.0)), reports)
    assert "has no interval" in found.reason


@pytest.mark.parametrize(
    ("low", "high", "relation", "by", "verdict"),
    [
        (0.1, 0.2, ">", 0.0, "holds"),
        (-0.2, -0.1, ">", 0.0, "does not hold"),
        (-0.1, 0.1, ">", 0.0, "undecided"),
        (0.0, 0.2, ">", 0.0, "undecided"),
        (-0.2, -0.1, "<", 0.0, "holds"),
        (0.1, 0.2, "<", 0.0, "does not hold"),
        (-0.1, 0.02, "<", 0.03, "holds"),  # not worse by .03
        (0.01, 0.02, "<", 0.03, "holds"),
        (-0.1, -0.05, ">", -0.5, "holds"),
        (0.2, 0.3, ">", 0.5, "does not hold"),
    ],
)
def test_the_rule(low, high, relation, by, verdict):
    assert evidence.rule(low, high, relation, by) == verdict


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [
        (["holds", "holds"], "holds"),
        (["holds", "undecided"], "undecided"),
        (["holds", "not measured"], "undecided"),
        (["not measured", "not measured"], "not measured"),
        (["undecided", "does not hold"], "does not hold"),
    ],
)
def test_checks_of_a_claim_together(verdicts, whole):
    found = [Evidence("", "<", 0.0, verdict) for verdict in verdicts]
    assert evidence.together(found) == whole


@pytest.mark.parametrize(
    ("premise", "verdict", "whole"),
    [
        ("holds", "does not hold", "does not hold"),
        ("holds", "not measured", "not measured"),
        ("undecided", "does not hold", "undecided"),
        ("does not hold", "holds", "undecided"),
        ("not measured", "holds", "undecided"),
        ("not measured", "not measured", "not measured"),
    ],
)
def test_without_its_premise_a_claim_is_undecided(premise, verdict, whole):
    first = Evidence("", "<", 0.0, premise, premise=True)
    assert evidence.together([first, Evidence("", "<", 0.0, verdict)]) == whole


def test_where_there_is_no_noise_nothing_is_said_of_what_takes_it_away():
    silent = world({("one_stage", "wide_z/{}/corner_noise"): 1.2})
    assert verdict(_claim("noise_if_set"), silent) == "undecided"
    assert verdict(_claim("two_stages"), silent) == "does not hold"  # there noise is claimed


def test_of_latents_that_no_model_uses_none_is_neglected():
    unused = world({("vae_3x5", WORTH): 0.004, ("beta_tcvae_3x5", WORTH): 0.001})
    assert verdict(_claim("tc_ignores"), unused) == "undecided"
    page = ledger.page([recorded(unused)])
    assert "| premise: bits/dim lost with another picture's z |" in page


def _claim(key):
    return next(claim for claim in CLAIMS if claim.key == key)


def recorded(reports, dataset="procedural_faces", **run):
    config = Config(
        RunConfig("reproduce", seed=3, **run),
        DataConfig(dataset),
        MaskConfig(),
    )
    about = {"version": "1", "commit": "abc", "machine": "Linux, 2 cores"}
    judged = [claims.judge(claim, reports) for claim in CLAIMS]
    return ledger.record(reports, judged, ledger.asked(config) | about)


def test_page_of_two_data_sets(tmp_path):
    broken = world({("csi", SEAM): 1.5}, 1e-3)
    del broken["small_zeros"]
    ours, theirs = tmp_path / "a.json", tmp_path / "b.json"
    ours.write_text(json.dumps(recorded(world())))
    theirs.write_text(json.dumps(recorded(broken, "npz:/home/me/data/celeba.npz")))
    ledger.run(Ledger(f"{ours},{theirs}"), tmp_path)
    page = (tmp_path / "results.md").read_text()
    assert "/home/me" not in page
    assert "--dataset=npz:celeba.npz" in page
    assert "not over training seeds" in page
    summary = [line for line in page.splitlines() if line.startswith("| [")]
    assert len(summary) == len(CLAIMS)
    verdicts = {line.split("(#")[1].split(")")[0]: line.split("|")[3:5] for line in summary}
    assert [cell.strip() for cell in verdicts["seam"]] == ["**holds**", "**does not hold**"]
    assert [cell.strip() for cell in verdicts["noise_fill"]] == ["**holds**", "not measured"]
    for claim in CLAIMS:
        assert f"\n### {claim.key}\n" in page
        assert claim.statement in page
    assert "small_zeros is missing" in page
    assert "1,000 by csi, one_stage" in page
    # A table is one only if all its rows have as many cells.
    for block in page.split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1, block


def test_what_was_not_measured_is_said_once_and_takes_no_rows():
    some = world()
    del some["small_zeros"]
    page = ledger.page([recorded(world()), recorded(some, "celeb_a"), recorded(some, "tfds:a")])
    (said,) = [line for line in page.splitlines() if "small_zeros is missing" in line]
    assert said.startswith("- Not measured with celeb_a; tfds:a: ")
    part = page.split("### noise_fill")[1].split("### ")[0]
    assert "| procedural_faces |" in part
    assert "| celeb_a |" not in part
    page = ledger.page([recorded(some)])
    part = page.split("### noise_fill")[1].split("### ")[0]
    assert "not measured" in part
    assert "|" not in part


def test_page_says_where_it_is_toy_size():
    assert "numbers mean nothing" in ledger.page([recorded(world(), smoke=True)])
    assert "numbers mean nothing" not in ledger.page([recorded(world())])


def test_two_reproductions_of_the_same_data_are_told_apart():
    page = ledger.page([recorded(world()), recorded(world())])
    assert "| procedural_faces, 1 | procedural_faces, 2 |" in page
    longer = world()
    for report in longer.values():
        report.about["images_seen_in_all"] *= 3
    page = ledger.page([recorded(world()), recorded(longer)])
    assert "| procedural_faces, 1,000 images | procedural_faces, 3,000 images |" in page


def test_fewer_images_stand_beside_the_verdict():
    longer = world()
    for name, report in longer.items():
        report.about["images_seen_in_all"] *= 1 if name.startswith("small_") else 2
    page = ledger.page([recorded(longer)])
    assert "| A.1 | **holds** (1,000 images) |" in page
    assert "| 5.1, Figure 3 | **holds** |" in page


def test_models_that_were_trained_one_by_one(tmp_path):
    """Judged as if one reproduction had trained them, and the page says how each was trained."""
    alike = json.loads(json.dumps(recorded(world())))
    places = []
    models = {model.name: model for model in plan.MODELS}
    for name, report in world().items():
        model = models[name.removesuffix("_clamped")]
        run = RunConfig(model.stage, seed=3)
        config = Config(run, DataConfig("npz:/home/me/a.npz"), MaskConfig())
        config = plan.changed(config, model.changes)
        report.about |= {
            "config": asdict(config), "version": "1", "commit": "abc", "machine": "Linux",
            "stage": model.stage,
            "dataset": "npz:/home/me/a.npz",
        }  # fmt: skip
        report.about["settings"]["clamped"] = name.endswith("_clamped")
        if name == "csi":
            report.about["other_commits"] = {"seam": "def"}
        (tmp_path / name).mkdir()
        report.write(tmp_path / name)
        places.append(f"{name}={tmp_path / name}")
    ledger.run(Ledger(evaluations=",".join(places)), tmp_path)
    found = ledger.read(tmp_path / "claims.json")
    assert found["claims"] == alike["claims"]
    assert found["tables"] == alike["tables"]
    about = found["about"]
    assert about["dataset"] == "npz:a.npz"
    assert about["seed"] == "3"
    assert {*about["commit"].split(", ")} == {"abc", "def"}  # of whole evaluations and of a part
    page = (tmp_path / "results.md").read_text()
    assert "--mode=stage2 --run_dir=DIR --seed=3 --dataset=npz:a.npz  # csi\n" in page

    with pytest.raises(ValueError, match="--clamped says otherwise"):
        ledger.run(Ledger(evaluations=f"info_vae_clamped={tmp_path / 'csi'}"), tmp_path)
    for name, other, why in [
        ("csi", "noreverse", "reverse"),
        ("noreverse", "csi", "reverse"),
        ("csi", "one_stage", "stage"),
        ("small_mmd_1e5", "small_mmd_2e6", "mmd_weight"),
    ]:
        with pytest.raises(ValueError, match=f"is no evaluation of {name}: its {why} says"):
            ledger.run(Ledger(evaluations=f"{name}={tmp_path / other}"), tmp_path)
    report = world()["csi"]
    report.about["settings"] |= {"clamped": False, "z": "whole"}
    report.write(tmp_path / "csi")
    with pytest.raises(ValueError, match="with --z=whole, which the paper's claims are not about"):
        ledger.run(Ledger(evaluations=f"csi={tmp_path / 'csi'}"), tmp_path)
    with pytest.raises(OSError, match=r"cannot read .*nowhere"):
        ledger.run(Ledger(evaluations=f"csi={tmp_path / 'nowhere'}"), tmp_path)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "either claims or evaluations"),
        ({"claims": "a.json", "evaluations": "csi=b"}, "either claims or evaluations"),
        ({"claims": ","}, "one file claims.json or more"),
        ({"evaluations": "csi=a,b"}, "NAME=DIRECTORY"),
        ({"evaluations": "csi=a,csi=b"}, "each name once"),
        ({"evaluations": "csi=a,mine=b"}, "no model 'mine'; choose from .*info_vae_clamped"),
    ],
)
def test_what_the_ledger_is_asked(asked, message):
    with pytest.raises(ValueError, match=message):
        Ledger(**asked)


def test_methods_stand_side_by_side():
    found = recorded(world())["tables"]
    methods = [table for table in found if table["title"].startswith("Methods")]
    assert len(methods) == 3
    for table in methods:
        rows = {row[0]: row for row in table["rows"]}
        assert rows["csi"][1].startswith("3 ")  # averaged over draws of z
        assert rows["linear_gaussian"][1].startswith("4 ")
        assert rows["mean_fill"][4].startswith("0.5")
        assert rows["mean_fill"][1] == "-"


def test_what_was_measured_otherwise_does_not_stand_beside_it():
    reports = world()
    for key in ("psnr_mean_picture", "psnr_first"):
        for model in ("csi", "noreverse"):
            for mask in ALL:
                reports[model].measures[f"pictures/{mask}/{key}"] = measured(key, 20.0, 0.1)
    reports["csi"].about["settings"]["num_samples"] = 16
    reports["noreverse"].about["settings"]["num_samples"] = 8
    del reports["noreverse"].measures["likelihood/nose/averaged"]
    small, large = recorded(reports)["tables"][:2]
    own, other = ({row[0]: row for row in table["rows"]}["noreverse"] for table in (small, large))
    assert own[1] == "-"  # of two holes of three
    assert other[1].startswith("3.1 ")
    assert own[2].startswith("20 ")
    assert own[3] == other[3] == "-"  # a mean of fewer completions
    assert {row[0]: row for row in small["rows"]}["csi"][3].startswith("20 ")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 0}'])
def test_a_file_of_something_else_is_refused(tmp_path, text):
    path = tmp_path / "claims.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"is no claims\.json of this version"):
        ledger.write([path], tmp_path / "page.md")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(OSError, match=r"cannot read .*nowhere\.json"):
        ledger.write([tmp_path / "nowhere.json"], tmp_path / "page.md")


def test_needs_no_tensorflow():
    """The page is written from files."""
    import subprocess
    import sys

    code = "import sys, csi_tf.reproduce.ledger; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
