"""What the page does: from a desk and what was typed or painted to a desk and what is shown."""

import contextlib
import functools
import hashlib
import html
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from csi_tf import files, masks
from csi_tf import latents as latent_space
from csi_tf import session as sessions
from csi_tf.commands import holes
from csi_tf.data import image_files
from csi_tf.errors import RunFailed
from csi_tf.masks.files import hole_of_file
from csi_tf.session import Session
from csi_tf.studio import canvas
from csi_tf.studio.desk import Desk, Desks, Photo, Result, Superseded, command, key, label, spread
from csi_tf.studio.engine import Engine

Change = Callable[[Desk], Desk]
SWEPT = 7  # values
_RESULTS = 14  # what a filling changes, besides the sliders
_PROGRESS = gr.Progress()  # Gradio finds it by being a default


@contextlib.contextmanager
def told() -> Iterator[None]:
    """A mistake of the person's, or a failure, as a message on the page."""
    try:
        yield
    except (ValueError, OSError, RunFailed) as error:
        raise gr.Error(_as_text(str(error))) from None
    except Superseded:  # an error, as nothing is to be filled then
        raise gr.Error(
            "No other picture is shown: it was stopped, or something newer asked for."
        ) from None


def telling(action: Callable[..., Any]) -> Callable[..., Any]:
    """An action that tells what is wrong."""
    inner = action.func if isinstance(action, functools.partial) else action

    @functools.wraps(action)
    def tells(*given: Any, **named: Any) -> Any:
        with told():
            return action(*given, **named)

    tells.__annotations__ = inner.__annotations__  # by which Gradio knows what to hand over
    return tells


