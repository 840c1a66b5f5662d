"""--mode=reproduce: from nothing to the paper's models, measures, figures and claims.

What is done is kept and skipped, whatever stopped it: each training goes on from its checkpoint,
each evaluation from its last part.
"""

import gc
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from csi_tf import (
    checkpoints,
    data,
    files,
    latents,
    loading,
    logs,
    provenance,
    runs,
    training,
    workers,
)
from csi_tf import learner as learners
from csi_tf.config import Config
from csi_tf.errors import RunFailed, Stopped
from csi_tf.evaluation import evaluate, regressors
from csi_tf.evaluation import report as reports
from csi_tf.evaluation.report import Report, said
from csi_tf.evaluation.settings import PARTS, Evaluation
from csi_tf.evaluation.subject import PartRefused, held_out
from csi_tf.figures import paper
from csi_tf.figures.settings import Figures
from csi_tf.loading import MODEL_FILE
from csi_tf.reproduce import claims, ledger
from csi_tf.reproduce.evidence import Evidence, Verdict
from csi_tf.reproduce.plan import NAMES, Job, plan, smoke
from csi_tf.settings import FEWEST

# What the claims ask of each; completions of variants are not looked at any closer.
_HOLES = ("likelihood", "pictures", "seam")
_STAGE_ONE = ("likelihood", "latents", "reconstruction")
_PARTS = {
    "csi": tuple(name for name in PARTS if name != "reconstruction"),
    "one_stage": (*_HOLES, "latents", "control", "wide_z"),
    "nolatents_stage1": ("likelihood",),
    "small_csi": ("likelihood",),
    "small_published_rectangle": ("likelihood",),
}
_SMOKE: dict[str, Any] = {
    "images": FEWEST, "control_images": 18, "num_samples": 2, "posterior_draws": 2,
    "encoded_images": 64, "control_values": 3, "train_images": 600, "masks": "center",
    "batch": 16,  # as of figures: a model that is opened once is compiled once
}  # fmt: skip
TIMED_STEPS, TIMED_SECONDS = 5, 10.0


@dataclass
class Reproduction:
    directory: Path
    config: Config
    jobs: tuple[Job, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)

    def place(self, name: str) -> Path:
        return self.directory / "models" / name

    def model(self, name: str) -> Path:
        return self.place(name) / MODEL_FILE

    def images_left(self, job: Job) -> int:
        """By the step that its newest checkpoint has in its name."""
        newest = checkpoints.latest(self.place(job.name) / "checkpoints")
        if newest is None:
            return 0 if self.model(job.name).exists() else job.images
        step = int(newest.name.split("-")[1].removesuffix(checkpoints.SUFFIX))
        return max(job.images - step * job.config.optimiser.batch_size, 0)


def run(config: Config, directory: Path) -> None:
    if workers.task() is not None:
        raise ValueError("mode reproduce runs in one process: unset TF_CONFIG")
    learners.prepare(config)
    # Each model compiles its own step, which TensorFlow takes for one traced too often.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    asked = config  # for the ledger, not at toy size
    if config.run.smoke:
        config = smoke(config)
    images = _training_images(config)
    _check_measuring(config)
    this = Reproduction(directory, config, plan(config, len(images)))
    # One precision for all, so that they can be compared
    begun = next((job for job in this.jobs if this.place(job.name).exists()), this.jobs[0])
    precise = training.with_precision(config, this.place(begun.name))
    this = Reproduction(directory, precise, plan(precise, len(images)))
    _check_lengths(this)
    try:
        _announce(this, images)
        del images
        for job in this.jobs:
            _train(this, job)
        _evaluate_all(this)
        _draw(this)
    except KeyboardInterrupt as stop:
        trained = sum(this.model(job.name).exists() for job in this.jobs)
        raise Stopped.by(stop, f"training {trained} of {len(this.jobs)} models") from None
    evaluated = _evaluated(this)
    judged = [claims.judge(claim, evaluated) for claim in claims.CLAIMS]
    found = ledger.record(evaluated, judged, ledger.asked(asked) | provenance.about())
    ledger.save(found, directory)
    _show(judged)
    logs.say(f"All numbers: {directory / ledger.PAGE}")
    if this.failed:
        why = "; ".join(f"{name}: {reason}" for name, reason in this.failed.items())
        raise RunFailed(f"{len(this.failed)} models were not trained, the rest is done: {why}")


