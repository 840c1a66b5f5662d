"""Numbers of README, model cards and docs, from the evaluations of the models that come along, the
reproductions in docs/ledger and the files of weights: python docs/make_results.py

They stand between <!-- NAME --> and <!-- end of NAME -->, and a test keeps them true.
"""

import json
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

REPOSITORY = Path(__file__).parent.parent
SHIPPED = REPOSITORY / "csi_tf" / "shipped"
LEDGER = REPOSITORY / "docs" / "ledger"
NAMES = ("procedural_faces", "celeba32")
BOXES = ("mouth", "eyes", "nose", "center", "bottom_half", "rectangle")
SIDES = ("top", "left", "right", "bottom")

# What README says of each model: words -> key of the evaluation
RESULTS = {
    "bits/dim of the hole `mouth`, averaged over z": "likelihood/mouth/averaged",
    "of `center`": "likelihood/center/averaged",
    "of `bottom_half`": "likelihood/bottom_half/averaged",
    "lost in `center` with another picture's z, bits/dim": "likelihood/center/bits_of_z",
    "seam at the top of holes, without truncation (1 is none)": "seam/none/top",
    **{f"at the {side}": f"seam/none/{side}" for side in SIDES[1:]},
}

# What another way to draw z may change: words -> key of the completions and of the baseline, {} is
# a box
WHOLE = {
    "KID of single completions": (
        "pictures/{}/proxy_kid",
        "baselines/linear_gaussian/{}/proxy_kid",
    ),
    "the same without truncation": (
        "truncation/none/proxy_kid",
        "baselines/linear_gaussian/{}/proxy_kid",
    ),
    "PSNR of single completions, dB": (
        "pictures/{}/psnr_mean",
        "baselines/linear_gaussian/{}/psnr_mean",
    ),
    "PSNR of the mean of 16, dB": (
        "pictures/{}/psnr_mean_picture",
        "baselines/linear_gaussian_mean/{}/psnr_mean_picture",
    ),
    "difference between completions, levels": (
        "pictures/{}/diversity",
        "baselines/linear_gaussian/{}/diversity",
    ),
    "the same in the features of KID": (
        "pictures/{}/proxy_diversity",
        "baselines/linear_gaussian/{}/proxy_diversity",
    ),
}

# What else fills a `center`, and what is measured of it
METHODS = {
    "csi-tf": ("likelihood/center/averaged", "pictures/center"),
    "linear-Gaussian conditional": (
        "baselines/linear_gaussian/center/bits_per_dim",
        "baselines/linear_gaussian/center",
    ),
    "its mean": (None, "baselines/linear_gaussian_mean/center"),
    "nearest training face": (None, "baselines/nearest_face/center"),
    "biharmonic": (None, "baselines/biharmonic/center"),
    "mean of training faces": (None, "baselines/mean_fill/center"),
}
MEASURES = ("psnr_first", "psnr_mean_picture", "ssim_first", "proxy_kid")

CARD = {
    **{f"likelihood/{box}/averaged": f"bits/dim of the hole `{box}`, over z" for box in BOXES},
    **{
        f"likelihood/{box}/bits_of_z": "bits/dim lost there with another picture's z"
        for box in BOXES
    },
    **{
        f"pictures/{box}/psnr_mean_picture": f"dB, PSNR of the mean of all completions, `{box}`"
        for box in BOXES
    },
    **{
        f"baselines/linear_gaussian_mean/{box}/psnr_mean_picture": "the same of the"
        " linear-Gaussian conditional's mean"
        for box in BOXES
    },
    **{
        f"baselines/linear_gaussian/{box}/bits_per_dim": f"bits/dim of `{box}` under the"
        " linear-Gaussian conditional"
        for box in BOXES
    },
    "truncation/1/proxy_kid": "KID on features of a small classifier, all holes, truncation 1",
    "truncation/none/proxy_kid": "the same without truncation",
    "calibration/coverage": "how often a true value lies among the completions' values",
    "calibration/nominal": "how often it would were they of its distribution",
    **{f"seam/none/{side}": f"seam at the {side} of holes, without truncation" for side in SIDES},
    "control/axes/count": "axes of z that steer a factor",
    "control/axes/factors": "different factors that they steer",
    "control/axes/local_factors": "of these, such as belong to a part of the face",
    "control/mouth/correlation": "how well the best axes follow their factors under `mouth`",
    "control/eyes/correlation": "the same under `eyes`",
    "control/additivity": "whether axes moved together do what they do alone",
}


