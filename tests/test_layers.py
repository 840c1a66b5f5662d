"""The layer library as a library: counts, serialisation, precision, weight norm, errors."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pixel_cnn_pp import (
    CausalConv,
    ForwardPixelCNN,
    GatedBlock,
    ReversePixelCNN,
    data_dependent_initialisation,
    mixture,
    receptive_field,
)
from pixel_cnn_pp.dropout import ByteDropout


def image(batch=2, size=8, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (batch, size, size, 3)).astype("float32")


def maps(channels, batch=2, size=8, seed=1):
    return np.random.default_rng(seed).normal(size=(batch, size, size, channels)).astype("float32")


def mask(batch=2, size=8):
    mask = np.ones((batch, size, size, 1), "float32")
    mask[:, 2:5, 3:7] = 0
    return mask


def test_parameter_counts_of_the_paper():
    forward, reverse = ForwardPixelCNN(), ReversePixelCNN()
    forward(image(1), (maps(100, 1), maps(32, 1)))
    reverse(image(1), mask(1))
    assert forward.count_params() == 1_832_300
    assert reverse.count_params() == 1_569_400


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"conditioning_form": "published"},
        {"activation": "concat_elu", "weight_norm": True},
        {"field": (4, 5)},
    ],
    ids=str,
)
def test_keras_files_round_trip(tmp_path, options):
    x, m, y = keras.Input((8, 8, 3)), keras.Input((8, 8, 1)), keras.Input((8, 8, 4))
    networks = {k: v for k, v in options.items() if k != "conditioning_form"}
    reverse = ReversePixelCNN(2, 6, 5, dropout=0.3, **networks)
    forward = ForwardPixelCNN(2, 6, 2, dropout=0.3, **options)
    model = keras.Model([x, m, y], forward(x, (reverse(x, m), y)))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    inputs = [image(), mask(), maps(4)]
    np.testing.assert_array_equal(loaded(inputs), model(inputs))
    copies = {type(layer): layer for layer in loaded.layers}
    assert copies[ForwardPixelCNN].get_config() == forward.get_config()
    assert copies[ReversePixelCNN].get_config() == reverse.get_config()


@pytest.mark.parametrize(
    "layer",
    [
        CausalConv(5, (2, 3), "down", weight_norm=True),
        CausalConv(5, (2, 2), "down_right", use_bias=False),
        GatedBlock(3, ((2, 3), (2, 3)), "down", dropout=0.1),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_single_layers_round_trip(tmp_path, layer):
    x = keras.Input((8, 8, 3))
    model = keras.Model(x, layer(x))
    model.save(tmp_path / "layer.keras")
    loaded = keras.models.load_model(tmp_path / "layer.keras")
    np.testing.assert_array_equal(loaded(image()), model(image()))


def test_outputs_are_float32_under_mixed_bfloat16():
    network = ForwardPixelCNN(2, 8, 2, dtype="mixed_bfloat16")
    reverse = ReversePixelCNN(2, 8, 4, dtype="mixed_bfloat16")
    features = reverse(image(), mask())
    out = network(image(), features)
    assert keras.backend.standardize_dtype(features.dtype) == "float32"
    assert keras.backend.standardize_dtype(out.dtype) == "float32"
    assert network.streams.down[0].conv1.compute_dtype == "bfloat16"
    full = ForwardPixelCNN(2, 8, 2)
    full(image(), features)
    full.set_weights(network.get_weights())
    # bfloat16 keeps 8 bits; two blocks of sums of about 50 terms.
    np.testing.assert_allclose(out, full(image(), features), atol=0.1)
    assert np.abs(np.asarray(out) - np.asarray(full(image(), features))).max() > 1e-5


def test_dropout_acts_in_training_only():
    network = ForwardPixelCNN(1, 8, 1, dropout=0.5)
    still = [np.asarray(network(image())) for _ in range(2)]
    np.testing.assert_array_equal(*still)
    assert (np.asarray(network(image(), training=True)) != still[0]).any()


def test_weight_norm_equals_the_plain_layer_with_the_normalised_kernel():
    normed, plain = CausalConv(5, (2, 3), weight_norm=True), CausalConv(5, (2, 3))
    normed(image()), plain(image())
    kernel = np.random.default_rng(2).normal(size=normed.kernel.shape).astype("float32")
    gain = np.arange(1.0, 6.0, dtype="float32")
    normed.kernel.assign(kernel)
    normed.gain.assign(gain)
    lengths = np.sqrt((kernel.astype(np.float64) ** 2).sum((0, 1, 2)))
    plain.kernel.assign((kernel * gain / lengths).astype("float32"))
    # One float32 rounding of the kernel apart.
    np.testing.assert_allclose(normed(image()), plain(image()), rtol=1e-5, atol=1e-5)


def test_data_dependent_initialisation_standardises_every_layer():
    network = ForwardPixelCNN(2, 16, 2, weight_norm=True, activation="concat_elu")
    data = image(16)
    network(data)
    before = network.get_weights()
    with data_dependent_initialisation():
        out = np.asarray(network(data)).reshape(-1, 20)
    # The last layer's outputs on this very batch: mean 0 and std 1 up to float32.
    np.testing.assert_allclose(out.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(out.std(0), 1, atol=1e-3)
    gains = [w for w in network.weights if w.name == "gain"]
    assert gains
    assert all((np.asarray(gain) != 1).any() for gain in gains)
    # Outside the context nothing is initialised again.
    after = network.get_weights()
    network(image(16, seed=5))
    assert all((a == b).all() for a, b in zip(after, network.get_weights(), strict=True))
    assert any((a != b).any() for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: ForwardPixelCNN(1, 4, 1)(np.zeros((1, 8, 8, 3), "uint8")), "127.5 - 1"),
        (lambda: ForwardPixelCNN(1, 4, 1)(np.full((1, 8, 8, 3), 200.0, "float32")), "200"),
        (lambda: ForwardPixelCNN(1, 4, 1)(np.zeros((8, 8, 3), "float32")), "None"),
        (lambda: ForwardPixelCNN(1, 4, 1)(np.zeros((1, 8, 8, 1), "float32")), "1 channels"),
        (lambda: ForwardPixelCNN(0, 4, 1), "blocks is 0"),
        (lambda: ForwardPixelCNN(1, 4, 1, dropout=1.0), "dropout is 1.0"),
        (lambda: ForwardPixelCNN(1, 4, 1, activation="relu"), "elu, concat_elu"),
        (lambda: ForwardPixelCNN(1, 4, 1, conditioning_form="film"), "linear, published"),
        (lambda: ReversePixelCNN(1, 4, 2)(image(), np.full((2, 8, 8, 1), 0.5)), "0 \\(hole\\)"),
        (lambda: ReversePixelCNN(1, 4, 2)(image(), np.ones((2, 8, 8, 1), "uint8")), "astype"),
        (lambda: CausalConv(4, (2, 2), "down"), "odd"),
        (lambda: CausalConv(4, (2, 2), "up"), "down, down_right"),
    ],
)
def test_bad_input_is_one_clear_error(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_maps_other_than_those_built_for_are_refused():
    network = ForwardPixelCNN(1, 4, 1)
    network(image(), maps(3))
    with pytest.raises(ValueError, match="built"):
        network(image(), maps(4))
    with pytest.raises(ValueError, match="built"):
        network(image())


@pytest.mark.parametrize(("rate", "channels"), [(0.5, 100), (0.1, 7), (0.999, 4)])
def test_dropout_keeps_expectations_and_its_rate(rate, channels):
    layer = ByteDropout(rate, seed=3)
    ones = np.ones((4, 50, 50, channels), "float32")
    out = np.asarray(layer(ones, training=True))
    dropped = min(round(rate * 256), 255) / 256
    error = (dropped * (1 - dropped) / out.size) ** 0.5
    assert (out == 0).mean() == pytest.approx(dropped, abs=5 * error)
    np.testing.assert_allclose(out[out != 0], 1 / (1 - dropped), rtol=1e-6)
    # Neighbouring features come from bytes of one word and must not move together.
    zero = (out.reshape(-1, channels)[:, :2] == 0).astype(float)
    pairs = len(zero)
    assert abs(np.corrcoef(zero.T)[0, 1]) < 5 / pairs**0.5
    np.testing.assert_array_equal(layer(ones), ones)


def test_dropout_draws_anew_and_repeats_from_its_seed():
    ones = np.ones((1, 8, 8, 8), "float32")
    one, other = ByteDropout(0.5, seed=1), ByteDropout(0.5, seed=1)
    first = np.asarray(one(ones, training=True))
    np.testing.assert_array_equal(first, other(ones, training=True))
    assert (first != np.asarray(one(ones, training=True))).any()


def test_compiled_pieces_equal_the_eager_ones():
    """Gates and likelihoods are compiled inside graphs only; both ways are the same function."""
    network = ForwardPixelCNN(2, 8, 2)
    pictures = np.rint((image() + 1) * 127.5).astype("float32") / 127.5 - 1
    network(pictures)

    def loss():
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(mixture.log_prob(network(pictures), pictures))
        return total, *tape.gradient(total, network.trainable_variables)

    for eager, graph in zip(loss(), tf.function(loss)(), strict=True):
        # XLA may contract and reorder float32 sums of thousands of terms.
        np.testing.assert_allclose(eager, graph, rtol=2e-4, atol=2e-3)


RAW = np.zeros((2, 8, 8, 20), "float32")
NOISE = np.full((2, 8, 8, 5), 0.5, "float32")


def built(network, *maps):
    network(image(), *maps)
    return network


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: mixture.log_prob(RAW, image()[:1]), "expected \\(2, 8, 8\\) as params has"),
        (lambda: mixture.log_prob(RAW, image()[:, :4]), "expected \\(2, 8, 8\\)"),
        (lambda: mixture.log_prob(RAW[..., :0], image()), "holds nothing"),
        (lambda: mixture.draw(RAW, np.full((2, 8, 8, 5), 255, "uint8")), "float"),
        (lambda: mixture.draw(RAW, NOISE * 6), "from 0 to 1"),
        (lambda: mixture.draw(RAW, NOISE * np.nan), "from 0 to 1"),
        (lambda: mixture.draw(RAW, NOISE[..., :4]), "5 channels"),
        (lambda: mixture.draw(RAW, NOISE[:1]), "as params has"),
        (lambda: mixture.draw(RAW, NOISE, truncation="a"), "truncation is 'a'"),
        (lambda: mixture.sample(RAW, None), "seed is None"),
        (lambda: mixture.sample(RAW, True), "seed is True"),
        (lambda: mixture.level_log_probs(RAW, image(), 1.0), "channel is 1.0"),
        (lambda: mixture.unpack(None), "NoneType"),
        (lambda: mixture.unpack(RAW.astype("uint8")), "uint8"),
        (
            lambda: mixture.mean(mixture.unpack(RAW)._replace(means=np.zeros((2, 8, 8, 3, 1)))),
            "params.means has shape",
        ),
        (lambda: built(ForwardPixelCNN(1, 4, 1), maps(3))(image(), maps(3)[:1]), "conditioning"),
        (lambda: ReversePixelCNN(1, 4, 2)(image(), mask()[:, :4]), "context_mask has shape"),
        (lambda: ForwardPixelCNN(1, 4, 1)(image()[:0]), "holds nothing"),
        (lambda: ForwardPixelCNN(1, 4, 1, field="7x15"), "field is '7x15'"),
        (lambda: ReversePixelCNN(1, 4, 1, field=(7,)), "field is \\(7,\\)"),
        (lambda: CausalConv(4, 3), "kernel is 3"),
        (lambda: GatedBlock(4, 3, "down"), "kernels is 3"),
        (lambda: receptive_field.measure("7x15"), "blocks"),
        (lambda: receptive_field.measure(ForwardPixelCNN), "expected a ForwardPixelCNN"),
    ],
)
def test_misfits_are_one_clear_error(call, says):
    with pytest.raises(ValueError, match=says):
        call()


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        (np.ones((2, 8, 8, 1), bool), lambda m: m.astype("float32")),
        (np.full((2, 8, 8, 1), 255, "uint8"), lambda m: (m > 127).astype("float32")),
        (np.full((2, 8, 8, 1), 0.6, "float32"), lambda m: (m >= 0.5).astype("float32")),
    ],
)
def test_the_remedy_for_a_mask_keeps_what_it_says(given, remedy):
    network = ReversePixelCNN(1, 4, 2)
    with pytest.raises(ValueError, match="context_mask") as caught:
        network(image(), given)
    source = {"bool": "mask.astype('float32')", "uint8": "mask > 127", "float32": "mask >= 0.5"}
    assert source[given.dtype.name] in str(caught.value)
    assert np.asarray(remedy(given)).mean() == 1
    network(image(), remedy(given))


def test_measuring_leaves_a_fresh_network_unbuilt():
    network = ForwardPixelCNN(1, 4, 1)
    receptive_field.measure(network)
    network(image(), maps(3))


def test_the_reverse_field_is_the_forward_one_turned():
    forward, reverse = ForwardPixelCNN(2, 6, 1), ReversePixelCNN(2, 6, 3)
    assert receptive_field.measure(reverse) == receptive_field.measure(forward)
