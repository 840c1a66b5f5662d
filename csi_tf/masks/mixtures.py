"""Mask specifications, such as "rectangle:0.6,brush:0.4", and drawing from them."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from csi_tf import checks
from csi_tf.checks import whole_number
from csi_tf.masks.boxes import ALIASES, NAMES, named
from csi_tf.masks.distributions import DISTRIBUTIONS, LAWS
from csi_tf.masks.files import from_file, validated_convention
from csi_tf.randomness import uniforms

# Pixels drawn at a time: the working arrays stay in the processor's cache.
_CHUNK_PIXELS = 2**16


@dataclasses.dataclass(frozen=True)
class Component:
    """One entry: a distribution, a named box, or, with its path, a mask "file"."""

    name: str
    weight: float = 1.0
    path: str | None = None

    def __post_init__(self) -> None:
        name = ALIASES.get(self.name, self.name) if isinstance(self.name, str) else self.name
        if (name == "file") != (self.path is not None):
            raise ValueError("A path goes with the name 'file' and with no other; give both.")
        if not isinstance(name, str) or name not in (*DISTRIBUTIONS, *NAMES, "file"):
            raise ValueError(
                f"Unknown mask {name!r}; choose from the random masks {', '.join(DISTRIBUTIONS)},"
                f" the named ones {', '.join(NAMES)}, or file:PATH."
            )
        if self.path is not None:
            file = checks.existing_file(self.path, what="mask file")
            object.__setattr__(self, "path", str(file))
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "weight", _weight(self.weight))


@dataclasses.dataclass(frozen=True)
class Mixture:
    """A mask specification: components none of which comes twice, their weights adding up to 1."""

    components: tuple[Component, ...]

    def __post_init__(self) -> None:
        parts = self.components
        if not isinstance(parts, tuple | list) or not parts:
            raise ValueError(f"A mixture of {parts!r}; give one masks.Component or more.")
        seen: set[tuple[str, str | None]] = set()
        for part in parts:
            if not isinstance(part, Component):
                raise ValueError(f"A mixture holds masks.Component, not {part!r}.")
            if (part.name, part.path) in seen:
                label = f"file:{part.path}" if part.path else part.name
                raise ValueError(f"Mask {label!r} is listed twice; add the weights up.")
            seen.add((part.name, part.path))
        total = _weight(sum(part.weight for part in parts))
        normalised = (dataclasses.replace(part, weight=part.weight / total) for part in parts)
        object.__setattr__(self, "components", tuple(normalised))


def _weight(value: Any) -> float:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and value > 0):
        raise ValueError(
            f"Mask weight {value!r} is not a positive number; write weights like"
            " rectangle:0.6,brush:0.4."
        )
    return float(value)


def _split_weight(entry: str) -> tuple[str, str | None]:
    """Name and weight text; in a file entry only a trailing number is a weight, not "C:"."""
    head, colon, tail = entry.rpartition(":")
    if not colon:
        return entry, None
    if entry.startswith("file:"):
        try:
            float(tail)
        except ValueError:
            return entry, None
        return (head, tail) if head != "file" else (entry, None)
    return head.strip(), tail.strip()


def _component(entry: str) -> Component:
    name, text = _split_weight(entry)
    weight: Any = 1.0
    if text is not None:
        try:
            weight = float(text)
        except ValueError:
            weight = text  # for Component to refuse
    if name.startswith("file:"):
        return Component("file", weight, name.removeprefix("file:"))
    return Component(name, weight)


def parse(distribution: str | Mixture) -> Mixture:
    """The validated form of a specification.

    Entries are separated by commas: NAME, NAME:WEIGHT, file:PATH or file:PATH:WEIGHT (the path has
    no comma). Weights are any positive numbers, 1 if not given, and are normalised.
    """
    if isinstance(distribution, Mixture):
        return distribution
    if not isinstance(distribution, str):
        raise ValueError(
            f"A mask distribution is a name such as 'rectangle', not {distribution!r};"
            " masks that are arrays go where a context_mask is expected."
        )
    entries = distribution.split(",")
    return Mixture(tuple(_component(entry.strip()) for entry in entries))


def which(components: Sequence[Component], seed: int, examples: np.ndarray) -> np.ndarray:
    """The component of each example (B,), which depends, like its mask, on its number alone."""
    if len(components) == 1:
        return np.zeros(len(examples), np.int64)
    thresholds = np.cumsum([component.weight for component in components])[:-1]
    u = uniforms(seed, "mask/mixture", examples, 1)[:, 0]
    return np.searchsorted(thresholds, u, side="right")


def sampler(
    distribution: str | Mixture, size: int, seed: int, convention: str = "white_is_hole"
) -> Callable[[np.ndarray], np.ndarray]:
    """A function from example numbers (B,) to masks (B,size,size,1).

    What a data pipeline maps over its examples: the specification is parsed and its files are read
    once. `convention` is that of the files.
    """
    components = parse(distribution).components
    size = whole_number(size, "size", 2)
    seed = whole_number(seed, "seed", 0)
    validated_convention(convention)
    fixed = {}
    for index, component in enumerate(components):
        if component.path is not None:
            fixed[index] = from_file(component.path, size, convention)
        elif component.name in NAMES:
            fixed[index] = named(component.name, size)

    def draw(examples: np.ndarray) -> np.ndarray:
        masks = np.empty((len(examples), size, size, 1), np.float32)
        chosen = which(components, seed, examples)
        for index, component in enumerate(components):
            rows = np.flatnonzero(chosen == index)
            if index in fixed:
                masks[rows] = fixed[index]
            elif rows.size:
                masks[rows, ..., 0] = ~LAWS[component.name](seed, examples[rows], size)
        return masks

    def draw_in_chunks(examples: np.ndarray) -> np.ndarray:
        examples = np.asarray(examples)
        if examples.ndim != 1 or not np.issubdtype(examples.dtype, np.integer):
            raise ValueError(
                f"examples is {examples.dtype} of shape {examples.shape}; give whole numbers,"
                " one per mask, as a flat array such as np.arange(batch)."
            )
        if (examples < 0).any():
            raise ValueError(
                f"examples has {examples.min()}; give whole numbers from 0 up, one per mask."
            )
        chunk = max(1, _CHUNK_PIXELS // size**2)
        parts = [draw(examples[i : i + chunk]) for i in range(0, len(examples), chunk)]
        return np.concatenate(parts) if parts else draw(examples)

    return draw_in_chunks


def sample(
    distribution: str | Mixture,
    batch: int,
    size: int,
    seed: int,
    examples: np.ndarray | None = None,
    convention: str = "white_is_hole",
) -> np.ndarray:
    """(B,size,size,1) float32 context masks.

    Mask i depends on seed and examples[i] alone (by default 0..batch-1), not on the batch; within a
    mixture, example i gets the very mask that its component alone would give it.
    """
    batch = whole_number(batch, "batch", 0)
    examples = np.arange(batch) if examples is None else np.asarray(examples)
    masks = sampler(distribution, size, seed, convention)(examples)
    if len(masks) != batch:
        raise ValueError(f"{len(masks)} examples for a batch of {batch}; give one for each mask.")
    return masks
