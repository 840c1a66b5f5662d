"""--mode=demo: what a trained model does, in a few pictures, in under a minute and without data."""

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from csi_tf import checkpoints, data, files, loading, logs, masks
from csi_tf.figures import arrays, figure3, figure4, layout
from csi_tf.figures.arrays import Material, Sizes
from csi_tf.inpaint import sample_prior
from csi_tf.model import CSIModel
from csi_tf.modes import Demo

FILLED, MOVED = "holes.png", "sliders.png"
HOLES = ("mouth", "eyes", "nose", "center", "bottom_half", "left_half")
# The hole that shows a slider is settled on faces apart from those shown.
SIZES = Sizes(samples=3, latents=5, values=7, candidates=5, judges=2)


def run(settings: Demo, directory: Path) -> None:
    if settings.output is not None:  # the default is a directory of its own
        for name in (FILLED, MOVED):
            if (directory / name).exists():
                raise ValueError(f"{directory / name} is there already; give another --output")
    path = loading.find(settings.model)
    model, config = loading.load(path), loading.settings(path, checkpoints.read(path)[1])
    count = SIZES.judges + max(len(HOLES), SIZES.latents + 1)
    if config.data.dataset == "procedural_faces":
        images = data.arrays("procedural_faces", "test", model.size, limit=count).images
        faces = "held-out procedural faces, which the model was not trained on"
    else:
        with logs.reports("faces to start from") as report:
            images = sample_prior(
                _whole(path, model), count, settings.seed, progress=report, batch=settings.batch
            )
        faces = "faces that the model itself drew from its prior, so that no data set is needed"
    judges, shown = images[: SIZES.judges], images[SIZES.judges :]
    on = Material(shown, judges, SIZES, settings.seed, settings.batch, says="holes")
    hole = np.stack([masks.named(name, model.size) for name in HOLES])
    filled = figure3.draw(arrays.completions(model, on.faces(len(HOLES)), hole, on))
    print(
        f"{_write(filled, directory / FILLED)}: {faces};\n"
        f"  their holes ({', '.join(HOLES)}) and three fillings of each."
    )
    if model.decoder is not None:
        moved = figure4.draw(arrays.figure4(model, replace(on, says="sliders")))
        print(
            f"{_write(moved, directory / MOVED)}: one latent in each row, moved from left"
            " to right,\n  three at once in the last. Nothing but the hole changes."
        )
    print("Next, a picture of your own; and a page to paint holes on:")
    for mode in ("inpaint", "traverse") if model.decoder is not None else ("inpaint",):
        print(
            f"  python run.py --mode={mode} --model={shlex.quote(settings.model)} --mask=mouth"
            " --input=PICTURE"
        )
    print(f"  python run.py --mode=studio --model={shlex.quote(settings.model)}")


def _whole(path: Path, model: CSIModel) -> CSIModel:
    """Stage one where it is at hand: it was trained on whole pictures, stage two on holes."""
    stage_one = loading.stage_one_of(path)
    return loading.load(stage_one) if stage_one else model


def _write(figure: Figure, path: Path) -> Path:
    files.write(path, layout.png(figure))
    return path
