"""--mode=figures: Figures 3 to 8 of the paper, from models to PNG, PDF and arrays."""

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np

from csi_tf import files, logs, provenance
from csi_tf.evaluation.subject import held_out, source
from csi_tf.figures import arrays, layout
from csi_tf.figures.arrays import SMALL, Arrays, Material, Sizes
from csi_tf.figures.models import FULL, STAGE_ONE, Models, Trained
from csi_tf.figures.settings import Figures

# In the order in which the figure's function takes them.
NEEDS = {
    "3": (FULL,),
    "4": (FULL,),
    "5a": ("vae_3x5", "beta_tcvae_3x5", STAGE_ONE),
    "5b": (STAGE_ONE, "noreverse", FULL),
    "5c": ("info_beta_tcvae",),
    "6": (STAGE_ONE,),
    "7": (FULL,),
    "8": ("one_stage", FULL),
}


def run(settings: Figures, directory: Path) -> None:
    """All that can be drawn of `all`; of figures asked for by number every one, or ValueError."""
    models = Models(settings.model)
    found = {number: models.problem(number, NEEDS[number]) for number in settings.numbers}
    problems = [problem for problem in found.values() if problem]
    if problems and (len(problems) == len(found) or settings.figure != "all"):
        raise ValueError("; ".join(problems))
    with files.explained(f"cannot make the directory {directory}"):
        directory.mkdir(parents=True, exist_ok=True)
    faces = None
    for number in (number for number, problem in found.items() if not problem):
        trained = [models[name] for name in NEEDS[number]]
        faces = faces or _faces(settings, trained[0])
        on = Material(
            *faces,
            SMALL if settings.small else Sizes(),
            settings.seed,
            settings.batch,
            trained[0].config.masks,
            f"figure {number}",
        )
        _draw(number, trained, on, _caption(settings, number, trained), directory)
    for problem in problems:
        logs.say(f"not drawn: {problem}")


def _draw(
    number: str, trained: Sequence[Trained], on: Material, caption: str, directory: Path
) -> None:
    made = _arrays(number, trained, on)
    module = import_module(f"csi_tf.figures.figure{number}")
    caption = f"Figure {number}. {module.CAPTION} {caption}"
    name = f"figure{number}"
    layout.save(module.draw(made, caption), directory, name, made, caption)
    logs.say(f"figure {number}: {directory / name}.png, .pdf and .npz")


def _arrays(number: str, trained: Sequence[Trained], on: Material) -> Arrays:
    if number == "5a":
        return arrays.figure5a({each.short: each.model for each in trained}, on)
    make = getattr(arrays, f"figure{number}")
    return make(*(each.model for each in trained), on)


def _caption(settings: Figures, number: str, trained: Sequence[Trained]) -> str:
    models, size = "; ".join(each.said for each in trained), trained[0].model.size
    dataset, _ = source(settings, trained[0].config)
    return (
        f"{'Models' if len(trained) > 1 else 'Model'}: {models}. Data: held-out images of"
        f" {provenance.dataset(dataset)}, {size} x {size} pixels. Seed {settings.seed}. Command:"
        f" {provenance.command(replace(settings, figure=number, output=None))}"
    )


def _faces(settings: Figures, trained: Trained) -> tuple[np.ndarray, np.ndarray]:
    """Those of an evaluation: to show, and to choose latents by."""
    where = source(settings, trained.config)
    test, validation = held_out(*where, trained.model.size, most=Sizes().encoded, wanted=1)
    return test.images, validation.images
