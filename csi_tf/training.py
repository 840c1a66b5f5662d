"""Training runs: one loop for all stages and backends, which never loses more than it must.

run        a mode: stage one, stage two, both, or all in one stage
train      one stage in one directory, from scratch or from where it was stopped
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import csi_tf
from csi_tf import checkpoints, data, logs, noise, stages, validation
from csi_tf import learner as learners
from csi_tf.config import Config
from csi_tf.data.pipeline import Batches
from csi_tf.errors import RunFailed, Stopped
from csi_tf.figures import panels
from csi_tf.learner import Arrays, Learner
from csi_tf.loading import MODEL_FILE

LONG = 2 * 3600.0  # seconds; a run estimated to take longer says so early
STEPS_TO_ESTIMATE = 10


def run(config: Config, directory: Path) -> None:
    """What --mode says."""
    if config.optimiser.precision == "auto":
        if os.environ.get("TF_CONFIG"):
            raise ValueError(
                "precision auto is for one process: name --precision=float32 or mixed_bfloat16, the"
                " same for all workers of TF_CONFIG"
            )
        fastest = learners.fastest_precision()
        _say(f"precision: {fastest} is faster here")
        config = replace(config, optimiser=replace(config.optimiser, precision=fastest))
    mode = config.run.mode
    if mode in ("stage1", "one_stage"):
        train(config, mode, directory)
    elif mode == "stage2":
        stage1 = _stage_one(config, directory)
        train(config, "stage2", directory, stage1)
    else:
        stage1 = train(config, "stage1", directory / "stage1")
        train(config, "stage2", directory / "stage2", stage1)


def train(config: Config, stage: str, directory: Path, stage1: Path | None = None) -> Path:
    """Train one stage in a directory; the file of the finished model.

    A directory with checkpoints is gone on with; one with a model that had as many steps as are
    asked for is left as it is.
    """
    finished = directory / MODEL_FILE
    images, held_out = _images(config)
    chosen = config.optimiser
    batches = _batches(config, images)
    total = batches.steps_per_epoch * chosen.epochs
    total = min(total, chosen.train_steps or total)
    if finished.exists() and (done := checkpoints.read(finished)[1]["step"]) >= total:
        _say(f"{stage}: finished before, {done:,} steps, {finished}")
        return finished
    warmup = _warmup_steps(config, stage, total)
    config = replace(config, optimiser=replace(chosen, latent_warmup_steps=warmup))
    learner = learners.make(config, stage, len(images), total - warmup)
    if learner.objective is not None:
        learner.objective.check(chosen.batch_size)
    if config.loop.nan_policy == "skip" and not learner.undoes_bad_steps:
        raise ValueError(
            "nan_policy skip needs one device, where a bad step can be undone: use stop, and go"
            " on from the last checkpoint, or --devices=one."
        )
    workers, worker = learner.workers  # type: ignore[attr-defined]
    batches = replace(batches, num_shards=workers, shard_index=worker)
    start = _resume(learner, config, directory)
    if start > total:
        raise ValueError(
            f"{directory} has had {start:,} steps already, more than the {total:,} asked for:"
            " choose another --run_dir, or more --train_steps."
        )
    if start == 0 and stage1 is not None:
        _start_from(learner, stage1, config.loop.stage2_init)
    chief = worker == 0
    records = directory if chief else directory / f"worker-{worker}"
    with (
        logs.Recorder(records, start + 1 if start else 0, tensorboard=chief) as recorder,
        _signals() as stop,
    ):
        recorder.text("config", f"```json\n{config.to_json()}```")
        _Loop(learner, batches, held_out, directory, recorder, warmup, total, chief).run(
            start, stop
        )
    if chief:
        info = _info(learner, total) | {"validation": _last_validation(directory)}
        checkpoints.write(finished, learner.weights(), info)
        _say(f"{stage}: model in {finished}")
    while not finished.exists():  # the first worker is still writing it
        time.sleep(0.1)
    return finished


class _Loop:
    """The steps of one stage, with what happens every so many of them."""

    def __init__(
        self,
        learner: Learner,
        batches: Batches,
        held_out: np.ndarray,
        directory: Path,
        recorder: logs.Recorder,
        warmup: int,
        total: int,
        chief: bool,
    ) -> None:
        self.learner, self.batches, self.held_out = learner, batches, held_out
        self.directory, self.recorder = directory, recorder
        self.warmup, self.total, self.chief = warmup, total, chief
        self.loop = learner.config.loop
        self.skipped = 0

    def run(self, start: int, stop: "list[int]") -> None:
        config = self.learner.config
        source: Any = self.batches
        if _on_tensorflow():
            stream = source.dataset(start, self.total).as_numpy_iterator()
        else:
            stream = source.iterate(start, self.total)
        began = time.monotonic()
        with logs.progress(
            self.total,
            start,
            self.learner.stage,
            images_per_step=config.optimiser.batch_size,
        ) as bar:
            for step, batch in enumerate(stream, start + 1):
                terms = self.learner.step(batch, step <= self.warmup)
                self._check(terms, step, batch)
                if step % self.loop.log_every == 0 or step in (1, self.total):
                    shown = self._log(step, terms)
                    bar.advance(scalars=shown)
                else:
                    bar.advance()
                self._after(step)
                if stop:
                    self._save(step)
                    raise Stopped(stop[0])
                if step == start + STEPS_TO_ESTIMATE:
                    self._estimate(began, step)

    def _log(self, step: int, terms: dict[str, Any]) -> dict[str, float]:
        numbers = {name: float(np.asarray(value)) for name, value in terms.items()}
        bits = numbers["nats"] / (max(numbers.pop("values"), 1.0) * stages.LOG_2)
        numbers |= {"bits_per_dim": bits, "skipped": float(self.skipped)}
        numbers.pop("finite")
        self.recorder.scalars(step, {f"train/{name}": value for name, value in numbers.items()})
        return {"bits/dim": bits}

    def _check(self, terms: dict[str, Any], step: int, batch: Arrays) -> None:
        if float(np.asarray(terms["finite"])) > 0.5:
            return
        if self.loop.nan_policy == "skip":
            self.skipped += 1
            return
        if self.learner.undoes_bad_steps:  # the state is that before this batch
            self._save(step - 1)
        bad = [name for name, value in terms.items() if not np.isfinite(np.asarray(value))]
        raise RunFailed(
            f"step {step} of {self.learner.stage} is not finite in {', '.join(bad)}"
            f"{self._culprit(batch)}; the last good state is saved in {self.directory}. Lower"
            " --learning_rate, set --clip_norm, or pass over such batches with --nan_policy=skip"
        )

    def _culprit(self, batch: Arrays) -> str:
        """The first weight, or else the first output, that is not finite."""
        for name, variable in self.learner.named_variables().items():
            values = np.asarray(variable.numpy())
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                return f" (weight {name})"
        found = self.learner.evaluate(batch)
        for name, layer in (("mean", "encoder"), ("logvar", "encoder"), ("nats", "PixelCNN")):
            if name in found and not np.isfinite(found[name]).all():
                return f" (first in the {name} that the {layer} gives)"
        return " (only in its gradient)"

    def _after(self, step: int) -> None:
        last = step == self.total
        if last or step % self.loop.validate_every == 0:
            # What was measured is kept with the weights it was measured on.
            self._save(step, self._validate(step))
        elif step % self.loop.checkpoint_every == 0:
            self._save(step)
        if self.chief and step > self.warmup and step % self.loop.panel_every == 0:
            with self.learner.averaged():
                made = panels.make(self.learner.model, self.learner.config, self.held_out)
            for name, picture in made.items():
                self.recorder.images(step, name, picture)

    def _validate(self, step: int) -> float | None:
        """Held-out bits/dim, once the model itself is being trained."""
        if not self.chief:
            return None
        scalars, latents = validation.validate(self.learner, self.held_out)
        self.recorder.scalars(step, {f"validation/{k}": v for k, v in scalars.items()})
        if latents is not None:
            for number, values in enumerate(latents.T):
                self.recorder.histogram(step, f"latents/{number:02d}", values)
        shown = {k: scalars[k] for k in ("bits_per_dim", "bits_of_z", "kl") if k in scalars}
        _say(f"step {step}: " + ", ".join(f"{k} {v:.4f}" for k, v in shown.items()))
        return scalars["bits_per_dim"] if step > self.warmup else None

    def _save(self, step: int, metric: float | None = None) -> None:
        if not self.chief:
            return
        info = _info(self.learner, step)
        checkpoints.save(
            self.directory / "checkpoints",
            step,
            self.learner.state(),
            info,
            self.loop.keep_checkpoints,
            metric,
        )

    def _estimate(self, began: float, step: int) -> None:
        # The first step compiles; leaving it in overestimates, which is the safer side.
        rate = STEPS_TO_ESTIMATE / (time.monotonic() - began)
        if (self.total - step) / rate > LONG:
            _say(
                f"{self.learner.stage}: {self.total - step:,} steps to go take"
                f" {logs.eta(self.total - step, rate)}. For something smaller:"
                " --flagfile=flags/presets/cpu.cfg, or fewer --train_steps."
            )


def _images(config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Training and held-out images; every complaint about them comes before any training."""
    chosen = config.data

    def read(split: str, limit: int | None) -> np.ndarray:
        return data.arrays(
            chosen.dataset, split, chosen.image_size, data_dir=chosen.data_dir, limit=limit
        ).images

    train = read("train", chosen.limit)
    split = data.held_out_split(chosen.dataset, chosen.data_dir)
    held_out = read(split, config.loop.validation_images)
    if len(held_out) < 2:
        raise ValueError(
            f"{chosen.dataset} has {len(held_out)} images in its split {split}; at least 2 must be"
            " held out to validate on."
        )
    if len(train) < config.optimiser.batch_size:
        raise ValueError(
            f"{len(train)} training images do not fill a batch of {config.optimiser.batch_size}:"
            f" choose --batch_size={len(train)} or less, or more images."
        )
    return train, held_out


