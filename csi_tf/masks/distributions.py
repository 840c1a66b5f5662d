"""The laws of random holes, vectorised over examples.

A law maps (seed, examples, size) to booleans (N,size,size), True = hole. Row i depends on seed and
examples[i] alone. Lengths are stated at size 32 and scale with the image.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from csi_tf.randomness import uniforms

Law = Callable[[int, np.ndarray, int], np.ndarray]

_STROKES = 4  # at most, per brush mask
_SEGMENTS = 10  # per stroke
_SEEDS = 4  # at most, per blob mask
_STEPS = (2, 7)  # of growth, per seed
_GRID = 32  # that blobs grow on
_LEAST_BYTE = 256 >> np.arange(9)  # a byte is at least this with probability 1 - 2^-n


def _integers(u: np.ndarray, low: int | np.ndarray, high: int | np.ndarray) -> np.ndarray:
    """Uniform on low..high, both included, from u uniform on [0, 1)."""
    return (low + np.floor(u * (high - low + 1))).astype(np.int64)


def _boxes(u: np.ndarray, size: int, shortest: int, longest: int, limit: int) -> np.ndarray:
    """Rectangles with sides uniform on shortest..longest, placed uniformly within 0..limit."""
    # (N,2): rows and columns
    length = _integers(u[:, :2], shortest, longest)
    start = _integers(u[:, 2:], 0, limit - length)
    pixels = np.arange(size)
    inside = (pixels >= start[..., None]) & (pixels < (start + length)[..., None])  # (N,2,size)
    return inside[:, 0, :, None] & inside[:, 1, None, :]


def rectangle(seed: int, examples: np.ndarray, size: int) -> np.ndarray:
    """The paper's words: height and width uniform, and the position uniform given those.

    Sides are uniform on 4..32 at size 32 (size/8..size), each independently, and every position
    inside the image is equally likely. So all pixels can be masked, every named box is a possible
    draw, and the mean masked fraction is (18/32)^2 = .316.
    """
    u = uniforms(seed, "mask/rectangle", examples, 4)
    return _boxes(u, size, max(1, round(size / 8)), size, size)


def published_rectangle(seed: int, examples: np.ndarray, size: int) -> np.ndarray:
    """The law of the published code: at 32 sides uniform on 4..27, top and left on 0..31-side.

    Row 31 and column 31 are never masked; the mean masked fraction is (15.5/32)^2 = .2346. At
    other sizes 4, 27 and the one-pixel margin scale.
    """
    u = uniforms(seed, "mask/published_rectangle", examples, 4)
    limit = size - max(1, round(size / 32))
    shortest = max(1, round(4 * size / 32))
    return _boxes(u, size, shortest, min(round(27 * size / 32), limit), limit)


def pepper(seed: int, examples: np.ndarray, size: int) -> np.ndarray:
    """Each pixel missing independently, with one probability per image, uniform on .1...9."""
    u = uniforms(seed, "mask/pepper", examples, 1 + size * size)
    return (u[:, 1:] < 0.1 + 0.8 * u[:, :1]).reshape(-1, size, size)


def brush_strokes(
    seed: int, examples: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The paths of `brush`: stroke counts (N,), (y, x) vertices (N,4,11,2), radii (N,4,10).

    One to four strokes, each starting anywhere. Two in three are sweeps, whose heading drifts; the
    others scribble to and fro. Widths differ between strokes and vary a little along each.
    """
    per_stroke = 6 + 3 * _SEGMENTS
    u = uniforms(seed, "mask/brush", examples, 1 + _STROKES * per_stroke)
    counts = _integers(u[:, 0], 1, _STROKES)
    u = u[:, 1:].reshape(-1, _STROKES, per_stroke)
    start_y, start_x, heading, drift, style, width = np.moveaxis(u[..., :6], -1, 0)
    turn, step, pressure = np.split(u[..., 6:], 3, axis=-1)  # (N,4,10) each

    scribbles = (style < 1 / 3)[..., None]
    bend, jitter = drift[..., None], turn - 0.5
    zigzag = np.where(np.arange(_SEGMENTS) % 2, -1, 1) * (np.pi - 0.2 - 0.6 * bend) + 0.5 * jitter
    turns = np.where(scribbles, zigzag, 0.9 * (bend - 0.5) + 0.7 * jitter)
    angles = 2 * np.pi * heading[..., None] + np.cumsum(turns, axis=-1)
    steps = size * np.where(scribbles, 0.15 + 0.25 * step, 0.05 + 0.08 * step)
    moves = np.stack([np.sin(angles), np.cos(angles)], axis=-1) * steps[..., None]
    start = size * np.stack([start_y, start_x], axis=-1)[:, :, None]
    vertices = np.concatenate([start, start + np.cumsum(moves, axis=2)], axis=2)
    # Paths that leave the image bounce back, so that strokes spend their length on the picture.
    vertices = size - np.abs(size - np.mod(vertices, 2 * size))
    # On a fixed grid a last-bit difference between two machines' sines cannot move a pixel.
    vertices = np.round(vertices * 256) / 256

    # Thin strokes are commoner; .75 pixel always reaches a pixel centre, so none is invisible.
    radii = size * (0.03 + 0.08 * width**2)[..., None]
    pressures = (np.cumsum(pressure - 0.5, axis=-1) * 0.25).clip(-0.3, 0.3)
    return counts, vertices, np.maximum(radii * (1 + pressures), 0.75)


