"""The finished stage one that a stage two starts from: found, checked and copied."""

from dataclasses import replace
from pathlib import Path

from csi_tf import checkpoints, loading, logs, stages
from csi_tf.checkpoints import Arrays
from csi_tf.config import Config
from csi_tf.learner import Learner
from csi_tf.loading import MODEL_FILE

# What both stages must have alike.
_SHARED = {
    "data": ("image_size",),
    "model": (
        *("latents", "hole_fill", "latent_dim", "encoder_filters", "filters", "receptive_field"),
        *("field_mode", "mixtures", "conditioning", "nonlinearity", "weight_norm"),
    ),
}


def find(config: Config, directory: Path) -> Path | None:
    """The one named, or else of those near `directory` that fit the one that saw most images, and
    of equals the newest; None if there is none. One of another rate comes last."""
    if config.loop.stage1 is not None:
        return _named(config.loop.stage1)
    parents = {directory.parent, Path("runs")}
    files = {
        path
        for parent in parents
        for pattern in (f"*/{MODEL_FILE}", f"*/stage1/{MODEL_FILE}")
        for path in parent.glob(pattern)
    }
    found = []
    for path in files:
        try:
            info = checkpoints.read(path)[1]
            theirs = loading.settings(path, info)
            if info["stage"] == "stage1" and _fits(config, theirs):
                exact = theirs.optimiser.learning_rate == config.optimiser.learning_rate
                found.append((exact, int(info["images_seen"]), path.stat().st_mtime, path))
        except (OSError, ValueError, KeyError):  # somebody else's file, or another version's
            continue
    if not found:
        return None
    exact, images, _, path = max(found)
    but = "" if exact else ", but for its rate,"
    logs.say(
        f"stage2: the stage one with these settings{but} is {path}, which saw {images:,} images"
    )
    return path


def start_from(learner: Learner, stage1: Path, init: str) -> int:
    """Copy what stage two takes over; ValueError if it does not fit. Gives the images it saw."""
    weights, info = checkpoints.read(stage1)
    if info.get("stage") != "stage1":
        raise ValueError(
            f"{stage1} holds a {info.get('stage', 'strange')} model: --stage1 takes a finished"
            " stage one."
        )
    loading.check_finished(stage1, weights)
    theirs, ours = loading.settings(stage1, info), learner.config
    for group, names in _SHARED.items():
        for name in names:
            a, b = getattr(getattr(ours, group), name), getattr(getattr(theirs, group), name)
            if a != b:
                raise ValueError(
                    f"stage one in {stage1} has {name} {b}, stage two is asked for {a}: give both"
                    " the same."
                )
    copied = stages.start_stage_two(learner.model, checkpoints.import_half(weights), init)
    logs.say(f"stage2: starts from {stage1} ({len(copied)} arrays, init {init})")
    return int(info.get("images_seen", 0))


def check_origin(state: Arrays, stage1: Path, directory: Path) -> None:
    """ValueError if a stage two that is gone on with was begun from another stage one."""
    theirs = {f"model/{name}": values for name, values in checkpoints.read(stage1)[0].items()}
    if not loading.share_latents(state, theirs, "model/"):
        raise ValueError(
            f"{directory} was begun from another stage one than {stage1} is now: begin it anew in"
            " another --run_dir."
        )


def _named(name: str) -> Path:
    path = Path(name).expanduser()
    for candidate in (path, path / "stage1" / MODEL_FILE, path / MODEL_FILE):
        if candidate.is_file():
            return candidate
    raise ValueError(
        f"there is no finished stage one in {name}: --stage1 takes a run directory that holds"
        f" {MODEL_FILE}, or that file."
    )


def _fits(config: Config, other: Config) -> bool:
    """Whether a stage one was trained with these settings, those that only stage two has apart."""
    model = replace(
        other.model, reverse=config.model.reverse, reverse_features=config.model.reverse_features
    )
    chosen = config.optimiser
    optimiser = replace(other.optimiser, stage2_learning_rate=chosen.stage2_learning_rate)
    if optimiser.learning_rate == chosen.stage2_learning_rate:  # given to either stage
        optimiser = replace(optimiser, learning_rate=chosen.learning_rate)
    fitted = replace(other, model=model, optimiser=optimiser, loop=config.loop)
    return not config.differences(fitted)
