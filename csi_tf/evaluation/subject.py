"""The model that is evaluated, the images it is evaluated on, and the completions it draws."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from csi_tf import arguments, checkpoints, data, loading, logs, masks, randomness
from csi_tf.config import Config
from csi_tf.data.base import ImageArrays
from csi_tf.errors import RunFailed
from csi_tf.evaluation import proxy
from csi_tf.evaluation.proxy import Features
from csi_tf.evaluation.settings import OF_HOLES, PARTS, Evaluation
from csi_tf.inpaint import Completions, inpaint
from csi_tf.latents import Latent
from csi_tf.model import CSIModel
from csi_tf.settings import FEWEST


class PartRefused(ValueError):
    """A part of an evaluation that the model or the data do not allow."""

    def __init__(self, part: str, why: str) -> None:
        super().__init__(why)
        self.part = part


@dataclass(eq=False)
class Subject:
    """`test` is reported on; `validation`, disjoint from it, is what choices are made on."""

    settings: Evaluation
    path: Path  # the model file
    model: CSIModel
    config: Config  # that the model was trained with
    info: dict[str, Any]  # what else its file says
    dataset: str
    test: ImageArrays
    validation: ImageArrays
    cache: Path | None = None  # where what takes long to fit may be kept
    entries: list[Latent] = field(default_factory=list)  # found by control, for latents.json
    _drawn: dict[Any, Completions] = field(default_factory=dict)

    @cached_property
    def train(self) -> ImageArrays:
        """The first training images, with what is known of them, for readers."""
        return data.arrays(
            self.dataset,
            "train",
            self.model.size,
            data_dir=source(self.settings, self.config)[1],
            limit=self.settings.train_images,
        )

    @cached_property
    def trained_on(self) -> np.ndarray:
        """All training images, uint8, mirrored too if the model saw them so: what else learns from
        pictures, and what looks for copies, has to see as many."""
        images = data.arrays(
            self.dataset,
            "train",
            self.model.size,
            data_dir=source(self.settings, self.config)[1],
            limit=self.config.data.limit,
        ).images
        if not self.config.data.horizontal_flip:
            return images
        return np.concatenate([images, images[:, :, ::-1]])

    @property
    def stage(self) -> str:
        return str(self.info["stage"])

    @property
    def images_seen(self) -> int:
        """In training, of both stages where there are two."""
        return int(self.info.get("images_seen", 0) + self.info.get("images_before", 0))

    @property
    def train_count(self) -> int:
        """How many images the model was trained on, which MI and TC are estimated for."""
        return int(self.info.get("training_images", len(self.train)))

    @cached_property
    def pictures(self) -> np.ndarray:
        """The test images that holes are filled in, uint8."""
        return self.test.images[: self.settings.images]

    @cached_property
    def features(self) -> Features | None:
        """What KID and FID are taken of; without them, which is said, there is no KID and FID."""
        if self.settings.features == "inception":
            return proxy.inception()
        try:
            return proxy.features(self.train, self.validation, self.seed("features"), self.cache)
        except RunFailed as error:
            logs.say(f"KID and FID are left out: {error}")
            return None

    @property
    def has_latents(self) -> bool:
        return self.model.encoder is not None

    def seed(self, purpose: str) -> int:
        return randomness.fold(self.settings.seed, "evaluation/" + purpose) % 2**31

    def context_mask(self, name: str, count: int) -> np.ndarray:
        """(count, H, W, 1): a box, or as many draws of a law, the same whatever the model."""
        trained = self.config.masks
        convention = trained.mask_convention if name == trained.mask else "white_is_hole"
        seed = self.seed("masks")
        return masks.sample(name, count, self.model.size, seed, convention=convention)

    def completions(self, mask: str, truncation: float | None = 1.0) -> Completions:
        """Of `pictures`, drawn once however many parts look at them."""
        key = mask, truncation
        if key not in self._drawn:
            count, samples = len(self.pictures), self.settings.num_samples
            said = "none" if truncation is None else f"{truncation:g}"
            with logs.reports(f"{mask}, truncation {said}") as report:
                self._drawn[key] = inpaint(
                    self.model,
                    self.pictures,
                    self.context_mask(mask, count),
                    samples,
                    seed=self.seed("completions"),
                    z=self.settings.z,
                    truncation=truncation,
                    batch=self.settings.batch,
                    progress=report,
                )
        return self._drawn[key]


def parts(settings: Evaluation, subject: Subject) -> tuple[str, ...]:
    """Those that can be measured of the model; PartRefused if one that was asked for cannot."""
    lacking: dict[str, str] = {}
    if subject.stage == "stage1" and not settings.clamped:
        why = (
            "needs a model of stage two, and this one is of stage one: train it with --mode=stage2"
            f" --stage1={subject.path.parent}, or evaluate stage one with its context clamped by"
            " --clamped"
        )
        lacking |= dict.fromkeys(OF_HOLES, why)
    if subject.stage != "stage1":
        lacking["reconstruction"] = "is of models of stage one: evaluate the run's stage one"
    if not subject.has_latents:
        why = "needs latents, and this model was trained with --nolatents"
        lacking |= dict.fromkeys(("latents", "reconstruction", "control", "wide_z"), why)
    for name in settings.chosen or ():
        if name in lacking:
            raise PartRefused(name, f"part {name} {lacking[name]}")
    return tuple(name for name in settings.chosen or PARTS if name not in lacking)


def open_subject(settings: Evaluation) -> Subject:
    path = loading.find(settings.model)
    info = checkpoints.read(path)[1]
    model = loading.load(path)
    arguments.check_z(settings.z, model)
    config = loading.settings(path, info)
    dataset, data_dir = source(settings, config)
    controls = settings.chosen is None or {"control", "calibration"} & {*settings.chosen}
    wanted = max(settings.images, settings.control_images if controls else 0)
    most = max(wanted, settings.encoded_images)
    parts = held_out(dataset, data_dir, model.size, most, wanted)
    return Subject(settings, path, model, config, info, dataset, *parts)


def source(settings: Any, config: Config) -> tuple[str, str | None]:
    """The data set that is asked for and where it lies: by default those of the training."""
    if settings.dataset in (None, config.data.dataset):
        return config.data.dataset, settings.data_dir or config.data.data_dir
    return settings.dataset, settings.data_dir


def held_out(
    dataset: str, data_dir: str | None, size: int, most: int, wanted: int
) -> tuple[ImageArrays, ImageArrays]:
    """Test and validation images: two splits, or one cut in two where there is only one.

    Choices are made on its first half, because training watches its first images.
    """
    names = data.splits(dataset, data_dir)

    def read(split: str, limit: int | None) -> ImageArrays:
        return data.arrays(dataset, split, size, data_dir=data_dir, limit=limit)

    if {"validation", "test"} <= {*names}:
        test, validation = read("test", most), read("validation", most)
        split = "test" if len(test) <= len(validation) else "validation"
        there, more = f"{min(len(test), len(validation))} images for {split}", "add images there"
    else:
        whole = read(data.held_out_split(dataset, data_dir), None)
        half = len(whole) // 2
        test, validation = _rows(whole, half, half + most), _rows(whole, 0, min(half, most))
        there, more = f"{len(whole)} images", "add images (of 100, 20 are held out)"
    found, least = min(len(test), len(validation)), min(wanted, FEWEST)
    if found < least:
        raise ValueError(
            f"{dataset} holds out {there}, too few to report on {least} and to make choices on as"
            f" many: {more}"
        )
    if len(test) < wanted:
        logs.say(f"{dataset} holds out few images: {len(test)} are reported on, not {wanted}")
    return test, validation


def _rows(arrays: ImageArrays, first: int, end: int) -> ImageArrays:
    def cut(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else values[first:end]

    return ImageArrays(
        arrays.images[first:end],
        cut(arrays.attributes),
        arrays.attribute_names,
        cut(arrays.factors),
        arrays.factor_names,
    )
