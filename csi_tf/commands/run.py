"""The four modes that use a finished model: the loop over pictures that they share."""

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from csi_tf import loading, logs, session
from csi_tf.commands import output, repeat
from csi_tf.commands.completions import Completions
from csi_tf.commands.job import Changed, Job, Layout, Picture
from csi_tf.commands.settings import Command
from csi_tf.commands.sources import Source
from csi_tf.commands.traversal import Traversal
from csi_tf.errors import RunFailed, Stopped

LAYOUTS: dict[str, Callable[[Job], Layout]] = {
    "inpaint": Completions,
    "reconstruct": Completions,
    "sample": Completions,
    "traverse": Traversal,
}
_DOING = {
    "inpaint": "Inpainting",
    "reconstruct": "Reconstructing",
    "sample": "Sampling",
    "traverse": "Traversing",
}


def run(command: Command, directory: Path) -> None:
    with _warnings_as_notes():
        if command.session is not None:
            command = opened(command, directory)
        if command.repeat is None:
            _Batch(Job(command, directory, note)).run()
        else:
            repeat.run(command, directory, note, LAYOUTS[command.mode])


def opened(command: Command, directory: Path) -> Command:
    """What a session of the studio asks for; its picture and mask come to lie in the directory."""
    saved = session.read(command.session)
    _check_model(command, saved)
    picture, mask = session.write_files(saved, directory, command.overwrite)
    return replace(
        command,
        session=None,
        model=command.model or saved.model,
        input=str(picture),
        mask=str(mask),
        crop="none",
        latents=",".join(f"{key}={value!r}" for key, value in saved.latents.items()) or None,
        num_samples=saved.num_samples,
        seed=saved.seed,
        truncation=saved.truncation,
        z=saved.z,
        order="likelihood",
    )


def _check_model(command: Command, saved: session.Session) -> None:
    """RunFailed if it is another one now than the session was made with; one that is asked for may
    be another one."""
    try:
        file = loading.find(command.model or saved.model)
    except ValueError as error:
        if command.model:
            raise
        raise ValueError(
            f"{command.session} was made with the model {saved.model}; if that is elsewhere now,"
            f" say where with --model: {error}"
        ) from None
    changed = saved.changed(loading.digests(file))
    said = f"the {changed} (of {file}) is not the one that {command.session} was made with"
    if changed and not command.model:
        raise RunFailed(
            f"{said}: give that one with --model, or --model={saved.model} to draw with this one"
        )
    if changed:
        note(f"note: {said}, so other pixels are drawn")


def note(text: str) -> None:
    print(_printable(text), file=sys.stderr, flush=True)


def _printable(text: str) -> str:
    """Names of files need not be text."""
    return text.encode("utf-8", "backslashreplace").decode()


@contextmanager
def _warnings_as_notes() -> Iterator[None]:
    """What the library warns of as lines to people, each once."""

    def show(message: Any, *_: Any, **__: Any) -> None:
        note(f"note: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("once", UserWarning)
        warnings.showwarning = show  # type: ignore[assignment]
        yield


class _Batch:
    """All pictures of a command; that one fails does not keep the others."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._layout = LAYOUTS[job.command.mode](job)
        self._sources = job.sources()
        self._bar: logs.Bar | None = None
        self._written = self._done = self._skipped = self._failed = 0

    def run(self) -> None:
        block = self._layout.block
        try:
            with ExitStack() as stack:
                for start in range(0, len(self._sources), block):
                    self._draw(start, self._sources[start : start + block], stack)
        except KeyboardInterrupt as stop:
            if not self._written:
                raise
            done = self._done + self._skipped
            raise Stopped.by(stop, f"{done} of {_counted(len(self._sources))}") from None
        finally:
            self._job.output.settle()
        self._tell()

    def _draw(self, start: int, sources: Sequence[Source], stack: ExitStack) -> None:
        failed = self._failed
        pictures = [picture for source in sources if (picture := self._ready(source))]
        if not pictures:
            return
        if self._bar is None:  # not before there is something to draw
            self._bar = stack.enter_context(self._progress(len(pictures), start + len(sources)))
        else:
            self._bar.advance((self._failed - failed) * self._layout.rows_of_each)
        bar, whole, reported = self._bar, len(pictures) * self._layout.rows_of_each, 0

        def progress(done: int, total: int) -> None:
            nonlocal reported
            now = whole * done // total
            bar.advance(now - reported)
            reported = now

        changed: list[Source] = []
        for made in self._layout.make(pictures, progress):
            source = made.picture.source
            if source in changed:
                continue
            try:
                if made.lines is not None:
                    self._job.tell(made)
                    self._done += 1
                self._job.write(made)
                self._written += 1
            except Changed as error:
                changed.append(source)
                self._fail(source, error)
        progress(1, 1)

    def _progress(self, now: int, start: int) -> AbstractContextManager[logs.Bar]:
        """For so many pictures, and those from `start` on that do not look done: these take no
        time, and would make the others seem to take none."""
        later = sum(not self._job.seems_done(each) for each in self._sources[start:])
        total, doing = (now + later) * self._layout.rows_of_each, _DOING[self._job.command.mode]
        return logs.progress(total, description=doing, unit="rows")

    def _ready(self, source: Source) -> Picture | None:
        """None where a picture is done, or cannot be."""
        try:
            picture = self._job.prepare(source)
            if not self._job.is_done(picture, self._layout.planned(picture)):
                return picture
            self._skipped += 1
        except (ValueError, OSError) as error:
            self._fail(source, error)
        return None

    def _fail(self, source: Source, error: ValueError | OSError) -> None:
        """Of one picture among several; of a single one it is the command's failure."""
        if len(self._sources) == 1:
            raise error
        said = " ".join(str(error).split())
        note(said if source.where in said else f"{source.where}: {said}")
        self._job.output.tell_error(source.where, said)
        self._failed += 1

    def _tell(self) -> None:
        directory, total = self._job.output.directory, len(self._sources)
        if self._skipped:
            print(f"{_counted(self._skipped)} done before with these settings, skipped")
        if self._done:
            of = f" of {_counted(self._done)}" if total > 1 else ""
            print(f"{self._written} files{of} and {output.RESULTS} written to {directory}")
            if total == 1:
                print(_printable(f"All side by side: {self._job.grid(self._sources[0])}"))
        if self._failed:
            raise RunFailed(f"{self._failed} of {_counted(total)} failed, as said above")


def _counted(pictures: int) -> str:
    return f"{pictures} picture{'s' * (pictures != 1)}"
