"""claims.json, which holds what a reproduction found, and the page that is written from several.

--mode=ledger --claims=A.json,B.json --output=DIR writes DIR/results.md. With
--evaluations=csi=DIR,info_vae=DIR it judges models that were trained and measured one by one, and
writes DIR/claims.json too. It needs the files only.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, replace
from itertools import chain
from pathlib import Path
from typing import Any

from csi_tf import files, provenance
from csi_tf.config import Config
from csi_tf.evaluation.report import Report, said
from csi_tf.reproduce.claims import CLAIMS, Judged, judge
from csi_tf.reproduce.evidence import Reports
from csi_tf.reproduce.plan import MODELS, unlike
from csi_tf.reproduce.settings import Ledger
from csi_tf.reproduce.tables import spoken, tables
from csi_tf.settings import as_flag

RECORD, PAGE = "claims.json", "results.md"
FORMAT = 1

_INTRODUCTION = """\
# What holds of the paper's claims

Written by the program from what it measured: `--mode=reproduce` trains such models, measures and
judges them, `--mode=ledger` judges evaluations that were made one by one.

For each claim: what the paper says in our words, the numbers that decide it, and a verdict. A check
**holds** if the 95% interval of the difference lies wholly on the side that is claimed, it **does
not hold** if it lies wholly on the other, and it is **undecided** otherwise. This rule and most
bounds were fixed in code before anything was trained; csi_tf/reproduce/claims.py lists at its top
which checks were changed or added after models had been measured. A claim with several checks holds
if all of them do, one that does not hold decides, and with one that is undecided or not measured
the claim is undecided, as it is where it has a premise that is not known to hold. Models that are
compared have seen equally many images in training; where these are fewer than others of the same
reproduction saw, their number stands beside the verdict.

