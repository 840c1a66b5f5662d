import keras
import numpy as np
import oracles
import pytest
import scipy.stats
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pixel_cnn_pp import mixture

LEVELS = (np.arange(256) / 127.5 - 1).astype("float32")


def random_raw(shape, mixtures=3, seed=0, spread=1.0):
    """Outputs like those of a network: means in the picture's range, scales from sharp to broad."""
    rng = np.random.default_rng(seed)
    raw = rng.normal(0, spread, (*shape, 10 * mixtures))
    for colour in range(3):
        start = mixtures + 3 * mixtures * colour + mixtures
        raw[..., start : start + mixtures] = rng.uniform(-6, 0, (*shape, mixtures))
    return raw.astype("float32")


def random_pixels(shape, seed=0):
    return LEVELS[np.random.default_rng(seed).integers(0, 256, (*shape, 3))]


def test_unpack_follows_the_published_channel_order():
    raw = random_raw((1, 2, 3), mixtures=4)
    params = mixture.unpack(raw)
    logits, means, log_scales, coefficients = oracles.unpack(raw)
    np.testing.assert_array_equal(params.logits, logits.astype("float32"))
    np.testing.assert_array_equal(params.means, np.stack(means, -2).astype("float32"))
    np.testing.assert_array_equal(params.log_scales, np.stack(log_scales, -2).astype("float32"))
    # tanh in float32 is within a few units in the last place.
    np.testing.assert_allclose(params.coefficients, np.stack(coefficients, -2), atol=1e-6)


def test_pack_inverts_unpack():
    raw = random_raw((1, 4, 4))
    # arctanh loses digits where tanh is steep to invert: 1e-3 at |raw| = 4 in float32.
    np.testing.assert_allclose(mixture.pack(mixture.unpack(raw)), raw, atol=1e-3)


def test_log_prob_equals_the_float64_oracle():
    raw, pixels = random_raw((1, 8, 8), mixtures=5, seed=1), random_pixels((1, 8, 8), seed=2)
    pixels[0, 0, :2] = -1
    pixels[0, 0, 2:4] = 1
    expected = [
        oracles.log_prob_pixel(raw[0, i, j], pixels[0, i, j]) for i in range(8) for j in range(8)
    ]
    # At the sharpest scale (exp(-6)) float32 places an edge to 6e-8 / exp(-6) = 2e-5 scales.
    np.testing.assert_allclose(
        np.ravel(mixture.log_prob(raw, pixels)), expected, rtol=2e-5, atol=2e-4
    )


@pytest.mark.parametrize("level", [0, 1, 100, 254, 255])
@pytest.mark.parametrize("log_scale", [-20.0, -7.0, -3.0, 0.0, 3.0, 20.0, 60.0, 120.0])
@pytest.mark.parametrize("mean", [-50.0, -1.0, 0.0, 0.3, 1.0, 50.0])
def test_one_level_equals_the_long_decimal_oracle(level, log_scale, mean):
    """Far tails, tiny and huge scales, both edges: beyond what float64 differences could check."""
    mean = float(np.float32(mean))
    ours = float(
        mixture._log_level(np.float32(LEVELS[level]), np.float32(mean), np.float32(log_scale))
    )
    expected = oracles.log_level_exact(level, mean, log_scale)
    # The edge's place in scales is rounded to 2^-24 of its size: that much relative error is in the
    # input of every formula, and the log-probability is at most linear in it.
    edge = (abs(LEVELS[level] - mean) + 0.004) * np.exp(-log_scale) * 2.0**-22
    assert ours == pytest.approx(expected, rel=2e-6, abs=2e-6 + edge)


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_levels_of_each_conditional_sum_to_one(channel):
    raw, pixels = random_raw((2, 4, 4), seed=3), random_pixels((2, 4, 4), seed=4)
    total = np.exp(mixture.level_log_probs(raw, pixels, channel)).sum(-1)
    # Neighbouring levels must share an edge; float32 sees it to 6e-8 / exp(-6) = 2e-5 scales.
    np.testing.assert_allclose(total, 1, atol=5e-5)


