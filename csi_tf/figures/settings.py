"""What --mode=figures is asked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import csi_tf
from csi_tf import checks
from csi_tf.settings import CheckedSettings

NUMBERS = ("3", "4", "5a", "5b", "5c", "6", "7", "8")


@dataclass(frozen=True)
class Figures(CheckedSettings):
    """`model` is a reproduction's directory, or one run or model file; `small` is for trials."""

    model: str
    mode: Literal["figures"] = "figures"
    figure: str = "all"
    output: str | None = None
    dataset: str | None = None
    data_dir: str | None = None
    seed: int = 0
    batch: int = 16
    small: bool = False

    def check(self) -> None:
        self._require(self.model != "", "model", "a reproduction's directory, a run or a model")
        self._require(self.output != "", "output", "the name of a directory")
        self._at_least(1, "batch")
        self._at_most_31_bits("seed")
        _ = self.numbers  # mistakes are told before anything is loaded

    def default_output(self) -> Path:
        """Beside the models, but for those that come along."""
        if self.model in csi_tf.available():
            return Path("outputs", f"figures-{self.model}")
        path = checks.path(self.model, "the model")
        if not path.exists():
            raise ValueError(
                f"there is no {path}; give a reproduction's directory, a run or a model"
            )
        return (path if path.is_dir() else path.parent) / "figures"

    @property
    def numbers(self) -> tuple[str, ...]:
        """The figures asked for, in the paper's order; 5 is its three parts."""
        asked = {name.strip() for name in self.figure.split(",")}
        for name in asked - {"all", "5", *NUMBERS}:
            raise ValueError(
                f"there is no figure {name!r} to draw; choose from {', '.join(NUMBERS)}, 5 for its"
                " three parts, or all"
            )
        return tuple(n for n in NUMBERS if {"all", n, n.rstrip("abc")} & asked)