Intervals are over test images, not over training seeds: each model was trained once, and another
seed may give other numbers. Numbers in parentheses are the ends of the interval. proxy-KID is on
features of a small classifier of our own; it cannot be compared with other KIDs. Seams are of
samples without truncation, which by itself raises them. A mutual information (MI) that is as high
as it can be estimated says that there is at least so much, and the rest of it is counted as total
correlation (TC). Factors are called local if they do not take up both halves of the picture.
Readers that judge control learn from the first 8,000 training images; baselines from all that the
model saw. What is lost with another picture's z is no measure of what z says: a wrong z misleads.
Evaluations of before commit d86aed8 have baselines of 8,000 images, count attributes that go
together one by one, and pick the latent of Figure 7 under both of its holes. Those of commit
d08ebcd and before have intervals of MIG, SAP and DCI that are an eighth too narrow (1.96 where
Student's t is 2.26).

Columns of the last tables. *Sharpness*: differences of neighbouring pixels in reconstructions, as
parts of the true picture's. *Read*: how much of what can be read of a picture is still read of its
reconstruction; 1 is all, and 0 as little as guessing. *Mask in z*: R^2 with which z tells where the
hole lies. *MMD*: what exceeds that of draws from the prior. *Correlation*, *effect* (in standard
deviations of the data) and *outside* (how far the factor moves that strays most, as a part of the
one that is meant): means over the strongest axes of each hole. *One-sided*: steering latents of
which half the range does nothing, or the opposite.
"""


def record(reports: Reports, judged: Sequence[Judged], about: dict[str, Any]) -> dict[str, Any]:
    """What the page needs to know of one reproduction."""
    return {
        "format": FORMAT,
        "about": {
            **about,
            "models": {
                name: each.about.get("images_seen_in_all") for name, each in reports.items()
            },
        },
        "claims": [
            {
                "key": each.claim.key,
                "statement": each.claim.statement,
                "where": each.claim.where,
                "verdict": each.verdict,
                "checks": [asdict(evidence) for evidence in each.evidence],
            }
            for each in judged
        ],
        "tables": tables(reports),
    }


def asked(config: Config) -> dict[str, Any]:
    """How a reproduction was begun; paths on this machine left out."""
    return {
        "dataset": _placeless(config.data.dataset),
        "seed": config.run.seed,
        "toy_size": config.run.smoke,
        "command": command(config),
    }


def judged_by_evaluations(settings: Ledger) -> dict[str, Any]:
    """The record of models that were trained one by one."""
    reports = {name: _read_evaluation(name, Path(at)) for name, at in settings.named.items()}
    configs = {name: _config(each) for name, each in reports.items()}
    datasets = {_placeless(each.about["dataset"]) for each in reports.values()}
    if len(datasets) > 1:
        raise ValueError(f"evaluations must be of one data set, not of {', '.join(datasets)}")
    about = {
        "dataset": datasets.pop(),
        "seed": _said_once(config.run.seed for config in configs.values()),
        "toy_size": False,
        "command": provenance.command(replace(settings, output=None)),
        **{
            name: _said_once(each.about[name] for each in reports.values())
            for name in ("version", "machine")
        },
        "commit": _said_once(chain.from_iterable(map(_commits, reports.values()))),
        "trained_by": {name: command(config) for name, config in configs.items()},
    }
    return record(reports, [judge(claim, reports) for claim in CLAIMS], about)


def _commits(report: Report) -> list[Any]:
    """Of the evaluation, and of parts that were measured at another."""
    return [report.about["commit"], *report.about.get("other_commits", {}).values()]


def _read_evaluation(name: str, directory: Path) -> Report:
    with files.explained(f"cannot read {directory}"):
        report = Report.read(directory)
    settings = report.about["settings"]
    if settings["clamped"] != name.endswith("_clamped"):
        raise ValueError(f"{directory} is no evaluation of {name}: its --clamped says otherwise")
    if settings.get("z", "posterior") != "posterior":
        raise ValueError(
            f"{directory} is of completions with --z={settings['z']}, which the paper's claims are"
            " not about: evaluate the model without it"
        )
    model = next(each for each in MODELS if each.name == name.removesuffix("_clamped"))
    other = unlike(_config(report), model.changes)
    # Without latents, two stages do what one does.
    if report.about["stage"] not in (model.stage, "stage2" if name == "nolatents" else None):
        other = "stage"
    if other:
        raise ValueError(f"{directory} is no evaluation of {name}: its {other} says otherwise")
    return report


def _config(report: Report) -> Config:
    return Config.from_json(json.dumps(report.about["config"]))


def _said_once(values: Iterable[Any]) -> str:
    return ", ".join(dict.fromkeys(map(str, values)))


def command(config: Config) -> str:
    """That a training is asked for by: every setting that is not the default."""
    words = [f"python run.py --mode={config.run.mode} --run_dir=DIR"]
    for group in fields(config):
        values = getattr(config, group.name)
        for each in fields(values):
            value = getattr(values, each.name)
            if each.name in ("mode", "run_dir", "preset") or value == each.default:
                continue
            if isinstance(value, bool):
                words.append(f"--{'' if value else 'no'}{each.name}")
            else:
                words.append(f"--{each.name}={_placeless(as_flag(value))}")
    return " ".join(words)


def save(found: dict[str, Any], directory: Path) -> None:
    """claims.json and results.md of one reproduction."""
    files.write(directory / RECORD, (json.dumps(found, indent=1) + "\n").encode())
    files.write(directory / PAGE, page([found]).encode())


def run(settings: Ledger, directory: Path) -> None:
    """--mode=ledger"""
    if settings.claims is None:
        save(judged_by_evaluations(settings), directory)
    else:
        write([Path(name) for name in settings.files], directory / PAGE)
    print(f"Results: {directory / PAGE}")


def write(claims: Sequence[Path], output: Path) -> None:
    files.write(output, page([read(path) for path in claims]).encode())


def page(found: Sequence[dict[str, Any]]) -> str:
    """Markdown of one reproduction or of several, on other data say."""
    labels = _labels(found)
    parts = [_INTRODUCTION, *_summary(found, labels)]
    for claim in found[0]["claims"]:
        parts += _claim(claim["key"], found, labels)
    for each, label in zip(found, labels, strict=True):
        parts += _tables(each, label)
    parts += _reproductions(found, labels)
    return "\n".join(parts).rstrip() + "\n"


def read(path: Path) -> dict[str, Any]:
    with files.explained(f"cannot read {path}"):
        text = path.read_text("utf-8")
    try:
        found = json.loads(text)
        if found["format"] == FORMAT:
            return dict(found)
    except (ValueError, TypeError, KeyError):
        pass
    raise ValueError(
        f"{path} is no {RECORD} of this version: run --mode=reproduce again in its directory"
    )


def _labels(found: Sequence[dict[str, Any]]) -> list[str]:
    """The data set; where it does not tell them apart how long was trained, or a number."""
    names = [each["about"]["dataset"] for each in found]
    most = [max(filter(None, each["about"]["models"].values()), default=0) for each in found]
    longer = [f"{name}, {count:,} images" for name, count in zip(names, most, strict=True)]
    numbered = [f"{name}, {number}" for number, name in enumerate(names, 1)]
    return next(each for each in (names, longer, numbered) if len({*each}) == len(each))


def _reproductions(found: Sequence[dict[str, Any]], labels: Sequence[str]) -> list[str]:
    lines = ["## What was trained", ""]
    for each, label in zip(found, labels, strict=True):
        about = each["about"]
        warning = " At toy size, to try the program out: its numbers mean nothing."
        lines += [
            f"**{label}**: seed {about['seed']}; measured by version {about['version']}, commit"
            f" {about['commit'] or 'unknown'}, {about['machine']}."
            + (warning if about["toy_size"] else ""),
            "",
            f"    {about['command']}",
            "",
            *_trained_by(about.get("trained_by", {})),
            "Images seen in training, both stages together: "
            + ", ".join(f"{count:,} {names}" for count, names in _by_count(about["models"]))
            + ".",
            "",
        ]
    return lines


def _trained_by(commands: dict[str, str]) -> list[str]:
    lines = [f"    {command}  # {name}" for name, command in commands.items()]
    return ["of models trained by", "", *lines, ""] if lines else []


def _by_count(models: dict[str, int | None]) -> list[tuple[int, str]]:
    counts = sorted({count or 0 for count in models.values()}, reverse=True)
    return [
        (count, "by " + ", ".join(name for name, own in models.items() if (own or 0) == count))
        for count in counts
    ]


def _summary(found: Sequence[dict[str, Any]], labels: Sequence[str]) -> list[str]:
    lines = ["## Verdicts", "", *_head(["claim", "in the paper", *labels])]
    verdicts = [
        {claim["key"]: _verdict(claim, each["about"]["models"]) for claim in each["claims"]}
        for each in found
    ]
    for claim in found[0]["claims"]:
        own = [each.get(claim["key"], "not measured") for each in verdicts]
        link = f"[{claim['statement']}](#{claim['key']})"
        lines.append(_line([link, claim["where"], *own]))
    return [*lines, ""]


def _verdict(claim: dict[str, Any], images: dict[str, int | None]) -> str:
    """With the number of images that its models saw, if others of the reproduction saw more."""
    sides = [check[side] for check in claim["checks"] for side in ("first", "second")]
    own = [images.get(side["name"]) or 0 for side in sides if side is not None]
    fewer = 0 < max(own, default=0) < max(count or 0 for count in images.values())
    return _loud(claim["verdict"]) + (f" ({max(own):,} images)" if fewer else "")


def _claim(key: str, found: Sequence[dict[str, Any]], labels: Sequence[str]) -> list[str]:
    own = [next((claim for claim in each["claims"] if claim["key"] == key), None) for each in found]
    first = own[0]
    assert first is not None
    verdicts = [
        f"{label}: {_loud(claim['verdict'])}"
        for label, claim in zip(labels, own, strict=True)
        if claim is not None
    ]
    statement = f"{first['statement']} ({first['where']})"
    lines = [f"### {key}", "", statement, "", "; ".join(verdicts) + ".", ""]
    rows: list[str] = []
    reasons: dict[str, list[str]] = {}
    for label, claim in zip(labels, own, strict=True):
        if claim is None:
            continue
        for check in claim["checks"]:
            what, verdict = check["statistic"], _loud(check["verdict"])
            if check.get("premise"):
                what = f"premise: {what}"
            if masks := check.get("masks"):
                what += f"; mean of {', '.join(masks)}" if len(masks) > 1 else f"; {masks[0]}"
            if claim["verdict"] != "not measured":  # of which there is nothing to show
                rows.append(_line([what, label, *_cells(check), verdict]))
            if check["reason"] and label not in reasons.setdefault(check["reason"], []):
                reasons[check["reason"]].append(label)
    if rows:
        heads = ["measured", "data", "one", "claimed", "other", "difference", "verdict"]
        lines += [*_head(heads), *rows, ""]
    told = [f"- Not measured with {'; '.join(where)}: {why}." for why, where in reasons.items()]
    return [*lines, *told, *([""] if told else [])]


def _cells(check: dict[str, Any]) -> list[str]:
    relation = {">": "above", "<": "below"}[check["relation"]]
    if check["by"]:
        sign = "+" if check["by"] > 0 else "-"
        relation += f" ({sign} {said(abs(check['by']))})"
    if check["first"] is None:
        return ["-", relation, "-", "-"]
    first, second = (f"{check[side]['name']}: {_span(check[side])}" for side in ("first", "second"))
    return [first, relation, second, _span(check["difference"])]


def _span(number: dict[str, Any]) -> str:
    return spoken(number["value"], number["low"], number["high"])


def _tables(found: dict[str, Any], label: str) -> list[str]:
    lines = []
    for table in found["tables"]:
        lines += [f"## {table['title']} ({label})", "", *_head(table["columns"])]
        lines += [*map(_line, table["rows"]), ""]
    return lines


def _head(columns: Sequence[str]) -> list[str]:
    return [_line(columns), "|" + "---|" * len(columns)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def _loud(verdict: str) -> str:
    return verdict if verdict == "not measured" else f"**{verdict}**"


def _placeless(text: str) -> str:
    """Without the folders of this machine."""
    return re.sub(r"(^|:)[^:,]*/", r"\1", text)
