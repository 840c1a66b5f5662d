"""What --mode=ledger is asked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from csi_tf.reproduce.plan import NAMES
from csi_tf.settings import CheckedSettings

MEASURED = (*NAMES, "info_vae_clamped")


@dataclass(frozen=True)
class Ledger(CheckedSettings):
    claims: str | None = None
    evaluations: str | None = None
    mode: Literal["ledger"] = "ledger"
    output: str | None = None

    def check(self) -> None:
        if (self.claims is None) == (self.evaluations is None):
            raise ValueError("mode ledger needs either claims or evaluations")
        if self.claims is not None:
            self._require(bool(self.files), "claims", "one file claims.json or more")
        else:
            rule = "NAME=DIRECTORY, with commas between and each name once"
            self._require(bool(self.named), "evaluations", rule)
            if unknown := self.named.keys() - {*MEASURED}:
                names = ", ".join(MEASURED)
                raise ValueError(f"evaluations has no model {min(unknown)!r}; choose from {names}")
        self._require(self.output != "", "output", "the name of a directory")

    @property
    def files(self) -> tuple[str, ...]:
        return _parts(self.claims)

    @property
    def named(self) -> dict[str, str]:
        """Where the evaluation of each model is; empty if that is not what was said."""
        pairs = [part.split("=", 1) for part in _parts(self.evaluations)]
        named = {pair[0].strip(): pair[1].strip() for pair in pairs if len(pair) == 2 and pair[1]}
        return named if len(named) == len(pairs) else {}

    def default_output(self) -> Path:
        return Path("outputs", "ledger")


def _parts(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())
