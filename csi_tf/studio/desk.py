"""What one person works on in the studio, and the command that does the same."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from csi_tf.commands import sheets
from csi_tf.inpaint import Completions
from csi_tf.latents import Latent
from csi_tf.session import Session
from csi_tf.studio import canvas


@dataclass(frozen=True, eq=False)
class Desk:
    session: Session
    number: int = 0  # of the held-out face that was shown last
    inferred: Sequence[float] = ()  # where each slider stands by what is observed
    filled: Session | None = None  # what the completions were drawn of
    made: Completions | None = None
    shown: int = 0  # place among the completions, which are ranked
    moved: int = 0  # slider that was moved last
    drawings: int = 0  # so far
    placed: tuple[bytes, ...] = ()  # masks the program put on the canvas, last one last

    def with_session(self, **changes: object) -> "Desk":
        return replace(self, session=replace(self.session, **changes))  # type: ignore[arg-type]

    def with_hole(self, context_mask: np.ndarray) -> "Desk":
        """A mask that the program puts on the canvas."""
        changed = self.with_session(context_mask=context_mask)
        return replace(changed, placed=(*self.placed, context_mask.tobytes()))

    def is_news(self, context_mask: np.ndarray) -> bool:
        """Whether a person has painted what the canvas shows.

        It tells of what the program puts there as well, and may be late: then it shows what was
        there before.
        """
        said = context_mask.tobytes()
        is_late = said in self.placed and said != self.placed[-1]
        return not is_late and bool((context_mask != self.session.context_mask).any())

    @property
    def completion(self) -> np.ndarray | None:
        return None if self.made is None else self.made.images[0, self.shown]

    @property
    def gallery(self) -> list[tuple[np.ndarray, str]]:
        if self.made is None:
            return []
        bits = self.made.bits_per_dim[0]
        return [
            (canvas.large(image), f"{each:.2f}" if np.isfinite(each) else "")
            for image, each in zip(self.made.images[0], bits, strict=True)
        ]

    @property
    def spread(self) -> np.ndarray | None:
        if self.made is None or self.filled is None or len(self.made.images[0]) < 2:
            return None
        return sheets.uncertainty(self.filled.image, self.filled.context_mask, self.made.images[0])


def key(latent: Latent) -> int | str:
    """How a slider's latent is called where it is set: names can be edited, dimensions cannot."""
    return latent.name if latent.dimension is None else latent.dimension


def label(latent: Latent, session: Session) -> str:
    return session.names.get(key(latent), latent.name)


def command(session: Session) -> str:
    """That fills the same hole in the same way, of the session as it is saved."""
    words = ["python", "run.py", "--mode=inpaint", "--session=session.json"]
    return f"{shlex.join(words)}    # after 'Save session'"
