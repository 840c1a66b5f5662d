"""A place to run commands in: a model, a picture, and what looks at the results."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
from PIL import Image

import csi_tf
import run
from csi_tf import checkpoints, latents, loading, whole
from csi_tf import model as models
from csi_tf.data import image_files

SIZE = 16
MODEL = "--model=trained"


def export(directory: Path, stage: str = "stage2") -> None:
    """Fresh weights of a size that matters: z and what is observed must reach the pixels."""
    config = tiny.config("train")
    model = models.make(models.for_stage(config.model, stage), SIZE, seed=1)
    last = model.forward.streams.last
    noise = np.random.default_rng(5).normal(0, 0.3, last.kernel.shape)
    last.kernel.assign(np.asarray(last.kernel) + noise)
    weights = {name: np.asarray(v) for name, v in models.exported_weights(model).items()}
    directory.mkdir(exist_ok=True)
    info = {"stage": stage, "config": config.to_json(), "version": csi_tf.__version__}
    checkpoints.write(directory / loading.MODEL_FILE, weights, info)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    directory = tmp_path_factory.mktemp("trained")
    export(directory)
    return directory


load = loading.load
LOADED = {}


def load_once(where):
    """In place of `loading.load`: what is in a file is compiled once, wherever that lies.

    Names come anew with each call, from what lies beside the file now.
    """
    path = loading.find(where)
    fitted = path.parent / whole.FILE
    contents = path.read_bytes(), fitted.read_bytes() if fitted.exists() else None
    if contents not in LOADED:
        LOADED[contents] = load(path)
    model = LOADED[contents]
    model.named_latents = latents.beside(path, model.config.latent_dim)
    return model


@pytest.fixture(autouse=True)
def place(tmp_path, trained, monkeypatch):
    """A directory with a model and a picture."""
    monkeypatch.setattr(loading, "load", load_once)
    monkeypatch.chdir(tmp_path)
    Path("trained").mkdir()
    shutil.copy(trained / loading.MODEL_FILE, "trained")
    picture("face.png", 24, 24)
    return tmp_path


def picture(path: str, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth enough that cutting and resizing it in other ways would show."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3)).astype("uint8")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    image.save(path, quality=95)
    return pixels(path)


def mask_file(path: str, height: int, width: int, box: tuple[int, int, int, int]) -> np.ndarray:
    """Booleans, True = hole; written white on black."""
    hole = np.zeros((height, width), bool)
    top, bottom, left, right = box
    hole[top:bottom, left:right] = True
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(hole.astype("uint8") * 255).save(path)
    return hole


def main(*arguments: str, mode: str = "inpaint", model: str = MODEL) -> int:
    return run.main(["run.py", f"--mode={mode}", model, "--batch=4", *arguments])


def repeat(file: object, *arguments: str, mode: str = "inpaint") -> int:
    return run.main(["run.py", f"--mode={mode}", f"--repeat={file}", *arguments])


def pixels(path: object) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def texts(path: object) -> dict[str, str]:
    with Image.open(path) as image:
        return image.info


def results(directory: str) -> list[dict]:
    return [json.loads(line) for line in Path(directory, "results.jsonl").read_text().splitlines()]


def names(directory: str) -> list[str]:
    found = Path(directory).rglob("*")
    return sorted(str(path.relative_to(directory)) for path in found if path.is_file())


def shown(path: str = "face.png") -> np.ndarray:
    """What the model is to see of a picture."""
    return image_files.resize_antialiased(
        image_files.center_crop(image_files.read_image(path)), SIZE
    )


def complaint(capsys) -> str:
    """The one line that says what is wrong."""
    (line,) = (e for e in capsys.readouterr().err.splitlines() if e.startswith("run.py: "))
    return line
