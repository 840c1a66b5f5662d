"""The arrays behind the figures, drawn by models: one function a figure, named after it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from csi_tf import latents, logs, masks
from csi_tf.config import MaskConfig
from csi_tf.evaluation import encoding
from csi_tf.inpaint import inpaint, reconstruct
from csi_tf.latents import Latent
from csi_tf.model import CSIModel

Arrays = dict[str, np.ndarray]

PARTS = ("mouth", "eyes", "nose", "face")  # holes of Figure 4
INSIDE = ("center", "eyes")  # of Figure 5b: all four sides inside the picture
HALVES = ("top_half", "bottom_half")
LARGE_AND_SMALL = ("bottom_half", "bottom_quarter")  # of Figure 7
OF_FIGURE8 = ("center", "mouth", "face")
TOGETHER = 3  # latents moved at once in Figure 4
FARTHEST, VARIANCE = 6.0, 3.0  # the paper's, of Figures 7 and 8


@dataclass(frozen=True)
class Sizes:
    """How much is drawn."""

    faces: int = 10
    samples: int = 4
    latents: int = 6  # rows of Figure 4
    values: int = 7
    candidates: int = 12  # latents from which those to show are chosen
    judges: int = 4  # faces on which they are
    traversed: int = 10  # rows of Figure 6
    factors: int = 3  # of Figure 7
    wide: int = 13  # its values
    runs: int = 6  # of Figure 8
    encoded: int = 1024


SMALL = Sizes(2, 2, 5, 2, 6, 1, 2, 2, 3, 2, 64)


@dataclass(frozen=True, eq=False)
class Material:
    """Faces to show, others to choose by, and how to draw."""

    test: np.ndarray  # uint8 (N, S, S, 3)
    validation: np.ndarray
    sizes: Sizes = Sizes()
    seed: int = 0
    batch: int | None = None
    law: MaskConfig = field(default_factory=MaskConfig)  # of the holes in training
    says: str = ""  # before each bar of progress; without it there is none

    def faces(self, count: int) -> np.ndarray:
        """From the first on; over again if there are fewer."""
        return self.test[np.arange(count) % len(self.test)]

    def inpaint(
        self,
        model: CSIModel,
        images: np.ndarray,
        context_mask: np.ndarray,
        samples: int = 1,
        z: Any = "posterior",
    ) -> np.ndarray:
        with self._progress("completions") as report:
            return inpaint(
                model,
                images,
                context_mask,
                samples,
                z=z,
                seed=self.seed,
                progress=report,
                batch=self.batch,
            ).images

    def reconstruct(
        self, model: CSIModel, images: np.ndarray, samples: int = 1, z: Any = "posterior"
    ) -> np.ndarray:
        with self._progress("whole faces") as report:
            return reconstruct(
                model, images, samples, self.seed, z, progress=report, batch=self.batch
            ).images

    def _progress(self, what: str) -> AbstractContextManager[Any]:
        return logs.reports(f"{self.says}, {what}") if self.says else nullcontext()


def figure3(model: CSIModel, on: Material) -> Arrays:
    real = on.faces(on.sizes.faces)
    mask = masks.sample("rectangle", len(real), model.size, on.seed)
    return completions(model, real, mask, on)


def figure4(model: CSIModel, on: Material) -> Arrays:
    known = candidates(model, on)
    parts = PARTS if any(each.mask is None for each in known) else ("mouth",)
    effect = effects(model, known, parts, on)
    mouth = np.argsort(-effect[:, parts.index("mouth")], kind="stable")[:TOGETHER]
    best = effect.argmax(axis=1)  # where it is not known, the hole whose pixels change most
    moves = [[latent] for latent in known[: on.sizes.latents]] + [[known[i] for i in mouth]]
    own = [each.mask or parts[i] for each, i in zip(known, best, strict=True)]
    holes = [*own[: on.sizes.latents], "mouth"]
    return rows(model, moves, holes, on)


def figure5a(models: Mapping[str, CSIModel], on: Material) -> Arrays:
    real = on.faces(2)
    made = [on.reconstruct(model, real, on.sizes.samples) for model in models.values()]
    return {"real": real, "reconstructed": np.stack(made), "names": np.array(list(models))}


def figure5b(clamped: CSIModel, without: CSIModel, full: CSIModel, on: Material) -> Arrays:
    """The three share their latents: stage two keeps the encoder and decoder of stage one."""
    known = candidates(full, on)
    chosen = [known[i] for i in effects(full, known, INSIDE, on).argmax(axis=0)]
    moves = [[latent] for latent in chosen]
    made = [rows(model, moves, INSIDE, on) for model in (clamped, without, full)]
    return made[-1] | {"completed": np.stack([each["completed"] for each in made])}


def figure5c(model: CSIModel, on: Material) -> Arrays:
    images = on.test[: on.sizes.encoded]
    law, convention = on.law.mask, on.law.mask_convention
    holes = masks.sample(law, len(images), model.size, on.seed, convention=convention)
    codes = encoding.encode(model, images, holes, on.seed)
    foremost = _widest(codes.mean)[:3]
    variance = np.exp(codes.logvar[:, foremost[0]])
    return {"z": codes.z[:, foremost], "dimensions": foremost, "variance": variance}


def figure6(model: CSIModel, on: Material) -> Arrays:
    known = candidates(model, on)[: on.sizes.traversed]
    values, real = np.linspace(*latents.USUAL, on.sizes.values), on.faces(1)
    mean = encoding.encode(model, real, 1.0, on.seed).mean[0]
    z = np.concatenate([along(mean, [latent], values[:, None]) for latent in known])
    drawn = on.reconstruct(model, real.repeat(len(z), axis=0), z=z)
    return {
        "real": real[0],
        "drawn": drawn.reshape(len(known), len(values), *real.shape[1:]),
        "values": values,
        "names": np.array([latent.name for latent in known]),
        "intervals": np.array([latent.interval for latent in known]),
    }


def figure7(model: CSIModel, on: Material) -> Arrays:
    known = candidates(model, on)
    # What acts on the whole face acts on both halves of it.
    effect = effects(model, known, HALVES, on).min(axis=1)
    chosen = [known[i] for i in np.argsort(-effect, kind="stable")[: on.sizes.factors]]
    values = np.linspace(-FARTHEST, FARTHEST, on.sizes.wide)
    moves = [[latent] for latent in chosen] * len(LARGE_AND_SMALL)
    holes = [hole for hole in LARGE_AND_SMALL for _ in chosen]
    real = on.faces(1).repeat(len(moves), axis=0)
    mask = _named(holes, model.size)
    drawn = _moved(model, real, mask, moves, [values[:, None]] * len(moves), on)
    return {
        "real": real[0],
        "context_mask": _named(LARGE_AND_SMALL, model.size),
        "completed": drawn.reshape(len(LARGE_AND_SMALL), len(chosen), *drawn.shape[1:]),
        "values": values,
        "masks": np.array(LARGE_AND_SMALL),
        "names": np.array([latent.name for latent in chosen]),
    }


def figure8(one_stage: CSIModel, two_stages: CSIModel, on: Material) -> Arrays:
    real, mask = on.faces(len(OF_FIGURE8)), _named(OF_FIGURE8, one_stage.size)
    made = [
        on.inpaint(model, real, mask, on.sizes.runs, VARIANCE) for model in (one_stage, two_stages)
    ]
    return {
        "real": real,
        "context_mask": mask,
        "completed": np.stack(made),
        "masks": np.array(OF_FIGURE8),
    }


def completions(model: CSIModel, real: np.ndarray, mask: np.ndarray, on: Material) -> Arrays:
    completed = on.inpaint(model, real, mask, on.sizes.samples)
    return {"real": real, "context_mask": mask, "completed": completed}


def rows(
    model: CSIModel, moves: Sequence[Sequence[Latent]], holes: Sequence[str], on: Material
) -> Arrays:
    """Latents moved over their intervals, those of a row together; each row another face."""
    real, mask = on.faces(len(moves)), _named(holes, model.size)
    values = [_over_intervals(each, on.sizes.values) for each in moves]
    return {
        "real": real,
        "context_mask": mask,
        "completed": _moved(model, real, mask, moves, values, on),
        "names": np.array([" + ".join(latent.name for latent in each) for each in moves]),
        "intervals": np.array([_said(each) for each in moves]),
        "masks": np.array(holes),
    }


def candidates(model: CSIModel, on: Material) -> list[Latent]:
    """Axes of z, as in the paper: by the rank they were given, else those that vary most."""
    ranked = [latent for latent in model.named_latents if latent.dimension is not None]
    if not ranked:
        mean = encoding.encode(model, on.validation, 1.0, on.seed).mean
        ranked = [latents.find(model, int(dimension)) for dimension in _widest(mean)]
    return ranked[: on.sizes.candidates]


def effects(
    model: CSIModel, known: Sequence[Latent], holes: Sequence[str], on: Material
) -> np.ndarray:
    """(L, M) how many levels a hole's pixels change between the ends of a latent's interval."""
    faces = on.validation[: on.sizes.judges]
    real = np.tile(faces, (len(known), 1, 1, 1))
    moves = [[latent] for latent in known for _ in faces]
    ends = [_over_intervals(each, 2) for each in moves]
    found = []
    for hole in holes:
        mask = _named([hole] * len(real), model.size)
        low, high = _moved(model, real, mask, moves, ends, on).swapaxes(0, 1).astype(np.float32)
        change = np.abs(high - low).mean(axis=-1)[mask[..., 0] == 0]
        found.append(change.reshape(len(known), -1).mean(axis=1))
    return np.stack(found, axis=1)


def along(mean: np.ndarray, moved: Sequence[Latent], values: np.ndarray) -> np.ndarray:
    """(V, D) z of a picture with latents set to values (V, m), the rest as inferred."""
    directions = np.stack([latent.direction for latent in moved])
    count = len(values)
    return latents.Settings(directions, values).on(np.tile(mean, (count, 1)), np.arange(count))


def _moved(
    model: CSIModel,
    real: np.ndarray,
    mask: np.ndarray,
    moves: Sequence[Sequence[Latent]],
    values: Sequence[np.ndarray],
    on: Material,
) -> np.ndarray:
    """(R, V, H, W, 3) one face in each row, with the same noise in all of its pictures."""
    mean = encoding.encode(model, real, mask, on.seed).mean
    z = np.stack([along(*each) for each in zip(mean, moves, values, strict=True)])
    of_each = z.shape[1]
    drawn = on.inpaint(
        model,
        real.repeat(of_each, axis=0),
        mask.repeat(of_each, axis=0),
        z=z.reshape(-1, z.shape[-1]),
    )
    return drawn.reshape(len(real), of_each, *real.shape[1:])


def _over_intervals(moved: Sequence[Latent], count: int) -> np.ndarray:
    low, high = zip(*(latent.interval for latent in moved), strict=True)
    return np.linspace(low, high, count)


def _said(moved: Sequence[Latent]) -> str:
    return ", ".join("[{:.2g},\N{NO-BREAK SPACE}{:.2g}]".format(*one.interval) for one in moved)


def _widest(mean: np.ndarray) -> np.ndarray:
    return np.argsort(-mean.std(axis=0), kind="stable")


def _named(holes: Sequence[str], size: int) -> np.ndarray:
    return np.stack([masks.named(hole, size) for hole in holes])
