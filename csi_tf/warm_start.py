"""Training begun with the weights of a model file: on other pictures, or where the run it came from
is not at hand."""

from collections.abc import Collection
from dataclasses import asdict, fields, replace
from pathlib import Path

import csi_tf
from csi_tf import checkpoints, checks, files, latents, loading, logs
from csi_tf import model as models
from csi_tf.config import Config, ModelConfig
from csi_tf.learner import Learner
from csi_tf.loading import MODEL_FILE

PIXEL_CNN = ("forward/", "reverse/")
_NOT_SEEN = {"dropout", "hole_fill", "full_image_encoder"}  # in the shapes of weights


def settled(config: Config, given: Collection[str]) -> Config:
    """With the model's settings those of the weights it begins with, but for those given."""
    where = config.loop.warm_start
    assert where is not None
    before = _of_run(config)  # of a run that is gone on with; the weights may be gone by now
    if before is None:
        path = _find(where, config.run.mode)
        before = loading.settings(path, checkpoints.read(path)[1])
    taken = {name: value for name, value in asdict(before.model).items() if name not in given}
    size = config.data.image_size if "image_size" in given else before.data.image_size
    return replace(
        config,
        model=replace(config.model, **taken),
        data=replace(config.data, image_size=size),
    )


def _of_run(config: Config) -> Config | None:
    """What the run directory was begun with, if from the same weights."""
    if config.run.run_dir is None:
        return None
    directory = checks.path(config.run.run_dir)
    try:
        before = Config.from_json((directory / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None  # runs.open_directory says what is wrong
    is_begun = checkpoints.latest(directory / "checkpoints") or (directory / MODEL_FILE).exists()
    return before if is_begun and before.loop.warm_start == config.loop.warm_start else None


def load(learner: Learner, where: str, parts: str = "all") -> tuple[int, int]:
    """Copy all weights, or the PixelCNN's; the images seen by the stage one before, and by this.

    Optimisers start anew. A model file in half precision has been rounded to 11 bits; a checkpoint
    does as well.
    """
    path = _find(where, learner.stage)
    weights, info = checkpoints.read(path)
    if info.get("stage") != learner.stage:
        raise ValueError(
            f"{path} holds a {info.get('stage', 'strange')} model, and {learner.stage} is to be"
            f" trained: give --warm_start a model of {learner.stage}"
        )
    named = models.exported_weights(learner.model)
    of_model = {k.removeprefix("model/"): v for k, v in weights.items() if k.startswith("model/")}
    weights = models.of_use(of_model or weights)  # a checkpoint holds more
    try:
        checkpoints.match(weights := checkpoints.import_half(weights), named)
    except ValueError as error:
        changes = learner.config.changes(loading.settings(path, info))
        networks = {"image_size", *(each.name for each in fields(ModelConfig))} - _NOT_SEEN
        said = "; ".join(change for name, change in changes.items() if name in networks)
        if said:
            raise ValueError(
                f"the weights of {path} do not fit a model with {said}: leave out what says so, as"
                " settings of the model that nobody gives are those of --warm_start"
            ) from None
        with loading.explained(path, info):
            raise error
    for name, variable in named.items():
        if parts == "pixelcnn" and not name.startswith(PIXEL_CNN):
            continue
        variable.assign(weights[name])
    before, seen = int(info.get("images_before", 0)), int(info.get("images_seen", 0))
    taken = "the PixelCNN of " if parts == "pixelcnn" else ""
    logs.say(f"{learner.stage}: warm start from {taken}{path}, which has seen {seen:,} images")
    return before, seen


def keep_names(where: str, directory: Path) -> None:
    """Stage two leaves encoder and decoder as they are, so latents mean what they meant before."""
    path, kept = _find(where, "stage2"), directory / latents.FILE
    if path.parent.name == "checkpoints":  # of a run, whose names lie beside its model
        path = path.parent.parent / MODEL_FILE
    names = latents.file_of(path)
    kept.unlink(missing_ok=True)  # of another model, from which a run was not begun after all
    if names is not None:
        files.write(kept, names.read_bytes())
        logs.say(f"stage2: latents keep their names, {kept}; without it an evaluation's count")


def is_past_warmup(where: str, stage: str) -> bool:
    """Whether its PixelCNN has learnt beside its latents, and not only a warm-up's head."""
    info = checkpoints.read(_find(where, stage))[1]
    return int(info.get("step", 1)) > int(info.get("warmup_steps", 0))


def _find(where: str, stage: str) -> Path:
    """Of a run of two stages, or of a model that comes along, the one of this stage."""
    path = checks.path(where)
    if path.suffix == checkpoints.SUFFIX:
        return path
    place = loading.SHIPPED / where if where in csi_tf.available() else path
    own = place / stage / MODEL_FILE
    return own if own.is_file() else loading.find(where)
