"""Training runs: one loop for all stages and backends, which never loses more than it must.

run        a mode: stage one, stage two, both, or all in one stage
train      one stage in one directory, from scratch or from where it was stopped
"""

import os
import shutil
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from csi_tf import (
    checkpoints,
    data,
    loading,
    logs,
    noise,
    randomness,
    runs,
    stage_one,
    stages,
    warm_start,
    workers,
)
from csi_tf import learner as learners
from csi_tf.config import Config
from csi_tf.data.pipeline import Batches
from csi_tf.errors import RunFailed
from csi_tf.loading import MODEL_FILE
from csi_tf.loop import Loop, signals
from csi_tf.model import true_field

# This much more bits/dim than at its best on held-out pictures: noise of validation is less.
OVERFITTED = 0.01


def run(config: Config, directory: Path) -> None:
    """What --mode says."""
    learners.prepare(config)
    asked, config = config, with_precision(config, directory)
    mode = config.run.mode
    if mode in ("stage1", "one_stage"):
        train(config, mode, directory)
    elif mode == "stage2" and (
        checkpoints.latest(directory / "checkpoints") is not None
        or (directory / MODEL_FILE).exists()
        or config.loop.warm_start
    ):
        train(config, "stage2", directory)  # which has the weights of its stage one already
    elif mode == "stage2":
        stage1 = stage_one.find(asked, directory)
        if stage1 is None:
            logs.say("stage2: no finished stage one with these settings; training it first")
            stage1 = train_within(config, "stage1", directory / "stage1")
        train(config, "stage2", directory, stage1)
    else:
        stage1 = train_within(config, "stage1", directory / "stage1")
        train_within(config, "stage2", directory / "stage2", stage1)


def with_precision(config: Config, directory: Path) -> Config:
    """`auto` as what the directory was begun with, and else as what is faster here."""
    if config.optimiser.precision != "auto":
        return config
    if os.environ.get("TF_CONFIG"):
        raise ValueError(
            "precision auto is for one process: name --precision=float32 or mixed_bfloat16, the"
            " same for all workers of TF_CONFIG"
        )
    for place in (directory, directory / "stage2", directory / "stage1"):
        with warnings.catch_warnings():  # of damage the training itself will warn
            warnings.simplefilter("ignore", checkpoints.CheckpointWarning)
            found = checkpoints.load(place / "checkpoints")
        if found is None and (place / MODEL_FILE).exists():
            found = checkpoints.read(place / MODEL_FILE)
        if found is not None:
            chosen = loading.settings(place, found[1]).optimiser.precision
            break
    else:
        chosen = learners.fastest_precision()
        logs.say(f"precision: {chosen} is faster here")
    return replace(config, optimiser=replace(config.optimiser, precision=chosen))


def train_within(config: Config, stage: str, directory: Path, stage1: Path | None = None) -> Path:
    """`train` in a directory within that of the run."""
    with runs.stage_directory(directory):
        return train(config, stage, directory, stage1)


