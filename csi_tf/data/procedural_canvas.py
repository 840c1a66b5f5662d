"""A batch of pictures as colour planes, with what it takes to paint soft-edged shapes on them.

Lengths are in frame units: a picture is 32 units wide whatever its size in pixels. Only +, -, *,
/, sqrt, rint and clips touch pixels: IEEE arithmetic rounds each of them in one way, so a picture
is bit-identical in any batch and on any machine, and they are quick. Quantities of one image have
shape (n, 1, 1), colours (3, n, 1, 1).
"""

from functools import lru_cache

import numpy as np

from csi_tf import randomness

FRAME = 32.0


@lru_cache(maxsize=16)
def noise(size: int, cells: int) -> np.ndarray:
    """A fixed (size, size) value-noise texture in [-1, 1], `cells` cells across the frame."""
    lattice = randomness.uniforms(0, f"face texture {cells}", np.arange(cells + 1), cells + 1)
    lattice = (2 * lattice - 1).astype(np.float32)
    at = (np.arange(size, dtype=np.float32) + 0.5) * np.float32(cells / size)
    low = at.astype(np.int64)
    part = at - low.astype(np.float32)
    part = part * part * (3 - 2 * part)
    rows = lattice[low] + part[:, None] * (lattice[low + 1] - lattice[low])
    texture = rows[:, low] + part[None, :] * (rows[:, low + 1] - rows[:, low])
    texture *= np.float32(min(1.0, size / cells))  # a pixel averages what is finer than itself
    texture.setflags(write=False)
    return texture


def ramp(stops: tuple[tuple[float, float, float], ...], at: np.ndarray) -> np.ndarray:
    """The colour `at` of the way (0 to 1) along a polyline of colours: (3, n, 1, 1)."""
    table = np.array(stops, np.float32)[:, :, None, None, None]
    colour = table[0] + np.zeros_like(at)
    for i in range(len(stops) - 1):
        colour += np.clip(at * (len(stops) - 1) - i, 0, 1) * (table[i + 1] - table[i])
    return colour


def wave(phase: np.ndarray) -> np.ndarray:
    """A parabolic stand-in for sin(2 pi phase), within .06 of it and far quicker."""
    t = phase - np.rint(phase)
    return t * (8 - 16 * np.abs(t))


def bump(squared_radius: np.ndarray) -> np.ndarray:
    """A smooth blob: 1 where the squared radius is 0, flat zero from 1 on."""
    t = np.maximum(1 - squared_radius, 0)
    return t * t


class Patch:
    """A box of the picture: its pixel centres and a view of its colours."""

    def __init__(self, planes: np.ndarray, top: float, bottom: float, left: float, right: float):
        size = planes.shape[-1]
        self.unit = FRAME / size
        centres = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(self.unit)
        self.rows = slice(max(int(top / self.unit), 0), min(int(-(-bottom // self.unit)), size))
        self.cols = slice(max(int(left / self.unit), 0), min(int(-(-right // self.unit)), size))
        self.planes = planes[:, :, self.rows, self.cols]
        self.x = centres[self.cols][None, None, :]
        self.y = centres[self.rows][None, :, None]

    def cover(self, depth: np.ndarray, soft: float = 0.0) -> np.ndarray:
        """How much of each pixel is inside, from the depth inside the edge (frame units)."""
        alpha = depth * np.float32(1 / max(self.unit, soft))
        alpha += np.float32(0.5)
        return np.clip(alpha, 0, 1, out=alpha)

    def stroke(self, distance: np.ndarray, half: np.ndarray | float) -> np.ndarray:
        """Coverage of a line of half-width `half`: thinner than a pixel, it fades."""
        away = np.abs(distance)
        return self.cover(half - away) - self.cover(-half - away)

    def paint(self, alpha: np.ndarray, colour: np.ndarray) -> None:
        delta = colour - self.planes
        delta *= alpha
        self.planes += delta

    def shade(self, gain: np.ndarray) -> None:
        self.planes *= gain

    def texture(self, cells: int) -> np.ndarray:
        size = int(FRAME / self.unit + 0.5)
        return noise(size, cells)[self.rows, self.cols]


def colour(red: float, green: float, blue: float) -> np.ndarray:
    return np.array((red, green, blue), np.float32)[:, None, None, None]
