"""A trained model from its run directory or its one file, without the code that trained it."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import csi_tf
from csi_tf import checkpoints, checks, files, latents, whole
from csi_tf import model as models
from csi_tf.config import Config
from csi_tf.model import CSIModel

MODEL_FILE = "model.safetensors"
SHIPPED = Path(csi_tf.__file__).parent / "shipped"  # a folder for each, laid out as a run's
HASHES = "SHA256SUMS"  # of the model files that come along, as sha256sum writes and checks them


def find(where: str | os.PathLike[str]) -> Path:
    """The model file of a run, its own or that of its last stage; or a shipped model by its name.

    A run that is called as a shipped model is ./NAME.
    """
    path = checks.path(where, "the model")
    if os.fspath(where) in csi_tf.available():
        path = SHIPPED / path
    if path.is_file():
        return path
    for candidate in (
        path / MODEL_FILE,
        path / "stage2" / MODEL_FILE,
        path / "stage1" / MODEL_FILE,
    ):
        if candidate.is_file():
            return candidate
    for place in (path, path / "stage2", path / "stage1"):
        if (place / "checkpoints").is_dir():
            raise ValueError(
                f"training in {place} is not finished: give its command again, with"
                f" --run_dir={path}, to go on"
            )
    shipped = ", ".join(csi_tf.available())
    raise ValueError(
        f"there is no finished model in {path}: expected a run directory with {MODEL_FILE}, or"
        " such a file" + (f", or one of the models that come along: {shipped}." if shipped else ".")
    )


def digests(path: Path) -> dict[str, str]:
    """SHA-256 of a model file and of what it is used with that lies beside it."""
    there = {"model": path, whole.FILE: path.parent / whole.FILE}
    if names := latents.file_of(path):
        there[latents.FILE] = names
    return {name: files.digest(file) for name, file in there.items() if file.exists()}


def stage_one_of(path: Path) -> Path | None:
    """The stage one that lies beside a model file of stage two, if that was begun from it."""
    beside = path.parent.parent if path.parent.name == "stage2" else path.parent
    stage_one = beside / "stage1" / MODEL_FILE
    if not stage_one.is_file():
        return None
    both = checkpoints.read(path)[0], checkpoints.read(stage_one)[0]
    return stage_one if share_latents(*both) else None


def share_latents(one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = "") -> bool:
    """Whether encoder and decoder are the same, in half precision: one may be an export.

    Models without latents have none to share.
    """
    parts = tuple(f"{prefix}{part}/" for part in ("encoder", "decoder"))
    names = [name for name in one if name.startswith(parts)]
    return bool(names) and all(
        name in other
        and np.array_equal(np.asarray(one[name], np.float16), np.asarray(other[name], np.float16))
        for name in names
    )


def load(where: str | os.PathLike[str]) -> CSIModel:
    """A trained model: one that comes along, by its name, or a run's directory or model file.

    A latents.json beside the file gives its latents names.
    """
    path = find(where)
    model = alone(path)
    if (fitted := path.parent / whole.FILE).exists():
        _check_shipped(fitted)
    if law := whole.beside(path, model):
        model.draw_whole = law.draw
    model.named_latents = latents.beside(path, model.config.latent_dim)
    return model


def alone(path: Path) -> CSIModel:
    """The model of a file, without what lies beside it."""
    _check_shipped(path)
    weights, info = checkpoints.read(path)
    if "config" not in info or "stage" not in info:
        raise ValueError(f"{path} is a checkpoint of something else than a model of csi-tf.")
    check_finished(path, weights)
    with explained(path, info):
        config = Config.from_json(info["config"])
        network = models.for_stage(config.model, info["stage"])
        model = CSIModel(network, config.data.image_size, name="csi")
        named = models.exported_weights(model)
        weights = models.of_use(checkpoints.import_half(weights))
        checkpoints.match(weights, named)
    for name, variable in named.items():
        variable.assign(weights[name])
    return model


def check_finished(path: Path, weights: Mapping[str, Any]) -> None:
    """ValueError for a checkpoint, whose arrays go by other names."""
    if any(name.startswith("model/") for name in weights):
        raise ValueError(
            f"{path} is a checkpoint that a training goes on from; the finished model is"
            f" {path.parent.parent / MODEL_FILE}"
        )


def _check_shipped(path: Path) -> None:
    """ValueError if a model file that comes along is not the one that was measured."""
    shipped = SHIPPED.resolve()
    if not path.resolve().is_relative_to(shipped):
        return
    lines = (SHIPPED / HASHES).read_text().splitlines()
    hashes = {name: digest for digest, name in (line.split() for line in lines)}
    if hashes.get(path.resolve().relative_to(shipped).as_posix()) != files.digest(path):
        raise ValueError(
            f"{path} is damaged, or not the model that came with csi-tf {csi_tf.__version__}:"
            " install csi-tf anew, or load your own from another directory."
        )


def settings(path: Path, info: Mapping[str, Any]) -> Config:
    """The settings in a file of a run, or of the files in its directory."""
    with explained(path, info):
        return Config.from_json(info["config"])


@contextmanager
def explained(path: Path, info: Mapping[str, Any]) -> Iterator[None]:
    """ValueError naming the file and both versions where a file's content makes no sense here.

    A later version may have put anything there, so other errors than ours are caught as well.
    """
    try:
        yield
    except (ValueError, TypeError, KeyError) as error:
        theirs, ours = info.get("version", "an unknown version"), csi_tf.__version__
        help_ = "" if theirs == ours else ", which can load it"
        raise ValueError(
            f"{path} does not fit csi-tf {ours} (it was written by {theirs}{help_}): {error}"
        ) from error
