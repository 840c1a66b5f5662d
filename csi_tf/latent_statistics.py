"""What a batch says about the latents: the parts of the KL, the MMD, who is active.

`mean` and `logvar` are the posterior's, `z` is one draw from it per image, all (B, d), and
`prior_z` is standard normal draws, (P, d). All is in nats and float32, whatever the policy.
"""

import math
from typing import Any, NamedTuple

import keras
from keras import ops

from csi_tf import kernels

ESTIMATORS = ("corrected", "published")
LOG_TWO_PI = math.log(2.0 * math.pi)
# Below a sigma of 3e-7 a float32 z of order one no longer holds the noise that was added to it, so
# densities at z are taken at this sigma; squares of (z - mean) / sigma stay far from overflow too.
MIN_LOGVAR = -30.0
# Burda et al. (2016)
ACTIVE_VARIANCE = 0.01


class Decomposition(NamedTuple):
    """The terms of eq. (2), batch means in nats."""

    mi: Any
    tc: Any
    pd: Any


class Aggregate(NamedTuple):
    """Moments of q(z), the posterior averaged over images: (d,) each."""

    mean: Any
    std: Any


def gaussian_kl(mean: Any, logvar: Any) -> Any:
    """(B,) KL(q(z|x) || N(0, I))."""
    mean, logvar = _matrices(mean=mean, logvar=logvar)
    # expm1(v) - v keeps its digits near the prior, where exp(v) - 1 - v loses them.
    return 0.5 * ops.sum(ops.square(mean) + ops.expm1(logvar) - logvar, axis=-1)


def decomposition(
    mean: Any, logvar: Any, z: Any, dataset_size: Any, estimator: str = "corrected"
) -> Decomposition:
    """MI, TC and PD by eq. (5), from a batch of images out of `dataset_size`.

    They sum to the batch mean of log q(z|x) - log p(z). "published" estimates log q(z) and its
    marginals from densities without their -log sigma, as the authors' code does: MI then comes
    out too high by -sum(log sigma) where sigmas are equal, and PD too low by as much. The
    corrected MI is at most log(dataset_size); where there is more, it is booked to TC.
    """
    check_estimator(estimator)
    mean, logvar, z = _matrices(mean=mean, logvar=logvar, z=z)
    if z.shape[0] == 1:
        raise ValueError(
            "MI, TC and PD compare the images of a batch, which has only 1; pass 2 or more."
        )
    if isinstance(dataset_size, int) and dataset_size < 2:
        raise ValueError(
            f"dataset_size is {dataset_size}, expected the number of training images, 2 or more."
        )
    own = _log_normal(z, mean, logvar)
    # (of image m, under the posterior of image m', dimension)
    crossed = _log_normal(z[:, None], mean[None], logvar[None], normalised=estimator == "corrected")
    weights = _log_weights(ops.shape(z)[0], dataset_size)
    log_joint = ops.logsumexp(ops.sum(crossed, axis=-1) + weights, axis=1)
    log_marginals = ops.sum(ops.logsumexp(crossed + weights[..., None], axis=1), axis=-1)
    log_prior = ops.sum(-0.5 * (ops.square(z) + LOG_TWO_PI), axis=-1)
    return Decomposition(
        mi=ops.mean(ops.sum(own, axis=-1) - log_joint),
        tc=ops.mean(log_joint - log_marginals),
        pd=ops.mean(log_marginals - log_prior),
    )


def mmd(z: Any, prior_z: Any) -> Any:
    """Squared maximum mean discrepancy, the biased V-statistic with kernel exp(-|a - b|^2 / d^2).

    It does not go to 0 when z matches the prior, but to `mmd_floor`.
    """
    z, prior_z = _rows(z, "z"), _rows(prior_z, "prior_z")
    width = z.shape[-1]
    if prior_z.shape[-1] != width:
        raise ValueError(
            f"prior_z has {prior_z.shape[-1]} latents and z has {width}; draw prior_z with shape"
            f" (draws, {width})."
        )

    def excess(a: Any, b: Any) -> Any:
        # The ones cancel between the three means; without them float32 keeps 4 more bits.
        return ops.mean(kernels.gaussian(a, b, width) - 1.0)

    return excess(z, z) + excess(prior_z, prior_z) - 2.0 * excess(z, prior_z)


def mmd_floor(batch: int, prior_draws: int, latent_dim: int) -> float:
    """What `mmd` reads on average when both sets are draws from N(0, I): its bias.

    The pairs of one point with itself are 1/B and 1/P of all pairs. They have kernel 1 where two
    independent draws have E exp(-|a - b|^2 / d^2) = (1 + 4 / d^2)^(-d/2), a - b being N(0, 2I).
    """
    for name, value in {
        "batch": batch,
        "prior_draws": prior_draws,
        "latent_dim": latent_dim,
    }.items():
        if value < 1:
            raise ValueError(f"{name} is {value}, expected a whole number of 1 or more.")
    return _self_pairs_excess(latent_dim) * (1.0 / batch + 1.0 / prior_draws)