# Aims, set before anything was trained, but for FOLLOWS and CLEARLY (docs/results.md says why)
OWN_Z, ENTRIES, LOCAL, LATENTS, FOLLOWS, CLEARLY = 0.05, 6, 3, 5, 0.7, 0.1
PARTS = {"smile", "mouth_opening", "eye_opening", "gaze", "brow_angle", "nose_length", "glasses"}
MOUTH = {"Smiling", "Mouth_Slightly_Open"}
LIGHT = {"Pale_Skin", "Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"}
SEAM = (0.9, 1.1)
MISSED = "**missed**"
BASELINES = ("linear_gaussian", "linear_gaussian_mean", "nearest_face", "biharmonic", "mean_fill")


def pages() -> dict[Path, str]:
    """README, cards and results with their numbers as the evaluations have them."""
    from csi_tf.evaluation.report import Report

    found = {name: Report.read(SHIPPED / name / "stage2" / "evaluation") for name in NAMES}
    readme = REPOSITORY / "README.md"
    made = {readme: _put(readme.read_text(), "results", _results(found))}
    made[readme] = _put(made[readme], "methods", _methods(found["celeba32"]))
    results = REPOSITORY / "docs" / "results.md"
    made[results] = _put(results.read_text(), "aims", _aims(found))
    made[results] = _put(made[results], "ledger", _ledger())
    made[results] = _put(made[results], "whole", _whole(found))
    notes = REPOSITORY / "docs" / "training_notes.md"
    made[notes] = _put(notes.read_text(), "runs", _runs())
    for name, report in found.items():
        card = SHIPPED / name / "README.md"
        made[card] = _put(card.read_text(), "evaluation", _card(report))
    return made


