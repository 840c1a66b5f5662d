"""The exact sampler that computes every feature once: what there is to do, and doing it."""

import weakref
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from pixel_cnn_pp import mixture, row_loop

# Fewer observed columns than this between two holes are gone through with them.
SHORTEST = 4
# No part of a picture narrower than this is taken by itself.
NARROWEST = 32


class Work(NamedTuple):
    """The first `total` of `rows` are gone through; for each row of the picture there are its
    `counts` of `stretches`: columns (a, b, c), those from a to b observed, from b to c drawn."""

    total: int
    rows: np.ndarray
    counts: np.ndarray
    stretches: np.ndarray


def draw(network, images, mask, maps, noise, given, progress) -> mixture.Draw:
    """See `pixel_cnn_pp.sampling.draws`."""
    hole = mask != 1
    if not hole.any():
        return mixture.Draw(images, images)
    fed = np.where(hole, np.float32(0) if given is None else given, images)
    replace = hole if given is None else np.zeros_like(hole)
    streams = network.streams
    rows, columns = reach(streams.plan)
    beside = window(hole, columns)
    work = plan(hole[:, :, beside, 0], rows)
    run = compiled(network)
    inputs = row_loop.Inputs(
        _columns_first(noise[:, :, beside]),
        _columns_first(replace[:, :, beside].astype("float32")),
        tuple(_columns_first(each[:, :, beside]) for each in maps),
    )
    tensors = Work(*(ops.convert_to_tensor(each) for each in work))
    state = row_loop.first_state(streams, fed[:, :, beside].transpose(1, 2, 0, 3))
    if progress is None:
        ends = np.array([work.total])
    else:  # one call for each row that has a hole, so that it can be told, and stopped, in between
        holed = np.flatnonzero(hole.any(axis=(0, 2, 3)))
        ends = np.searchsorted(work.rows[: work.total], holed) + 1
    begin = 0
    for done, end in enumerate(ends, 1):
        bounds = ops.convert_to_tensor(np.array([begin, end], "int32"))
        state = run(inputs, tensors, state, bounds)
        if progress is not None:
            progress(done, len(ends))
        begin = end
    image, exact = np.copy(fed), np.copy(fed)
    pixels = state.pixels[-images.shape[1] :, 1:, :, :3]
    for whole, part in ((image, pixels), (exact, state.exact)):
        whole[:, :, beside] = np.transpose(np.asarray(part), (2, 0, 1, 3))
    return mixture.Draw(image, exact)


def plan(hole: np.ndarray, rows_above: int) -> Work:
    """Work for holes (B, H, W) bool and a field of this many rows above the present one."""
    anywhere = hole.any(axis=0)
    height, width = anywhere.shape
    reached = np.zeros(height, bool)
    for row in np.flatnonzero(anywhere.any(axis=1)):
        reached[max(row - rows_above, 0) : row + 1] = True
    counts = np.zeros(height, "int32")
    stretches = np.zeros((height, width // SHORTEST + 2, 3), "int32")
    for row in np.flatnonzero(reached):
        found: list[list[int]] = []
        done = 0
        for column in np.flatnonzero(anywhere[row]):
            if found and column - done < SHORTEST:
                found[-1][2] = column + 1
            else:
                found.append([done, column, column + 1])
            done = column + 1
        if done < width and row + 1 < height and reached[row + 1]:  # which looks at all of this one
            found.append([done, width, width])
        counts[row] = len(found)
        stretches[row, : len(found)] = found
    rows = np.resize(np.flatnonzero(reached).astype("int32"), height)  # of one shape for any mask
    return Work(int(reached.sum()), rows, counts, stretches)


def reach(plan) -> tuple[int, int]:
    """How many rows up, and columns to a side, a pixel sees, by the longer of the two streams."""

    def far(vertical, horizontal, steps):
        for down, down_right in steps:
            vertical += sum(down)
            horizontal = max(horizontal + down_right[0], vertical) + down_right[1]
        return horizontal

    def steps(axis, side):
        """How far the kernels of each block go: half of a centred one on either side."""
        for down, down_right in zip(plan.down, plan.down_right, strict=True):
            yield [(k[axis] - 1) // side for k in down], [k[axis] - 1 for k in down_right]

    left = plan.first_left or (1, 0)
    rows = far(plan.first_down[0], max(plan.first_row[0], left[0] - 1), steps(0, 1))
    beside = plan.first_down[1] // 2
    columns = far(beside, max(plan.first_row[1] // 2, left[1]), steps(1, 2))
    return rows, columns


def window(hole: np.ndarray, columns: int) -> slice:
    """The columns that matter to the holes: a whole picture, or a half or quarter of a wide one.

    Few widths, since each is compiled by itself.
    """
    width = hole.shape[2]
    holed = np.flatnonzero(hole.any(axis=(0, 1, 3)))
    if not holed.size:
        return slice(0, width)
    begin, end = max(holed[0] - columns, 0), min(holed[-1] + columns + 1, width)
    for part in (width // 4, width // 2):
        if part >= max(end - begin, NARROWEST):
            begin = min(begin, width - part)
            return slice(begin, begin + part)
    return slice(0, width)


def _columns_first(x):
    if isinstance(x, np.ndarray):  # a small one: no need to wake the backend for each step
        return ops.convert_to_tensor(np.ascontiguousarray(x.transpose(1, 2, 0, 3)), "float32")
    return ops.transpose(ops.convert_to_tensor(x), (1, 2, 0, 3))


_programs: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def compiled(network):
    """row_loop.run for this network; compiled once for each shape of the pictures."""
    if network not in _programs:
        _programs[network] = _compile(network.streams)
    return _programs[network]


def _compile(streams):
    if keras.backend.backend() == "jax":
        import jax

        program = jax.jit(lambda weights, *rest: row_loop.run(streams, weights, *rest))
        return lambda *rest: program(row_loop.weights(streams), *rest)
    import tensorflow as tf

    # Variables that a function captures cost less at each call than as many arguments.
    return tf.function(
        lambda *rest: row_loop.run(streams, row_loop.weights(streams), *rest),
        jit_compile=True,
        autograph=False,
    )