def test_conditionals_multiply_to_the_joint():
    raw, pixels = random_raw((2, 4, 4), seed=5), random_pixels((2, 4, 4), seed=6)
    index = np.rint((pixels + 1) * 127.5).astype(int)
    total = 0
    for channel in range(3):
        table = np.asarray(mixture.level_log_probs(raw, pixels, channel))
        total = total + np.take_along_axis(table, index[..., channel, None], -1)[..., 0]
    # Two orders of the same float32 sums of terms up to some hundreds of nats.
    np.testing.assert_allclose(total, mixture.log_prob(raw, pixels), rtol=1e-5, atol=1e-4)


def test_first_channel_equals_tfp_quantized_logistics():
    import tensorflow_probability as tfp

    tfd, tfb = tfp.distributions, tfp.bijectors
    raw = random_raw((1, 3, 3), mixtures=4, seed=7)
    logits, means, log_scales, _ = oracles.unpack(raw)
    # TFP counts levels 0..255 and needs float64 where its difference of two CDFs cancels.
    logistic = tfd.Logistic((means[0] + 1) * 127.5, np.exp(log_scales[0]) * 127.5)
    shifted = tfd.TransformedDistribution(logistic, tfb.Shift(np.float64(-0.5)))
    quantized = tfd.QuantizedDistribution(shifted, low=np.float64(0), high=np.float64(255))
    tfp_mixture = tfd.MixtureSameFamily(tfd.Categorical(logits=logits), quantized)
    expected = np.stack([tfp_mixture.log_prob(np.float64(v)) for v in range(256)], -1)
    ours = mixture.level_log_probs(raw, np.zeros((1, 3, 3, 3), "float32"), 0)
    visible = expected > -25  # beyond, TFP's own CDF difference has no digits left
    np.testing.assert_allclose(np.asarray(ours)[visible], expected[visible], rtol=1e-4, atol=1e-3)


EXTREMES = [0.0, -7.0, -6.9999995, -100.0, 100.0, 1e6, -1e6]
LEVELS_OF_INTEREST = [0, 1, 127, 128, 254, 255]
raws = hnp.arrays(
    np.float32,
    (1, 1, 4, 20),
    elements=st.floats(-1e6, 1e6, width=32)
    | st.floats(-20, 20, width=32)
    | st.sampled_from(EXTREMES),
)
pixels = hnp.arrays(np.uint8, (1, 1, 4, 3), elements=st.sampled_from(LEVELS_OF_INTEREST))


def score_and_gradient(raw, images):
    with tf.GradientTape() as tape:
        tape.watch(raw)
        log_prob = mixture.log_prob(raw, images)
    return log_prob, tape.gradient(log_prob, raw)


# As a step of training compiles it, where the score is a chain fused by XLA: arithmetic of its own.
compiled = tf.function(score_and_gradient, autograph=False)


def assert_finite(log_prob, gradient):
    assert np.isfinite(log_prob).all()
    assert np.all(log_prob.numpy() <= 0)
    assert np.isfinite(gradient).all()


@settings(max_examples=300)
@given(raws, pixels)
def test_log_prob_and_its_gradients_are_finite_everywhere(raw, pixel):
    assert_finite(*compiled(tf.constant(raw), tf.constant(LEVELS[pixel])))


def test_log_prob_and_its_gradients_are_finite_at_the_extremes_in_either_form():
    """Means and scales are of each extreme at each level, logits and coefficients of any."""
    rng = np.random.default_rng(15)
    shape = (len(EXTREMES), len(EXTREMES), len(LEVELS_OF_INTEREST))
    raw = rng.choice(EXTREMES, (*shape, 20)).astype("float32")
    for start in (2, 8, 14):
        raw[..., start : start + 2] = np.reshape(EXTREMES, (-1, 1, 1, 1))
        raw[..., start + 2 : start + 4] = np.reshape(EXTREMES, (1, -1, 1, 1))
    images = np.broadcast_to(LEVELS[LEVELS_OF_INTEREST][:, None], (*shape, 3))
    given = tf.constant(raw), tf.constant(images)
    for form in (score_and_gradient, compiled):
        assert_finite(*form(*given))