class Actions:
    """`directory` is where downloads are put; `most` the number of sliders on the page.

    What a person gives is checked before a turn is taken: a mistake stops no drawing.
    """

    def __init__(self, engine: Engine, directory: Path, most: int) -> None:
        self.engine, self.directory, self.most = engine, directory, most
        self.desks = Desks()
        self._unsaid: dict[str, str] = {}  # what went wrong last, by person

    def keeping(self, action: Callable[..., Any]) -> Callable[..., Any]:
        """As `telling`, for what does not wait in the queue: of that Gradio's page shows no error,
        so it is kept for `say`."""
        tells = telling(action)

        @functools.wraps(tells)
        def keeps(*given: Any) -> Any:
            try:
                return tells(*given)
            except gr.Error as error:
                self._unsaid[_person(given[-1])] = error.message
                raise

        return keeps

    def say(self, request: gr.Request) -> None:
        if said := self._unsaid.pop(_person(request), ""):
            raise gr.Error(said)

    def _change(self, request: gr.Request, change: Change = lambda desk: desk) -> Desk:
        return self.desks.change(_person(request), change)

    # Pictures and holes

    def first(self, name: str, request: gr.Request) -> Any:
        """Of the model that is chosen."""
        desk = self._held_out(Desk(self.engine.blank(name)), 0)
        return self._opened(self.desks.open(_person(request), desk))

    def another(self, request: gr.Request) -> Any:
        desk = self._change(request, lambda desk: self._held_out(desk, desk.number + 1))
        return self._picture(desk)

    def _held_out(self, desk: Desk, number: int) -> Desk:
        """With that face or, if it is yet to be drawn, with what draws it."""
        desk, model = replace(desk.anew(), number=number), desk.session.model
        if self.engine.open(model).procedural:
            return desk.with_picture(self.engine.face(model, number))
        return replace(desk, face=functools.partial(self.engine.face, model, number))

    def new(self, request: gr.Request) -> None:
        seed = int(np.random.default_rng().integers(2**31))

        def ask(desk: Desk) -> Desk:
            face = functools.partial(self.engine.drawn, desk.session.model, seed)
            return replace(desk.anew(), face=face)

        self._change(request, ask)

    def used(
        self, path: str | None, part: float, across: float, down: float, request: gr.Request
    ) -> Any:
        if path is None:
            raise gr.Error("Upload or paste a photo first.")
        desk = self.desks.get(_person(request))
        size = self.engine.open(desk.session.model).model.size
        pixels = canvas.photo(path)
        left, top, side, _ = square = canvas.box(pixels.shape, part, across, down)
        said = (
            f"your photo, {pixels.shape[1]}x{pixels.shape[0]} pixels: the square of {side} at"
            f" {left}, {top}, resized to {size}x{size}"
        )
        image = canvas.cropped(pixels, size, part, across, down)
        shown = replace(desk.session, image=image, said=said)
        photo = Photo(path, (pixels.shape[0], pixels.shape[1]), square)
        return self._picture(
            self.desks.change(
                _person(request), lambda desk: desk.anew().with_picture(shown, photo), desk.turn
            )
        )

    def loaded(self, path: str, request: gr.Request) -> Any:
        saved = sessions.read(path)
        session = self.engine.checked(saved)
        if changed := saved.changed(session.sha256):
            name = self.engine.open(session.model).name
            gr.Warning(
                f"The {changed} of {name} is not the one that this was saved with, so other pixels"
                " are drawn.",
                duration=None,  # until it is read
            )
        return self._opened(
            self._change(
                request,
                lambda desk: replace(desk, session=session, moved=0, face=None, photo=None),
            )
        )

    def _opened(self, desk: Desk) -> Any:
        session = desk.session
        truncation = sessions.UNLIMITED if session.truncation is None else session.truncation
        opened = self.engine.open(session.model)
        fitted = opened.model.draw_whole is not None
        return (
            opened.name,
            *self._picture(desk),
            session.seed,
            session.num_samples,
            truncation,
            gr.update(value=session.z == "whole", visible=fitted),
            gr.Dropdown(choices=self._labels(session), value=None),
            *(self._unplaced(number, session, info="") for number in range(self.most)),
        )

    def _picture(self, desk: Desk) -> Any:
        said = self.engine.open(desk.session.model).said
        return _canvas(desk), f"{said} Shown: {_plain(desk.session.said)}."

    def painted(self, editor: Any, request: gr.Request) -> Any:
        return "The hole has changed." if self._told(editor, request) else gr.skip()

    def _told(self, editor: Any, request: gr.Request) -> bool:
        person = _person(request)
        size = len(self.desks.get(person).session.image)
        return self.desks.tell(person, *canvas.told(editor, size))

    def box(self, name: str, request: gr.Request) -> Any:
        return self._hole(lambda mask: masks.named(name, len(mask)), request)

    def masked(self, path: str, request: gr.Request) -> Any:
        desk, hole = self.desks.get(_person(request)), hole_of_file(path)
        photo, size = desk.photo, len(desk.session.image)
        name = Path(path).name
        if photo is None or desk.face is not None or hole.shape == (size, size):
            whole = (0, 0, size, size)
            hole = holes.laid_over(hole, name, (size, size), whole, _warn)
            return self._hole(lambda _: holes.seen(hole, size), request)
        # It was drawn over the photo, most likely.
        hole = holes.laid_over(hole, name, photo.shape, photo.box, _warn)

        def lay(desk: Desk) -> Desk:
            if desk.photo is not photo:  # another picture has come since
                raise Superseded
            desk = desk.with_session(context_mask=holes.seen(hole, size))
            return replace(desk, photo=replace(photo, hole=hole))

        return _canvas(self._change(request, lay))

    def clear(self, request: gr.Request) -> Any:
        return self._hole(np.ones_like, request)

    def invert(self, request: gr.Request) -> Any:
        return self._hole(lambda mask: 1 - mask, request)

    def _hole(self, change: Callable[[np.ndarray], np.ndarray], request: gr.Request) -> Any:
        desk = self._change(
            request, lambda desk: desk.with_session(context_mask=change(desk.session.context_mask))
        )
        return _canvas(desk)

    # Latents

    def moved(self, number: int, value: float, request: gr.Request) -> None:
        # A list that lay over the slider closes before the mouse is let go, which is no move.
        desk = self.desks.get(_person(request))
        if desk.stand.get(number) == round(value, 2) and desk.begun >= desk.turn:
            return

        def move(desk: Desk) -> Desk:
            latents = {**desk.session.latents, self._key(number, desk): value}
            stand = {**desk.stand, number: round(value, 2)}
            return replace(desk.with_session(latents=latents), moved=number, stand=stand)

        self._change(request, move)

    def returned(self, number: int, request: gr.Request) -> None:
        def put_back(desk: Desk) -> Desk:
            wanted = self._key(number, desk)
            latents = {each: v for each, v in desk.session.latents.items() if each != wanted}
            return desk.with_session(latents=latents)

        self._change(request, put_back)

    def all_returned(self, request: gr.Request) -> None:
        self._change(request, lambda desk: desk.with_session(latents={}))

    def renamed(self, number: int | None, name: str, request: gr.Request) -> None:
        name = name.strip()
        if number is None or not name:
            raise gr.Error("Choose a latent and give it a name.")
        latent_space.check_name(name, "The latent")

        def rename(desk: Desk) -> Desk:
            named = desk.with_session(names={**desk.session.names, self._key(number, desk): name})
            if [each for each, _ in self._labels(named.session)].count(name) > 1:
                raise ValueError(f"Another latent is called {name!r} already.")
            return named

        self._change(request, rename)

    def _key(self, number: int, desk: Desk) -> int | str:
        opened = self.engine.open(desk.session.model)
        if number not in range(len(opened.sliders)):
            raise ValueError(f"{opened.name}, which is open by now, has no such slider.")
        return key(opened.sliders[number])

    def _labels(self, session: Session) -> list[tuple[str, int]]:
        sliders = self.engine.open(session.model).sliders
        return [(label(latent, session), number) for number, latent in enumerate(sliders)]

    def _names(self, session: Session, request: gr.Request) -> gr.DownloadButton:
        """A latents.json with what latents are called here, once one was renamed."""
        opened = self.engine.open(session.model)
        if not session.names:
            return gr.DownloadButton(visible=False)
        known = len(opened.model.named_latents)
        kept = [
            replace(latent, name=label(latent, session), rank=rank)
            for rank, latent in enumerate(opened.sliders, 1)
            if rank <= known or key(latent) in session.names
        ]
        path = self._place(latent_space.FILE, request)
        try:
            latent_space.write(path, kept)
            latent_space.read(path, len(opened.sliders[0].direction))
        except ValueError:  # a session's file may call latents anything
            return gr.DownloadButton(visible=False)
        return gr.DownloadButton(value=str(path), visible=True)

    def _stand(self, result: Result) -> dict[int, float]:
        """Where each slider stands."""
        sliders = self.engine.open(result.session.model).sliders
        return {
            number: round(result.session.latents.get(key(latent), inferred), 2)
            for number, (latent, inferred) in enumerate(zip(sliders, result.inferred, strict=True))
        }

    def _slider(self, number: int, result: Result, before: Mapping[int, float]) -> gr.Slider:
        """One that stood there before is not put there: it may be in somebody's hand by now."""
        session, stands = result.session, self._stand(result).get(number)
        if stands is None:
            return self._unplaced(number, session)
        latent, inferred = self.engine.open(session.model).sliders[number], result.inferred[number]
        by_whom = "; set by you" if key(latent) in session.latents else ""
        info = f"inferred {inferred:.2f}{by_whom}"
        place: dict[str, Any] = {} if before.get(number) == stands else {"value": stands}
        return self._unplaced(number, session, inferred, info=info, **place)

    def _unplaced(self, number: int, session: Session, *inferred: float, **more: Any) -> gr.Slider:
        """As far as its latent is of use, set or inferred; hidden where the model has none."""
        sliders = self.engine.open(session.model).sliders
        if number >= len(sliders):
            return gr.Slider(visible=False)
        latent = sliders[number]
        wanted = session.latents.get(key(latent), latent.interval[0])
        ends = (*latent.interval, wanted, *inferred)
        return gr.Slider(
            visible=True,
            label=label(latent, session),
            minimum=round(min(ends), 2),
            maximum=round(max(ends), 2),
            **more,
        )

    # Filling

    def asked(self, editor: Any, roll: bool, request: gr.Request) -> Any:
        """That the hole be filled that is seen, once more, perhaps with another seed."""
        self._told(editor, request)  # the last stroke's own telling may still be on its way
        self._change(request)
        return int(np.random.default_rng().integers(2**31)) if roll else gr.skip()

    def stop(self, request: gr.Request) -> str:
        self.desks.stop(_person(request))
        return "Stopped; what is shown is what was drawn before."

    def left(self, request: gr.Request) -> None:
        self.desks.leave(_person(request))
        shutil.rmtree(self._folder(request), ignore_errors=True)

    def turn(self, request: gr.Request) -> int:
        """That which was taken last. What waits in the queue has what was asked with its own turn,
        and is skipped when a newer one has come."""
        return self.desks.get(_person(request)).turn

    def fill(
        self,
        result: Result | None,
        seed: float,
        samples: float,
        truncation: float,
        whole: bool,
        turn: float | None,
        request: gr.Request,
        progress: gr.Progress = _PROGRESS,
    ) -> Any:
        started, person = time.monotonic(), _person(request)
        try:
            desk = asked = self.desks.begin(person, turn)
            report = self._report(asked, request, progress)
            if asked.face is not None:
                desk = asked.with_picture(asked.face(report))
            session = replace(
                desk.session,
                seed=int(seed or 0),
                num_samples=int(samples),
                truncation=None if truncation >= sessions.UNLIMITED else truncation,
                z="whole" if whole else "posterior",
            )
            made = self.engine.complete(session, report)
            drawings = 1 + (result.drawings if result else 0)
            done = Result(session, made, self.engine.inferred(session), drawings, desk.photo)
            report(1, 1)  # nobody may want it any more
            shown = self._shown(done, time.monotonic() - started, request)
            # Last of all: what fails before has put no slider anywhere.
            before = self.desks.place(person, desk, self._stand(done))
        except Superseded:
            return (gr.skip(),) * (_RESULTS + self.most)
        picture = (gr.skip(), gr.skip()) if desk is asked else self._picture(desk)
        sliders = (self._slider(number, done, before) for number in range(self.most))
        return *picture, *shown, *sliders

    def _shown(self, result: Result, seconds: float, request: gr.Request) -> Any:
        session, hole = result.session, int((result.session.context_mask == 0).sum())
        return (
            result,
            f"Drawing {result.drawings}: {session.num_samples} x {hole} pixels in {seconds:.1f} s",
            *self._chosen(result, request),
            spread(session, result.made),
            result.gallery,
            self._file("session.json", session.to_json().encode(), request),
            command(),
            gr.Dropdown(choices=self._labels(session)),
            self._names(session, request),
            gr.Button(visible=result.photo is not None),
        )

    def _chosen(self, result: Result, request: gr.Request) -> Any:
        """The completion that is looked at: large, against what was there, as a file."""
        after = canvas.large(result.completion)
        png = result.session.to_png(result.completion, result.number)
        before = canvas.large(result.session.image)
        return after, (before, after), self._file("completion.png", png, request)

    def picked(self, result: Result | None, event: gr.SelectData, request: gr.Request) -> Any:
        if result is None:  # which is not kept for ever
            raise gr.Error("Fill the hole first.")
        result = replace(result, place=event.index)
        return result, *self._chosen(result, request)

    def pasted(self, result: Result | None, request: gr.Request) -> str:
        if result is None or result.photo is None:
            raise gr.Error("Fill the hole first.")
        path = result.photo.path
        if not os.path.isfile(path):
            raise gr.Error("The studio no longer has your photo; upload it again.")
        if lost := image_files.losses(path):
            gr.Info(f"It is written as 8-bit RGB, so {', '.join(lost)}.")
        profile = image_files.rgb_profile(path)
        png = result.session.to_png(result.pasted, result.number, profile)
        return self._file(f"{Path(path).stem}-filled.png", png, request)

    def sweeping(self, result: Result | None, request: gr.Request) -> None:
        desk = self.desks.get(_person(request))
        if result is None or result.session.model != desk.session.model:
            raise gr.Error("Fill the hole first.")
        if not self.engine.open(desk.session.model).sliders:
            raise gr.Error("This model has no latents to move.")
        self._change(request)

    def swept(
        self,
        result: Result,
        turn: float | None,
        request: gr.Request,
        progress: gr.Progress = _PROGRESS,
    ) -> Any:
        try:
            desk = self.desks.begin(_person(request), turn)
            session = result.session
            latent = self.engine.open(desk.session.model).sliders[desk.moved]
            values, z = np.linspace(*latent.interval, SWEPT), result.made.latents[0, result.place]
            report = self._report(desk, request, progress)
            drawn = self.engine.sweep(session, latent, z, result.number, values.tolist(), report)
        except Superseded:
            return gr.skip(), gr.skip()
        said = f"{label(latent, session)} from {values[0]:.1f} to {values[-1]:.1f}, all else as is"
        strip = canvas.large(np.concatenate(list(drawn), axis=1))
        return gr.Image(strip, visible=True), _plain(said)

    def _report(
        self, desk: Desk, request: gr.Request, progress: gr.Progress
    ) -> Callable[[int, int], None]:
        """Shows rows of pixels, and stops the drawing when something newer is asked for."""
        person = _person(request)

        def report(done: int, total: int) -> None:
            self.desks.check(person, desk.turn)
            progress((done, total), desc="drawing", unit="rows")

        return report

    def _file(self, name: str, content: bytes, request: gr.Request) -> str:
        """Gradio copies it at once, so the next one may take its place."""
        place = self._place(name, request)
        files.write(place, content)
        return str(place)

    def _place(self, name: str, request: gr.Request) -> Path:
        place = self._folder(request) / name
        place.parent.mkdir(exist_ok=True)
        return place

    def _folder(self, request: gr.Request) -> Path:
        return self.directory / hashlib.sha256(_person(request).encode()).hexdigest()


def _canvas(desk: Desk) -> dict[str, Any]:
    return canvas.value(desk.session.image, desk.session.context_mask, desk.strokes)


def framed(path: str | None, *square: float) -> Any:
    return None if path is None else canvas.framed(canvas.photo(path), *square)


def _as_text(message: str) -> str:
    """Gradio shows messages as HTML, and one may tell what stands in somebody's file."""
    return html.escape(message, quote=False)


def _warn(message: str) -> None:
    gr.Warning(_as_text(message))


def _plain(words: str) -> str:
    """Without what Markdown would make links or pictures of: it may come from a file."""
    return re.sub(r"[^\w\s.,:;()'+-]", "", words)


def _person(request: gr.Request) -> str:
    return str(request.session_hash)
