"""Completions of some pictures, handed over as they are drawn."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

import numpy as np

from csi_tf import drawing, latents
from csi_tf.commands.settings import Command
from csi_tf.inpaint import chunks
from csi_tf.model import CSIModel


class Drawn(NamedTuple):
    """n completions of one picture; the fields are those of `csi_tf.inpaint`'s Completions."""

    images: np.ndarray
    latents: np.ndarray
    inferred: np.ndarray
    log_likelihood: np.ndarray
    bits_per_dim: np.ndarray
    seeds: np.ndarray
    number: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        return cls(*(np.concatenate(each) for each in zip(*parts, strict=True)))

    def ordered(self, order: str) -> "Drawn":
        first = self.number if order == "number" else -self.log_likelihood
        best = np.lexsort((self.number, first))
        return Drawn(*(values[best] for values in self))


def z_of(model: CSIModel, command: Command) -> str | float:
    """How z comes about; a model without latents has none."""
    return "posterior" if model.decoder is None and command.z is None else command.z_rule


def draw(
    model: CSIModel,
    command: Command,
    images: np.ndarray,
    context_mask: np.ndarray | None,
    numbers: np.ndarray,
    ways: latents.Settings,
    progress: drawing.Progress,
) -> Iterator[tuple[int, Drawn]]:
    """(number of a picture, some completions of it) for images (N, S, S, 3), masks (N, S, S, 1).

    Without masks z is inferred from the whole picture and every pixel drawn. In mode sample it is
    not inferred.
    """
    if context_mask is None:
        everything = np.ones_like(images[..., :1], np.float32)
        seen, kept = everything, 1 - everything
    else:
        seen = kept = context_mask
    drawn = chunks(
        model,
        images,
        seen,
        kept,
        ways,
        numbers,
        z=z_of(model, command),
        seed=command.seed,
        truncation=command.truncation,
        progress=progress,
        batch=command.batch,
    )
    for chunk in drawn:
        for i in dict.fromkeys(chunk.image.tolist()):
            here = chunk.image == i
            yield i, Drawn(*(getattr(chunk, name)[here] for name in Drawn._fields))
