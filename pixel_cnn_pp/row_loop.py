"""The compiled loop of the cached sampler: whole rows of the vertical stream, pixels of the other.

A row of the vertical stream needs rows above only, so it is computed whole, with everything that
the horizontal stream takes from above, from the maps and from the vertical stream. Left for each
pixel is what looks at the present row, a seventh of the arithmetic. Of finished rows only what the
kernels still reach is kept.

Arrays are laid out (columns, batch, channels): one column of all pictures is contiguous, and so is
a row moved sideways.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from pixel_cnn_pp import mixture
from pixel_cnn_pp.blocks import CONCAT_ELU, PUBLISHED

BLOCK = 8  # observed columns that are computed at once


class Matrices(NamedTuple):
    """A convolution as one matrix for all its rows, and as two: rows above and the present row.

    `above` is None where it sees no row above.
    """

    whole: Any
    above: Any
    here: Any
    bias: Any


class BlockMatrices(NamedTuple):
    conv1: Matrices
    conv2: Matrices
    auxiliary: Matrices | None
    conditioning: list


class Weights(NamedTuple):
    first_down: Matrices
    first_row: Matrices
    first_left: Matrices | None
    down: list
    down_right: list
    last: Matrices


class Inputs(NamedTuple):
    """(rows, columns, batch, channels): `replace` is 1 where the draw goes into the picture."""

    noise: Any
    replace: Any
    maps: tuple


class State(NamedTuple):
    """What goes on from row to row.

    `pixels` have a channel of ones, as the network adds, and around the picture the zeros that its
    first kernels look at: rows above, and a column to the left. `down` holds, for each convolution
    of the vertical stream, its inputs in the rows above that it looks at, topmost first.
    `features` are the inputs of each convolution of the horizontal stream in the last row, behind
    the columns of zeros that it looks at; those of the present row take their place one by one.
    """

    pixels: Any
    exact: Any
    down: list
    features: list


class Line(NamedTuple):
    """A row being drawn: its part of State."""

    pixels: Any
    exact: Any
    features: list


def weights(streams) -> Weights:
    """float32, whatever the network computes in."""

    def matrices(conv):
        if conv is None:
            return None
        kernel = ops.cast(conv.effective_kernel(), "float32")
        whole, above, here = (
            ops.reshape(part, (-1, part.shape[-1])) for part in (kernel, kernel[:-1], kernel[-1:])
        )
        bias = ops.cast(conv.bias, "float32") if conv.use_bias else None
        return Matrices(whole, above if kernel.shape[0] > 1 else None, here, bias)

    def block(each):
        conditioning = [matrices(conv) for conv in each.conditioning]
        convs = (each.conv1, each.conv2, each.auxiliary)
        return BlockMatrices(*(matrices(conv) for conv in convs), conditioning)

    return Weights(
        matrices(streams.first_down),
        matrices(streams.first_row),
        matrices(streams.first_left),
        [block(each) for each in streams.down],
        [block(each) for each in streams.down_right],
        matrices(streams.last),
    )


def first_state(streams, pixels: np.ndarray) -> State:
    """At the top of (rows, columns, batch, 3) pixels, nothing drawn yet; made in NumPy, since small
    pictures wait longer for a backend's single steps than for their work."""
    plan = streams.plan
    rows, columns, batch, _ = pixels.shape
    known = np.zeros((_top(plan) + rows, 1 + columns, batch, 4), "float32")
    known[-rows:, 1:] = 1
    known[-rows:, 1:, :, :3] = pixels
    # What the convolutions of the blocks read; the activation may double the filters.
    channels = streams.last.kernel.shape[-2]
    wider = {kernel[1] - 1 for pair in plan.down_right for kernel in pair} | {0}
    empty = {
        n: ops.convert_to_tensor(np.zeros((columns + n, batch, channels), "float32")) for n in wider
    }
    return State(
        ops.convert_to_tensor(known),
        ops.convert_to_tensor(np.zeros(pixels.shape, "float32")),
        [[empty[0]] * (kernel[0] - 1) for pair in plan.down for kernel in pair],
        [empty[kernel[1] - 1] for pair in plan.down_right for kernel in pair],
    )


def run(streams, weights: Weights, inputs: Inputs, work, state: State, bounds) -> State:
    """Go through work.rows[bounds[0] : bounds[1]]."""

    def one(i, state):
        return i + 1, _Row(streams, weights, inputs, work, state, _at(work.rows, i)).finished()

    return ops.while_loop(lambda i, _: i < bounds[1], one, (bounds[0], state))[1]


