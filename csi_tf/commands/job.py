"""A command at work: its model, its pictures made ready, and what is recorded of each file."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePath
from typing import Any, NamedTuple, Protocol

import numpy as np

from csi_tf import checks, drawing, latents, loading, whole
from csi_tf.commands import holes, sources
from csi_tf.commands.output import Output, Record, read_record
from csi_tf.commands.settings import Box, Command
from csi_tf.commands.sources import Source
from csi_tf.data import image_files


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as the model gets it, and the settings that its files are recorded with."""

    source: Source
    shape: tuple[int, int]
    region: Box
    image: np.ndarray  # uint8 (S, S, 3)
    context_mask: np.ndarray | None  # (S, S, 1)
    settings: Record


class Made(NamedTuple):
    """One file of a picture's, to be written."""

    picture: Picture
    file: str  # what stands behind the picture's name
    pixels: np.ndarray
    result: Record
    is_sheet: bool = True  # rather than one completion
    lines: list[Record] | None = None  # of results.jsonl, with the last file


class Layout(Protocol):
    """What a mode makes of pictures."""

    block: int  # how many are drawn together
    rows_of_each: int  # rows of pixels to draw for a picture

    def planned(self, picture: Picture) -> list[str]:
        """Its files in the order they are made."""

    def make(
        self, pictures: list[Picture], progress: drawing.Progress, only: str | None = None
    ) -> Iterator[Made]:
        """The files of each; if `only` one is wanted, others may be left out."""


