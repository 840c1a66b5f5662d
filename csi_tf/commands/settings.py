"""What --mode=inpaint, traverse, reconstruct and sample are asked, checked and in one form."""

import math
import os
import re
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np

from csi_tf import checks, runs
from csi_tf.modes import COMMANDS
from csi_tf.settings import CheckedSettings

PARENT = Path("inpainted")  # of the directories that are written where none is named
NUM_SAMPLES = {"inpaint": 8, "traverse": 1, "reconstruct": 1, "sample": 16}  # where none is asked
# Settings that some modes have no use for, and the modes that have.
_USED_BY = {
    "input": ("inpaint", "traverse", "reconstruct"),
    "crop": ("inpaint", "traverse", "reconstruct"),
    "data_dir": ("inpaint", "traverse", "reconstruct"),
    "paste_back": ("inpaint", "traverse"),
    "mask": ("inpaint", "traverse"),
    "mask_convention": ("inpaint", "traverse"),
    "values": ("traverse",),
    "num_samples": ("inpaint", "reconstruct", "sample"),
    "order": ("inpaint", "reconstruct", "sample"),
}
# What may be said beside --repeat: where to write, and where things are that have moved.
_WITH_REPEAT = ("mode", "repeat", "output", "overwrite", "model", "input", "mask", "data_dir")
# What may be said beside --session, which says all else.
_WITH_SESSION = ("mode", "session", "output", "overwrite", "model", "batch")

Box = tuple[int, int, int, int]  # left, top, width, height


