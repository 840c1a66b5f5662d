"""--mode=inpaint, reconstruct and sample: completions of each picture, and all side by side."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from csi_tf import arguments, drawing, latents
from csi_tf.commands import drawn, sheets
from csi_tf.commands.drawn import Drawn
from csi_tf.commands.job import Job, Made, Picture
from csi_tf.commands.output import Record, plain
from csi_tf.commands.sheets import Tile

ACROSS, MOST_SHOWN = 10, 100  # on a grid
# Levels of 255: completions that differ by less than a hundredth of the scale look the same.
ALIKE = 3.0


class Completions:
    block = 32  # pictures with one mask share batches

    def __init__(self, job: Job) -> None:
        self._job, self._model, self._command = job, job.model, job.command
        self.numbers = np.arange(job.command.samples)
        arguments.check_z(drawn.z_of(self._model, self._command), self._model)
        self._ways = latents.settings(self._model, self._command.latents_set)
        self._has_spread = self._command.mode == "inpaint" and len(self.numbers) > 1
        if len(self.numbers) > MOST_SHOWN - 2:
            job.note(f"note: grids show the first {MOST_SHOWN - 2} of {len(self.numbers)}")
        self.rows_of_each = len(self.numbers) * self._model.size
        self._alike_told = False

    def planned(self, picture: Picture) -> list[str]:
        names = [self._name(number) for number in self.numbers]
        return [*names, *["uncertainty"] * self._has_spread, "grid"]

    def make(
        self, pictures: list[Picture], progress: drawing.Progress, only: str | None = None
    ) -> Iterator[Made]:
        numbers = self.numbers if only is None or not only.isdecimal() else np.array([int(only)])
        images = np.stack([picture.image for picture in pictures])
        context_mask = None
        if self._command.mode != "reconstruct":
            context_mask = np.stack([np.asarray(picture.context_mask) for picture in pictures])
        parts = [self._left(picture) if only is None else [] for picture in pictures]
        alike: dict[tuple[int, ...], list[int]] = {}
        for i, mine in enumerate(parts):
            there = [int(part.number[0]) for part in mine]
            alike.setdefault(tuple(np.setdiff1d(numbers, there).tolist()), []).append(i)
        total, done = sum(len(missing) * len(those) for missing, those in alike.items()), 0
        for missing, those in alike.items():
            if not missing:
                for i in those:
                    yield from self._sheets(pictures[i], Drawn.joined(parts[i]))
                continue
            own = len(missing) * len(those)
            for k, some in drawn.draw(
                self._model,
                self._command,
                images[those],
                None if context_mask is None else context_mask[those],
                np.array(missing),
                self._ways,
                _share(progress, done, own, total),
            ):
                i = those[k]
                results = self._results(some)
                for result, pixels in zip(results, some.images, strict=True):
                    yield Made(pictures[i], self._name(result["sample"]), pixels, result, False)
                parts[i].append(some)
                if sum(len(part.number) for part in parts[i]) == len(numbers):
                    yield from self._sheets(pictures[i], Drawn.joined(parts[i]))
                    parts[i] = []
            done += own

    def _left(self, picture: Picture) -> list[Drawn]:
        """What an attempt that was stopped has finished of it, one by one."""
        found = []
        for number in self.numbers:
            with suppress(KeyError, TypeError, ValueError):  # not as this version writes it
                if (each := self._job.left(picture, self._name(number))) is not None:
                    found.append(_drawn(*each))
        return found

    def _sheets(self, picture: Picture, whole: Drawn) -> Iterator[Made]:
        whole = whole.ordered(self._command.order)
        set_ = {"set": self._set()}
        if self._has_spread:
            assert picture.context_mask is not None
            heat = sheets.uncertainty(picture.image, picture.context_mask, whole.images)
            yield Made(picture, "uncertainty", heat, set_)
            self._explain(picture, whole.images)
        lines = [{"file": self._name(each["sample"]), **each} for each in self._results(whole)]
        yield Made(picture, "grid", self._grid(picture, whole), set_, lines=lines)

    def _explain(self, picture: Picture, completions: np.ndarray) -> None:
        """Once in a command, why completions look the same, and what to do."""
        assert picture.context_mask is not None
        hole = picture.context_mask[..., 0] == 0
        spread = completions[:, hole].std(axis=0).mean() if hole.any() else np.inf
        if self._alike_told or spread >= ALIKE:
            return
        self._alike_told = True
        remedies = []
        if self._command.z in (None, "posterior") and self._model.decoder is not None:
            fitted = "" if self._model.draw_whole else ", after --mode=whole for this model"
            remedies.append(f"--z=whole varies what the hole hides altogether{fitted}")
        if self._command.truncation is not None:
            remedies.append("--truncation=none lets colours vary")
        self._job.note(
            f"{picture.source.where}: completions differ by {spread:.1f} of 255 levels, as what"
            " surrounds the hole leaves little open"
            + (f" ({'; '.join(remedies)})" if remedies else "")
        )

    def _grid(self, picture: Picture, whole: Drawn) -> np.ndarray:
        tiles = []
        if self._command.mode != "sample":
            tiles.append(Tile(picture.image, "original"))
        if self._command.mode == "inpaint":
            assert picture.context_mask is not None
            tiles.append(Tile(picture.image, "masked", picture.context_mask[..., 0] == 0))
        shown = MOST_SHOWN - 2
        for number, pixels, bits in zip(
            whole.number[:shown], whole.images[:shown], whole.bits_per_dim[:shown], strict=True
        ):
            of_hole = f": {bits:.2f} bits/dim" if np.isfinite(bits) else ""
            tiles.append(Tile(pixels, f"{number}{of_hole}"))
        across = 8 if self._command.mode == "sample" else ACROSS
        return sheets.sheet(sheets.wrapped(tiles, across))

    def _results(self, some: Drawn) -> list[Record]:
        return [
            {
                "sample": int(number),
                "key": int(key),
                "set": self._set(),
                "log_likelihood": plain(nats),
                "bits_per_dim": plain(bits),
                "latents": plain(z),
                "inferred": plain(inferred),
            }
            for _, z, inferred, nats, bits, key, number in zip(*some, strict=True)
        ]

    def _set(self) -> dict[str, float]:
        return {str(key): value for key, value in self._command.latents_set.items()}

    def _name(self, number: Any) -> str:
        return f"{number:03d}"


def _drawn(pixels: np.ndarray, result: Record) -> Drawn:
    """The completion that `_results` told of."""

    def row(name: str, dtype: type) -> np.ndarray:
        return np.array([result[name]], dtype)  # of what is no number, which JSON has as null, NaN

    return Drawn(
        pixels[None],
        row("latents", np.float32),
        row("inferred", np.float32),
        row("log_likelihood", np.float64),
        row("bits_per_dim", np.float64),
        row("key", np.int64),
        row("sample", np.int64),
    )


def _share(progress: drawing.Progress, before: int, own: int, all_: int) -> drawing.Progress:
    """The progress of `own` completions as that of all."""
    return lambda done, total: progress(before * total + own * done, all_ * total)
