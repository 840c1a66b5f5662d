"""What --mode=studio is asked."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from csi_tf.settings import CheckedSettings


@dataclass(frozen=True)
class Studio(CheckedSettings):
    model: str | None = None
    mode: Literal["studio"] = "studio"
    port: int = 7860
    host: str = "127.0.0.1"
    share: bool = False

    def check(self) -> None:
        self._require(0 < self.port < 65536, "port", "from 1 to 65535")
        self._require(self.host != "", "host", "an address of this machine")

    @property
    def names(self) -> tuple[str, ...]:
        """The models to choose from, the first one open; by default those that come along, and
        first the one whose held-out faces can be drawn here."""
        import csi_tf

        if self.model is None:
            return tuple(sorted(csi_tf.available(), key=lambda name: name != "procedural_faces"))
        return tuple(name.strip() for name in self.model.split(",") if name.strip())

    def default_output(self) -> Path:
        """Of uploads and downloads; it goes when the studio is closed."""
        return Path(tempfile.mkdtemp(prefix="csi-tf-studio-"))
