"""The discretised logistic mixture over RGB pixels of PixelCNN++ (Salimans et al. 2017).

A pixel is K components. Each gives red, green and blue a logistic density whose mass between two
neighbouring 8-bit levels is the probability of the level; the outermost levels take the tails. One
choice of component is shared by the three colours, and green and blue means lean on the colours
before them. Everything is float32 whatever the compute dtype of the network.
"""

import math
from numbers import Real
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from pixel_cnn_pp import checks
from pixel_cnn_pp.fusing import fused

HALF_LEVEL = 1.0 / 255.0
MIN_LOG_SCALE = -7.0
CHANNELS_PER_MIXTURE = 10


class MixtureParams(NamedTuple):
    """`logits` is (..., K); the others are (..., 3, K) with red, green, blue on the middle axis.

    `coefficients` holds (green on red, blue on red, blue on green), each in (-1, 1).
    """

    logits: object
    means: object
    log_scales: object
    coefficients: object


class Draw(NamedTuple):
    """`image` is on the 8-bit grid; `exact` is the same draw before clipping and rounding."""

    image: object
    exact: object


def unpack(raw) -> MixtureParams:
    """(..., 10K) network outputs -> parameters; green and blue means do not lean on colours yet."""
    checks.maps(raw, "params")
    channels = raw.shape[-1]
    if channels % CHANNELS_PER_MIXTURE:
        raise ValueError(
            f"params has {channels} channels, expected {CHANNELS_PER_MIXTURE} for each mixture "
            "component (10, 20, 30, ...), as ForwardPixelCNN returns them."
        )
    return _split(raw)


def _split(raw) -> MixtureParams:
    k = raw.shape[-1] // CHANNELS_PER_MIXTURE
    raw = ops.cast(raw, "float32")
    colours = ops.reshape(raw[..., k:], (*ops.shape(raw)[:-1], 3, 3 * k))
    return MixtureParams(
        logits=raw[..., :k],
        means=colours[..., :k],
        log_scales=ops.maximum(colours[..., k : 2 * k], MIN_LOG_SCALE),
        coefficients=ops.tanh(colours[..., 2 * k :]),
    )


def pack(params: MixtureParams):
    """The inverse of `unpack`, for log-scales above the floor."""
    params = _parameters(params)
    raw_coefficients = ops.arctanh(params.coefficients)
    colours = ops.concatenate([params.means, params.log_scales, raw_coefficients], axis=-1)
    k = params.logits.shape[-1]
    flat = ops.reshape(colours, (*ops.shape(params.logits)[:-1], 9 * k))
    return ops.concatenate([params.logits, flat], axis=-1)


def log_prob(params, images_pm1):
    """Exact log-probability of 8-bit pixels: (B, H, W) nats, the three colours together."""
    _check_pixels(params, images_pm1)
    return _log_prob(params, ops.cast(images_pm1, "float32"))


@fused
def _log_prob(params, images):
    params = _parameters(params)
    return _log_mix(params.logits, ops.sum(_log_levels(params, images), axis=-2))


def level_log_probs(params, images_pm1, channel: int):
    """(..., 256) log-probabilities of every level of one colour, given the colours before it.

    `images_pm1` holds the colours before it; the others are not looked at.
    """
    checks.choice("channel", channel, (0, 1, 2))
    _check_pixels(params, images_pm1)
    params = _parameters(params)
    images = ops.cast(images_pm1, "float32")
    before = _log_levels(params, images)[..., :channel, :]
    weights = params.logits + ops.sum(before, axis=-2)  # p(component | colours before)
    means = _leaning_means(params, images)[..., channel, None, :]
    levels = ops.convert_to_tensor(_grid())[:, None]
    each = _log_level(levels, means, params.log_scales[..., channel, None, :])
    return _log_mix(weights[..., None, :], each)


def sample(params, seed, truncation: float | None = 1.0):
    """One draw per pixel on the 8-bit grid, from an integer or a `keras.random.SeedGenerator`."""
    params = _parameters(params)
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not whole and not isinstance(seed, keras.random.SeedGenerator):
        raise ValueError(f"seed is {seed!r}, expected a whole number or a SeedGenerator.")
    shape = (*ops.shape(params.logits)[:-1], params.logits.shape[-1] + 3)
    return draw(params, keras.random.uniform(shape, seed=seed, dtype="float32"), truncation).image


