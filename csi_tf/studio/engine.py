"""What the page asks for, without a page: models, faces, inferred latents, completions, sweeps."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import csi_tf
from csi_tf import arguments, checkpoints, checks, latents, loading, masks
from csi_tf.data import procedural_faces
from csi_tf.evaluation import encoding
from csi_tf.inpaint import Completions, inpaint, sample_prior
from csi_tf.latents import Latent
from csi_tf.model import CSIModel
from csi_tf.session import Session
from csi_tf.studio.desk import key

HELD_OUT = 2000  # procedural faces to choose from
SAMPLES = 4  # completions, to begin with
LONGEST = 4096  # characters of a path
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Opened:
    name: str  # as the studio was given it
    place: str  # as it is called from any directory, which sessions say
    sha256: Mapping[str, str]  # of loading.digests
    model: CSIModel
    whole: CSIModel  # that draws faces from nothing: stage one where it is at hand
    procedural: bool  # whether it was trained on faces that can be drawn here
    sliders: tuple[Latent, ...]  # those with names first, by rank, then the remaining dimensions
    said: str


class Engine:
    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._given = {
            spelt: name for name in names for spelt in (name, _place(name), _resolved(name))
        }
        self._opened: dict[str, Opened] = {}
        self._lock = threading.Lock()

    def open(self, name: str) -> Opened:
        """Of the models that the studio was started with, however it is spelt; no other file is
        read."""
        name = str(name)  # programs send anything
        given = self._given.get(name) or self._given.get(_resolved(name))
        if given is None:
            raise ValueError(
                f"{name} is none of this studio's models: {', '.join(self.names)}; to open it,"
                f" start the studio with --model={name}"
            )
        with self._lock:
            if given not in self._opened:
                self._opened[given] = _open(given)
            return self._opened[given]

    def blank(self, name: str) -> Session:
        """To begin with, where a face is yet to be drawn."""
        opened = self.open(name)
        size = opened.model.size
        return self._begun(opened, np.full((size, size, 3), 127, np.uint8), "nothing yet")

    def face(self, name: str, number: int, progress: Progress | None = None) -> Session:
        """A held-out one, or one from the prior where none is known that the model could fill."""
        opened = self.open(name)
        number = checks.whole_number(number, "number", 0) % HELD_OUT
        if not opened.procedural:
            return self.drawn(name, number, progress)
        face = _face(number, opened.model.size)
        return self._begun(opened, face, f"held-out procedural face {number}")

    def drawn(self, name: str, seed: int, progress: Progress | None = None) -> Session:
        """A face from the prior."""
        opened = self.open(name)
        face = sample_prior(opened.whole, 1, seed, progress=progress)[0]
        return self._begun(opened, face, f"drawn by the model from nothing, seed {seed}")

    def _begun(self, opened: Opened, face: np.ndarray, said: str) -> Session:
        mask = masks.named("mouth", opened.model.size)
        return Session(
            opened.place, face, mask, num_samples=SAMPLES, said=said, sha256=opened.sha256
        )

    def checked(self, session: Session) -> Session:
        """A session from a file, with the model as it is here; ValueError if it is of another
        studio."""
        opened = self.open(session.model)
        model = opened.model
        size = model.size
        if len(session.image) != size:
            raise ValueError(
                f"its picture has {len(session.image)} pixels on a side, {session.model} {size}"
            )
        latents.settings(model, session.latents)
        arguments.check_z(session.z, model)
        # As sliders call them: what is called otherwise would be set beside its slider.
        by_key = {key(latents.find(model, each)): v for each, v in session.latents.items()}
        return replace(session, model=opened.place, latents=by_key, sha256=opened.sha256)

    def inferred(self, session: Session) -> list[float]:
        """Where each slider stands by what is observed: the mean of the posterior along it."""
        opened = self.open(session.model)
        if not opened.sliders:
            return []
        images, mask = session.image[None], session.context_mask[None]
        mean = encoding.encode(opened.model, images, mask, session.seed).mean[0]
        return [float(mean @ each.direction) for each in opened.sliders]

    def complete(self, session: Session, progress: Progress | None = None) -> Completions:
        """The likeliest first."""
        return inpaint(
            self.open(session.model).model,
            session.image,
            session.context_mask,
            session.num_samples,
            latents=dict(session.latents),
            z=session.z,
            seed=session.seed,
            truncation=session.truncation,
            order="likelihood",
            progress=progress,
        )

    def sweep(
        self,
        session: Session,
        latent: Latent,
        z: np.ndarray,
        number: int,
        values: Sequence[float],
        progress: Progress | None = None,
    ) -> np.ndarray:
        """uint8 (V, S, S, 3): completion `number`, drawn with z, with one latent at each value."""
        way = latents.Settings(latent.direction[None], np.array(values)[:, None])
        count = len(values)
        many = np.tile(z.astype(np.float64), (count, 1))
        return inpaint(
            self.open(session.model).model,
            np.repeat(session.image[None], count, axis=0),
            session.context_mask,
            z=way.on(many, np.arange(count)),
            seed=session.seed,
            truncation=session.truncation,
            first_sample=number,
            progress=progress,
        ).images[:, 0]


def _place(name: str) -> str:
    return name if name in csi_tf.available() else checks.absolute(name)


def _resolved(name: str) -> str:
    """The same for all spellings of a path."""
    if name in csi_tf.available():
        return name
    # What is longer is no path, and resolving it would take the square of its length.
    return os.path.realpath(os.path.expanduser(name[:LONGEST]))


def _open(name: str) -> Opened:
    path = loading.find(name)
    info = checkpoints.read(path)[1]
    model, stage_one = loading.load(path), loading.stage_one_of(path)
    sliders: tuple[Latent, ...] = ()
    if model.decoder is not None:
        known, count = model.named_latents, model.config.latent_dim
        axes = {each.dimension for each in known}
        sliders = (*known, *(latents.find(model, i) for i in range(count) if i not in axes))
    dataset = loading.settings(path, info).data.dataset
    return Opened(
        name,
        _place(name),
        loading.digests(path),
        model,
        loading.load(stage_one) if stage_one else model,
        dataset == "procedural_faces",
        sliders,
        " ".join(_said(name, path, model, dataset, info)),
    )


def _said(
    name: str, path: Path, model: CSIModel, dataset: str, info: Mapping[str, Any]
) -> Iterator[str]:
    seen = info.get("images_seen", 0) + info.get("images_before", 0)
    kind, _, place = dataset.partition(":")
    data_ = Path(place).name if place else kind.replace("_", " ")
    yield f"**{name}**: {model.size}x{model.size} pixels, trained on {data_}, {seen:,} images seen."
    if info["stage"] == "stage1":
        yield "It is of stage one: of what is below and to the right it knows through z only."
    if licence := _licence(path.parent.parent / "README.md"):
        yield licence


def _licence(card: Path) -> str:
    """The first line of that section of a model that comes along."""
    if not (card.is_relative_to(loading.SHIPPED) and card.is_file()):
        return ""
    _, _, section = card.read_text("utf-8").partition("## Licence\n")
    return section.strip().partition("\n")[0]


@lru_cache(64)
def _face(number: int, size: int) -> np.ndarray:
    made = procedural_faces.generate("test", size, start=number, stop=number + 1)
    return made["images"][0]
