"""What a network sees: published names, kernel sizes for an exact field, and the measured truth.

The published names count rows x columns from 2x3, plus 1x2 per gated block. They undercount, since
a block holds two convolutions: n blocks really see 2n+3 rows above, 4n+4 columns and 2n+1 pixels to
the left. `measure` finds that by Jacobian; `Plan.exact` builds networks whose name is the truth.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pixel_cnn_pp import checks

# The paper prints 7x15 for its five-block network, where the published counter says 7x13.
_ALIASES = {"7x15": 5}


class Field(NamedTuple):
    """The true field: rows above the present one, columns over all rows, pixels left of it."""

    rows_above: int
    columns: int
    left: int

    def __str__(self) -> str:
        return (
            f"{self.rows_above} rows above, {self.columns} columns, {self.left} pixels to the left"
        )


def name(blocks: int) -> str:
    """The published name of a network with this many gated blocks."""
    checks.positive(blocks=blocks)
    aliases = {count: alias for alias, count in _ALIASES.items()}
    return aliases.get(blocks, f"{2 + blocks}x{3 + 2 * blocks}")


def blocks(name: str) -> int:
    """Gated blocks of the network with a published name: "3x5" has 1, "7x15" has 5."""
    if name in _ALIASES:
        return _ALIASES[name]
    rows, columns = size(name)
    if rows < 3 or columns != 2 * rows - 1:
        known = ", ".join(f"{2 + n}x{3 + 2 * n}" for n in range(1, 9))
        raise ValueError(
            f"receptive_field {name!r} is not a published name: expected 7x15 (the paper's five "
            f"blocks) or one of {known}, and so on; any RxC with odd C can be an exact field."
        )
    return rows - 2


def size(name: str) -> tuple[int, int]:
    """(rows, columns) as written in a name such as "7x15"."""
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", name) if isinstance(name, str) else None
    if match is None:
        raise ValueError(f"receptive_field {name!r} is not of the form ROWSxCOLUMNS, such as 7x15.")
    return int(match[1]), int(match[2])


class Plan(NamedTuple):
    """Kernel sizes (rows, columns) of every convolution of the two streams.

    `first_down` reads the rows above; `first_row` and `first_left` start the horizontal stream from
    the row above and from the pixels to the left (None: nothing to the left is seen). Each block
    has two kernels per stream.
    """

    first_down: tuple[int, int]
    first_row: tuple[int, int]
    first_left: tuple[int, int] | None
    down: tuple[tuple[tuple[int, int], tuple[int, int]], ...]
    down_right: tuple[tuple[tuple[int, int], tuple[int, int]], ...]

    @classmethod
    def published(cls, blocks: int) -> "Plan":
        """PixelCNN++: 2x3 kernels down, 2x2 kernels down and right."""
        return cls(
            first_down=(2, 3),
            first_row=(1, 3),
            first_left=(2, 1),
            down=(((2, 3), (2, 3)),) * blocks,
            down_right=(((2, 2), (2, 2)),) * blocks,
        )

    @classmethod
    def exact(cls, blocks: int, rows: int, columns: int) -> "Plan":
        """A true field of `rows` above, `columns` centred on the pixel, (columns-1)/2 to the left.

        The horizontal stream moves along its own row only; all rows above come through the vertical
        stream, which joins it after the first convolution of a block. What it sees then is moved
        left by the horizontal convolutions still to come, so the vertical stream may never be wider
        than the horizontal one already is, and the last block's second kernel is 1x1.
        """
        checks.positive(blocks=blocks, rows=rows, columns=columns)
        if columns % 2 == 0:
            raise ValueError(
                f"an exact field of {rows}x{columns} would not be centred: columns must be odd, "
                f"such as {rows}x{columns + 1}."
            )
        half = columns // 2
        start = min(half, 1)
        # Pixels to the left after each horizontal convolution: even steps, none left for the last.
        slots = max(2 * blocks - 1, 1)
        left = [start + -(-(half - start) * (s + 1) // slots) for s in range(slots)] + [half]
        steps = np.diff([start, *left])
        widths = [
            start,
            *left[::2],
        ]  # half-width of the vertical stream before and after each block
        first_rows = min(rows, 2)
        more_rows = np.diff(
            [(rows - first_rows) * s // (2 * blocks) for s in range(2 * blocks + 1)]
        )
        down: list[Any] = []
        for k in range(blocks):
            growth = widths[k + 1] - widths[k]
            halves = (growth - growth // 2, growth // 2)
            down.append(
                tuple((1 + int(more_rows[2 * k + i]), 1 + 2 * int(halves[i])) for i in range(2))
            )
        return cls(
            first_down=(first_rows, 1 + 2 * start),
            first_row=(1, 1 + 2 * start),
            first_left=(1, 1) if half else None,
            down=tuple(down),
            down_right=tuple(
                ((1, 1 + int(steps[2 * k])), (1, 1 + int(steps[2 * k + 1]))) for k in range(blocks)
            ),
        )


def measure(network: Any) -> Field:
    """The true field of a network, from one row of its Jacobian.

    For a reverse net it is that of the same net turned round: "above" is below, "left" is right.
    """
    seen = jacobian_pattern(network)
    row, column = seen.shape[0] - 1, seen.shape[1] // 2
    rows, columns = np.nonzero(seen)
    return Field(
        rows_above=int(row - rows.min()) if rows.size else 0,
        columns=int(columns.max() - columns.min() + 1) if rows.size else 0,
        left=int(column - columns[rows == row].min()) if (rows == row).any() else 0,
    )


def jacobian_pattern(network: Any) -> np.ndarray:
    """(H, W) bool: which input pixels the output at the middle of the bottom row depends on.

    The picture grows until the field no longer touches its edges, so that none of it is cut off.
    """
    if not hasattr(network, "streams") or isinstance(network, type):
        raise ValueError(
            f"network is {network!r}, expected a ForwardPixelCNN or ReversePixelCNN; for the blocks"
            " of a name there is blocks(name)."
        )
    if not network.built:  # a call would build it, and for good without conditioning
        network = type(network).from_config(network.get_config())
    side = 16
    while True:
        seen = _pattern(network, side)
        if not (seen[0].any() or seen[:, 0].any() or seen[:, -1].any()):
            return seen
        if side >= 256:
            raise ValueError("the field of this network is wider than 256 pixels.")
        side *= 2


def _pattern(network: Any, side: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    image = generator.uniform(-1, 1, (1, side, 2 * side, 3)).astype("float32")
    from pixel_cnn_pp import shifts

    channels = getattr(network, "conditioning_channels", None) or ()
    maps = tuple(np.zeros((1, side, 2 * side, c), "float32") for c in channels)
    mask = np.ones((1, side, 2 * side, 1), "float32")

    def output(x: Any) -> Any:
        if hasattr(network, "features"):  # a reverse net, turned round
            y = shifts.turn(network(shifts.turn(x), mask))
        else:
            y = network(x, maps or None)
        return y[:, -1, side]

    # A random combination of the channels: no two gradients cancel but by accident.
    weights = generator.normal(size=output(image).shape[-1]).astype("float32")
    return np.any(input_gradient(lambda x: output(x) @ weights[:, None], image)[0] != 0, axis=-1)


def input_gradient(function: Callable[[Any], Any], x: np.ndarray) -> np.ndarray:
    """Gradient of sum(function(x)) on whichever backend is in use."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(lambda v: function(v).sum())(jax.numpy.asarray(x)))
    import tensorflow as tf

    tensor = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        y = tf.reduce_sum(tf.cast(function(tensor), tf.float32))
    return np.asarray(tape.gradient(y, tensor))
