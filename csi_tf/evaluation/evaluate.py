"""--mode=evaluate: everything that is measured of one model, part after part.

evaluation.json is written after each part, so an evaluation that was stopped goes on where it was.
"""

from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from csi_tf import files, latents, logs, provenance, whole
from csi_tf.errors import Stopped, said_by_us
from csi_tf.evaluation import report as reports
from csi_tf.evaluation import subject as subjects
from csi_tf.evaluation.report import Report
from csi_tf.evaluation.settings import Evaluation
from csi_tf.evaluation.subject import PartRefused, Subject

TABLE = "evaluation.md"
# Of the settings, those that do not change what is measured.
_FREE = {"model", "mode", "output", "overwrite", "parts", "data_dir", "batch"}


def run(settings: Evaluation, directory: Path, cache: Path | None = None) -> Report:
    """`cache` is where several evaluations on the same images share what takes long to fit."""
    subject = subjects.open_subject(settings)
    subject.cache = cache
    names = subjects.parts(settings, subject)
    for mask in settings.mask_names:
        if subject.context_mask(mask, 1).all():
            raise ValueError(f"mask {mask} hides nothing that could be measured: leave it out")
    if subject.stage == "stage1" and settings.chosen is None and not settings.clamped:
        logs.say("a model of stage one: nothing of holes is measured, unless with --clamped")
    report = _begun(settings, directory, _about(settings, subject))
    try:
        for name in names:
            try:
                _measure(name, subject, report, directory)
            except PartRefused as refused:
                if settings.chosen is not None:  # then it was asked for
                    raise
                logs.say(f"{name} is left out: {refused}")
    except KeyboardInterrupt as stop:
        if not report.done:
            raise
        raise Stopped.by(stop, f"measuring {', '.join(report.done)}") from None
    files.write(directory / TABLE, page(report).encode())
    logs.say(f"Numbers: {directory / reports.FILE}; as a table: {directory / TABLE}")
    if "control" in report.done:
        found = directory / latents.FILE
        in_use = latents.file_of(subject.path) == found
        hint = "in use from now on" if in_use else f"to use it, copy it next to {subject.path}"
        logs.say(f"Names of latents: {found}; {hint}")
    return report


def _measure(name: str, subject: Subject, report: Report, directory: Path) -> None:
    if name in report.done:
        logs.say(f"{name}: measured before")
        return
    logs.say(f"{name} ...")
    try:
        import_module(f"csi_tf.evaluation.parts.{name}").measure(subject, report)
    except ValueError as error:
        if not said_by_us(error):
            raise
        report.drop([name])
        raise PartRefused(name, str(error)) from error
    report.done.append(name)
    if (commit := provenance.commit()) != report.about.get("commit"):
        report.about.setdefault("other_commits", {})[name] = commit
    if name == "control":
        latents.write(directory / latents.FILE, subject.entries)
    report.write(directory)


def _about(settings: Evaluation, subject: Subject) -> dict[str, Any]:
    return {
        "model": str(settings.model),
        "sha256": files.digest(subject.path),
        **({"whole_sha256": _fit(subject)} if settings.z == "whole" else {}),
        "stage": subject.stage,
        "images_seen": subject.info.get("images_seen", 0),
        "images_seen_in_all": subject.images_seen,
        "config": asdict(provenance.portable(subject.config)),
        "dataset": provenance.dataset(subject.dataset),
        "settings": {k: v for k, v in asdict(settings).items() if k not in _FREE},
        "command": provenance.command(settings),
        **provenance.about(),
    }


def _fit(subject: Subject) -> str:
    return files.digest(subject.path.parent / whole.FILE)


def _begun(settings: Evaluation, directory: Path, about: dict[str, Any]) -> Report:
    """What was measured before of the same model in the same way; else nothing.

    With --overwrite it goes, or the parts of it that are named do.
    """
    if not (directory / reports.FILE).exists() or (settings.overwrite and not settings.chosen):
        return Report(about)
    report = Report.read(directory)
    other = _other(report, about)
    if settings.overwrite:
        if other:
            return Report(about)
        report.drop(settings.chosen or ())
    elif other:
        raise ValueError(f"{directory} holds {other} give another --output, or --overwrite")
    return report


def _other(report: Report, about: dict[str, Any]) -> str:
    """Why the report cannot be gone on with."""
    if report.about.get("sha256") != about["sha256"]:
        return "the evaluation of another model:"
    if report.about.get("whole_sha256") != about.get("whole_sha256"):
        return f"an evaluation with another {whole.FILE}, or without:"
    before = report.about.get("settings", {})
    for name, value in about["settings"].items():
        old = before.get(name, getattr(Evaluation, name))  # the default where it was no setting yet
        if old != value:
            return f"an evaluation with {name}={old} and not {value}: repeat that,"
    return ""


def page(report: Report) -> str:
    about = report.about
    others = about.get("other_commits", {})
    trained = f"{about['images_seen_in_all']:,} images seen in training"
    lines = [
        f"# Evaluation of {about['model']}",
        "",
        f"A model of {about['stage']}, {trained}; measured on held-out images of"
        f" {about['dataset']}. Intervals are 95%, over images.",
        "",
        f"    {about['command']}",
        "",
        f"Version {about['version']}, commit {about['commit'] or 'unknown'}, seed"
        f" {about['settings']['seed']}, {about['machine']}.",
        *(f"{part}: commit {commit or 'unknown'}." for part, commit in others.items()),
        report.table(),
        *_latents(about.get("latents", [])),
        *(
            f"Not read under `{hole}`, so not judged there: {', '.join(names)}.\n"
            for hole, names in about.get("unread", {}).items()
            if names
        ),
    ]
    return "\n".join(lines)


def _latents(found: list[dict[str, Any]]) -> list[str]:
    """Of each latent that `control` measured or ranked, a row; the dead ones are counted."""
    if not found:
        return []
    alive = [each for each in found if not each["dead"]]
    lines = [
        "## control, latent by latent",
        "",
        f"Of {len(found)} axes and directions {len(found) - len(alive)} are dead: they move nothing"
        " that is measured.",
        "",
    ]
    if not alive:
        return lines
    if "correlation" in alive[0]:
        lines += [
            "`correlation` is between a latent's value and its factor; `next` is that of the factor"
            " which follows next best, and `margin` the distance. `effect` is over the interval, in"
            " standard deviations of the data, and `outside` how far the factor moves that strays"
            " most, as a part of it.",
            "",
        ]
    heads = [key for key in alive[0] if key not in ("dead", "dimension")]
    rows = [heads, ["---"] * len(heads), *([_told(each[key]) for key in heads] for each in alive)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def _told(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, list):
        return " to ".join(map(_told, value))
    return value if isinstance(value, str) else reports.said(value)