def aggregate(mean: Any, logvar: Any) -> Aggregate:
    """Mean and standard deviation of each latent over images and posteriors together."""
    mean, logvar = _matrices(mean=mean, logvar=logvar)
    # The law of total variance
    variance = ops.var(mean, axis=0) + ops.mean(ops.exp(logvar), axis=0)
    return Aggregate(ops.mean(mean, axis=0), ops.sqrt(variance))


def active_units(mean: Any) -> Any:
    """(d,) booleans: latents whose posterior mean varies over the images, by more than 0.01."""
    return ops.var(_rows(mean, "mean"), axis=0) > ACTIVE_VARIANCE


def diagnostics(
    mean: Any,
    logvar: Any,
    z: Any,
    prior_z: Any,
    dataset_size: Any,
    estimator: str = "corrected",
) -> dict[str, Any]:
    """Every statistic worth logging, the same ones whatever the objective; float32 scalars.

    A batch of one image has no MI, TC and PD; they are left out.
    """
    mean, logvar, z = _matrices(mean=mean, logvar=logvar, z=z)
    prior_z = _rows(prior_z, "prior_z")
    q = aggregate(mean, logvar)
    found = {
        "kl": ops.mean(gaussian_kl(mean, logvar)),
        "mmd": mmd(z, prior_z),
        "mmd_floor": _self_pairs_excess(z.shape[-1]) * (1.0 / _count(z) + 1.0 / _count(prior_z)),
        "aggregate_mean_rms": ops.sqrt(ops.mean(ops.square(q.mean))),
        "aggregate_mean_max": ops.max(ops.abs(q.mean)),
        "aggregate_std_mean": ops.mean(q.std),
        "aggregate_std_min": ops.min(q.std),
        "aggregate_std_max": ops.max(q.std),
        "posterior_std_mean": ops.mean(ops.exp(0.5 * logvar)),
        "active_units": ops.sum(ops.cast(active_units(mean), "float32")),
    }
    if z.shape[0] != 1:
        parts = decomposition(mean, logvar, z, dataset_size, estimator)
        found |= parts._asdict()
    return found


def check_estimator(estimator: str) -> None:
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator is {estimator!r}, expected one of {', '.join(ESTIMATORS)}.")


def _log_normal(z: Any, mean: Any, logvar: Any, normalised: bool = True) -> Any:
    logvar = ops.maximum(logvar, MIN_LOGVAR)
    exponent = -0.5 * (ops.square((z - mean) * ops.exp(-0.5 * logvar)) + LOG_TWO_PI)
    return exponent - 0.5 * logvar if normalised else exponent


def _log_weights(batch: Any, dataset_size: Any) -> Any:
    """(B, B) logarithms of eq. (5)'s weights: 1/N for the own image, (N-1)/(N(M-1)) for others."""
    n, m = ops.cast(dataset_size, "float32"), ops.cast(batch, "float32")
    index = ops.arange(batch)
    return ops.where(
        index[:, None] == index[None],
        -ops.log(n),
        ops.log(n - 1.0) - ops.log(n) - ops.log(m - 1.0),
    )


def _self_pairs_excess(latent_dim: int) -> float:
    return -math.expm1(-0.5 * latent_dim * math.log1p(4.0 / latent_dim**2))


def _count(x: Any) -> Any:
    return ops.cast(ops.shape(x)[0], "float32")


def _matrices(**arrays: Any) -> list[Any]:
    """The arrays as float32, all of one (batch, latents) shape."""
    made = {name: _rows(array, name) for name, array in arrays.items()}
    (first, shape), *others = ((name, tuple(array.shape)) for name, array in made.items())
    for name, other in others:
        if other != shape:
            raise ValueError(
                f"{name} has shape {other} and {first} has {shape}; they must be of the same"
                " images and latents."
            )
    return list(made.values())


def _rows(x: Any, name: str) -> Any:
    if not hasattr(x, "dtype") or not hasattr(x, "shape"):
        raise ValueError(
            f"{name} is a {type(x).__name__}, expected a float array of shape (batch, latents);"
            " convert it with np.asarray(x, 'float32')."
        )
    dtype = keras.backend.standardize_dtype(x.dtype)
    if "float" not in dtype:
        raise ValueError(f"{name} has dtype {dtype}, expected float32; convert it with a cast.")
    if len(x.shape) != 2:
        raise ValueError(
            f"{name} has shape {tuple(x.shape)}, expected (batch, latents); add the missing axis"
            " or flatten the extra ones."
        )
    return ops.cast(x, "float32")