def _batches(config: Config, images: np.ndarray) -> Batches:
    seed, size = config.run.seed, config.data.image_size
    latents, draws = config.model.latent_dim, config.objective.mmd_prior_draws
    return Batches(
        images,
        config.optimiser.batch_size,
        seed,
        flip=config.data.horizontal_flip,
        mask_distribution=config.masks.mask,
        mask_convention=config.masks.mask_convention,
        also=lambda step, examples: noise.for_training(seed, step, examples, size, latents, draws),
    )


def _warmup_steps(config: Config, stage: str, total: int) -> int:
    asked = config.optimiser.latent_warmup_steps
    if not stages.uses_latents(config.model, stage) or not asked:
        return 0
    if asked >= total:
        _say(f"latent_warmup_steps {asked} shortened to {total // 2}, half of all steps")
        return total // 2
    return asked


def _resume(learner: Learner, config: Config, directory: Path) -> int:
    """The step to go on from: 0 in a fresh directory."""
    found = checkpoints.load(directory / "checkpoints")
    if found is None:
        return 0
    arrays, info = found
    differences = config.differences(Config.from_json(info["config"]))
    if differences:
        raise ValueError(
            f"{directory} holds a run with other settings ({'; '.join(differences)}): repeat them"
            " to go on with it, or choose another --run_dir."
        )
    learner.load(arrays)
    _say(f"{learner.stage}: going on from step {info['step']:,}")
    return info["step"]


