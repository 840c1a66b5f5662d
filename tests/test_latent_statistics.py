"""Estimators of MI, TC, PD and MMD against float64 loops, closed forms and known readings."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from csi_tf import kernels, latent_statistics

BATCH, LATENTS, DATASET = 7, 3, 50


def float32(x):
    return np.asarray(x, np.float32)


def latents(seed=0, batch=BATCH, dim=LATENTS, sigma=0.5):
    """A mean, log-variance and draw that are not special in any way."""
    rng = np.random.default_rng(seed)
    mean = rng.normal(size=(batch, dim))
    logvar = 2 * np.log(sigma) + 0.3 * rng.normal(size=(batch, dim))
    z = mean + np.exp(logvar / 2) * rng.normal(size=(batch, dim))
    return float32(mean), float32(logvar), float32(z)


def log_normal(x, mean, logvar, normalised=True):
    log_sigma = float(logvar) / 2
    scaled = (float(x) - float(mean)) / math.exp(log_sigma)
    return -(scaled**2) / 2 - math.log(2 * math.pi) / 2 - (log_sigma if normalised else 0)


def log_sum(terms):
    top = max(terms)
    return top + math.log(sum(math.exp(term - top) for term in terms))


def log_q(z, mean, logvar, dataset, normalised, m, dims):
    """Eq. (5) inside its average: log q(z_m) over `dims`, one density at a time."""
    batch = len(z)
    terms = []
    for other in range(batch):
        weight = 1 / dataset if other == m else (dataset - 1) / (dataset * (batch - 1))
        density = sum(
            log_normal(z[m, j], mean[other, j], logvar[other, j], normalised) for j in dims
        )
        terms.append(math.log(weight) + density)
    return log_sum(terms)


def decomposition_oracle(mean, logvar, z, dataset, estimator):
    normalised = estimator == "corrected"
    mi, tc, pd = [], [], []
    batch, dim = z.shape
    for m in range(batch):
        own = sum(log_normal(z[m, j], mean[m, j], logvar[m, j]) for j in range(dim))
        prior = sum(log_normal(z[m, j], 0, 0) for j in range(dim))
        given = (z, mean, logvar, dataset, normalised, m)
        joint = log_q(*given, range(dim))
        marginals = sum(log_q(*given, [j]) for j in range(dim))
        mi.append(own - joint)
        tc.append(joint - marginals)
        pd.append(marginals - prior)
    return np.mean(mi), np.mean(tc), np.mean(pd)


def mmd_oracle(z, prior):
    def kernel_mean(a, b):
        values = [
            math.exp(-sum((float(x) - float(y)) ** 2 for x, y in zip(u, v, strict=True)) / d**2)
            for u in a
            for v in b
        ]
        return sum(values) / len(values)

    d = z.shape[1]
    return kernel_mean(z, z) + kernel_mean(prior, prior) - 2 * kernel_mean(z, prior)


# KL


def test_kl_is_the_closed_form_per_image():
    mean, logvar, _ = latents()
    expected = [
        sum(
            (float(m) ** 2 + math.exp(float(v)) - 1 - float(v)) / 2
            for m, v in zip(means, logvars, strict=True)
        )
        for means, logvars in zip(mean, logvar, strict=True)
    ]
    # Float32 sums of three terms
    np.testing.assert_allclose(latent_statistics.gaussian_kl(mean, logvar), expected, rtol=1e-6)


def test_kl_keeps_its_digits_near_the_prior():
    """A dead latent's KL is what tells it from a dying one."""
    logvar = float32([[1e-3]])
    exact = (math.expm1(float(logvar[0, 0])) - float(logvar[0, 0])) / 2
    found = float(latent_statistics.gaussian_kl(np.zeros_like(logvar), logvar)[0])
    # 2.5e-7, a difference of numbers near 1e-3: float32 leaves it three digits, and none if 1 had
    # been added first.
    assert found == pytest.approx(exact, rel=1e-3)


# Decomposition


@pytest.mark.parametrize("estimator", ["corrected", "published"])
def test_decomposition_is_eq_5(estimator):
    mean, logvar, z = latents()
    found = latent_statistics.decomposition(mean, logvar, z, DATASET, estimator)
    expected = decomposition_oracle(mean, logvar, z, DATASET, estimator)
    # Differences of float32 log-densities of order ten
    np.testing.assert_allclose([float(x) for x in found], expected, atol=1e-5)


