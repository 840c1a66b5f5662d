"""The modes of the program, and what the small ones are asked."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import csi_tf
from csi_tf import checks, masks
from csi_tf.settings import CheckedSettings

# What each --mode calls, as module:function(settings, directory); imported when picked.
MODES = {
    "data": "csi_tf.figures.contact_sheet:write",
    "summary": "csi_tf.summary:write",
    "stage1": "csi_tf.training:run",
    "stage2": "csi_tf.training:run",
    "one_stage": "csi_tf.training:run",
    "train": "csi_tf.training:run",
    "demo": "csi_tf.demo:run",
    "inpaint": "csi_tf.commands.run:run",
    "traverse": "csi_tf.commands.run:run",
    "reconstruct": "csi_tf.commands.run:run",
    "sample": "csi_tf.commands.run:run",
    "evaluate": "csi_tf.evaluation.evaluate:run",
    "figures": "csi_tf.figures.paper:run",
    "reproduce": "csi_tf.reproduce.run:run",
    "export": "csi_tf.shipping:run",
    "whole": "csi_tf.whole_fitting:run",
    "studio": "csi_tf.studio.serve:run",
    "ledger": "csi_tf.reproduce.ledger:run",
}
# Those that fill holes: their settings are not a Config but csi_tf.commands.Command.
COMMANDS = ("inpaint", "traverse", "reconstruct", "sample")
# All that use what is trained already, and have settings and flags of their own.
WITH_OWN_FLAGS = (*COMMANDS, "demo", "evaluate", "figures", "ledger", "export", "whole", "studio")
WITH_REVERSE = ("stage2", "one_stage")  # stages whose PixelCNN may see what lies below
STAGE_TWO_MODES = ("stage2", "train", "reproduce")
TRAINING_MODES = ("stage1", "one_stage", *STAGE_TWO_MODES)


@dataclass(frozen=True)
class Demo(CheckedSettings):
    """What --mode=demo is asked."""

    model: str = "procedural_faces"
    mode: Literal["demo"] = "demo"
    output: str | None = None
    seed: int = 0
    batch: int = 16

    def check(self) -> None:
        self._require(self.model != "", "model", "a model's name, a run directory or a model file")
        self._require(self.output != "", "output", "the name of a directory")
        self._at_least(1, "batch")
        self._at_most_31_bits("seed")

    def default_output(self) -> Path:
        place = Path(os.path.abspath(checks.path(self.model)))
        while place.name in ("model.safetensors", "stage1", "stage2"):
            place = place.parent
        return Path("outputs", f"demo-{place.name}")


@dataclass(frozen=True)
class Export(CheckedSettings):
    """What --mode=export is asked."""

    model: str
    mode: Literal["export"] = "export"
    output: str | None = None

    def check(self) -> None:
        self._require(self.model != "", "model", "a run directory or a model file")
        self._require(self.output != "", "output", "the name of a directory")

    def default_output(self) -> Path:
        """In the run's directory, but for those that come along."""
        if self.model in csi_tf.available():
            return Path("outputs", f"exported-{self.model}")
        from csi_tf import loading  # with Keras, which takes its time

        place = loading.find(self.model).parent
        return (place.parent if place.name in ("stage1", "stage2") else place) / "exported"


@dataclass(frozen=True)
class Whole(CheckedSettings):
    """What --mode=whole is asked."""

    model: str
    mode: Literal["whole"] = "whole"
    dataset: str | None = None
    data_dir: str | None = None
    mask: str | None = None
    steps: int = 8000
    seed: int = 0

    def check(self) -> None:
        self._require(self.model != "", "model", "a run directory or a model file")
        if self.model in csi_tf.available():
            raise ValueError(f"{self.model} comes along with what --mode=whole writes")
        self._at_least(1, "steps")
        self._at_most_31_bits("seed")
        if self.mask is not None:
            masks.parse(self.mask)

    def default_output(self) -> Path:
        from csi_tf import loading  # with Keras, which takes its time

        return loading.find(self.model).parent