def _start_from(learner: Learner, stage1: Path, init: str) -> None:
    weights, info = checkpoints.read(stage1)
    if info.get("stage") != "stage1":
        raise ValueError(
            f"{stage1} holds a {info.get('stage', 'strange')} model: --stage1 takes a finished"
            " stage one."
        )
    theirs = Config.from_json(info["config"])
    ours = learner.config
    for group, name in (
        ("data", "image_size"),
        ("model", "latents"),
        ("model", "hole_fill"),
        ("model", "latent_dim"),
        ("model", "encoder_filters"),
        ("model", "filters"),
        ("model", "receptive_field"),
        ("model", "field_mode"),
        ("model", "mixtures"),
        ("model", "conditioning"),
        ("model", "nonlinearity"),
        ("model", "weight_norm"),
    ):
        a, b = getattr(getattr(ours, group), name), getattr(getattr(theirs, group), name)
        if a != b:
            raise ValueError(
                f"stage one in {stage1} has {name} {b}, stage two is asked for {a}: give both the"
                " same."
            )
    copied = stages.start_stage_two(learner.model, checkpoints.import_half(weights), init)
    _say(f"stage2: starts from {stage1} ({len(copied)} arrays, init {init})")


def _stage_one(config: Config, directory: Path) -> Path:
    """The stage one to start from: the one named, the newest that fits, or one trained now."""
    if (
        checkpoints.latest(directory / "checkpoints") is not None
    ):  # a stage two to go on with has its weights already
        return directory / "checkpoints"
    named = config.loop.stage1
    if named is not None:
        path = Path(named).expanduser()
        candidates = [path, path / "stage1" / MODEL_FILE, path / MODEL_FILE]
        for candidate in candidates:
            if candidate.is_file():
                return candidate
        raise ValueError(
            f"there is no finished stage one in {named}: --stage1 takes a run directory that holds"
            f" {MODEL_FILE}, or that file."
        )
    parents = {directory.parent, Path("runs")}
    files = {
        path
        for parent in parents
        for pattern in (f"*/{MODEL_FILE}", f"*/stage1/{MODEL_FILE}")
        for path in parent.glob(pattern)
    }
    for path in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True):
        try:
            info = checkpoints.read(path)[1]
            fits = info["stage"] == "stage1" and _fits(config, Config.from_json(info["config"]))
        except (OSError, ValueError, KeyError):  # somebody else's file, or an older program's
            continue
        if fits:
            _say(f"stage2: the newest stage one with these settings is {path}")
            return path
    _say("stage2: no finished stage one with these settings under runs/; training it first")
    return train(config, "stage1", directory / "stage1")


