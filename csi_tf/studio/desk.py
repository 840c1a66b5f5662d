"""What each person works on in the studio, what was drawn for it, and the command for that."""

import shlex
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from csi_tf.commands import holes, sheets
from csi_tf.commands.settings import Box
from csi_tf.data import image_files
from csi_tf.drawing import Progress
from csi_tf.inpaint import Completions
from csi_tf.latents import Latent
from csi_tf.session import Session
from csi_tf.studio import canvas

PEOPLE = 200  # whose desks are kept


class Superseded(Exception):
    """Something newer was asked for, or nobody waits any longer."""


@dataclass(frozen=True, eq=False)
class Photo:
    """What the picture is a square of."""

    path: str
    shape: tuple[int, int]  # height, width
    box: Box
    hole: np.ndarray | None = None  # of the box, finer than the model's pixels: a mask file's


@dataclass(frozen=True, eq=False)
class Desk:
    """What is asked for; changed by whatever a person does, at once."""

    session: Session
    turn: int = 0  # of the request that made it what it is
    begun: int = 0  # the last turn that was worked on
    number: int = 0  # of the held-out face that was shown last
    moved: int = 0  # slider that was moved last
    strokes: int = 0  # that the canvas has told
    stand: Mapping[int, float] = field(default_factory=dict)  # sliders, on the page
    face: Callable[[Progress], Session] | None = None  # draws what is then to be filled
    photo: Photo | None = None

    def with_session(self, **changes: object) -> "Desk":
        return replace(self, session=replace(self.session, **changes))  # type: ignore[arg-type]

    def anew(self) -> "Desk":
        """For another picture under the same hole: its latents will be its own."""
        return replace(self.with_session(latents={}), moved=0)

    def with_picture(self, other: Session, photo: Photo | None = None) -> "Desk":
        desk = self.with_session(image=other.image, said=other.said)
        return replace(desk, face=None, photo=photo)


class Desks:
    """Everybody's desk, by person; what is done to one at the same moment is done in turn.

    Of each person only what was asked for last is worked on, and only once.
    """

    def __init__(self) -> None:
        self._desks: OrderedDict[str, Desk] = OrderedDict()  # the one used last stands last
        self._lock = threading.Lock()

    def __contains__(self, person: str) -> bool:
        return person in self._desks

    def get(self, person: str) -> Desk:
        desk = self._desks.get(person)
        if desk is None:
            raise ValueError("This page is not known any more; load it again.")
        return desk

    def open(self, person: str, desk: Desk) -> Desk:
        """Another page's desk, the one that was used least lately, may give way."""
        with self._lock:
            before = self._desks.get(person, desk)
            turn, strokes = before.turn, before.strokes
            desk = self._put(person, replace(desk, turn=turn + 1, begun=turn, strokes=strokes))
            if len(self._desks) > PEOPLE:
                self._desks.popitem(last=False)
            return desk

    def change(self, person: str, change: Callable[[Desk], Desk], turn: int | None = None) -> Desk:
        """With this a turn is taken: what was asked for before is not wanted any more. With the
        turn in which it was begun, Superseded as by `check`."""
        with self._lock:
            if turn is not None:
                self.check(person, turn)
            desk = change(self.get(person))
            return self._put(person, replace(desk, turn=desk.turn + 1))

    def tell(self, person: str, context_mask: np.ndarray, strokes: int) -> bool:
        """What the canvas shows; whether that is news, which takes a turn."""
        with self._lock:
            desk = self.get(person)
            if strokes <= desk.strokes:
                return False
            changed = desk.with_session(context_mask=context_mask)
            self._put(person, replace(changed, strokes=strokes, turn=desk.turn + 1))
            return True

    def begin(self, person: str, turn: float | None = None) -> Desk:
        """What was asked for last; Superseded where that was begun already, or is not that of the
        turn that is named."""
        with self._lock:
            desk = self.get(person)
            if desk.begun >= desk.turn or turn not in (None, desk.turn):
                raise Superseded
            return self._put(person, replace(desk, begun=desk.turn))

    def check(self, person: str, turn: int) -> None:
        desk = self._desks.get(person)
        if desk is None or desk.turn != turn:
            raise Superseded

    def place(self, person: str, desk: Desk, stand: Mapping[int, float]) -> Mapping[int, float]:
        """The desk that has a result, and where its sliders will stand; where they have stood.
        Superseded as by `check`."""
        with self._lock:
            self.check(person, desk.turn)
            before = self.get(person).stand
            self._put(person, replace(desk, stand=stand))
            return before

    def stop(self, person: str) -> None:
        """Nothing that was asked for is wanted any more."""
        if person in self:
            self.change(person, lambda desk: replace(desk, begun=desk.turn + 1, face=None))

    def leave(self, person: str) -> None:
        """The page is closed. Its desk is kept, as only the connection may have broken, but is the
        first to give way."""
        self.stop(person)
        with self._lock:
            if person in self:
                self._desks.move_to_end(person, last=False)

    def stop_all(self) -> None:
        for person in list(self._desks):
            self.stop(person)

    def _put(self, person: str, desk: Desk) -> Desk:
        self._desks[person] = desk
        self._desks.move_to_end(person)
        return desk


@dataclass(frozen=True, eq=False)
class Result:
    """What was drawn last, of which session."""

    session: Session
    made: Completions
    inferred: Sequence[float]  # where each slider stands by what is observed
    drawings: int  # so far
    photo: Photo | None
    place: int = 0  # of the one that is looked at, among the completions, which are ranked

    @property
    def completion(self) -> np.ndarray:
        return self.made.images[0, self.place]

    @property
    def number(self) -> int:
        return int(self.made.numbers[0, self.place])

    @property
    def pasted(self) -> np.ndarray:
        """The photo at its own size, with the filling in the hole and nowhere else."""
        assert self.photo is not None
        mask, hole = self.session.context_mask, self.photo.hole
        if hole is not None and not np.array_equal(holes.seen(hole, len(mask)), mask):
            hole = None  # painted on since
        pixels = image_files.read_image(self.photo.path)
        return holes.paste(pixels, self.photo.box, self.completion, mask, hole)

    @property
    def gallery(self) -> list[tuple[np.ndarray, str]]:
        bits = self.made.bits_per_dim[0]
        return [
            (canvas.large(image), f"{each:.2f}" if np.isfinite(each) else "")
            for image, each in zip(self.made.images[0], bits, strict=True)
        ]


def spread(session: Session, made: Completions) -> np.ndarray | None:
    """Where its completions differ."""
    if len(made.images[0]) < 2:
        return None
    return sheets.uncertainty(session.image, session.context_mask, made.images[0])


def key(latent: Latent) -> int | str:
    """How a slider's latent is called where it is set: names can be edited, dimensions cannot."""
    return latent.name if latent.dimension is None else latent.dimension


def label(latent: Latent, session: Session) -> str:
    return session.names.get(key(latent), latent.name)


def command() -> str:
    """That fills the same hole in the same way, of the session as it is saved."""
    words = ["python", "run.py", "--mode=inpaint", "--session=session.json"]
    return f"{shlex.join(words)}    # after 'Save session'"
