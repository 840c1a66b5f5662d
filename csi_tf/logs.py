"""What a long run shows: curves in metrics.jsonl and TensorBoard, and progress on the terminal.

TensorBoard's event files are written with the tensorboard package alone, so the record is the same
under any backend and TensorFlow is never imported for it.
"""

import io
import json
import math
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Self, TextIO

import numpy as np
from PIL import Image
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from csi_tf import files

FILE = "metrics.jsonl"
_RESERVED = ("step", "time", "nonfinite")
_FIRST_LINE = 5.0  # seconds until the first plain line, which gives an early idea of the duration


class LogError(files.FileError):
    """A log that cannot be written, in one sentence."""


class Recorder:
    """Scalars to metrics.jsonl and TensorBoard; images, histograms and text to TensorBoard, where
    that is installed.

    `start` is the first step that will be recorded: what an earlier attempt wrote from that step
    on is dropped, so a resumed curve has no step twice. None only adds to what is there.
    """

    def __init__(
        self, directory: str | os.PathLike[str], start: int | None = None, tensorboard: bool = True
    ) -> None:
        self.path = Path(directory) / FILE
        with self._explained():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _trim(self.path, start)
            self._lines = self.path.open("a", encoding="utf-8")
            wanted = tensorboard and find_spec("tensorboard")
            self._events = _EventFile(Path(directory) / "tensorboard", start) if wanted else None

    def scalars(self, step: int, values: Mapping[str, Any]) -> None:
        """One line; a number that is not finite is null there, and named under `nonfinite`."""
        numbers = {name: _number(name, value) for name, value in values.items()}
        wrong = {name: str(value) for name, value in numbers.items() if not math.isfinite(value)}
        line: dict[str, Any] = {"step": int(step), "time": round(time.time(), 3)}
        line |= {name: None if name in wrong else value for name, value in numbers.items()}
        if wrong:
            line["nonfinite"] = wrong
        with self._explained():
            self._lines.write(json.dumps(line, allow_nan=False) + "\n")
            self._lines.flush()
        for name, number in numbers.items():
            self._show(step, "scalar", name, number)

    def images(self, step: int, name: str, images_u8: np.ndarray) -> None:
        """(H,W,C) or (N,H,W,C) uint8, C = 3 or 1."""
        images = np.asarray(images_u8)
        if images.dtype != np.uint8 or images.ndim not in (3, 4) or images.shape[-1] not in (1, 3):
            raise ValueError(
                f"images {name!r} are {images.dtype} {images.shape}; expected uint8 (H,W,C) or"
                " (N,H,W,C) with C = 3 or 1 (from [-1,1]: np.rint(x * 127.5 + 127.5) as uint8)"
            )
        self._show(step, "image", name, images.reshape(-1, *images.shape[-3:]))

    def histogram(self, step: int, name: str, values: Any) -> None:
        """The distribution of the finite values; if there are others, a line says how many."""
        numbers = np.asarray(values, np.float64).reshape(-1)
        finite = numbers[np.isfinite(numbers)]
        if finite.size < numbers.size:
            self.scalars(step, {f"{name}/nonfinite_values": numbers.size - finite.size})
        self._show(step, "histogram", name, finite)

    def text(self, name: str, markdown: str) -> None:
        self._show(0, "text", name, markdown)

    def _show(self, step: int, kind: str, name: str, data: Any) -> None:
        if self._events:
            with self._explained():
                self._events.add(step=int(step), summary=_summary(kind, name, data))

    def close(self) -> None:
        with self._explained(), ExitStack() as both:
            if self._events:
                both.callback(self._events.close)
            both.callback(self._lines.close)  # which writes what a full disk did not take

    def _explained(self) -> AbstractContextManager[None]:
        return files.explained(f"cannot write the logs in {self.path.parent}", LogError)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def say(line: str) -> None:
    """A line on the terminal, above a live bar if there is one."""
    Console(soft_wrap=True, highlight=False, markup=False).print(line)


def read_metrics(directory: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl, also while a run is writing them."""
    return [record for _, record in _lines(Path(directory) / FILE)]


def _lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Every whole line, raw and read. A crash can leave half a line at the end."""
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
        if line.endswith(b"\n"):
            try:
                yield line, json.loads(line)
            except ValueError:  # after a power failure it may be a block of zeros, anywhere
                continue


def _trim(path: Path, start: int | None) -> None:
    kept = [line for line, record in _lines(path) if start is None or record["step"] < start]
    if path.exists() and len(content := b"".join(kept)) < path.stat().st_size:
        files.write(path, content)


def _number(name: str, value: Any) -> float:
    if name in _RESERVED:
        raise ValueError(f"a scalar cannot be named {name!r}; {', '.join(_RESERVED)} are taken")
    if shape := np.shape(value):
        raise ValueError(f"scalar {name!r} has shape {shape}; expected one number, such as a mean")
    return float(value)


class _EventFile:
    """One session's event file."""

    def __init__(self, directory: Path, start: int | None) -> None:
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, log = event_pb2.Event, event_pb2.SessionLog
        directory.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads the files of a directory in the order of their names: by time.
        name = f"events.out.tfevents.{time.time_ns():020d}.{socket.gethostname()}.{os.getpid()}"
        self._writer = RecordWriter((directory / name).open("xb"))
        self.add(file_version="brain.Event:2")
        if start is not None:  # tells TensorBoard to forget earlier sessions from this step on
            self.add(step=start, session_log=log(status=log.START))

    def add(self, **content: Any) -> None:
        self._writer.write(self._event(wall_time=time.time(), **content).SerializeToString())
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


def _summary(kind: str, name: str, data: Any) -> Any:
    """TensorBoard's own record of a scalar, histogram, text or image."""
    if kind != "image":
        module = import_module(f"tensorboard.plugins.{kind}.summary_v2")
        return getattr(module, f"{kind}_pb")(name, data)
    # For images there is none that works without TensorFlow: width, height, then PNG files.
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.image.metadata import create_summary_metadata
    from tensorboard.util.tensor_util import make_tensor_proto

    parts = [*(str(side).encode() for side in data.shape[2:0:-1]), *map(_png, data)]
    tensor = make_tensor_proto(parts, dtype=np.object_)
    metadata = create_summary_metadata(display_name=None, description=None)
    return Summary(value=[Summary.Value(tag=name, metadata=metadata, tensor=tensor)])


def _png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, "PNG")
    return file.getvalue()