def _training_images(config: Config) -> np.ndarray:
    chosen = config.data
    return data.arrays(
        chosen.dataset, "train", chosen.image_size, data_dir=chosen.data_dir, limit=chosen.limit
    ).images


def _check_lengths(this: Reproduction) -> None:
    """More steps would change a stage one under the stage two that has it."""
    for job in this.jobs:
        place = this.place(job.name)
        if found := checkpoints.load(place / "checkpoints"):
            chosen = loading.settings(place, found[1]).optimiser
            if chosen.train_steps != job.config.optimiser.train_steps:
                raise ValueError(
                    f"{this.directory} holds a reproduction of another length ({job.name} of"
                    f" {chosen.train_steps:,} steps and not {job.config.optimiser.train_steps:,}):"
                    " give the same --train_steps and --epochs, or another --run_dir."
                )


def _check_measuring(config: Config) -> None:
    """What measuring needs, before anything is trained."""
    regressors.scikit_learn("ensemble")
    chosen = config.data
    held_out(chosen.dataset, chosen.data_dir, chosen.image_size, most=FEWEST, wanted=FEWEST)


def _announce(this: Reproduction, images: np.ndarray) -> None:
    """The plan, and how long it takes here by a few steps of each kind of job."""
    left = {job: this.images_left(job) for job in this.jobs}
    kinds = {_kind(job): job for job, count in left.items() if count}
    if not kinds:
        logs.say(f"Trained before: {len(this.jobs)} of {len(this.jobs)} models")
        return
    logs.say("Timing a few steps of each kind of model ...")
    each_image = {}
    with logs.progress(len(kinds), description="timing", unit="kinds") as bar:
        for kind, job in kinds.items():
            each_image[kind] = _seconds_per_image(job, images)
            bar.advance()
    seconds = {job: count * each_image[_kind(job)] for job, count in left.items() if count}
    table = Table("model", "stage", "starts from", "images", "time here")
    for job in this.jobs:
        here = logs.duration(seconds[job]) if job in seconds else "trained"
        table.add_row(job.name, job.stage, job.needs or "", f"{job.images:,}", here)
    Console().print(table)
    logs.say(
        f"Training takes about {logs.duration(sum(seconds.values()))} on this machine, and what is"
        " then measured and drawn comes on top. It can be stopped at any time; the same command"
        " goes on."
    )


def _kind(job: Job) -> tuple[str, str, bool, bool]:
    """Jobs of one kind take about equally long for an image."""
    chosen = job.config.model
    return job.stage, chosen.receptive_field, chosen.reverse, chosen.latents


def _seconds_per_image(job: Job, images: np.ndarray) -> float:
    steps, size = job.config.optimiser.train_steps or 1, job.config.optimiser.batch_size
    learner = learners.make(job.config, job.stage, len(images), steps)
    batch = training.batches_of(job.config, images).batch(0)

    def step() -> None:
        np.asarray(learner.step(batch, False)["finite"])  # waits for it

    step()  # which compiles
    began, done = time.perf_counter(), 0
    while done < TIMED_STEPS and time.perf_counter() - began < TIMED_SECONDS:
        step()
        done += 1
    return (time.perf_counter() - began) / (done * size)


def _train(this: Reproduction, job: Job) -> None:
    """One that fails, such as an objective that diverges, does not keep the others."""
    logs.say(f"\n{job.name}: {job.stage}, {job.images:,} images")
    if job.needs in this.failed:
        this.failed[job.name] = f"it starts from {job.needs}"
        return
    stage1 = None if job.needs is None else this.model(job.needs)
    try:
        training.train_within(job.config, job.stage, this.place(job.name), stage1)
    except RunFailed as error:
        this.failed[job.name] = str(error)
        logs.say(f"{job.name}: {error}")
    gc.collect()  # its learner and what was compiled for it


def _evaluate_all(this: Reproduction) -> None:
    trained = [job for job in this.jobs if job.name not in this.failed]
    began = time.monotonic()
    for number, job in enumerate(trained, 1):
        logs.say(f"\n{job.name}: measuring, {number} of {len(trained)}")
        parts = _PARTS.get(job.name, _STAGE_ONE if job.stage == "stage1" else _HOLES)
        _evaluate(this, job, "evaluation", parts)
        if job.name == "info_vae":
            _evaluate(this, job, "evaluation_clamped", ("seam",), clamped=True)
        if number < len(trained):
            left = (time.monotonic() - began) / number * (len(trained) - number)
            logs.say(f"{len(trained) - number} more to measure, about {logs.duration(left)}")