@dataclass(frozen=True)
class Command(CheckedSettings):
    """One command. The texts are as typed; the properties are what they mean."""

    mode: Literal["inpaint", "traverse", "reconstruct", "sample"]
    model: str | None = None
    input: str | None = None
    output: str | None = None
    overwrite: bool = False
    repeat: str | None = None
    session: str | None = None
    data_dir: str | None = None
    crop: str = "center"
    paste_back: bool = False
    mask: str = ""  # "none" is the name of a mask without a hole
    mask_convention: Literal["white_is_hole", "black_is_hole"] = "white_is_hole"
    latents: str | None = None
    values: str | None = None
    num_samples: int | None = None
    seed: int = 0
    z: str | None = None
    truncation: float | None = 1.0
    order: Literal["number", "likelihood"] = "number"
    batch: int | None = None

    def check(self) -> None:
        if self.repeat is not None:
            self._check_repeat()
            return
        if self.session is not None:
            self._check_session()
            return
        for name, modes in _USED_BY.items():
            if self.mode not in modes and getattr(self, name) != _DEFAULTS[name]:
                raise ValueError(f"--{name} has no place in --mode={self.mode}; leave it out")
        if not self.model:
            raise ValueError("--model is needed: a run directory, a model file or a model's name")
        if self.mode in _USED_BY["input"] and not self.input:
            raise ValueError(
                "--input is needed: a picture, several with commas between, a folder, or"
                " dataset:NAME:SPLIT:FIRST-LAST"
            )
        if self.mode == "inpaint" and not self.mask:
            raise ValueError(
                "--mask is needed: a name such as mouth or rectangle, a picture of the mask, or a"
                " folder of them"
            )
        if self.paste_back and not self.mask:
            raise ValueError("--paste_back needs --mask: without a hole everything is drawn")
        self._require(self.output != "", "output", "the name of a directory")
        self._at_most_31_bits("seed")
        self._at_least(1, "num_samples", "batch")
        self._at_least(0, "truncation")
        # Read once here, so that mistakes are told before anything is loaded.
        _ = self.box, self.latents_set, self.latents_moved, self.columns, self.z_rule

    def _check_repeat(self) -> None:
        for name, default in _DEFAULTS.items():
            if name not in _WITH_REPEAT and getattr(self, name) != default:
                raise ValueError(
                    f"--repeat takes its settings from {self.repeat}: leave --{name} out"
                )

    def _check_session(self) -> None:
        if self.mode != "inpaint":
            raise ValueError(f"--session has no place in --mode={self.mode}; leave it out")
        for name, default in _DEFAULTS.items():
            if name not in _WITH_SESSION and getattr(self, name) != default:
                if name in ("crop", "paste_back"):
                    raise ValueError(
                        f"{self.session} has the picture at the model's size, with nothing around"
                        f" it: leave --{name} out"
                    )
                raise ValueError(f"{self.session} says what --{name} is: leave that out")

    def default_output(self) -> Path:
        """Made new, inpainted/<date>-<mode>-<model>"""
        place = Path(os.path.abspath(checks.path(self.repeat or self.session or self.model)))
        while place.name in ("model.safetensors", "stage1", "stage2"):
            place = place.parent
        kind = "repeat" if self.repeat else self.mode
        model = re.sub(r"[^\w.]+", "_", place.stem)[:80]
        return runs.new_directory(PARENT, f"{datetime.now():%Y%m%d-%H%M%S}-{kind}-{model}")

    @property
    def samples(self) -> int:
        return NUM_SAMPLES[self.mode] if self.num_samples is None else self.num_samples

    @property
    def box(self) -> Literal["center", "none"] | Box:
        """What of a picture the model is shown."""
        if self.crop == "center":
            return "center"
        if self.crop == "none":
            return "none"
        numbers = self.crop.split(",")
        if len(numbers) != 4 or not all(re.fullmatch(r"\s*\d+\s*", each) for each in numbers):
            raise ValueError(
                f"crop is {self.crop!r}; give center, none, or LEFT,TOP,WIDTH,HEIGHT in pixels"
            )
        left, top, width, height = (int(each) for each in numbers)
        if not (width and height):
            raise ValueError(f"crop is {self.crop!r}, which is empty; give a width and a height")
        return left, top, width, height

    @property
    def latents_set(self) -> dict[int | str, float]:
        """{dimension or name: value}"""
        if self.latents is None or self.mode == "traverse":
            return {}
        found: dict[int | str, float] = {}
        for entry in self.latents.split(","):
            name, equals, value = (part.strip() for part in entry.partition("="))
            if not (equals and name):
                raise ValueError(
                    f"latents has {entry!r}; write them as smile=4 or 3=-1.5, with commas between"
                )
            key = int(name) if name.isdecimal() else name
            if key in found:
                raise ValueError(f"latents sets {name} twice; leave one of them out")
            found[key] = _number(value, f"latents sets {name} to")
        return found

    @property
    def latents_moved(self) -> list[int | str]:
        """Those that a traversal goes along, one in each row; none given: the foremost."""
        if self.latents is None or self.mode != "traverse":
            return []
        names = [name.strip() for name in self.latents.split(",")]
        for name in names:
            if not name or "=" in name:
                raise ValueError(
                    f"latents has {name!r}; a traversal takes names or dimensions, with commas"
                    " between, and their values from --values"
                )
        if len(set(names)) < len(names):
            raise ValueError(f"latents is {self.latents!r}, which has one of them twice")
        return [int(name) if name.isdecimal() else name for name in names]

    @property
    def columns(self) -> list[float] | None:
        """The values of a traversal, or None for each latent's own."""
        if self.values is None:
            return None
        if ":" not in self.values:
            return [_number(value, "values has") for value in self.values.split(",")]
        low, _, rest = self.values.partition(":")
        high, _, count = rest.partition(":")
        if not count.strip().isdecimal() or int(count) < 2:
            raise ValueError(
                f"values is {self.values!r}; write FROM:TO:COUNT such as -3:3:7, or a list such as"
                " -3,0,3"
            )
        ends = (_number(low, "values goes from"), _number(high, "values goes to"))
        return np.linspace(*ends, int(count)).tolist()

    @property
    def z_rule(self) -> str | float:
        """As `csi_tf.inpaint` takes it."""
        words = ("prior",) if self.mode == "sample" else ("posterior", "whole", "mean", "prior")
        if self.z is None or self.z in words:
            return self.z or words[0]
        try:
            variance = float(self.z)
        except ValueError:
            variance = math.nan
        if not 0 <= variance < math.inf:
            raise ValueError(f"z is {self.z!r}; give {', '.join(words)} or a variance of 0 or more")
        return variance


_DEFAULTS = {field.name: field.default for field in fields(Command) if field.name != "mode"}
assert tuple(NUM_SAMPLES) == COMMANDS


def _number(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{what} {text.strip()!r}; give a finite number")
    return value