class Job:
    def __init__(self, command: Command, directory: Path, note: Callable[[str], None]) -> None:
        self.note = note
        file = loading.find(command.model or "")
        self.model = loading.load(file)
        self.command = replace(command, batch=command.batch or drawing.default_batch())
        self.output = Output(directory, command.overwrite)
        self._holes = holes.understood(command, self.model.size)
        self._model_file = Path(os.path.abspath(file))
        self._inputs: set[Path] = set()  # which are never written over
        self._pasted: tuple[Picture, np.ndarray, np.ndarray | None] | None = None  # into this last
        used = {
            "model": True,
            latents.FILE: command.latents or command.mode == "traverse",
            whole.FILE: command.z == "whole",
        }
        sums = loading.digests(self._model_file)
        self._sums = {name: sum_ for name, sum_ in sums.items() if used[name]}
        if command.paste_back:
            size = self.model.size
            note(f"note: what is pasted back has the model's {size}x{size} pixels, enlarged")
        if self.model.reverse is None and self._holes is not None:
            note(
                "note: this model has no reverse net (it is of stage one): what is drawn follows"
                " the pixels above and to the left, and knows of the others through z only"
            )

    def sources(self) -> list[Source]:
        size = self.model.size
        if self.command.mode == "sample":
            return [Source(PurePath("sample"), "sample", np.zeros((size, size, 3), np.uint8))]
        masks = self._holes.places if self._holes else ()
        found = sources.listed(self.command, size, self.output.directory, masks)
        self._inputs = {Path(each.where).resolve() for each in found}
        return found

    def prepare(self, source: Source) -> Picture:
        """ValueError or OSError where it cannot be."""
        command, size = self.command, self.model.size
        if command.mode == "sample":
            assert source.pixels is not None
            hidden = np.zeros((size, size, 1), np.float32)
            whole = (0, 0, size, size)
            return Picture(source, whole[2:], whole, source.pixels, hidden, self._settings())
        pixels, sums = source.read(), {"input": source.digest()}
        shape = (pixels.shape[0], pixels.shape[1])
        region = sources.region(command.box, source, *shape)
        shown = sources.cut(pixels, region)
        if region[2] != region[3]:
            self.note(f"{source.where}: {region[2]}x{region[3]} pixels squeezed to {size}x{size}")
        is_file = source.pixels is None
        if command.paste_back and is_file and (lost := image_files.losses(source.where)):
            self.note(f"{source.where}: written as 8-bit RGB, so {', '.join(lost)}")
        elif (
            is_file and command.mask not in ("", holes.ALPHA) and image_files.is_clear(source.where)
        ):
            self.note(
                f"{source.where}: its transparent part is taken for white; --mask=alpha fills it"
            )
        image = image_files.resize_antialiased(shown, size)
        context_mask, name = None, ""
        if self._holes is not None:
            name = self._holes.name(source)
            context_mask, finer = self._holes.of(source, shape, region, image, self._noting(source))
            sums["mask"] = sources.digest(context_mask, finer)
        settings = self._settings(input=source.where, mask=name, sums=sums)
        return Picture(source, shape, region, image, context_mask, settings)

    def place(self, picture: Picture, file: str) -> Path:
        return self.output.place(picture.source.name, file)

    def left(self, picture: Picture, file: str) -> tuple[np.ndarray, Record] | None:
        """Pixels and result of a completion that is there already, made with these settings; not of
        one that was pasted back, whose pixels are the photo's."""
        path = self.place(picture, file)
        if self.command.paste_back or not path.exists():
            return None
        record = read_record(path) or {}
        if record.get("settings") != picture.settings | {"file": file}:
            return None
        pixels = image_files.read_image(path)
        # An editor may have kept the record and changed the size.
        return (pixels, record["result"]) if pixels.shape == picture.image.shape else None

    def grid(self, source: Source) -> Path:
        return self.output.place(source.name, "grid")

    def write(self, made: Made, path: Path | None = None) -> Path:
        path = path or self.place(made.picture, made.file)
        settings = made.picture.settings | {"file": made.file}
        source, profile, pixels = made.picture.source, None, self.pixels(made)
        if self._is_pasted(made) and source.pixels is None:
            profile = image_files.rgb_profile(source.where)
        self.output.write(path, pixels, settings, made.result, profile)
        return path

    def tell(self, made: Made) -> None:
        """The picture's lines in results.jsonl."""
        source = made.picture.source
        lines = [
            {"input": source.where, **line, "file": str(source.name) + f"-{line['file']}.png"}
            for line in made.lines or []
        ]
        if self.command.overwrite:
            self._remove_others(made.picture)
        self.output.tell(source.where, lines)

    def _remove_others(self, picture: Picture) -> None:
        """What the picture's results of before have beside the new ones."""
        name, settings = str(picture.source.name), picture.settings
        for file in {*self.output.told(picture.source.where), f"{name}-uncertainty.png"}:
            path = self.output.directory / file
            found = (read_record(path) or {}).get("settings")
            is_its = isinstance(found, dict) and found.get("input") == settings["input"]
            new = settings | {"file": file.removeprefix(f"{name}-").removesuffix(".png")}
            if is_its and found != new and path.resolve() not in self._inputs:
                path.unlink()

    def pixels(self, made: Made) -> np.ndarray:
        """Pasted back into the picture where that is wanted."""
        picture, mask = made.picture, made.picture.context_mask
        if not self._is_pasted(made) or self._holes is None or mask is None:
            return made.pixels
        if self._pasted is None or self._pasted[0] is not picture:  # completions come in turn
            self._pasted = picture, *self._unchanged(picture)
        _, pixels, hole = self._pasted
        return holes.paste(pixels, picture.region, made.pixels, mask, hole)

    def _unchanged(self, picture: Picture) -> tuple[np.ndarray, np.ndarray | None]:
        """Its pixels and hole, read anew: many are filled at a time and not kept meanwhile."""
        source, sums = picture.source, {}
        assert self._holes is not None
        try:
            pixels, sums["input"] = source.read(), source.digest()
            context_mask, hole = self._holes.of(
                source, picture.shape, picture.region, picture.image, lambda _: None
            )
        except (ValueError, OSError) as error:
            raise Changed(str(error)) from None
        sums["mask"] = sources.digest(context_mask, hole)
        if sums.items() - picture.settings["sha256"].items():
            raise Changed(
                f"{source.where}, or its mask, has been changed while its hole was being filled"
            )
        return pixels, hole

    def _is_pasted(self, made: Made) -> bool:
        return self.command.paste_back and not made.is_sheet

    def seems_done(self, source: Source) -> bool:
        """By the name of its last file alone."""
        return not self.command.overwrite and os.path.exists(self.grid(source))

    def is_done(self, picture: Picture, planned: list[str]) -> bool:
        wanted = {self.place(picture, file): picture.settings | {"file": file} for file in planned}
        for path in wanted:
            if path.resolve() in self._inputs:
                raise ValueError(f"{path} is one of the pictures given; give another --output")
        return self.output.is_done(wanted)

    def _noting(self, source: Source) -> Callable[[str], None]:
        return lambda text: self.note(f"{source.where}: {text}")

    def _settings(
        self,
        input: str | None = None,
        mask: str = "",
        sums: Mapping[str, str] | None = None,
    ) -> Record:
        """The command that makes the files of this picture alone, whatever the directory."""
        command = self.command
        counted = command.samples if command.mode != "traverse" else None
        said: dict[str, Any] = asdict(
            replace(
                command,
                model=str(self._model_file),
                input=input,
                mask=mask,
                num_samples=counted,
                output=None,
                overwrite=False,
                data_dir=command.data_dir and checks.absolute(command.data_dir),
            )
        )
        for name in ("output", "overwrite", "repeat", "session"):
            del said[name]
        return said | {"sha256": self._sums | dict(sums or {})}


class Changed(ValueError):
    """A picture that is not what it was when its hole was filled."""