def _evaluated(this: Reproduction) -> dict[str, Report]:
    """Of all models of the directory, --only or not, as far as they are what was measured.

    "info_vae_clamped" is stage one with its context clamped.
    """
    found = {}
    for name in NAMES:
        for suffix in ("", "_clamped"):
            directory = this.place(name) / f"evaluation{suffix}"
            if (directory / reports.FILE).exists() and not _is_outdated(
                directory, this.model(name), _sizes(this.config)
            ):
                found[name + suffix] = Report.read(directory)
    return found


def _evaluate(
    this: Reproduction, job: Job, name: str, parts: Sequence[str], clamped: bool = False
) -> None:
    """Without the parts that the data does not allow, such as control where nothing is known."""
    model, directory = this.model(job.name), this.place(job.name) / name
    sizes = _sizes(this.config)
    settings = Evaluation(
        str(model),
        parts=",".join(parts),
        clamped=clamped,
        data_dir=this.config.data.data_dir,
        overwrite=_is_outdated(directory, model, sizes),
        seed=this.config.run.seed,
        **sizes,
    )
    try:
        with files.explained(f"cannot make the directory {directory}"):
            directory.mkdir(parents=True, exist_ok=True)
        with runs.locked(directory):
            evaluate.run(settings, directory, this.directory / "cache")
        return
    except PartRefused as error:
        allowed = [part for part in parts if part != error.part]
        if not allowed:
            raise
        logs.say(f"{job.name}: {error.part} is left out: {error}")
    finally:
        gc.collect()
    _evaluate(this, job, name, allowed, clamped)


def _sizes(config: Config) -> dict[str, Any]:
    """How much is measured."""
    if config.run.smoke:
        return _SMOKE
    images = config.run.test_images
    return {"images": images, "control_images": max(images // 4, FEWEST)}


def _is_outdated(directory: Path, model: Path, sizes: dict[str, Any]) -> bool:
    """Whether the model was trained further since, or was measured on other numbers of images."""
    if not (directory / reports.FILE).exists():
        return False
    about = Report.read(directory).about
    before = about.get("settings", {})
    return about.get("sha256") != files.digest(model) or any(
        before.get(name, value) != value for name, value in sizes.items()
    )


def _draw(this: Reproduction) -> None:
    """Those whose models are there, but for those drawn since they and their names were made."""
    directory = this.directory / "figures"
    made = {
        path.parent.name: max(
            each.stat().st_mtime for each in (path, latents.file_of(path)) if each
        )
        for path in this.directory.glob(f"models/*/{MODEL_FILE}")
    }
    if paper.FULL in made and paper.STAGE_ONE in made:  # whose names are those of the full model
        made[paper.STAGE_ONE] = max(made[paper.STAGE_ONE], made[paper.FULL])
    wanted = []
    for number, needs in paper.NEEDS.items():
        last = directory / f"figure{number}.npz"  # of its files
        if missing := [name for name in needs if name not in made]:
            logs.say(f"figure {number}: not drawn, it needs {', '.join(missing)}")
        elif last.exists() and last.stat().st_mtime > max(made[name] for name in needs):
            logs.say(f"figure {number}: drawn before")
        else:
            wanted.append(number)
    if not wanted:
        return
    logs.say("\nDrawing the figures ...")
    settings = Figures(
        str(this.directory),
        figure=",".join(wanted),
        data_dir=this.config.data.data_dir,
        small=this.config.run.smoke,
        seed=this.config.run.seed,
    )
    paper.run(settings, directory)


def _show(judged: list[claims.Judged]) -> None:
    table = Table("claim", "measured", "verdict", show_lines=True)
    for each in judged:
        measured = "\n".join(map(_in_short, each.evidence))
        table.add_row(each.claim.statement, measured, _coloured(each.verdict, each.verdict))
    Console().print(table)


def _in_short(check: Evidence) -> str:
    if check.first is None or check.second is None:
        return "[dim]-[/]"
    by = f" {check.by:+g}" if check.by else ""
    premise = "premise: " if check.premise else ""
    text = f"{premise}{said(check.first.value)} {check.relation} {said(check.second.value)}{by}"
    return _coloured(text, check.verdict)


def _coloured(text: str, verdict: Verdict) -> str:
    colour = {"holds": "green", "does not hold": "red"}.get(verdict, "dim")
    return f"[{colour}]{text}[/]"