class _Row:
    """One row: what can be had at once is computed when it is made, the rest by `finished`."""

    def __init__(self, streams, weights: Weights, inputs: Inputs, work, state: State, row):
        self.streams, self.plan, self.weights = streams, streams.plan, weights
        self.work, self.state, self.row = work, state, row
        self.maps = [_at(each, row) for each in inputs.maps]
        self.noise, self.replace = _at(inputs.noise, row), _at(inputs.replace, row)
        # Columns to the left that each convolution of the horizontal stream looks at.
        self.reach = [kernel[1] - 1 for pair in self.plan.down_right for kernel in pair]
        self._from_above()

    def _from_above(self):
        """The vertical stream, and all that the horizontal one is told before its first pixel:
        `start` is added to its first features, `terms` to what each of its convolutions gives."""
        plan, weights = self.plan, self.weights
        above = [self._pixels(up) for up in range(_top(plan), 0, -1)]

        def first(kernel, matrices):
            rows = [row[1:] for row in above[-kernel[0] :]]
            return _dense(_windows(rows, kernel[1], kernel[1] // 2), matrices)

        vertical = first(plan.first_down, weights.first_down)
        self.start = first(plan.first_row, weights.first_row)
        if weights.first_left is not None:
            self.start += weights.first_left.bias
            if weights.first_left.above is not None:
                left = [row[:-1] for row in above[1 - plan.first_left[0] :]]
                self.start += _matmul(ops.concatenate(left, axis=-1), weights.first_left.above)
        self.down, self.terms = [], []
        for k, (down, down_right) in enumerate(zip(weights.down, weights.down_right, strict=True)):
            c = vertical
            for i, matrices in enumerate((down.conv1, down.conv2)):
                self.down.append(self._activate(c))
                columns = plan.down[k][i][1]
                rows = [*self.state.down[2 * k + i], self.down[-1]]
                c = _dense(_windows(rows, columns, columns // 2), matrices)
            vertical = _gate(vertical, c + self._condition(down))
            told = _dense(self._activate(vertical), down_right.auxiliary)
            self.terms.append(told + self._above(2 * k, down_right.conv1))
            told = self._condition(down_right)
            self.terms.append(told + self._above(2 * k + 1, down_right.conv2))

    def _above(self, i, matrices):
        """What convolution i of the horizontal stream gives of the row above, and its bias."""
        if matrices.above is None:
            return ops.broadcast_to(matrices.bias, (*self.noise.shape[:2], matrices.bias.shape[0]))
        seen = _windows([self.state.features[i][self.reach[i] :]], self.reach[i] + 1, self.reach[i])
        return _matmul(seen, matrices.above) + matrices.bias

    def _condition(self, block: BlockMatrices):
        if not block.conditioning:
            return 0.0
        if self.streams.conditioning_form == PUBLISHED:
            return ops.elu(_dense(ops.concatenate(self.maps, axis=-1), block.conditioning[0]))
        pairs = zip(self.maps, block.conditioning, strict=True)
        return sum(_dense(each, matrices) for each, matrices in pairs)

    def finished(self) -> State:
        """Stretch by stretch; what is observed between them is computed in one pass."""
        state = self.state
        line = Line(self._pixels(0), _at(state.exact, self.row), state.features)
        stretches = _at(self.work.stretches, self.row)

        def stretch(s, line):
            bounds = _at(stretches, s)
            line = self._observed(line, bounds[0], bounds[1])
            return s + 1, self._drawn(line, bounds[1], bounds[2])

        count = _at(self.work.counts, self.row)
        line = ops.while_loop(lambda s, _: s < count, stretch, (ops.zeros((), "int32"), line))[1]
        return State(
            _put(state.pixels, self.row + _top(self.plan), line.pixels[None]),
            _put(state.exact, self.row, line.exact[None]),
            [[*rows, new][1:] for rows, new in zip(state.down, self.down, strict=True)],
            line.features,
        )

    def _observed(self, line: Line, begin, end) -> Line:
        """Features of the columns from begin to end, as their pixels are; BLOCK of them at once.

        The last block may go beyond: what it says there is overwritten, or not looked at.
        """
        columns = self.noise.shape[0]
        block = min(BLOCK, columns)

        def some(column, features):
            column = ops.minimum(column, columns - block)
            return column + block, self._horizontal(line.pixels, features, column, block)[1]

        loop = (begin, line.features)
        return line._replace(features=ops.while_loop(lambda i, _: i < end, some, loop)[1])

    def _drawn(self, line: Line, begin, end) -> Line:
        """The columns from begin to end, one by one."""

        def pixel(column, line):
            h, features = self._horizontal(line.pixels, line.features, column, 1)
            raw = _dense(self._activate(h), self.weights.last)
            drawn = mixture.combine(raw, _at(self.noise, column, 1))
            known = _at(line.pixels, column + 1, 1)
            chosen = ops.where(_at(self.replace, column, 1) > 0, drawn.image, known[..., :3])
            chosen = ops.concatenate([chosen, known[..., 3:]], axis=-1)
            return column + 1, Line(
                _put(line.pixels, column + 1, chosen),
                _put(line.exact, column, drawn.exact),
                features,
            )

        return ops.while_loop(lambda i, _: i < end, pixel, (begin, line))[1]

    def _horizontal(self, pixels, features, column, count: int):
        """(last features of `count` columns from this one on, inputs of the convolutions)."""
        features = list(features)

        def convolve(k, x, here):
            features[k] = _put(features[k], column + self.reach[k], x)
            seen = _at(features[k], column, count + self.reach[k])
            parts = [seen[i : i + count] for i in range(self.reach[k] + 1)]
            told = _at(self.terms[k], column, count)
            return _matmul(ops.concatenate(parts, axis=-1), here) + told

        h = _at(self.start, column, count)
        if self.weights.first_left is not None:
            h = h + _matmul(_at(pixels, column, count), self.weights.first_left.here)
        for k, block in enumerate(self.weights.down_right):
            c1 = convolve(2 * k, self._activate(h), block.conv1.here)
            h = _gate(h, convolve(2 * k + 1, self._activate(c1), block.conv2.here))
        return h, features

    def _pixels(self, up):
        """The row this many above, with the column of zeros."""
        return _at(self.state.pixels, self.row + (_top(self.plan) - up))

    def _activate(self, x):
        """`blocks.nonlinearity` by exp(x) - 1, to float32's last bit of 1 and four times faster."""
        if self.streams.activation == CONCAT_ELU:
            x = ops.concatenate([x, -x], axis=-1)
        return ops.where(x > 0, x, ops.exp(x) - 1.0)


def _top(plan) -> int:
    """Rows above the picture that its first row looks at."""
    left = plan.first_left or (0, 0)
    return max(plan.first_down[0], plan.first_row[0], left[0] - 1)


def _gate(x, c2):
    p, q = ops.split(c2, 2, axis=-1)
    return x + p * ops.sigmoid(q)


def _dense(x, matrices: Matrices):
    y = _matmul(x, matrices.whole)
    return y if matrices.bias is None else y + matrices.bias


def _matmul(x, matrix):
    """One product of two matrices, however many axes come before the last."""
    y = ops.matmul(ops.reshape(x, (-1, x.shape[-1])), matrix)
    return ops.reshape(y, (*x.shape[:-1], matrix.shape[-1]))


def _windows(rows, columns: int, left: int):
    """What a kernel over these rows sees at each column, `left` columns of it to the left."""
    padding = ((left, columns - 1 - left), (0, 0), (0, 0))
    padded = [ops.pad(row, padding) for row in rows]
    count = rows[0].shape[0]
    return ops.concatenate([row[i : i + count] for row in padded for i in range(columns)], axis=-1)


def _at(x, i, count: int | None = None):
    """x[i], or x[i : i + count], for an i that is known only when the loop runs."""
    rest = x.shape[1:]
    part = _slice(x, [i] + [0] * len(rest), (count or 1, *rest))
    return part if count else ops.reshape(part, rest)


def _slice(x, begin, shape):
    """`ops.slice`, which under TensorFlow would be compiled anew for every mask: XLA takes the
    beginning of a tf.slice as a constant wherever it can trace it back to the inputs."""
    if keras.backend.backend() != "tensorflow":
        return ops.slice(x, begin, shape)
    import tensorflow as tf
    from tensorflow.compiler.tf2xla.python import xla

    return tf.ensure_shape(xla.dynamic_slice(x, tf.stack(begin), shape), shape)


def _put(x, i, values):
    return ops.slice_update(x, [i] + [0] * (len(x.shape) - 1), values)
