"""Faces drawn from eighteen known factors: a data set that carries its own ground truth.

    made = generate("train", 32, stop=1000)     # images, factors, attributes
    faces = render(sample_factors(64, seed=3), 128)
    faces = render({"smile": [-1, 0, 1]})       # all else at the midpoint

Factors are independent and uniform. Textures are fixed, so equal factors give equal pixels and
nothing in a picture is unaccounted for; no picture depends on the batch it was drawn in.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from csi_tf import checks, randomness
from csi_tf.data import procedural_parts

SEED = 2018
SPLITS = {"train": (0, 60_000), "test": (60_000, 62_259)}  # example numbers, half open
SMALLEST, LARGEST = 16, 256
_CHUNK_PIXELS = 1 << 17  # planes of half a MiB: fewer, longer steps beat a fit in the L2 cache


@dataclass(frozen=True)
class Factor:
    """One control, and the box of a 32 x 32 face where it shows."""

    name: str
    low: float
    high: float
    meaning: str
    region: tuple[int, int, int, int]  # rows from, to, columns from, to: half open


FACTORS = (
    Factor("azimuth", -28, 28, "degrees the head turns, to the picture's right", (9, 30, 4, 28)),
    Factor("face_width", 0.88, 1.12, "width of the head, relative", (10, 30, 3, 29)),
    Factor("skin_tone", 0, 1, "deep brown to pale", (8, 29, 6, 26)),
    Factor("hair_colour", 0, 1, "black, brown, auburn, blond; eyes follow", (0, 10, 4, 28)),
    Factor("hair_volume", 0, 1, "how far the hair stands off the head", (0, 16, 0, 32)),
    Factor("hair_length", 0, 1, "back hair to the ears, or to the shoulders", (15, 31, 0, 32)),
    Factor("fringe", 0, 1, "forehead bare, or covered down to the brows", (3, 12, 6, 26)),
    Factor("smile", -1, 1, "corners of the mouth down, or up", (22, 31, 8, 24)),
    Factor("mouth_opening", 0, 1, "lips closed, or wide open", (24, 31, 10, 22)),
    Factor("eye_opening", 0.3, 1, "eyes narrow, or wide open", (12, 19, 6, 26)),
    Factor("gaze", -1, 1, "irises to the picture's left, or right", (14, 18, 7, 25)),
    Factor("brow_angle", -1, 1, "outer ends of the brows up, or down", (9, 15, 6, 26)),
    Factor("nose_length", -1, 1, "short, or long", (18, 26, 12, 20)),
    Factor("beard", 0, 1, "clean-shaven, stubble, full beard", (21, 31, 7, 25)),
    Factor("glasses", 0, 1, "none, thin wire, thick rims", (12, 21, 5, 27)),
    Factor("background_hue", 0, 1, "sand, green, blue, violet; clothes follow", (0, 20, 0, 32)),
    Factor("light_direction", -1, 1, "from the picture's left, or right", (6, 30, 4, 28)),
    Factor("brightness", 0.76, 1.14, "exposure of the whole picture", (0, 32, 0, 32)),
)
NAMES = tuple(factor.name for factor in FACTORS)
_LOW = np.array([factor.low for factor in FACTORS], np.float32)
_HIGH = np.array([factor.high for factor in FACTORS], np.float32)


@dataclass(frozen=True)
class Attribute:
    """A yes/no label: yes where the factor is above the threshold (or below it)."""

    name: str
    factor: str
    threshold: float
    above: bool = True


ATTRIBUTES = (
    Attribute("Smiling", "smile", 0.2),
    Attribute("Mouth_Slightly_Open", "mouth_opening", 0.35),
    Attribute("Eyeglasses", "glasses", 0.4),
    Attribute("Bangs", "fringe", 0.6),
    Attribute("Narrow_Eyes", "eye_opening", 0.5, above=False),
    Attribute("No_Beard", "beard", 0.3, above=False),
    Attribute("Black_Hair", "hair_colour", 0.2, above=False),
    Attribute("Blond_Hair", "hair_colour", 0.75),
    Attribute("Long_Hair", "hair_length", 0.6),
    Attribute("Pale_Skin", "skin_tone", 0.7),
    Attribute("Chubby", "face_width", 1.04),
    Attribute("Looking_Right", "gaze", 0.0),
)


def sample_factors(examples: int | ArrayLike, seed: int = SEED) -> np.ndarray:
    """(N, F) float32, for the first N examples or for the example numbers given.

    Row i depends on the seed and on the number of its example alone.
    """
    numbers = np.asarray(examples)
    if numbers.dtype.kind not in "iu" or numbers.ndim > 1 or (numbers < 0).any():
        raise ValueError(
            f"examples came as {numbers.dtype} of shape {numbers.shape}; pass a count or a "
            "one-dimensional array of example numbers, integers from 0 up."
        )
    if numbers.ndim == 0:
        numbers = np.arange(int(numbers))
    seed = checks.whole_number(seed, "seed", 0)
    part = randomness.uniforms(seed, "procedural faces", numbers, len(FACTORS))
    return (_LOW + part * (_HIGH - _LOW)).astype(np.float32)


def render(factors: ArrayLike | Mapping[str, ArrayLike], size: int = 32) -> np.ndarray:
    """(N, size, size, 3) uint8 from (N, F) factors, or from {name: number or (N,)}.

    Columns are in the order of FACTORS; a factor that a mapping leaves out is at its midpoint.
    """
    size = checks.whole_number(size, "size", SMALLEST, LARGEST)
    rows = _rows(factors)
    images = np.empty((len(rows), size, size, 3), np.uint8)
    step = max(1, _CHUNK_PIXELS // size**2)
    for start in range(0, len(rows), step):
        chunk = rows[start : start + step]
        columns = {name: chunk[:, i, None, None] for i, name in enumerate(NAMES)}
        procedural_parts.paint(columns, images[start : start + step])
    return images


def attributes(factors: ArrayLike | Mapping[str, ArrayLike]) -> np.ndarray:
    """(N, 12) uint8 labels, in the order of ATTRIBUTES, from factors as `render` takes them."""
    rows = _rows(factors)
    labels = np.empty((len(rows), len(ATTRIBUTES)), np.uint8)
    for i, attribute in enumerate(ATTRIBUTES):
        values = rows[:, NAMES.index(attribute.factor)]
        threshold = np.float32(attribute.threshold)
        labels[:, i] = values > threshold if attribute.above else values < threshold
    return labels


def generate(
    split: str, size: int = 32, *, start: int = 0, stop: int | None = None, seed: int = SEED
) -> dict[str, np.ndarray]:
    """{"images", "factors", "attributes"} of examples start:stop of a split."""
    if not isinstance(split, str) or split not in SPLITS:
        raise ValueError(f"Unknown split {split!r}; choose one of {', '.join(SPLITS)}.")
    first, last = SPLITS[split]
    count = last - first
    start = checks.whole_number(start, "start", 0)
    stop = count if stop is None else checks.whole_number(stop, "stop", 0)
    if not start <= stop <= count:
        raise ValueError(
            f"Examples {start}:{stop} are not in {split!r}; keep 0 <= start <= stop <= {count}."
        )
    factors = sample_factors(np.arange(first + start, first + stop), seed)
    return {
        "images": render(factors, size),
        "factors": factors,
        "attributes": attributes(factors),
    }


def _rows(factors: ArrayLike | Mapping[str, ArrayLike]) -> np.ndarray:
    """Checked (N, F) float32 rows."""
    if isinstance(factors, Mapping):
        factors = _stacked(factors)
    rows = np.asarray(factors)
    if rows.dtype.kind not in "fiu" or rows.ndim != 2 or rows.shape[1] != len(FACTORS):
        raise ValueError(
            f"factors came as {rows.dtype} of shape {rows.shape}; pass numbers of shape "
            f"(N, {len(FACTORS)}) in the order of FACTORS (one face: factors[None])."
        )
    rows = rows.astype(np.float32)
    outside = ~((rows >= _LOW) & (rows <= _HIGH))  # true for NaN too
    if outside.any():
        row, column = np.argwhere(outside)[0]
        factor = FACTORS[column]
        raise ValueError(
            f"{factor.name} is {rows[row, column]} in row {row}; its range is {factor.low} to "
            f"{factor.high} (np.clip brings it there)."
        )
    return rows


def _stacked(values: Mapping[str, ArrayLike]) -> np.ndarray:
    unknown = [name for name in values if name not in NAMES]
    if unknown:
        raise ValueError(f"Unknown factor {unknown[0]!r}; choose from {', '.join(NAMES)}.")
    columns = {name: np.asarray(value) for name, value in values.items()}
    words = [name for name, column in columns.items() if column.dtype.kind not in "fiu"]
    if words:
        raise ValueError(f"{words[0]} came as {columns[words[0]].dtype}; pass numbers.")
    shapes = {column.shape for column in columns.values() if column.ndim}
    if len(shapes) > 1 or any(len(shape) != 1 for shape in shapes):
        raise ValueError(
            f"factors came with shapes {sorted(shapes)}; pass numbers and one-dimensional arrays "
            "of one length."
        )
    count = shapes.pop()[0] if shapes else 1
    rows = np.tile((_LOW + _HIGH) / 2, (count, 1)).astype(np.float64)
    for name, column in columns.items():
        rows[:, NAMES.index(name)] = column
    return rows
