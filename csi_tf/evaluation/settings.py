"""What --mode=evaluate is asked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import csi_tf
from csi_tf import masks
from csi_tf.settings import FEWEST, CheckedSettings

# In the order in which they are measured; each is a module of csi_tf.evaluation.parts.
PARTS = ("likelihood", "latents", "reconstruction", "pictures", "seam", "calibration", "control",
         "wide_z", "baselines")  # fmt: skip
# Of a completion of a hole, which a model of stage one was not made for.
OF_HOLES = ("pictures", "seam", "calibration", "control", "wide_z", "baselines")
MASKS = "mouth,eyes,nose,center,bottom_half,rectangle"


@dataclass(frozen=True)
class Evaluation(CheckedSettings):
    """Numbers of images are of held-out ones; the defaults take minutes on two cores."""

    model: str
    mode: Literal["evaluate"] = "evaluate"
    output: str | None = None
    parts: str | None = None
    dataset: str | None = None
    data_dir: str | None = None
    images: int = 128
    num_samples: int = 8
    masks: str = MASKS
    posterior_draws: int = 16
    encoded_images: int = 1024
    control_images: int = 32
    control_values: int = 7
    train_images: int = 8000
    features: Literal["proxy", "inception"] = "proxy"
    z: Literal["posterior", "whole"] = "posterior"
    clamped: bool = False
    overwrite: bool = False
    seed: int = 0
    batch: int = 16

    def check(self) -> None:
        self._require(self.model != "", "model", "a run directory, a model file or a model's name")
        self._require(self.output != "", "output", "the name of a directory")
        for name in ("images", "control_images"):
            self._require(
                getattr(self, name) >= FEWEST, name, f"{FEWEST} or more, for an interval's sake"
            )
        self._at_least(2, "num_samples")
        self._at_least(64, "encoded_images")
        self._at_least(3, "control_values")
        self._at_least(100, "train_images")
        self._at_least(1, "posterior_draws", "batch")
        self._at_most_31_bits("seed")
        for name in self.chosen or ():
            if name not in PARTS:
                raise ValueError(f"unknown part {name!r}; choose from {', '.join(PARTS)}")
        for name in self.mask_names:
            masks.parse(name)
        if not self.mask_names:
            raise ValueError(f"masks is empty; name some, such as {MASKS}")

    def default_output(self) -> Path:
        """Beside the model, but for those that come along."""
        if self.model in csi_tf.available():
            return Path("outputs", f"evaluation-{self.model}")
        from csi_tf import latents, loading

        return loading.find(self.model).parent / latents.EVALUATED

    @property
    def chosen(self) -> tuple[str, ...] | None:
        """The parts asked for by name."""
        return None if self.parts is None else _names(self.parts)

    @property
    def mask_names(self) -> tuple[str, ...]:
        return _names(self.masks)


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
