"""A trained model from its run directory or its one file, without the training loop."""

import os
from pathlib import Path

from csi_tf import checkpoints, stages
from csi_tf import model as models
from csi_tf.config import Config
from csi_tf.model import CSIModel

MODEL_FILE = "model.safetensors"


def find(where: str | os.PathLike[str]) -> Path:
    """The model file of a run: its own, or that of its last stage."""
    path = Path(where).expanduser()
    if path.is_file():
        return path
    for candidate in (
        path / MODEL_FILE,
        path / "stage2" / MODEL_FILE,
        path / "stage1" / MODEL_FILE,
    ):
        if candidate.is_file():
            return candidate
    raise ValueError(
        f"there is no finished model in {path}: expected a run directory with {MODEL_FILE}, or"
        " such a file."
    )


def load(where: str | os.PathLike[str]) -> CSIModel:
    """A model as it was exported: weights and settings are in the file."""
    path = find(where)
    weights, info = checkpoints.read(path)
    if "config" not in info or "stage" not in info:
        raise ValueError(f"{path} is a checkpoint of something else than a model of csi-tf.")
    config = Config.from_json(info["config"])
    network = stages.model_config(config.model, info["stage"])
    model = CSIModel(network, config.data.image_size, name="csi")
    named = {
        name: variable
        for name, variable in models.named_weights(model).items()
        if not name.startswith("dropout_seed")
    }
    try:
        weights = checkpoints.import_half(weights)
        checkpoints.match(weights, named)
    except ValueError as error:
        raise ValueError(
            f"{path} does not fit this version of the program (it was written by"
            f" {info.get('version', 'an unknown one')}): {error}"
        ) from None
    for name, variable in named.items():
        variable.assign(weights[name])
    return model