def train(config: Config, stage: str, directory: Path, stage1: Path | None = None) -> Path:
    """Train one stage in a directory; the file of the finished model.

    A directory with checkpoints is gone on with; one with a model that had as many steps as are
    asked for is left as it is.
    """
    finished = directory / MODEL_FILE
    images, held_out = _images(config)
    chosen = config.optimiser
    total = batches_of(config, images).steps_per_epoch * chosen.epochs
    total = min(total, chosen.train_steps or total)
    before = checkpoints.load(directory / "checkpoints")
    if finished.exists():
        if _done(checkpoints.read(finished)[1], config, directory, total) == total:
            logs.say(f"{stage}: finished before, {total:,} steps, {finished}")
            return finished
        if before is None:
            raise ValueError(
                f"{directory} holds a finished model and no checkpoint to train it further from:"
                " choose another --run_dir."
            )
        if second := _begun_from(stage, directory):
            if config.run.mode != "train":
                mode = "train" if second.name == "stage2" else "stage2"
                raise ValueError(
                    f"the stage two in {second} was begun from the stage one in {directory}, so"
                    " that is not trained any further: choose another --run_dir, or train stage two"
                    f" on, by this command with --mode={mode} --run_dir={directory.parent}"
                )
            logs.say(f"{stage}: stays as it is, as stage two was begun from it, {finished}")
            return finished
    state, info = before or ({}, {})
    start = _done(info, config, directory, total) if before else 0
    # Where the warm-up ended is settled when a run begins, however long it becomes.
    warmup = info["warmup_steps"] if before else _warmup_steps(config, stage, total)
    if before and warmup >= total:
        raise ValueError(
            f"{directory} was begun with {warmup:,} steps of latent warm-up, so that {total:,} in"
            " all would leave its PixelCNN untrained: give it more --train_steps, or begin anew in"
            " another --run_dir."
        )
    fitted = replace(config, optimiser=replace(chosen, latent_warmup_steps=warmup))
    learner = learners.make(fitted, stage, len(images), total - warmup)
    count, worker = learner.workers
    images_before, carried = (info.get(f"images_{name}", 0) for name in ("before", "carried"))
    if before:
        # Without latents nothing of stage one is shared any more: all of it is trained on.
        if stage1 is not None and config.model.latents:
            stage_one.check_origin(state, stage1, directory)
        _check_data(info, len(images), directory)
        learner.load(state)
        logs.say(f"{stage}: going on from step {start:,}")
    elif config.loop.warm_start is not None:
        images_before, carried = warm_start.load(
            learner, config.loop.warm_start, config.loop.warm_start_parts
        )
    elif stage1 is not None:
        images_before = stage_one.start_from(learner, stage1, config.loop.stage2_init)
    if count > 1:  # each has read the checkpoint by itself
        learner.agree(_digest(config, stage, start, carried, images, learner.state()))
    batches = batches_of(config, images, stage, carried, count, worker)
    chief = worker == 0
    if chief:
        if before is None:
            asked = f"receptive field {config.model.receptive_field} ({config.model.field_mode})"
            logs.say(f"{stage}: {asked}, which sees {true_field(config.model)}")
        often = min(config.loop.checkpoint_every, config.loop.validate_every)
        saves = -(-(total - start) // often)
        _check_room(learner, directory, config.loop.keep_checkpoints, saves)
        if before is None and config.loop.warm_start is not None and stage == "stage2":
            warm_start.keep_names(config.loop.warm_start, directory)
    records = directory if chief else directory / f"worker-{worker}"
    with (
        logs.Recorder(records, start + 1 if start else 0, tensorboard=chief) as recorder,
        signals() as stop,
    ):
        recorder.text("config", f"```json\n{config.to_json()}```")
        loop = Loop(
            config,
            learner,
            batches,
            held_out,
            directory,
            recorder,
            total,
            chief,
            stop,
            images_before,
            carried,
        )
        loop.run(start, info)
    if chief:
        validations = _validations(directory)
        info = loop.info(total) | {"validation": validations[-1] if validations else {}}
        checkpoints.write(finished, learner.weights(), info)
        logs.say(f"{stage}: model in {finished}")
        if said := _past_best(validations):
            logs.say(f"{stage}: {said}")
    learner.meet()  # the first worker may still be writing it
    workers.await_file(finished)
    return finished


def _digest(
    config: Config,
    stage: str,
    start: int,
    carried: int,
    images: np.ndarray,
    state: checkpoints.Arrays,
) -> int:
    """16 bits of what all workers have to begin with: not where pictures lie, but the pictures.

    TensorFlow gives all the first one's weights, so that these do not show another seed.
    """
    groups = (config.model, config.objective, config.optimiser, config.masks)
    alike = (stage, start, carried, config.run.seed, config.data.horizontal_flip, *groups)
    found = zlib.crc32(repr((alike, images.shape)).encode())
    for array in (images, *(state[name] for name in sorted(state))):
        found = zlib.crc32(np.ascontiguousarray(array).tobytes(), found)
    return found % 2**16


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
            f"{chosen.dataset} has too few images: its split {split} has {len(held_out)}, and 2 or"
            " more are needed to validate on. Add images (of 100, 20 are held out)."
        )
    if len(train) < config.optimiser.batch_size:
        raise ValueError(
            f"{len(train)} training images do not fill a batch of {config.optimiser.batch_size}:"
            f" choose --batch_size={len(train)} or less, or more images."
        )
    return train, held_out


