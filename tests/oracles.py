"""Slow, independent restatements in float64 or more, used only to check the real code."""

import decimal
from decimal import Decimal, localcontext

import numpy as np


def unpack(raw: np.ndarray):
    """The published channel layout, written out with slices instead of reshapes."""
    raw = raw.astype(np.float64)
    k = raw.shape[-1] // 10
    logits = raw[..., :k]
    colours = [raw[..., k + 3 * k * c : k + 3 * k * (c + 1)] for c in range(3)]
    means = [block[..., :k] for block in colours]
    log_scales = [np.maximum(block[..., k : 2 * k], -7.0) for block in colours]
    coefficients = [np.tanh(block[..., 2 * k :]) for block in colours]
    return logits, means, log_scales, coefficients


def logistic_mass(low: float, high: float, mean: float, scale: float) -> float:
    """Mass of a logistic between two points, on the side where both tails are small."""
    a, b = (high - mean) / scale, (low - mean) / scale
    if a + b > 0:
        a, b = -b, -a
    return float(np.exp(-np.logaddexp(0, -a)) - np.exp(-np.logaddexp(0, -b)))


def log_prob_pixel(raw: np.ndarray, pixel: np.ndarray) -> float:
    """One pixel, one component at a time, by differences of distribution functions."""
    logits, means, log_scales, coefficients = unpack(raw)
    red, green, _ = pixel.astype(np.float64)
    weights = np.exp(logits - logits.max())
    weights /= weights.sum()
    total = 0.0
    for k in range(len(logits)):
        centres = (
            means[0][k],
            means[1][k] + coefficients[0][k] * red,
            means[2][k] + coefficients[1][k] * red + coefficients[2][k] * green,
        )
        mass = weights[k]
        for value, centre, log_scale in zip(
            pixel, centres, (s[k] for s in log_scales), strict=True
        ):
            level = round((float(value) + 1) * 127.5)
            low = -np.inf if level == 0 else level / 127.5 - 1 - 1 / 255
            high = np.inf if level == 255 else level / 127.5 - 1 + 1 / 255
            mass *= logistic_mass(low, high, centre, np.exp(log_scale))
        total += mass
    return float(np.log(total))


def log_level_exact(level: int, mean: float, log_scale: float) -> float:
    """log-probability of one level under one logistic, to more than 40 digits."""
    with localcontext() as context:
        context.prec = 100  # exp(120) is 1e52: as many are lost in the difference
        context.Emax, context.Emin = decimal.MAX_EMAX, decimal.MIN_EMIN
        scale, centre = Decimal(log_scale).exp(), Decimal(mean)
        middle = Decimal(level) / Decimal("127.5") - 1

        def tail_below(x: Decimal) -> Decimal:
            return 1 / (1 + (-(x - centre) / scale).exp())

        def tail_above(x: Decimal) -> Decimal:
            return 1 / (1 + ((x - centre) / scale).exp())

        high, low = middle + Decimal(1) / 255, middle - Decimal(1) / 255
        if level == 0:
            mass = tail_below(high)
        elif level == 255:
            mass = tail_above(low)
        elif middle > centre:
            mass = tail_above(low) - tail_above(high)
        else:
            mass = tail_below(high) - tail_below(low)
        return float(mass.ln())