def test_the_score_and_its_gradient_are_those_of_the_eager_form_once_compiled():
    given = tf.constant(random_raw((1, 8, 8), seed=16)), tf.constant(random_pixels((1, 8, 8), 17))
    for found, expected in zip(compiled(*given), score_and_gradient(*given), strict=True):
        # Float32 in another order: at the sharpest scale an edge is placed to 2e-5 scales.
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_gradient_of_the_log_scale_equals_a_difference_quotient():
    """Across the switch between series and direct form, and where exp(-log_scale) is tiny."""
    for log_scale in (-6.5, -3.0, -2.6, -2.4, 0.0, 5.0, 90.0):
        x = tf.constant(log_scale, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = mixture._log_level(np.float32(LEVELS[130]), np.float32(0.0), x)
        up, down = (oracles.log_level_exact(130, 0.0, log_scale + e) for e in (1e-4, -1e-4))
        # Central differences in long decimals err by about 1e-8; float32 is what is left.
        assert float(tape.gradient(y, x)) == pytest.approx((up - down) / 2e-4, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("truncation", [0.5, 1.0, 3.0, None])
def test_draws_before_rounding_follow_the_truncated_logistic(truncation):
    """One component, so each colour is a truncated logistic around a mean known from the draw."""
    raw = np.zeros((1, 100, 100, 10), "float32")
    raw[..., [1, 4, 7]] = 0.1, -0.2, 0.05
    raw[..., [2, 5, 8]] = -3.0, -2.0, -2.5
    raw[..., [3, 6, 9]] = 0.4, -0.3, 0.2
    params = mixture.unpack(raw)
    uniforms = np.random.default_rng(8).uniform(size=(1, 100, 100, 4))
    drawn = mixture.draw(params, uniforms, truncation)
    image, exact = np.asarray(drawn.image), np.asarray(drawn.exact)
    by = np.tanh([0.4, -0.3, 0.2])
    centres = np.stack(
        [
            np.full((1, 100, 100), 0.1),
            -0.2 + by[0] * image[..., 0],
            0.05 + by[1] * image[..., 0] + by[2] * image[..., 1],
        ],
        -1,
    )
    standard = (exact - centres) / np.exp([-3.0, -2.0, -2.5])
    bound = np.inf if truncation is None else truncation
    assert np.abs(standard).max() <= bound + 1e-5  # float32 division back to scales
    low, high = (scipy.stats.logistic.cdf(sign * bound) for sign in (-1, 1))
    for channel in range(3):
        ks = scipy.stats.kstest(
            standard[..., channel].ravel(),
            lambda v: (scipy.stats.logistic.cdf(v) - low) / (high - low),
        )
        assert ks.pvalue > 1e-3
        # The test has teeth: a uniform density over the same interval is told apart.
        if truncation == 3.0:
            wrong = scipy.stats.kstest(standard[..., channel].ravel(), "uniform", (-3, 6))
            assert wrong.pvalue < 1e-6


@pytest.mark.parametrize("truncation", [0, 1.0, None])
def test_drawn_images_are_the_nearest_levels_of_the_exact_draws(truncation):
    raw = random_raw((2, 16, 16), seed=9)
    uniforms = np.random.default_rng(10).uniform(size=(2, 16, 16, 6))
    image, exact = (np.asarray(x) for x in mixture.draw(raw, uniforms, truncation))
    assert (
        np.isin(image, LEVELS).all()
        or np.abs(image - LEVELS[np.rint((image + 1) * 127.5).astype(int)]).max() <= 2.0**-23
    )
    # Half a level, and the rounding of float32 at a tie.
    assert np.abs(image - np.clip(exact, -1, 1)).max() <= 1 / 255 + 1e-6


def test_untruncated_draws_have_the_probabilities_of_log_prob():
    """Chi-square over the levels of red for two components: sampler against density."""
    raw = np.broadcast_to(random_raw((1, 1, 1), mixtures=2, seed=11), (1, 200, 200, 20)).copy()
    image = mixture.sample(raw, seed=12, truncation=None)
    levels = np.rint((np.asarray(image)[..., 0].ravel() + 1) * 127.5).astype(int)
    counts = np.bincount(levels, minlength=256)
    table = mixture.level_log_probs(raw[:, :1, :1], np.zeros((1, 1, 1, 3), "float32"), 0)
    p = np.exp(np.asarray(table, np.float64))[0, 0, 0]
    order = np.argsort(p)
    keep = p[order] * levels.size > 10
    observed = np.append(counts[order][keep], counts[order][~keep].sum())
    expected = np.append(p[order][keep], p[order][~keep].sum()) * levels.size
    assert (
        scipy.stats.chisquare(observed, expected * (observed.sum() / expected.sum())).pvalue > 1e-3
    )


@pytest.mark.parametrize("truncation", [1.0, None])
def test_all_colours_of_a_draw_come_from_one_component_and_lean_on_those_before(truncation):
    """Two components far apart in every colour, with other coefficients: each colour, less what
    the colours before add by the coefficients of red's component, is about that component's mean.
    """
    means = np.array([[-0.6, 0.5], [0.4, -0.5], [-0.3, 0.4]])
    by = np.array([[0.3, -0.2], [-0.4, 0.5], [0.2, -0.3]])
    weights, log_scale = np.array([0.3, 0.7]), -5.0
    params = mixture.MixtureParams(
        *(
            np.broadcast_to(value, (1, 100, 100, *value.shape)).astype("float32")
            for value in (np.log(weights), means, np.full((3, 2), log_scale), by)
        )
    )
    uniforms = np.random.default_rng(18).uniform(size=(1, 100, 100, 5)).astype("float32")
    drawn = mixture.draw(params, uniforms, truncation)
    image, exact = (np.asarray(x, np.float64).reshape(-1, 3) for x in drawn)
    chosen = (exact[:, 0] > 0).astype(int)
    # Four standard deviations of a share of 10,000.
    share = 4 * np.sqrt(weights.prod() / len(chosen))
    assert chosen.mean() == pytest.approx(weights[1], abs=share)
    red, green = image[:, 0], image[:, 1]
    centres = np.stack(
        [
            means[0, chosen],
            means[1, chosen] + by[0, chosen] * red,
            means[2, chosen] + by[1, chosen] * red + by[2, chosen] * green,
        ],
        -1,
    )
    standard = (exact - centres) / np.exp(log_scale)
    # A scale is .007: the other component is 100 scales away, the other coefficients are 40. What
    # is not truncated passes 20 scales once in 2e8 draws.
    bound = 20 if truncation is None else truncation + 1e-3  # rounded to 1e-7 / .007
    assert np.abs(standard).max() <= bound
    # The density knows no other draws: it is that of red's component.
    log_prob = np.asarray(mixture.log_prob(params, drawn.image)).ravel()
    one = [
        mixture.MixtureParams(np.zeros((1, 100, 100, 1), "float32"),
                              *(part[..., k, None] for part in params[1:]))
        for k in (0, 1)
    ]  # fmt: skip
    alone = np.stack([np.asarray(mixture.log_prob(part, drawn.image)).ravel() for part in one])
    expected = alone[chosen, np.arange(len(chosen))] + np.log(weights[chosen])
    # Float32 sums of up to 60 nats at scales of .007, where an edge is placed to 1e-5 scales.
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5, atol=1e-4)


def test_sampling_depends_on_the_seed_alone():
    raw = random_raw((1, 4, 4))
    first, again, other = (np.asarray(mixture.sample(raw, seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_mean_and_mode_of_a_sharp_component():
    raw = random_raw((1, 3, 3), mixtures=2, seed=13)
    raw[..., 0], raw[..., 1] = 30.0, 0.0
    for colour in range(3):
        raw[..., 2 + 6 * colour + 2 : 2 + 6 * colour + 4] = -7.0
    raw[..., 2:4] *= 0.3
    params = mixture.unpack(raw)
    zero = mixture.draw(params, np.full((1, 3, 3, 5), 0.5, "float32"), truncation=0)
    # All the mass is within a level of the component's mean, however it is summarised.
    np.testing.assert_allclose(mixture.mode(raw), zero.image, atol=2 / 255 + 1e-6)
    np.testing.assert_allclose(
        mixture.mean(raw), np.clip(np.asarray(zero.exact), -1, 1), atol=2 / 255 + 1e-3
    )


def test_mean_is_the_expectation_over_all_levels():
    """Broad components whose colours before are all but certain, so that nothing is left open."""
    raw = random_raw((1, 3, 3), mixtures=3, seed=15)
    for channel in range(3):
        sharp = raw.copy()
        for colour in range(channel):  # an eighth of a level; what is to be expected stays broad
            start = 3 + 9 * colour + 3
            sharp[..., start : start + 3] = -6.9
        logits, means, log_scales, coefficients = oracles.unpack(sharp)
        weights = np.exp(logits - np.logaddexp.reduce(logits, axis=-1)[..., None])
        before = [np.clip(means[0], -1, 1)]
        before.append(np.clip(means[1] + coefficients[0] * before[0], -1, 1))
        leaning = [
            means[0],
            means[1] + coefficients[0] * before[0],
            means[2] + coefficients[1] * before[0] + coefficients[2] * before[1],
        ][channel]
        edges = (np.arange(255) - 127) / 127.5
        below = scipy.stats.logistic.cdf(
            edges, leaning[..., None], np.exp(log_scales[channel])[..., None]
        )
        # E = top - the sum over edges of the mass below, a level apart
        expected = ((1 - below.sum(-1) / 127.5) * weights).sum(-1)
        # Colours before are known to half a level and a scale of .001.
        atol = 1e-5 if channel == 0 else 1 / 255
        np.testing.assert_allclose(mixture.mean(sharp)[..., channel], expected, atol=atol)


def test_mode_beats_every_other_level_of_each_conditional():
    raw = random_raw((1, 4, 4), seed=14)
    best = np.asarray(mixture.mode(raw))
    for channel in range(3):
        table = np.asarray(mixture.level_log_probs(raw, best, channel))
        index = np.rint((best[..., channel] + 1) * 127.5).astype(int)
        np.testing.assert_array_equal(index, table.argmax(-1))


def test_half_precision_outputs_are_scored_in_float32():
    raw, pixels = random_raw((1, 2, 2)), random_pixels((1, 2, 2))
    half = keras.ops.cast(raw, "bfloat16")
    scored = mixture.log_prob(half, pixels)
    assert keras.backend.standardize_dtype(scored.dtype) == "float32"
    np.testing.assert_array_equal(scored, mixture.log_prob(np.asarray(half, "float32"), pixels))


@pytest.mark.parametrize(
    ("raw", "image", "says"),
    [
        (np.zeros((1, 2, 2, 25), "float32"), np.zeros((1, 2, 2, 3), "float32"), "25 channels"),
        (np.zeros((2, 2, 20), "float32"), np.zeros((1, 2, 2, 3), "float32"), "params\\[None\\]"),
        (np.zeros((1, 2, 2, 20), "int32"), np.zeros((1, 2, 2, 3), "float32"), "astype"),
        (np.zeros((1, 2, 2, 20), "float32"), np.zeros((1, 2, 2, 3), "uint8"), "127.5 - 1"),
        (np.zeros((1, 2, 2, 20), "float32"), np.full((1, 2, 2, 3), 255.0), "127.5 - 1"),
        (np.zeros((1, 2, 2, 20), "float32"), np.zeros((1, 2, 2, 1), "float32"), "np.repeat"),
        (np.zeros((1, 2, 2, 20), "float32"), np.full((1, 2, 2, 3), np.nan), "expected"),
        (np.zeros((1, 2, 2, 20), "float32"), [[1.0]], "list"),
    ],
)
def test_bad_input_is_named_with_its_remedy(raw, image, says):
    with pytest.raises(ValueError, match=says):
        mixture.log_prob(raw, image)


def test_negative_truncation_is_refused():
    with pytest.raises(ValueError, match="truncation is -1"):
        mixture.sample(random_raw((1, 1, 1)), 0, truncation=-1)
    with pytest.raises(ValueError, match="truncation is True"):
        mixture.sample(random_raw((1, 1, 1)), 0, truncation=True)
    with pytest.raises(ValueError, match="seed is False"):
        mixture.sample(random_raw((1, 1, 1)), False)
    mixture.sample(random_raw((1, 1, 1)), 0, truncation=np.float32(1))