def _fits(config: Config, other: Config) -> bool:
    """Whether a stage one was trained with these settings, those that only stage two has apart."""
    model = replace(
        other.model, reverse=config.model.reverse, reverse_features=config.model.reverse_features
    )
    optimiser = replace(other.optimiser, latent_warmup_steps=config.optimiser.latent_warmup_steps)
    alike = replace(other, model=model, optimiser=optimiser)
    return not config.differences(alike)


def _info(learner: Learner, step: int) -> dict[str, Any]:
    return {
        "stage": learner.stage,
        "step": step,
        "config": learner.config.to_json(),
        "version": csi_tf.__version__,
        "images_seen": step * learner.config.optimiser.batch_size,
    }


def _last_validation(directory: Path) -> dict[str, Any]:
    lines = [line for line in logs.read_metrics(directory) if "validation/bits_per_dim" in line]
    return lines[-1] if lines else {}


@contextmanager
def _signals() -> Iterator["list[int]"]:
    """Ctrl-C and SIGTERM are noted, and acted on between two steps; a second one at once."""
    import threading

    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def note(number: int, _: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        _say("stopping after this step; once more to stop at once")

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _on_tensorflow() -> bool:
    import keras

    return keras.backend.backend() == "tensorflow"


def _say(line: str) -> None:
    Console(soft_wrap=True, highlight=False, markup=False).print(line)
