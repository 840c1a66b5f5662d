"""What --mode=ledger is asked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from csi_tf.settings import CheckedSettings


@dataclass(frozen=True)
class Ledger(CheckedSettings):
    claims: str
    mode: Literal["ledger"] = "ledger"
    output: str | None = None

    def check(self) -> None:
        self._require(bool(self.files), "claims", "one file claims.json or more")
        self._require(self.output != "", "output", "the name of a directory")

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.claims.split(",") if name.strip())

    def default_output(self) -> Path:
        return Path("outputs", "ledger")