class _Display(Progress):
    """The status on a line of its own: on one line with the bar, 80 columns do not hold it."""

    def get_renderables(self) -> Iterator[RenderableType]:
        for task in self.tasks:
            yield self.make_tasks_table([task])
            yield Text(task.fields["status"], style="dim")


class Bar:
    """Counts steps and tells how fast they go. Made by `progress`; `file` is for plain lines."""

    def __init__(
        self, display: Progress, unit: str, images_per_step: int, every: float, file: IO[str] | None
    ) -> None:
        self._display, self._task = display, display.tasks[0]
        self._unit, self._images, self._every, self._file = unit, images_per_step, every, file
        self._scalars: dict[str, float] = {}
        self._printed = -1  # the count in the last plain line
        self._due = time.monotonic() + min(every, _FIRST_LINE)

    def advance(self, steps: int = 1, scalars: Mapping[str, Any] | None = None) -> None:
        """`scalars` stay on show until others of the same names come."""
        self._scalars |= {name: float(value) for name, value in (scalars or {}).items()}
        self._display.update(self._task.id, advance=steps)
        self._task.fields["status"] = self.status
        if time.monotonic() >= self._due:
            self.print_line()

    @property
    def rate(self) -> float | None:
        """Steps per second of late, None before two are done: the first may have compiled."""
        return self._task.speed or None

    @property
    def status(self) -> str:
        task, rate, parts = self._task, self.rate, []
        remaining = (task.total or 0) - task.completed
        if rate:
            parts.append(f"{_short(rate)} {self._unit}/s")
            if self._images:
                parts.append(f"{_short(rate * self._images)} images/s")
        if remaining <= 0:
            parts.append(f"in {duration(task.elapsed or 0)}")
        elif rate:
            parts.append(f"{duration(remaining / rate)} left")
        return ", ".join(parts + [f"{name} {value:.4g}" for name, value in self._scalars.items()])

    def print_line(self) -> None:
        """Where lines stand in for a bar, and nothing if there is nothing new."""
        done, total = int(self._task.completed), int(self._task.total or 0)
        if self._file and done != self._printed:
            share = f"{done:,}/{total:,} {self._unit} ({100 * done // max(total, 1)}%)"
            parts = [f"{self._task.description}: {share}", *filter(None, [self.status])]
            print(", ".join(parts), file=self._file, flush=True)
            self._printed, self._due = done, time.monotonic() + self._every


@contextmanager
def progress(
    total: int,
    initial: int = 0,
    description: str = "Working",
    unit: str = "steps",
    images_per_step: int = 0,
    every: float = 30.0,
    file: TextIO | None = None,
) -> Iterator[Bar]:
    """A live bar on a terminal; elsewhere a plain line every so many seconds, the first one early.

    Within it, after each step: bar.advance(scalars={"bits/dim": 3.2}).
    """
    console = Console(file=file)
    display = _Display(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        console=console,
        refresh_per_second=4,
        speed_estimate_period=3600,  # or the last 1000 updates; a step may take minutes
        get_time=time.monotonic,
        expand=True,
    )
    display.add_task(description, total=total, completed=initial, status="")
    # FORCE_COLOR and its like make rich take a log file for a terminal, so the file is asked too.
    is_live = console.is_terminal and not console.is_dumb_terminal and console.file.isatty()
    bar = Bar(display, unit, images_per_step, every, None if is_live else console.file)
    with display if is_live else nullcontext():
        try:
            yield bar
        finally:
            bar.print_line()


@contextmanager
def reports(description: str, unit: str = "rows") -> Iterator[Callable[[int, int], None]]:
    """A function of (done, total) that shows a bar, from when it is first called."""
    bar: Bar | None = None
    before = 0
    with ExitStack() as stack:

        def report(done: int, total: int) -> None:
            nonlocal bar, before
            if bar is None:
                bar = stack.enter_context(progress(total, description=description, unit=unit))
            bar.advance(done - before)
            before = done

        yield report


def duration(seconds: float) -> str:
    """To two units, as one would say it."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours // 24} days {hours % 24} h"


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 99.5 else f"{number:.3g}"