def batches_of(
    config: Config,
    images: np.ndarray,
    stage: str = "stage1",
    carried: int = 0,
    workers: int = 1,
    worker: int = 0,
) -> Batches:
    """Images, holes and noise of a run; others in stage two, and after a warm start.

    `carried` is how many images the weights it started from had seen.
    """
    seed, size = config.run.seed, config.data.image_size
    if stage == "stage2" or carried:
        seed = randomness.fold(seed, stage, carried) % 2**31
    latents, draws = config.model.latent_dim, config.objective.mmd_prior_draws
    return Batches(
        images,
        config.optimiser.batch_size,
        seed,
        flip=config.data.horizontal_flip,
        mask_distribution=config.masks.mask,
        mask_convention=config.masks.mask_convention,
        num_shards=workers,
        shard_index=worker,
        also=lambda step, examples: noise.for_training(seed, step, examples, size, latents, draws),
    )


def _warmup_steps(config: Config, stage: str, total: int) -> int:
    asked = config.optimiser.latent_warmup_steps
    if not stages.uses_latents(config.model, stage) or not asked:
        return 0
    if (
        config.loop.warm_start is not None
        and config.loop.warm_start_parts == "all"
        and warm_start.is_past_warmup(config.loop.warm_start, stage)
    ):
        logs.say(f"latent_warmup_steps {asked} left out: a warm start has latents in use already")
        return 0
    if asked > total // 2:
        logs.say(f"latent_warmup_steps {asked} shortened to {total // 2}, half of all steps")
        return total // 2
    return asked


def _done(info: dict[str, Any], config: Config, directory: Path, total: int) -> int:
    """The steps behind a checkpoint; ValueError if they are no part of this run."""
    differences = config.differences(loading.settings(directory, info))
    if differences:
        raise ValueError(
            f"{directory} holds a run with other settings ({'; '.join(differences)}): repeat them"
            " to go on with it, or choose another --run_dir."
        )
    if info["step"] > total:
        raise ValueError(
            f"{directory} has had {info['step']:,} steps already, more than the {total:,} asked"
            " for: choose another --run_dir, or more --train_steps."
        )
    return info["step"]


def _begun_from(stage: str, directory: Path) -> Path | None:
    """Where the stage two is that has this stage one's encoder and decoder, which more steps would
    change: beside it, or around it if it trained its stage one first."""
    if (stage, directory.name) != ("stage1", "stage1"):
        return None
    for place in (directory.parent / "stage2", directory.parent):
        if (place / MODEL_FILE).exists() or checkpoints.latest(place / "checkpoints") is not None:
            return place
    return None


def _check_room(learner: learners.Learner, directory: Path, keep: int, saves: int) -> None:
    """For the checkpoints that are kept, the best one, and a new one, which is whole before an old
    one goes; less those that are there, and no more than will be written."""
    directory.mkdir(parents=True, exist_ok=True)
    size = sum(array.nbytes for array in learner.state().values())
    there = sum(path.stat().st_size for path in directory.glob("checkpoints/*") if path.is_file())
    needed = max(min((keep + 2) * size - there, saves * size), size)
    if (free := shutil.disk_usage(directory).free) < needed:
        raise RunFailed(
            f"{directory} has {free / 1e6:.0f} MB of room, and checkpoints of {size / 1e6:.0f} MB"
            f" each will take {needed / 1e6:.0f}: make room there, choose another --run_dir, or"
            " lower --keep_checkpoints"
        )


def _check_data(info: dict[str, Any], count: int, directory: Path) -> None:
    before = info.get("training_images", count)
    if before != count:
        raise ValueError(
            f"{directory} was begun with {before:,} training images, and the data set has {count:,}"
            " now: bring back the same images to go on with it, or begin anew from its weights with"
            f" --mode={info['stage']} --warm_start={checkpoints.latest(directory / 'checkpoints')}"
            " and another --run_dir."
        )


def _validations(directory: Path) -> list[dict[str, Any]]:
    lines = logs.read_metrics(directory)
    return [line for line in lines if line.get("validation/bits_per_dim") is not None]


def _past_best(validations: Sequence[dict[str, Any]]) -> str:
    """What to do about a model that was better on held-out pictures before it ended."""
    bits = [line["validation/bits_per_dim"] for line in validations]
    if not bits or bits[-1] < (1 + OVERFITTED) * min(bits):
        return ""
    best = validations[bits.index(min(bits))]["step"]
    return (
        f"held-out pictures had {min(bits):.3f} bits/dim at step {best:,} and have {bits[-1]:.3f}"
        " now: it may know its training pictures by heart. In another --run_dir,"
        f" --train_steps={best} ends there; --horizontal_flip and --dropout help, and more pictures"
    )
