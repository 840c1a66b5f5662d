"""Training begun with the weights of a model file: on other pictures, or where the run it came from
is not at hand."""

import shutil
from collections.abc import Collection
from dataclasses import asdict, fields, replace
from pathlib import Path

import csi_tf
from csi_tf import checkpoints, checks, latents, loading, logs
from csi_tf import model as models
from csi_tf.config import Config, ModelConfig
from csi_tf.learner import Learner

PIXEL_CNN = ("forward/", "reverse/")


def settled(config: Config, given: Collection[str]) -> Config:
    """With the model's settings those of the weights it begins with, but for those given."""
    where = config.loop.warm_start
    assert where is not None
    path = _find(where, config.run.mode)
    before = loading.settings(path, checkpoints.read(path)[1])
    taken = {name: value for name, value in asdict(before.model).items() if name not in given}
    size = config.data.image_size if "image_size" in given else before.data.image_size
    return replace(
        config,
        model=replace(config.model, **taken),
        data=replace(config.data, image_size=size),
    )


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
        networks = {"image_size", *(each.name for each in fields(ModelConfig))}
        said = "; ".join(change for name, change in changes.items() if name in networks)
        raise ValueError(
            f"the weights of {path} do not fit a model with {said or error}: leave out what says"
            " so, as settings of the model that nobody gives are those of --warm_start"
        ) from None
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
    names, kept = latents.file_of(_find(where, "stage2")), directory / latents.FILE
    if names is not None and not kept.exists():
        shutil.copyfile(names, kept)
        logs.say(
            f"stage2: latents keep their names, {kept}; without it those of an evaluation count"
        )


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
    own = place / stage / loading.MODEL_FILE
    return own if own.is_file() else loading.find(where)
