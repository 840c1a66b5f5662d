"""Random numbers as a pure function of (seed, stream, example, position).

Masks, procedural faces, flips and shuffles all draw from here, so what an example gets depends on
its number alone: not on the batch it came in, on the worker that made it, or on what ran before.
The generator is SplitMix64 started at a hashed point, vectorised over examples.
"""

import hashlib

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(state: np.ndarray) -> np.ndarray:
    """The output function of SplitMix64: a bijection that scatters consecutive states."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def fold(seed: int, *parts: int | str | bytes) -> int:
    """A 63-bit seed made of a seed and anything that tells two uses of it apart."""
    digest = hashlib.blake2b(digest_size=8)
    for part in (seed, *parts):
        raw = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return int.from_bytes(digest.digest(), "little") >> 1


def uniforms(seed: int, stream: str, examples: np.ndarray, count: int) -> np.ndarray:
    """(len(examples), count) float64 in [0, 1); row i depends on seed, stream and examples[i]."""
    start = np.uint64(fold(seed, stream))
    with np.errstate(over="ignore"):
        rows = _mix(_mix(np.asarray(examples).astype(np.uint64) * _GOLDEN + start) + start)
        steps = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
        bits = _mix(rows[:, None] + steps[None, :])
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(seed: int, stream: str, size: int) -> np.ndarray:
    """A permutation of range(size) that depends on the arguments alone."""
    return np.random.Generator(np.random.PCG64(fold(seed, stream))).permutation(size)
