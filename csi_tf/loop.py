"""The steps of one stage, and what happens every so many of them."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from csi_tf import checkpoints, latent_statistics, logs, provenance, stages, validation
from csi_tf.config import Config
from csi_tf.data.pipeline import Batches
from csi_tf.errors import RunFailed, Stopped, Terminated
from csi_tf.figures import panels
from csi_tf.learner import Arrays, Learner

LONG = 2 * 3600.0  # seconds; a run estimated to take longer says so early
STEPS_TO_ESTIMATE = 10


@dataclass
class Loop:
    """`stop` holds the signals that ask for an end. What was due at a step but is not yet done is
    `owed`; an attempt that was stopped leaves it to the next.
    """

    config: Config  # as asked for; that of the learner has its warm-up cut to fit
    learner: Learner
    batches: Batches
    held_out: np.ndarray
    directory: Path
    recorder: logs.Recorder
    total: int
    chief: bool
    stop: list[int]
    images_before: int = 0  # that stage one saw, in stage two
    images_carried: int = 0  # that this stage saw in the run whose weights it started with
    origin: dict[str, str] = field(default_factory=provenance.about)
    owed: list[str] = field(default_factory=list)
    skipped: int = 0

    @property
    def warmup(self) -> int:
        return self.learner.config.optimiser.latent_warmup_steps

    def run(self, start: int, info: dict[str, Any]) -> None:
        """From a step on; `info` is that of the checkpoint there, empty without one."""
        self.owed, self.skipped = info.get("owed", []), info.get("skipped", 0)
        self._settle(start)
        began, first = time.monotonic(), start
        with logs.progress(
            self.total,
            start,
            self.learner.stage,
            images_per_step=self.config.optimiser.batch_size,
        ) as bar:
            for step, batch in enumerate(self.batches.ahead(start, self.total), start + 1):
                terms = self.learner.step(batch, step <= self.warmup)
                self._check(terms, step, batch)
                if step % self.config.loop.log_every == 0 or step in (1, self.total):
                    self._log(step, terms)
                bar.advance(scalars={"bits/dim": _bits(terms)})
                if step == self.warmup and self.chief:
                    logs.say(
                        f"{self.learner.stage}: the latent warm-up is over; bits/dim begin anew"
                        " with the PixelCNN"
                    )
                self.owed = self._due(step)
                self._settle(step)
                if step == self.warmup:
                    began, first = time.monotonic(), step
                if step == first + STEPS_TO_ESTIMATE:
                    self._estimate((time.monotonic() - began) / STEPS_TO_ESTIMATE, step)

    def info(self, step: int) -> dict[str, Any]:
        """What a checkpoint holds beside the arrays."""
        return {
            "stage": self.learner.stage,
            "step": step,
            "config": self.config.to_json(),
            **self.origin,
            "images_seen": self.images_carried + step * self.config.optimiser.batch_size,
            "images_carried": self.images_carried,
            "images_before": self.images_before,
            "training_images": self.learner.dataset_size,
            "warmup_steps": self.warmup,
            "skipped": self.skipped,
            "owed": self.owed,
        }

    def _log(self, step: int, terms: dict[str, Any]) -> None:
        numbers = {name: float(np.asarray(value)) for name, value in terms.items()}
        numbers |= {"bits_per_dim": _bits(terms), "skipped": float(self.skipped)}
        numbers.pop("values")
        numbers.pop("finite")
        if "mmd" in numbers:
            numbers["mmd_floor"] = latent_statistics.mmd_floor(
                self.config.optimiser.batch_size,
                self.config.objective.mmd_prior_draws,
                self.config.model.latent_dim,
            )
        self.recorder.scalars(step, {f"train/{name}": value for name, value in numbers.items()})

    def _check(self, terms: dict[str, Any], step: int, batch: Arrays) -> None:
        if float(np.asarray(terms["finite"])) > 0.5:
            return
        if self.config.loop.nan_policy == "skip":
            self.skipped += 1
            return
        self._save(step - 1)  # the learner undid the step
        stage, saved = self.learner.stage, checkpoints.latest(self.directory / "checkpoints")
        other = "" if saved is None else f" with --mode={stage} --warm_start={saved},"
        bad = [name for name, value in terms.items() if not np.isfinite(np.asarray(value))]
        raise RunFailed(
            f"step {step} of {stage} is not finite in {', '.join(bad)}{self._culprit(batch)}; the"
            " last good state is saved. Go on with --nan_policy=skip, which passes over such"
            f" batches; or in another --run_dir,{other} and with a lower"
            f" --{self.config.optimiser.rate_of(stage)} or --clip_norm"
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

    def _due(self, step: int) -> list[str]:
        loop, last = self.config.loop, step == self.total
        due = []
        if last or step % loop.validate_every == 0:
            due.append("validation")
        elif step % loop.checkpoint_every == 0:
            due.append("checkpoint")
        if loop.panel_every and step > self.warmup and (last or step % loop.panel_every == 0):
            due.append("panels")
        return due

    def _settle(self, step: int) -> None:
        """Do what is owed, as far as nobody is waiting for an end: it may take minutes."""
        while self.owed and not self.stop:
            what = self.owed.pop(0)
            if what == "panels":
                self._draw(step)
            else:  # what is measured is kept with the weights it was measured on
                self._save(step, self._validate(step) if what == "validation" else None)
        if self.stop:
            self._save(step)
            raise Stopped(self.stop[0], f"step {step:,} of {self.learner.stage}")

    def _draw(self, step: int) -> None:
        if not self.chief:
            return
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
        logs.say(f"step {step}: " + ", ".join(f"{k} {v:.4f}" for k, v in shown.items()))
        return scalars["bits_per_dim"] if step > self.warmup else None

    def _save(self, step: int, metric: float | None = None) -> None:
        if not self.chief:
            return
        checkpoints.save(
            self.directory / "checkpoints",
            step,
            self.learner.state(),
            self.info(step),
            self.config.loop.keep_checkpoints,
            metric,
        )

    def _estimate(self, rate: float, step: int) -> None:
        """`rate` is in seconds a step: too many, as the first one compiles. Those of a latent
        warm-up are too few, so after it this is done again."""
        ahead, and_more = self.total - step, ""
        if self.learner.stage == "stage1" and self.config.run.mode in ("train", "stage2"):
            ahead, and_more = ahead + self.total, " (with stage two's)"
        if (left := ahead * rate) > LONG:
            logs.say(
                f"{self.learner.stage}: {ahead:,} steps to go{and_more} take about"
                f" {logs.duration(left)} at this rate. For something smaller: --preset=cpu, or"
                " fewer --train_steps."
            )


def _bits(terms: dict[str, Any]) -> float:
    """Of a step that was checked to be finite, so that nothing is waited for here."""
    nats, values = (float(np.asarray(terms[name])) for name in ("nats", "values"))
    return nats / (max(values, 1.0) * stages.LOG_2)


@contextmanager
def signals() -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM are noted, and acted on between two steps; a second one at once."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def note(number: int, _: Any) -> None:
        if received:
            raise Terminated if number == signal.SIGTERM else KeyboardInterrupt
        received.append(number)
        logs.say("stopping after this step; once more to stop at once")

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
