"""What one person works on in the studio, what was drawn for it, and the command that does that."""

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
    """What is asked for; changed by whatever a person does, at once."""

    session: Session
    turn: int = 0  # of the request that made it what it is
    number: int = 0  # of the held-out face that was shown last
    moved: int = 0  # slider that was moved last
    placed: tuple[bytes, ...] = ()  # masks the program put on the canvas, last one last

    def with_session(self, **changes: object) -> "Desk":
        return replace(self, session=replace(self.session, **changes))  # type: ignore[arg-type]

    def with_hole(self, context_mask: np.ndarray) -> "Desk":
        """A mask that the program puts on the canvas."""
        changed = self.with_session(context_mask=context_mask)
        return replace(changed, placed=(*self.placed, context_mask.tobytes()))

    def told(self, context_mask: np.ndarray) -> "Desk":
        """After the canvas has told what it shows.

        It tells of what the program puts there as well, and may be late: then it shows what was
        there before, which is no painting of anybody's.
        """
        said = context_mask.tobytes()
        if said in self.placed[:-1] and said != self.placed[-1]:
            return self
        up_to_date = replace(self, placed=self.placed[-1:])
        if (context_mask == self.session.context_mask).all():
            return up_to_date
        return up_to_date.with_session(context_mask=context_mask)


@dataclass(frozen=True, eq=False)
class Result:
    """What was drawn last, of which session."""

    session: Session
    made: Completions
    inferred: Sequence[float]  # where each slider stands by what is observed
    drawings: int  # so far
    place: int = 0  # of the one that is looked at, among the completions, which are ranked

    @property
    def completion(self) -> np.ndarray:
        return self.made.images[0, self.place]

    @property
    def number(self) -> int:
        return int(self.made.numbers[0, self.place])

    @property
    def gallery(self) -> list[tuple[np.ndarray, str]]:
        bits = self.made.bits_per_dim[0]
        return [
            (canvas.large(image), f"{each:.2f}" if np.isfinite(each) else "")
            for image, each in zip(self.made.images[0], bits, strict=True)
        ]

    @property
    def spread(self) -> np.ndarray | None:
        if len(self.made.images[0]) < 2:
            return None
        return sheets.uncertainty(
            self.session.image, self.session.context_mask, self.made.images[0]
        )


def key(latent: Latent) -> int | str:
    """How a slider's latent is called where it is set: names can be edited, dimensions cannot."""
    return latent.name if latent.dimension is None else latent.dimension


def label(latent: Latent, session: Session) -> str:
    return session.names.get(key(latent), latent.name)


def command() -> str:
    """That fills the same hole in the same way, of the session as it is saved."""
    words = ["python", "run.py", "--mode=inpaint", "--session=session.json"]
    return f"{shlex.join(words)}    # after 'Save session'"