def draw(params, uniforms, truncation: float | None = 1.0) -> Draw:
    """Turn (..., K + 3) uniforms in [0, 1) into a draw: K for the component, one for each colour.

    `truncation` r keeps each colour within r scales of its component's mean (the paper: 1); 0 gives
    the means themselves and None the whole distribution.
    """
    params = _parameters(params)
    k = params.logits.shape[-1]
    _check_uniforms(uniforms, params, k)
    return combine(params, noise(uniforms, truncation))


def noise(uniforms, truncation: float | None = 1.0):
    """What a draw needs besides the parameters: (..., K + 3) uniforms -> K Gumbel numbers and three
    logistic ones, these within `truncation`."""
    number = isinstance(truncation, Real) and not isinstance(truncation, bool)
    if truncation is not None and not (number and truncation >= 0):
        raise ValueError(
            f"truncation is {truncation!r}, expected None (no truncation) or 0 or more."
        )
    uniforms = ops.clip(ops.cast(uniforms, "float32"), 2.0**-25, 1 - 2.0**-24)
    gumbel = -ops.log(-ops.log(uniforms[..., :-3]))
    return ops.concatenate([gumbel, _truncated_logistic(uniforms[..., -3:], truncation)], axis=-1)


def combine(params, noise) -> Draw:
    """Parameters and `noise` -> a draw. Takes any leading axes, unlike `draw`."""
    if not isinstance(params, MixtureParams):
        params = _split(params)
    chosen = _choose(params, noise[..., :-3])
    offsets = ops.exp(chosen.log_scales) * noise[..., -3:]

    # A network trained on 8-bit values is fed 8-bit values: green leans on the rounded red.
    red = chosen.means[..., 0] + offsets[..., 0]
    red_8bit = to_grid(red)
    green = chosen.means[..., 1] + chosen.coefficients[..., 0] * red_8bit + offsets[..., 1]
    green_8bit = to_grid(green)
    blue = (
        chosen.means[..., 2]
        + chosen.coefficients[..., 1] * red_8bit
        + chosen.coefficients[..., 2] * green_8bit
        + offsets[..., 2]
    )
    return Draw(
        image=ops.stack([red_8bit, green_8bit, to_grid(blue)], axis=-1),
        exact=ops.stack([red, green, blue], axis=-1),
    )


def mean(params):
    """The expected colours (..., 3): red exactly, green and blue as if each component's colours
    before them were the expected ones. A mean moves linearly with these, so that makes a difference
    only where the ends of the scale cut a component off."""
    params = _parameters(params)
    levels = ops.convert_to_tensor(_grid())[:, None]
    before = ops.zeros((*ops.shape(params.logits)[:-1], 3, params.logits.shape[-1]), "float32")
    for channel in range(3):
        means = _moved_means(params, before[..., 0, :], before[..., 1, :])[..., channel, None, :]
        each = _log_level(levels, means, params.log_scales[..., channel, None, :])
        expected = ops.sum(levels * ops.exp(each), axis=-2, keepdims=True)
        before = ops.concatenate(
            [before[..., :channel, :], expected, before[..., channel + 1 :, :]], axis=-2
        )
    weights = ops.softmax(params.logits, axis=-1)[..., None, :]
    return ops.sum(weights * before, axis=-1)


def mode(params):
    """The most likely level of red, then of green given it, then of blue given both: (..., 3)."""
    params = _parameters(params)
    image = ops.zeros((*ops.shape(params.logits)[:-1], 3), dtype="float32")
    grid = ops.convert_to_tensor(_grid())
    for channel in range(3):
        best = ops.take(grid, ops.argmax(level_log_probs(params, image, channel), axis=-1))
        image = ops.concatenate(
            [image[..., :channel], best[..., None], image[..., channel + 1 :]], axis=-1
        )
    return image


def to_grid(values):
    """Clip to [-1, 1] and round to the nearest 8-bit level."""
    return ops.round((_clip(values) + 1.0) * 127.5) / 127.5 - 1.0


def _clip(values):
    return ops.clip(values, -1.0, 1.0)


def _grid() -> np.ndarray:
    return (np.arange(256) / 127.5 - 1.0).astype("float32")


def _parameters(params) -> MixtureParams:
    if not isinstance(params, MixtureParams):
        return unpack(params)
    checks.maps(params.logits, "params.logits")
    expected = (*params.logits.shape[:-1], 3, params.logits.shape[-1])
    for name, part in zip(params._fields[1:], params[1:], strict=True):
        if tuple(part.shape) != tuple(expected):
            raise ValueError(f"params.{name} has shape {tuple(part.shape)}, expected {expected}.")
    return params