@pytest.mark.parametrize("estimator", ["corrected", "published"])
def test_parts_sum_to_the_sampled_kl(estimator):
    mean, logvar, z = latents(seed=1)
    own = [
        sum(
            log_normal(z[m, j], mean[m, j], logvar[m, j]) - log_normal(z[m, j], 0, 0)
            for j in range(LATENTS)
        )
        for m in range(BATCH)
    ]
    total = sum(map(float, latent_statistics.decomposition(mean, logvar, z, DATASET, estimator)))
    assert total == pytest.approx(np.mean(own), abs=1e-5)  # as above


def test_parts_sum_to_the_kl_on_average():
    mean, logvar, _ = latents(seed=2)
    rng = np.random.default_rng(0)
    totals = []
    for _ in range(400):
        z = mean + np.exp(logvar / 2) * rng.normal(size=mean.shape)
        totals.append(sum(map(float, latent_statistics.decomposition(mean, logvar, float32(z), 9))))
    kl = np.mean(latent_statistics.gaussian_kl(mean, logvar))
    assert abs(np.mean(totals) - kl) < 4 * np.std(totals) / len(totals) ** 0.5  # standard errors


def test_equal_posteriors_carry_no_information():
    _, _, z = latents()
    mean, logvar = np.full_like(z, 0.3), np.full_like(z, -1.0)
    mi, tc, _ = latent_statistics.decomposition(mean, logvar, z, DATASET)
    np.testing.assert_allclose([mi, tc], 0, atol=1e-5)  # the weights sum to one, in float32


def test_separate_posteriors_tell_images_apart():
    """Nothing but the own term is left: MI is its most, log N."""
    mean = float32(100 * np.arange(BATCH)[:, None] * np.ones(LATENTS))
    found = latent_statistics.decomposition(mean, np.zeros_like(mean), mean, DATASET)
    assert float(found.mi) == pytest.approx(math.log(DATASET), abs=1e-5)
    # Each marginal saturates at log N too, so eq. (5) books (d - 1) log N as correlation.
    assert float(found.tc) == pytest.approx((LATENTS - 1) * math.log(DATASET), abs=1e-4)


def toy(rng, batch, dim, sigma):
    """q(z) = N(0, I) in `dim` dimensions; true MI = -dim log(sigma)."""
    mean = rng.normal(size=(batch, dim)) * math.sqrt(1 - sigma**2)
    z = mean + sigma * rng.normal(size=(batch, dim))
    return float32(mean), np.full((batch, dim), 2 * math.log(sigma), np.float32), float32(z)


def test_published_estimator_doubles_a_known_mutual_information():
    """True MI 2.77: one reading of 3.32 and 6.09 is known from the authors' settings."""
    rng = np.random.default_rng(0)
    readings = {"corrected": [], "published": []}
    for _ in range(60):
        batch = toy(rng, 64, 2, 0.25)
        for estimator, values in readings.items():
            values.append(float(latent_statistics.decomposition(*batch, 200_000, estimator).mi))
    true = 2 * math.log(4)
    assert true == pytest.approx(2.77, abs=0.005)
    # A float64 simulation of 200 batches gives 3.16 +- .02 (standard deviation .25 a batch, so .03
    # here): the minibatch estimate is high, and the known reading within a standard deviation.
    assert np.mean(readings["corrected"]) == pytest.approx(3.16, abs=0.12)
    assert abs(3.32 - np.mean(readings["corrected"])) < np.std(readings["corrected"])
    # What is left out is -sum(log sigma), here as large as the truth.
    np.testing.assert_allclose(
        np.subtract(readings["published"], readings["corrected"]), true, atol=1e-4
    )


def test_published_estimator_rewards_a_collapsed_aggregate():
    """N(0, .05^2 I), 32 latents: PD is 79.9, and read as 79.7 and -16.2 in one batch."""
    rng = np.random.default_rng(0)
    mean = np.zeros((64, 32), np.float32)
    logvar = np.full_like(mean, 2 * math.log(0.05))
    readings = {"corrected": [], "published": []}
    for _ in range(20):
        z = float32(0.05 * rng.normal(size=mean.shape))
        for estimator, values in readings.items():
            values.append(
                float(latent_statistics.decomposition(mean, logvar, z, 10**5, estimator).pd)
            )
    exact = 32 * (-math.log(0.05) + 0.05**2 / 2 - 0.5)
    left_out = -32 * math.log(0.05)
    # (z / sigma)^2 / 2 has standard deviation .71 a number: .5 a batch of 64 x 32, .11 for 20.
    assert np.mean(readings["corrected"]) == pytest.approx(exact, abs=0.45)
    assert np.mean(readings["published"]) == pytest.approx(exact - left_out, abs=0.45)
    assert abs(exact - 79.7) < 0.5
    assert abs(exact - left_out + 16.2) < 0.5