def _put(text: str, name: str, lines: Iterator[str]) -> str:
    between = re.compile(f"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    if len(between.findall(text)) != 1:
        raise ValueError(f"there must be one <!-- {name} --> with its end")
    body = "\n".join(lines) + "\n"
    return between.sub(lambda marks: marks[1] + body + marks[2], text)


def _results(reports: Any) -> Iterator[str]:
    yield "| measure | " + " | ".join(NAMES) + " |"
    yield "|---" * (len(NAMES) + 1) + "|"
    for words, key in RESULTS.items():
        yield "| " + " | ".join([words, *(_cell(reports[name], key) for name in NAMES)]) + " |"


def _whole(reports: Any) -> Iterator[str]:
    """z as of whole pictures against the posterior's: means over boxes, pictures paired."""
    from csi_tf.evaluation import bootstrap
    from csi_tf.reproduce.tables import said, spoken

    boxes = BOXES[:-1]

    def rows(report: Any, key: str) -> Any:
        if "{}" not in key:  # of all masks of an evaluation, of the posterior's with `rectangle`
            return report.rows(key) if report.about["settings"].get("z") == "whole" else None
        return sum(report.rows(key.format(box)) for box in boxes) / len(boxes)

    def cell(a: Any, b: Any = 0.0) -> str:
        if a is None or b is None:
            return "-"
        found = bootstrap.interval(a - b)
        return spoken(found.estimate, found.low, found.high)

    heads = ["mean of 5 boxes", "posterior", "whole", "whole less posterior"]
    heads += ["linear Gaussian", "whole less linear Gaussian"]
    for name in NAMES:
        place = LEDGER / f"{name}_long" / "models" / "csi"
        ours, posterior = _of_shipped(name, place / "evaluation_whole"), reports[name]
        about = ours.about
        for setting in ("images", "num_samples", "seed"):
            assert about["settings"][setting] == posterior.about["settings"][setting], setting
        commits = sorted({about["commit"], *about.get("other_commits", {}).values()})
        made = f"commit {' and '.join(commits)}, {about['machine']}"
        yield f"**{name}**: `{about['command']}`, {made}."
        yield ""
        yield "| " + " | ".join(heads) + " |"
        yield "|---" * len(heads) + "|"
        for words, (key, baseline) in WHOLE.items():
            of_posterior, of_whole = rows(posterior, key), rows(ours, key)
            theirs = rows(posterior, baseline)
            cells = [cell(of_posterior), cell(of_whole), cell(of_whole, of_posterior)]
            cells += [said(float(theirs.mean())), cell(of_whole, theirs)]
            yield "| " + " | ".join([words, *cells]) + " |"
        yield ""


def _methods(report: Any) -> Iterator[str]:
    samples = report.about["settings"]["num_samples"]
    heads = ["`center` of celeba32", "bits/dim", "PSNR, dB", f"PSNR of the mean of {samples}"]
    yield "| " + " | ".join([*heads, "SSIM", "KID (ours)"]) + " |"
    yield "|---" * (len(heads) + 2) + "|"
    for name, (bits, key) in METHODS.items():
        cells = [_cell(report, bits), *(_cell(report, f"{key}/{each}") for each in MEASURES)]
        yield "| " + " | ".join([name, *cells]) + " |"


def _card(report: Any) -> Iterator[str]:
    about = report.about
    yield f"    {about['command']}"
    yield ""
    yield f"at commit {about['commit']}, seed {about['settings']['seed']}, {about['machine']}."
    others = about.get("other_commits", {})
    for commit in dict.fromkeys(others.values()):
        parts = ", ".join(f"`{part}`" for part, at in others.items() if at == commit)
        yield f"With the same settings at commit {commit}: {parts}."
    yield ""
    yield "| measure | what | value (95% interval) |"
    yield "|---|---|---|"
    for key, words in CARD.items():
        if key in report.measures:
            yield f"| `{key}` | {words} | {_cell(report, key)} |"


def _aims(reports: Any) -> Iterator[str]:
    yield "| aim | " + " | ".join(NAMES) + " | tried for what is not met |"
    yield "|---" * (len(NAMES) + 2) + "|"
    for words, (judge, tried) in AIMS.items():
        cells = [judge(name, report) for name, report in reports.items()]
        met = all(cell == "-" or cell.startswith("met") for cell in cells)
        note = "-" if met else f"[notes](training_notes.md#{tried})"
        yield "| " + " | ".join([words, *cells, note]) + " |"


def _ledger() -> Iterator[str]:
    """As --mode=ledger writes it, a chapter of this page."""
    from csi_tf.reproduce import ledger

    records = [record for name in NAMES for record in _records(name)]
    yield re.sub("^#", "##", ledger.page(records), flags=re.M)


def _runs() -> Iterator[str]:
    """What the files of all weights that are kept say of how they came to be."""
    from csi_tf import checkpoints, logs
    from csi_tf.loading import MODEL_FILE

    heads = ["weights", "stage", "images (with those before)", "precision", "seed"]
    yield "| " + " | ".join([*heads, "commit", "machine", "minutes"]) + " |"
    yield "|---" * (len(heads) + 3) + "|"
    for path in [path for root in (SHIPPED, LEDGER) for path in sorted(root.rglob(MODEL_FILE))]:
        info = checkpoints.read(path)[1]
        config = json.loads(info["config"])
        seen, before = info["images_seen"], info["images_before"]
        cells = [
            f"`{path.parent.relative_to(REPOSITORY)}`",
            info["stage"],
            f"{seen:,}" + (f" ({seen + before:,})" if before else ""),
            config["optimiser"]["precision"],
            config["run"]["seed"],
            info["commit"],
            info["machine"],
            _minutes([line["time"] for line in logs.read_metrics(path.parent)]),
        ]
        yield "| " + " | ".join(map(str, cells)) + " |"


def _minutes(times: list[float]) -> str:
    """Of a log, without the gaps that ten times the median one fits into: there it had stopped."""
    gaps = [b - a for a, b in pairwise(times)]
    longest = 10 * median(gaps)
    return f"{sum(gap for gap in gaps if gap < longest) / 60:.0f}"


def _records(name: str) -> list[dict[str, Any]]:
    """Of NAME at every length, such as NAME_short; the longest training first."""
    from csi_tf.reproduce import ledger

    paths = sorted(LEDGER.glob(f"{name}*/{ledger.RECORD}"))
    records = [ledger.read(path) for path in paths]
    return sorted(records, key=lambda each: -max(each["about"]["models"].values()))


def _of_shipped(name: str, place: Path, stage: str = "stage2") -> Any:
    """An evaluation in the ledger of a model that comes along: of that very file."""
    from csi_tf import files
    from csi_tf.evaluation.report import Report
    from csi_tf.loading import MODEL_FILE

    found = Report.read(place)
    if found.about["sha256"] != files.digest(SHIPPED / name / stage / MODEL_FILE):
        raise ValueError(f"{place} is of another model than that of {SHIPPED / name / stage}")
    return found


def _own_z(name: str, report: Any) -> str:
    """By an evaluation, kept in the ledger, of the stage one that comes along."""
    place = LEDGER / f"{name}_long" / "models" / "info_vae"
    stage_one = _of_shipped(name, place / "evaluation", "stage1")
    worth = stage_one.measures["likelihood/whole/bits_of_z"]
    return _verdict(worth.estimate >= OWN_Z, _cell(stage_one, "likelihood/whole/bits_of_z"))


def _entries(name: str, report: Any) -> str:
    """By the evaluation that comes along; under small holes by one of more pictures and values."""
    if report.about["dataset"] != "procedural_faces":
        return "-"
    place = LEDGER / f"{name}_long" / "models" / "csi" / "evaluation_control"
    small = _of_shipped(name, place).about
    (everywhere, axes), (inside, axes_inside) = map(_steered, (report.about, small))
    holes = small["settings"]["masks"].replace(",", ", ")
    pictures = small["settings"]["control_images"]
    said = (
        f"{len(everywhere)}, plain axes {len(axes)}; under {holes} ({pictures} pictures)"
        f" {len(inside)}, plain axes {len(axes_inside)}; parts of the face among these:"
        f" {', '.join(sorted(inside & PARTS))}"
    )
    return _verdict(len(everywhere) >= ENTRIES and len(inside & PARTS) >= LOCAL, said)


def _steered(about: dict[str, Any]) -> tuple[set[str], set[str]]:
    """Factors that entries steer alone; those that plain axes do."""
    steering = [each for each in about["latents"] if each.get("steers")]
    axes = {each["factor"] for each in steering if each["kind"] == "axis"}
    return {each["factor"] for each in steering}, axes


def _attributes(name: str, report: Any) -> str:
    """To be seen, an attribute need not move alone, but further than any that is unrelated."""
    if report.about["dataset"] == "procedural_faces":
        return "-"
    alive = [each for each in report.about["latents"] if not each["dead"]]
    seen = [
        each
        for each in alive
        if abs(each["correlation"]) >= FOLLOWS and abs(each["correlation"]) > each["next"]
    ]
    axes = [each["factor"] for each in seen if each["kind"] == "axis"]
    alone = [each["factor"] for each in alive if each["steers"]]
    met = len(axes) >= LATENTS and all({*axes} & kind for kind in (MOUTH, LIGHT))
    said = (
        f"{len(axes)} axes: {', '.join(sorted({*axes}))}; {len(seen) - len(axes)} further"
        f" directions; alone {', '.join(sorted({*alone}))}"
    )
    return _verdict(met, said)


def _seams(name: str, report: Any) -> str:
    at = {
        cut: {side: report.measures[f"seam/{cut}/{side}"].estimate for side in SIDES}
        for cut in ("none", "1")
    }
    free, cut = (
        ", ".join(f"{side} {value:.2f}" for side, value in sides.items()) for sides in at.values()
    )
    met = all(SEAM[0] <= value <= SEAM[1] for value in at["none"].values())
    return _verdict(met, f"{free}; with truncation 1 {cut}; the edge alone {_edges(report)}")


def _edges(report: Any) -> str:
    """Without truncation, and not set against what lies further in."""
    from csi_tf.evaluation.seam import SIDES as ORDER

    edge, real = report.rows("seam/none/steps").sum(axis=0)[:, :2].T
    found = dict(zip(ORDER, edge / real, strict=True))
    return ", ".join(f"{side} {found[side]:.2f}" for side in SIDES)


def _against(
    ours: str,
    theirs: tuple[str, ...],
    better: str,
    truth: str = "",
    masks: tuple[str, ...] = BOXES[:-1],
) -> Any:
    """In every box; said as means over them. `truth` is what the true pictures have."""

    def judge(name: str, report: Any) -> str:
        own = [report.measures.get(ours.format(box)) for box in masks]
        other = [[report.measures.get(key.format(box)) for key in theirs] for box in masks]
        if None in own or any(None in each for each in other):
            return "-"
        best = max if better == "higher" else min
        a = [each.estimate for each in own]
        b = [best(one.estimate for one in each) for each in other]
        wins = [(x >= y) if better == "higher" else (x < y) for x, y in zip(a, b, strict=True)]
        lost = [box for box, won in zip(masks, wins, strict=True) if not won]
        said = f"{sum(a) / len(a):.3g} against {sum(b) / len(b):.3g}, mean of {len(masks)} boxes"
        if lost:
            apart = (_apart(report, ours, key, masks, better) for key in theirs)
            said += "; ".join(["", f"not in {', '.join(lost)}", *filter(None, apart)])
        if truth:
            real = report.measures[truth].estimate
            beaten = sum(real >= each for each in b)
            said += f"; true pictures have {real:.3g} and miss it in {beaten} boxes"
        return _verdict(not lost, said)

    return judge


def _apart(report: Any, ours: str, theirs: str, masks: tuple[str, ...], better: str) -> str:
    """How far behind, over all boxes together and with its interval; nothing where it is ahead."""
    from csi_tf.reproduce.evidence import Check, Of, weigh
    from csi_tf.reproduce.tables import spoken

    sides = Of("csi", ours, masks), Of("csi", theirs, masks)
    check = Check("", sides[0], ">" if better == "higher" else "<", sides[1])
    found = weigh(check, {"csi": report}).difference
    if found is None or (found.value >= 0) == (better == "higher"):
        return ""
    name = theirs.split("/")[1]
    return f"{name} apart by {spoken(found.value, found.low, found.high)}"


def _judged(claim: str, check: int, least: float = 0.0) -> Any:
    """By the ledger, whose models have seen equally many images; of the longest training."""

    def judge(name: str, report: Any) -> str:
        from csi_tf.reproduce.evidence import rule

        for record in _records(name):
            claims = {each["key"]: each for each in record["claims"]}
            found = claims[claim]["checks"][check]
            if found["verdict"] == "not measured":
                continue
            sides = [found[side] for side in ("first", "second")]
            a, b = (f"{side['value']:.3f} ({side['name']})" for side in sides)
            images = record["about"]["models"][sides[0]["name"]]
            said = f"{a} against {b}, {images:,} images each"
            verdict = rule(found["difference"]["low"], found["difference"]["high"], "<", -least)
            if verdict == "undecided":
                return f"undecided: {said}"
            return _verdict(verdict == "holds", said)
        return "not measured"

    return judge


def _verdict(met: bool, said: str) -> str:
    return f"{'met' if met else MISSED}: {said}"


# Aim -> how it is judged, and the chapter of docs/training_notes.md on it
AIMS = {
    f"own z saves {OWN_Z} bits/dim or more over a shuffled one, stage one": (_own_z, "in-short"),
    "stage one has fewer bits/dim than a PixelCNN without latents": (
        _judged("parts_pay", 0),
        "models-of-the-ledger",
    ),
    f"entries of `latents.json` steer {ENTRIES} factors or more, {LOCAL} parts of the face under"
    " holes at eyes, nose or mouth": (_entries, "small-parts-of-a-face"),
    f"{LATENTS} latents or more have a clear, named effect, among them smile or mouth, and skin,"
    " hair or light": (_attributes, "the-included-models-on-a-gpu"),
    f"seam without truncation from {SEAM[0]} to {SEAM[1]} on every side": (
        _seams,
        "why-the-lower-edge-shows",
    ),
    f"seam at right and bottom lower by {CLEARLY} or more than without reverse net": (
        _judged("seam", 3, CLEARLY),
        "why-the-lower-edge-shows",
    ),
    "bits/dim of large holes below those without latents": (
        _judged("parts_pay", 1),
        "models-of-the-ledger",
    ),
    "bits/dim of large holes below those without reverse net": (
        _judged("parts_pay", 2),
        "why-the-lower-edge-shows",
    ),
    "bits/dim of every box below the linear-Gaussian conditional's": (
        _against("likelihood/{}/averaged", ("baselines/linear_gaussian/{}/bits_per_dim",), "lower"),
        "the-included-models-on-a-gpu",
    ),
    "PSNR of the mean of 16 completions at least that conditional mean's": (
        _against(
            "pictures/{}/psnr_mean_picture",
            ("baselines/linear_gaussian_mean/{}/psnr_mean_picture",),
            "higher",
        ),
        "why-completions-of-a-picture-are-alike",
    ),
    "proxy-KID of single completions below every baseline's": (
        _against(
            "pictures/{}/proxy_kid",
            tuple(f"baselines/{name}/{{}}/proxy_kid" for name in BASELINES),
            "lower",
            truth="pictures/real/proxy_kid",
        ),
        "why-completions-of-a-picture-are-alike",
    ),
}


def _cell(report: Any, key: str | None) -> str:
    from csi_tf.reproduce.tables import spoken

    if key not in report.measures:
        return "-"
    found = report.measures[key]
    return spoken(found.estimate, found.low, found.high)


if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY))
    for path, text in pages().items():
        path.write_text(text)
