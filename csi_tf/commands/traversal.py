"""--mode=traverse: one latent in each row, its values in the columns, all else the same."""

import re
from collections import Counter
from collections.abc import Iterator

import numpy as np

from csi_tf import arguments, drawing, latents
from csi_tf.commands import drawn, sheets
from csi_tf.commands.job import Job, Made, Picture
from csi_tf.commands.output import plain
from csi_tf.commands.sheets import Tile
from csi_tf.latents import Latent
from csi_tf.pixels import pm1

ROWS, COLUMNS = 8, 7  # where none are asked for


class Traversal:
    block = 1  # the rows may be others for each picture

    def __init__(self, job: Job) -> None:
        self._job, self._model, self._command = job, job.model, job.command
        if self._model.decoder is None:
            raise ValueError("this model has no latents to move: it was made with latents=False")
        arguments.check_z(drawn.z_of(self._model, self._command), self._model)
        keys = self._command.latents_moved
        if not keys and self._model.named_latents:
            keys = [latent.name for latent in self._model.named_latents[:ROWS]]
        self._fixed = [latents.find(self._model, key) for key in keys]
        for latent in self._fixed:
            latents.traversal(self._model, _key(latent), self._values(latent))
        rows = len(keys) or min(ROWS, self._model.config.latent_dim)
        columns = len(self._command.columns or range(COLUMNS))
        self.rows_of_each = rows * columns * self._model.size

    def planned(self, picture: Picture) -> list[str]:
        rows = self._rows(picture)
        return [
            f"{stem}-{j}"
            for stem, latent in zip(_stems(rows), rows, strict=True)
            for j in range(len(self._values(latent)))
        ] + ["grid"]

    def make(
        self, pictures: list[Picture], progress: drawing.Progress, only: str | None = None
    ) -> Iterator[Made]:
        (picture,) = pictures
        rows, lines = self._rows(picture), []
        mask = None if picture.context_mask is None else picture.context_mask[None]
        start = [Tile(picture.image, "original")]
        if picture.context_mask is not None:
            start.append(Tile(picture.image, "masked", picture.context_mask[..., 0] == 0))
        tiles, labels = [start], [("", "")]
        for i, (stem, latent) in enumerate(zip(_stems(rows), rows, strict=True)):
            values = self._values(latent)
            ways = latents.traversal(self._model, _key(latent), values)
            parts = drawn.draw(
                self._model,
                self._command,
                picture.image[None],
                mask,
                np.zeros(1, np.int64),
                ways,
                _share(progress, i, len(rows)),
            )
            made = drawn.Drawn.joined([some for _, some in parts])
            for j, value in enumerate(values):
                result = {
                    "set": {latent.name: value},
                    "key": int(made.seeds[j]),
                    "log_likelihood": plain(made.log_likelihood[j]),
                    "bits_per_dim": plain(made.bits_per_dim[j]),
                    "latents": plain(made.latents[j]),
                    "inferred": plain(made.inferred[j]),
                }
                lines.append({"file": f"{stem}-{j}", **result})
                yield Made(picture, f"{stem}-{j}", made.images[j], result, False)
            cells = zip(made.images, values, strict=True)
            tiles.append([Tile(pixels, f"{value:.3g}") for pixels, value in cells])
            inferred = made.inferred[0].astype(np.float64) @ latent.direction
            labels.append((latent.name, f"inferred {inferred:.2g}"))
        yield Made(picture, "grid", sheets.sheet(tiles, labels), {}, lines=lines)

    def _rows(self, picture: Picture) -> list[Latent]:
        """Those asked for, or those that have a name, or those that say most of this picture."""
        if self._fixed:
            return self._fixed
        mask = np.ones_like(picture.image[..., :1], np.float32)
        mask = mask if picture.context_mask is None else picture.context_mask
        image = pm1(picture.image)
        mean, logvar = (
            np.asarray(each)[0]
            for each in self._model.encode(image[None], mask[None], self._command.seed)
        )
        kl = mean**2 + np.exp(logvar) - 1 - logvar  # from the prior, twice
        foremost = np.argsort(-kl, kind="stable")[:ROWS]
        return [latents.find(self._model, int(dimension)) for dimension in foremost]

    def _values(self, latent: Latent) -> list[float]:
        return self._command.columns or np.linspace(*latent.interval, COLUMNS).tolist()


def _share(progress: drawing.Progress, row: int, rows: int) -> drawing.Progress:
    """One row's progress as that of all."""
    return lambda done, total: progress(row * total + done, rows * total)


def _key(latent: Latent) -> int | str:
    return latent.name if latent.dimension is None else latent.dimension


def _stems(rows: list[Latent]) -> list[str]:
    """Names of files, no two the same."""
    stems = [re.sub(r"[^\w.]+", "_", latent.name).casefold() for latent in rows]
    count = Counter(stems)
    numbered = [f"{stem}_{i}" for i, stem in enumerate(stems)]
    few = [own if count[own] == 1 else other for own, other in zip(stems, numbered, strict=True)]
    return few if len({*few}) == len(few) else numbered  # one may be called as another's number