def brush(seed: int, examples: np.ndarray, size: int) -> np.ndarray:
    """Free-form strokes, antialiased, then thresholded: round-ended segments of varied width.

    Coverage of a pixel whose centre lies d from the segment is clip(r - d + .5, 0, 1), so half
    covered means d <= r, which needs no supersampling; squares spare the root.
    """
    counts, vertices, radii = brush_strokes(seed, examples, size)
    # float32 holds a squared distance to about .004 at 128: thousandths of a pixel.
    pixels = np.arange(size, dtype=np.float32) + np.float32(0.5)
    begin, end = vertices[:, :, :-1], vertices[:, :, 1:]
    length = np.maximum(np.sqrt(((end - begin) ** 2).sum(-1)), 1e-6)
    direction = ((end - begin) / length[..., None]).astype(np.float32)
    length, squared_radii = length.astype(np.float32), (radii**2).astype(np.float32)
    offset = pixels - begin[..., None].astype(np.float32)  # (N,4,10,2,size)
    along = offset * direction[..., None]
    squares = offset**2
    squares[..., 0, :] -= squared_radii[..., None]

    excess = np.full((len(counts), size, size), np.inf, np.float32)  # least of d^2 - r^2
    for stroke in range(_STROKES):
        rows = np.flatnonzero(counts > stroke)
        nearest = excess[rows]
        for segment in range(_SEGMENTS):
            here = rows, stroke, segment
            s = along[here][:, 0, :, None] + along[here][:, 1, None, :]
            t = np.clip(s, 0, length[here][:, None, None])
            # d^2 = |p - begin|^2 - 2 s t + t^2 with t the foot of the perpendicular, kept on it
            d = t - s
            d -= s
            d *= t
            d += squares[here][:, 0, :, None]
            d += squares[here][:, 1, None, :]
            np.minimum(nearest, d, out=nearest)
        excess[rows] = nearest
    return excess <= 0


def _bytes(seed: int, stream: str, examples: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(N, *shape) random bytes, four to a random number."""
    count = int(np.prod(shape))
    words = (uniforms(seed, stream, examples, -(-count // 4)) * 2.0**32).astype("<u4")
    return words.view(np.uint8)[:, :count].reshape(-1, *shape)


def _three(grid: np.ndarray, centre: int, beyond: Literal["constant", "edge"]) -> np.ndarray:
    """`centre` times each value (N,H,W) plus its two neighbours, along rows, then columns."""
    grid = np.pad(grid, ((0, 0), (1, 1), (1, 1)), mode=beyond)
    grid = grid[:, :-2] + grid[:, 2:] + centre * grid[:, 1:-1]
    return grid[:, :, :-2] + grid[:, :, 2:] + centre * grid[:, :, 1:-1]


def _enlarge(grid: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Linear interpolation along one axis, pixel centres aligned."""
    length = grid.shape[axis]
    place = ((np.arange(size) + 0.5) * length / size - 0.5).clip(0, length - 1)
    low = np.minimum(place.astype(np.int64), length - 2)
    part = np.expand_dims((place - low).astype(np.float32), 2 - axis)
    return np.take(grid, low, axis) * (1 - part) + np.take(grid, low + 1, axis) * part


def blobs(seed: int, examples: np.ndarray, size: int) -> np.ndarray:
    """One to four seed pixels, each grown for 2..7 steps of probability 1/2 and smoothed.

    In a step each hole pixel takes in each of its eight neighbours with probability 1/2. Growth
    happens on a 32x32 grid, whose outline is smoothed and enlarged, so that the shapes are alike
    at all sizes.
    """
    u = uniforms(seed, "mask/blobs", examples, 1 + 3 * _SEEDS)
    counts = _integers(u[:, 0], 1, _SEEDS)
    row, column = np.split(_integers(u[:, 1 : 1 + 2 * _SEEDS], 0, _GRID - 1), 2, axis=1)
    steps = _integers(u[:, 1 + 2 * _SEEDS :], *_STEPS)
    planted = np.arange(_SEEDS) < counts[:, None]
    chances = _bytes(seed, "mask/blobs/growth", examples, (_STEPS[1], _GRID, _GRID))

    hole = np.zeros((len(counts), _GRID, _GRID), np.uint8)
    for remaining in range(_STEPS[1], 0, -1):
        # Planted this late, a seed gets its own number of steps and all grow together.
        example, which = np.nonzero(planted & (steps == remaining))
        hole[example, row[example, which], column[example, which]] = 1
        neighbours = _three(hole, 1, "constant") - hole
        # With n neighbours in the hole a pixel joins unless n fair coins fail: 1 - 2^-n.
        hole |= chances[:, remaining - 1] >= _LEAST_BYTE[neighbours]
    smooth = _three(hole, 2, "edge").astype(np.float32) / 16
    enlarged = _enlarge(_enlarge(smooth, size, 1), size, 2) >= 0.5
    # Smoothing must not lose a seed that did not grow.
    example, which = np.nonzero(planted)
    rows, columns = (axis[example, which] * size // _GRID for axis in (row, column))
    enlarged[example, rows, columns] = True
    return enlarged


LAWS: dict[str, Law] = {
    "rectangle": rectangle,
    "published_rectangle": published_rectangle,
    "brush": brush,
    "blobs": blobs,
    "pepper": pepper,
}
DISTRIBUTIONS = tuple(LAWS)