def test_total_correlation_of_a_correlated_aggregate():
    """With the whole data set as the batch the estimate comes close to the closed form."""
    rng = np.random.default_rng(0)
    rho, sigma = 0.8, 0.4
    covariance = np.array([[1, rho], [rho, 1]]) - sigma**2 * np.eye(2)
    mean = rng.multivariate_normal(np.zeros(2), covariance, size=800)
    z = mean + sigma * rng.normal(size=mean.shape)
    logvar = np.full_like(mean, 2 * math.log(sigma))
    found = latent_statistics.decomposition(float32(mean), float32(logvar), float32(z), 800)
    # Terms of standard deviation rho over 800 draws: .03; the estimator's bias adds about as much.
    assert float(found.tc) == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.1)


@pytest.mark.parametrize("level", [-200.0, -80.0, -40.0, -20.0, 0.0, 20.0])
@pytest.mark.parametrize("estimator", ["corrected", "published"])
def test_gradients_are_finite_at_any_sigma(level, estimator):
    mean, _, _ = latents()
    noise = np.random.default_rng(1).normal(size=mean.shape)
    mean, logvar = tf.Variable(mean), tf.Variable(np.full_like(mean, level))
    prior = float32(np.random.default_rng(2).normal(size=(5, LATENTS)))
    with tf.GradientTape() as tape:
        z = mean + tf.exp(0.5 * logvar) * float32(noise)
        found = latent_statistics.diagnostics(mean, logvar, z, prior, DATASET, estimator)
        total = sum(found.values())
    assert np.isfinite(total)
    for gradient in tape.gradient(total, [mean, logvar]):
        assert np.all(np.isfinite(gradient))


# MMD


@pytest.fixture(scope="module")
def prior_z():
    return float32(np.random.default_rng(5).normal(size=(11, LATENTS)))


def test_mmd_is_the_v_statistic(prior_z):
    _, _, z = latents()
    found = float(latent_statistics.mmd(z, prior_z))
    assert found == pytest.approx(mmd_oracle(z, prior_z), abs=1e-7)


def test_mmd_keeps_its_digits_at_the_papers_size():
    """It is multiplied by 2e6. Kernel means as they are would be .3 nats off for these draws."""
    rng = np.random.default_rng(3)
    z, prior = float32(rng.normal(size=(64, 32))), float32(rng.normal(size=(200, 32)))
    error = float(latent_statistics.mmd(z, prior)) - mmd_oracle(z, prior)
    assert abs(2e6 * error) < 0.05  # 2.5e-8, where float32 rounds numbers below 1 by 3e-8


def test_mmd_of_a_set_with_itself_is_zero(prior_z):
    assert float(latent_statistics.mmd(prior_z, prior_z)) == pytest.approx(0, abs=1e-7)


def test_mmd_grows_with_distance(prior_z):
    _, _, z = latents()
    values = [float(latent_statistics.mmd(z + shift, prior_z)) for shift in (0.0, 1.0, 2.0, 4.0)]
    assert values == sorted(values)


def test_kernel_equals_tfps(prior_z):
    _, _, z = latents()
    z = tf.Variable(z)
    values, slopes = [], []
    for kernel in (kernels.from_tfp, kernels.from_keras):
        with tf.GradientTape() as tape:
            value = kernel(z, prior_z, 3.0)
        values.append(value)
        slopes.append(tape.gradient(value, z))
    np.testing.assert_allclose(*values, rtol=1e-6)  # roundings
    np.testing.assert_allclose(*slopes, rtol=1e-5, atol=1e-7)
    assert np.all(values[0] == kernels.gaussian(z, prior_z, 3.0))


@pytest.mark.parametrize(
    ("batch", "draws", "nats"), [(64, 256, 2362), (128, 256, 1417), (64, 200, 2495)]
)
def test_floor_at_the_papers_settings(batch, draws, nats):
    assert 2e6 * latent_statistics.mmd_floor(batch, draws, 32) == pytest.approx(nats, abs=1)


@pytest.mark.parametrize(("batch", "draws", "dim"), [(64, 200, 32), (5, 8, 3)])
def test_floor_is_what_a_perfect_match_reads_on_average(batch, draws, dim):
    rng = np.random.default_rng(0)
    values = [
        float(
            latent_statistics.mmd(
                float32(rng.normal(size=(batch, dim))), float32(rng.normal(size=(draws, dim)))
            )
        )
        for _ in range(150)
    ]
    floor = latent_statistics.mmd_floor(batch, draws, dim)
    standard_error = np.std(values) / len(values) ** 0.5
    assert standard_error < 0.05 * floor  # so that the next line says something
    assert abs(np.mean(values) - floor) < 4 * standard_error


