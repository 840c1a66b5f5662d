"""What the page does: from a desk and what was typed or painted to a desk and what is shown."""

import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from csi_tf import masks
from csi_tf import session as sessions
from csi_tf.session import Session
from csi_tf.studio import canvas
from csi_tf.studio.desk import Desk, command, key, label
from csi_tf.studio.engine import Engine, Superseded, Turns

SWEPT = 7  # values
UNLIMITED = 3.0  # the end of the slider of the truncation
_RESULTS = 10  # what a filling changes, besides the sliders
_PROGRESS = gr.Progress()  # Gradio finds it by being a default


class Actions:
    """`directory` is where downloads are put; `most` the number of sliders on the page."""

    def __init__(self, engine: Engine, directory: Path, most: int) -> None:
        self.engine, self.directory, self.most = engine, directory, most
        self.turns = Turns()

    # Pictures and holes

    def first(self, name: str) -> Any:
        session = self.engine.held_out(name, 0)
        return self._opened(Desk(session), session)

    def another(self, desk: Desk) -> Any:
        number = desk.number + 1
        session = self.engine.held_out(desk.session.model, number)
        return self._opened(replace(desk, number=number), session)

    def drawn(self, desk: Desk, progress: gr.Progress = _PROGRESS) -> Any:
        seed = int(np.random.default_rng().integers(2**31))
        return self._opened(desk, self.engine.drawn(desk.session.model, seed, _bar(progress)))

    def used(self, desk: Desk, path: str | None, *square: float) -> Any:
        if path is None:
            raise gr.Error("Upload or paste a photo first.")
        size = self.engine.open(desk.session.model).model.size
        with _told():
            pixels = canvas.photo(path)
        left, top, side = canvas.box(pixels.shape, *square)
        said = (
            f"your photo, {pixels.shape[1]}x{pixels.shape[0]} pixels: the square of {side} at"
            f" {left}, {top}, resized to {size}x{size}"
        )
        image = canvas.cropped(pixels, size, *square)
        return self._opened(desk, replace(desk.session, image=image, latents={}, said=said))

    def loaded(self, desk: Desk, path: str) -> Any:
        with _told():
            return self._opened(desk, self.engine.checked(sessions.read(path)))

    def _opened(self, desk: Desk, session: Session) -> Any:
        """Another picture on the desk; what was drawn of the last one stays until it is filled."""
        opened = self.engine.open(session.model)
        desk = replace(desk, session=session, filled=None, made=None)
        return (
            desk.with_hole(session.context_mask),
            session.model,
            canvas.value(session.image, session.context_mask),
            _mask(session.context_mask),
            f"{opened.said} Shown: {session.said}.",
            session.seed,
            session.num_samples,
            UNLIMITED if session.truncation is None else session.truncation,
        )

    def painted(self, desk: Desk, editor: dict[str, Any], request: gr.Request) -> Any:
        mask = canvas.context_mask(editor, len(desk.session.image))
        if not desk.is_news(mask):
            return gr.skip(), gr.skip(), gr.skip()
        self.turn(request)  # what is being drawn is of another hole
        return desk.with_session(context_mask=mask), _mask(mask), "The hole has changed."

    def box(self, name: str, desk: Desk) -> Any:
        return self._hole(desk, masks.named(name, len(desk.session.image)))

    def clear(self, desk: Desk) -> Any:
        return self._hole(desk, np.ones_like(desk.session.context_mask))

    def invert(self, desk: Desk) -> Any:
        return self._hole(desk, 1 - desk.session.context_mask)

    def _hole(self, desk: Desk, mask: np.ndarray) -> Any:
        changed = desk.with_hole(mask)
        return changed, canvas.value(desk.session.image, mask), _mask(mask)

    # Latents

    def moved(self, number: int, desk: Desk, value: float) -> Desk:
        latent = self.engine.open(desk.session.model).sliders[number]
        latents = {**desk.session.latents, key(latent): value}
        return replace(desk.with_session(latents=latents), moved=number)

    def returned(self, number: int, desk: Desk) -> Desk:
        wanted = key(self.engine.open(desk.session.model).sliders[number])
        latents = {each: v for each, v in desk.session.latents.items() if each != wanted}
        return desk.with_session(latents=latents)

    def renamed(self, desk: Desk, number: int | None, name: str) -> Any:
        if number is None or not name.strip():
            raise gr.Error("Choose a latent and give it a name.")
        latent = self.engine.open(desk.session.model).sliders[number]
        names = {**desk.session.names, key(latent): name.strip()}
        return self._shown(desk.with_session(names=names), "renamed; saved with the session")

    def _slider(self, number: int, desk: Desk) -> gr.Slider:
        sliders = self.engine.open(desk.session.model).sliders
        if number >= len(sliders):
            return gr.Slider(visible=False)
        latent, inferred = sliders[number], desk.inferred[number]
        set_ = desk.session.latents.get(key(latent))
        low, high = latent.interval
        return gr.Slider(
            visible=True,
            label=label(latent, desk.session),
            minimum=round(min(low, inferred, set_ or 0), 2),
            maximum=round(max(high, inferred, set_ or 0), 2),
            value=round(inferred if set_ is None else set_, 2),
            info=f"inferred {inferred:.2f}" + ("" if set_ is None else "; set by you"),
        )

    # Filling

    def turn(self, request: gr.Request) -> None:
        self.turns.take(_person(request))

    def left(self, request: gr.Request) -> None:
        self.turns.forget(_person(request))

    def fill(
        self,
        desk: Desk,
        seed: float,
        samples: float,
        truncation: float,
        request: gr.Request,
        progress: gr.Progress = _PROGRESS,
    ) -> Any:
        asked = desk.with_session(
            seed=int(seed or 0),
            num_samples=int(samples),
            truncation=None if truncation >= UNLIMITED else truncation,
        )
        started = time.monotonic()
        try:
            made = self.engine.complete(asked.session, self._report(request, progress))
        except Superseded:
            return (gr.skip(),) * (_RESULTS + self.most)
        inferred = self.engine.inferred(asked.session)
        done = replace(
            asked,
            inferred=inferred,
            filled=asked.session,
            made=made,
            shown=0,
            drawings=desk.drawings + 1,
        )
        hole = int((asked.session.context_mask == 0).sum())
        took = time.monotonic() - started
        return self._shown(
            done, f"Drawing {done.drawings}: {len(made.images[0])} x {hole} pixels in {took:.1f} s"
        )

    def _shown(self, desk: Desk, said: str) -> Any:
        opened = self.engine.open(desk.session.model)
        names = [(label(latent, desk.session), i) for i, latent in enumerate(opened.sliders)]
        return (
            desk,
            said,
            *self._chosen(desk),
            desk.spread,
            desk.gallery,
            self._file("session.json", desk.session.to_json().encode()),
            command(desk.session),
            gr.Dropdown(choices=names),
            *(self._slider(number, desk) for number in range(self.most)),
        )

    def _chosen(self, desk: Desk) -> Any:
        """The completion that is looked at: large, against what was there, as a file."""
        if desk.completion is None or desk.filled is None:
            return None, None, None
        after = canvas.large(desk.completion)
        png = self._file("completion.png", desk.filled.to_png(desk.completion))
        return after, (canvas.large(desk.filled.image), after), png

    def picked(self, desk: Desk, event: gr.SelectData) -> Any:
        desk = replace(desk, shown=event.index)
        return desk, *self._chosen(desk)

    def swept(self, desk: Desk, request: gr.Request, progress: gr.Progress = _PROGRESS) -> Any:
        if desk.made is None or desk.filled is None:
            raise gr.Error("Fill the hole first.")
        sliders = self.engine.open(desk.filled.model).sliders
        if not sliders:
            raise gr.Error("This model has no latents to sweep.")
        latent, made = sliders[desk.moved], desk.made
        values = np.linspace(*latent.interval, SWEPT)
        z, number = made.latents[0, desk.shown], int(made.numbers[0, desk.shown])
        report = self._report(request, progress)
        try:
            drawn = self.engine.sweep(desk.filled, latent, z, number, values.tolist(), report)
        except Superseded:
            return gr.skip(), gr.skip()
        name = label(latent, desk.filled)
        said = f"{name} from {values[0]:.1f} to {values[-1]:.1f}, all else the same"
        strip = canvas.large(np.concatenate(list(drawn), axis=1))
        return gr.Image(strip, visible=True), said

    def _report(self, request: gr.Request, progress: gr.Progress) -> Any:
        """Shows rows of pixels, and stops the drawing when something newer is asked for."""
        person = _person(request)
        turn, show = self.turns.newest(person), _bar(progress)

        def report(done: int, total: int) -> None:
            self.turns.check(person, turn)
            show(done, total)

        return report

    def _file(self, name: str, content: bytes) -> str:
        """A file of its own for each download: people's are never mixed."""
        place = Path(tempfile.mkdtemp(dir=self.directory)) / name
        place.write_bytes(content)
        return str(place)


def all_returned(desk: Desk) -> Desk:
    return desk.with_session(latents={})


def rolled(roll: bool, seed: float) -> Any:
    return int(np.random.default_rng().integers(2**31)) if roll else gr.skip()


def framed(path: str | None, *square: float) -> Any:
    if path is None:
        return None
    with _told():
        return canvas.framed(canvas.photo(path), *square)


def _mask(context_mask: np.ndarray) -> np.ndarray:
    """As a mask file shows it."""
    hole = np.where(context_mask == 0, 255, 0).astype(np.uint8).repeat(3, axis=-1)
    return canvas.large(hole)


def _person(request: gr.Request) -> str:
    return str(request.session_hash)


def _bar(progress: gr.Progress) -> Any:
    return lambda done, total: progress((done, total), desc="drawing", unit="rows")


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """A mistake of the person's as a message on the page."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise gr.Error(str(error)) from None