def _check_pixels(params, images_pm1) -> None:
    checks.images(images_pm1)
    raw = params.logits if isinstance(params, MixtureParams) else params
    checks.maps(raw, "params")
    checks.same_place(raw, images_pm1, "params", "images_pm1")


def _check_uniforms(uniforms, params: MixtureParams, k: int) -> None:
    checks.maps(uniforms, "uniforms")
    checks.same_place(params.logits, uniforms, "params", "uniforms")
    values = checks.concrete(uniforms)
    if uniforms.shape[-1] != k + 3 or (
        values is not None and not ((values >= 0) & (values <= 1)).all()
    ):
        raise ValueError(
            f"uniforms has shape {tuple(uniforms.shape)}, expected numbers from 0 to 1 in {k + 3}"
            " channels: one for each mixture component and three for the colours."
        )


def _leaning_means(params: MixtureParams, images):
    """Means of green and blue moved by the true colours before them."""
    return _moved_means(params, images[..., 0, None], images[..., 1, None])


def _moved_means(params: MixtureParams, red, green):
    means, by = params.means, params.coefficients
    return ops.stack(
        [
            means[..., 0, :],
            means[..., 1, :] + by[..., 0, :] * red,
            means[..., 2, :] + by[..., 1, :] * red + by[..., 2, :] * green,
        ],
        axis=-2,
    )


def _log_levels(params: MixtureParams, images):
    """(..., 3, K): log-probability of each true colour under each component."""
    return _log_level(images[..., None], _leaning_means(params, images), params.log_scales)


def _log_level(x, means, log_scales):
    """log(sigma(a) - sigma(b)) for the level's upper edge a and lower edge b, in scales.

    Written as log sigma(a) + log(1 - sigma(b)) + log(1 - exp(b - a)): no difference of near-equal
    numbers is ever taken, so neither far tails nor tiny or huge scales need a special case. The
    outermost levels reach to infinity on one side, which drops that side's terms. Finite with its
    gradients for means up to 1e30 and log-scales of MIN_LOG_SCALE to 1e30.
    """
    inverse_scales = ops.exp(-log_scales)
    centred = (x - means) * inverse_scales
    half_width = HALF_LEVEL * inverse_scales
    not_lowest = ops.cast(x > -0.999, "float32")
    not_highest = ops.cast(x < 0.999, "float32")
    return (
        not_lowest * not_highest * _log_one_minus_exp(2.0 * half_width, log_scales)
        - not_highest * ops.softplus(-centred - half_width)
        - not_lowest * ops.softplus(centred - half_width)
    )


def _log_one_minus_exp(width, log_scales):
    """log(1 - exp(-width)) where width = 2 * HALF_LEVEL * exp(-log_scales).

    Narrow widths take the series of log(sinh) with log(width) written through the log-scale: exp(-
    log_scale) may underflow there, and its gradient with it. Below 0.1 the first term left out is
    width^4 / 2880 < 4e-8. Both branches get arguments they are safe on, because `where` passes
    gradients of the branch not taken as zero times whatever they are.
    """
    narrow = width < 0.1
    log_width = math.log(2.0 * HALF_LEVEL) - log_scales
    series = log_width - 0.5 * width + width * width / 24.0
    direct = ops.log(-ops.expm1(-ops.where(narrow, 1.0, width)))
    return ops.where(narrow, series, direct)


def _log_mix(logits, per_component):
    return ops.logsumexp(logits + per_component, axis=-1) - ops.logsumexp(logits, axis=-1)


def _choose(params: MixtureParams, gumbel) -> MixtureParams:
    """The parameters of one component per pixel, picked by Gumbel-max."""
    picked = ops.argmax(params.logits + gumbel, axis=-1)
    one_hot = ops.one_hot(picked, params.logits.shape[-1], dtype="float32")[..., None, :]
    return MixtureParams(picked, *(ops.sum(part * one_hot, axis=-1) for part in params[1:]))


def _truncated_logistic(uniforms, truncation: float | None):
    """Standard logistic numbers, restricted to [-truncation, truncation]."""
    if truncation is None:
        return ops.log(uniforms) - ops.log1p(-uniforms)
    if truncation == 0:
        return ops.zeros_like(uniforms)
    tail = 1.0 / (math.exp(min(truncation, 80.0)) + 1.0)  # mass cut from each side
    kept = ops.clip(tail + (1.0 - 2.0 * tail) * uniforms, 2.0**-25, 1 - 2.0**-24)
    values = ops.log(kept) - ops.log1p(-kept)
    return ops.clip(values, -truncation, truncation)  # against the last rounding