# Aggregate and units


def test_aggregate_moments_are_those_of_the_mixture():
    mean, logvar, _ = latents(seed=3)
    found = latent_statistics.aggregate(mean, logvar)
    for j in range(LATENTS):
        first = np.mean(mean[:, j].astype(float))
        second = np.mean(mean[:, j].astype(float) ** 2 + np.exp(logvar[:, j].astype(float)))
        assert float(found.mean[j]) == pytest.approx(first, abs=1e-6)
        assert float(found.std[j]) == pytest.approx(math.sqrt(second - first**2), abs=1e-6)


def test_active_units_move_with_the_image():
    signs = np.array([1, -1] * 4)[:, None]
    mean = float32(signs * [0.0, 0.09, 0.11, 3.0] + [5.0, 5.0, 0.0, 0.0])  # the root of .01 is .1
    np.testing.assert_array_equal(latent_statistics.active_units(mean), [False, False, True, True])


# All together


STATISTICS = {
    *("kl", "mi", "tc", "pd", "mmd", "mmd_floor", "active_units", "posterior_std_mean"),
    *("aggregate_mean_rms", "aggregate_mean_max"),
    *("aggregate_std_mean", "aggregate_std_min", "aggregate_std_max"),
}


def test_diagnostics_are_the_single_statistics(prior_z):
    mean, logvar, z = latents()
    found = latent_statistics.diagnostics(mean, logvar, z, prior_z, DATASET, "published")
    assert set(found) == STATISTICS
    parts = latent_statistics.decomposition(mean, logvar, z, DATASET, "published")
    assert [found["mi"], found["tc"], found["pd"]] == list(parts)
    assert found["kl"] == np.mean(latent_statistics.gaussian_kl(mean, logvar))
    floor = latent_statistics.mmd_floor(BATCH, len(prior_z), LATENTS)
    assert float(found["mmd_floor"]) == pytest.approx(floor, rel=1e-6)
    std = np.asarray(latent_statistics.aggregate(mean, logvar).std)
    assert (found["aggregate_std_min"], found["aggregate_std_max"]) == (std.min(), std.max())
    assert found["active_units"] == np.sum(latent_statistics.active_units(mean))


def test_diagnostics_of_one_image_leave_the_decomposition_out(prior_z):
    one = [array[:1] for array in latents()]
    assert set(latent_statistics.diagnostics(*one, prior_z, 9)) == STATISTICS - {"mi", "tc", "pd"}


@pytest.mark.parametrize("jit", [False, True], ids=["graph", "xla"])
def test_graphs_agree_with_eager(prior_z, jit):
    """The batch size is unknown while tracing, as with a last batch that may be short."""
    given = (*latents(), prior_z)
    spec = tf.TensorSpec((None, LATENTS), tf.float32)

    @tf.function(input_signature=[spec] * 4, jit_compile=jit)
    def compiled(*arrays):
        return latent_statistics.diagnostics(*arrays, DATASET)

    eager = latent_statistics.diagnostics(*given, DATASET)
    for name, value in compiled(*map(tf.constant, given)).items():
        np.testing.assert_allclose(value, eager[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_everything_is_float32_whatever_comes(prior_z):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = [tf.cast(array, tf.bfloat16) for array in (*latents(), prior_z)]
        found = latent_statistics.diagnostics(*half, DATASET)
    finally:
        keras.config.set_dtype_policy(policy)
    assert {value.dtype for value in found.values()} == {tf.float32}


# What is refused


def test_refusals(prior_z):
    mean, logvar, z = latents()
    statistics = latent_statistics
    for call, words in (
        (lambda: statistics.decomposition(mean, logvar, z, 9, "exact"), "corrected, published"),
        (lambda: statistics.decomposition(mean[:1], logvar[:1], z[:1], 9), "2 or more"),
        (lambda: statistics.decomposition(mean, logvar, z, 1), "dataset_size is 1"),
        (lambda: statistics.decomposition(mean, logvar[:5], z, 9), r"logvar has shape \(5, 3\)"),
        (lambda: statistics.gaussian_kl(mean[0], logvar[0]), r"\(batch, latents\)"),
        (lambda: statistics.gaussian_kl(mean.tolist(), logvar), "mean is a list"),
        (lambda: statistics.mmd(z, prior_z[:, :2]), "prior_z has 2 latents and z has 3"),
        (lambda: statistics.mmd(z.astype("uint8"), prior_z), "dtype uint8, expected float32"),
        (lambda: statistics.mmd_floor(0, 200, 32), "batch is 0"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
