"""Figure 2: sizes, what each part may see, and what is frozen when."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from csi_tf import likelihood, noise, stages
from csi_tf import model as models
from csi_tf.config import ModelConfig
from csi_tf.decoder import Decoder
from csi_tf.encoder import Encoder
from csi_tf.objectives import make as make_objective
from pixel_cnn_pp import sampling


def trainable(layer) -> int:
    return sum(int(np.prod(v.shape)) for v in layer.trainable_variables)


def pictures(batch=2, size=16, seed=0):
    levels = np.random.default_rng(seed).integers(0, 256, (batch, size, size, 3))
    return (levels / 127.5 - 1).astype("float32")


def box(batch=2, size=16):
    mask = np.ones((batch, size, size, 1), "float32")
    mask[:, 4:12, 4:12] = 0
    return mask


def batch(count=4, size=16, seed=0, draws=10):
    rng = np.random.default_rng(seed)
    return {
        "image": rng.integers(0, 256, (count, size, size, 3)).astype("uint8"),
        "context_mask": box(count, size),
    } | noise.for_training(seed, 0, np.arange(count), size, 4, draws)


def tiny_model(**changes):
    return models.make(ModelConfig(**tiny.MODEL | changes), 16, seed=1)


def test_parameter_counts_of_the_paper():
    """The parts add up to 9,027,684."""
    paper = models.make(ModelConfig(), 32, seed=0)
    parts = [paper.encoder, paper.decoder, paper.forward, paper.reverse]
    assert [trainable(part) for part in parts] == [2_821_344, 2_804_640, 1_832_300, 1_569_400]
    assert paper.count_trainable() == 9_027_684


@pytest.mark.parametrize("size", [16, 32, 64, 128])
def test_encoder_and_decoder_reach_every_size(size):
    encoder, decoder = Encoder(3, size, 2), Decoder(3, size, 2)
    mean, logvar = encoder(pictures(2, size), np.ones((2, size, size, 1), "float32"))
    assert mean.shape == logvar.shape == (2, 3)
    assert decoder(mean).shape == (2, size, size, 2)


@pytest.mark.parametrize("size", [8 * 3, 40, 4, 2])
def test_sizes_that_do_not_halve_are_refused(size):
    with pytest.raises(ValueError, match="16, 64, 128 or 256"):
        Encoder(3, size, 2)


def test_the_encoder_cannot_see_the_hole():
    model = tiny_model()
    seen, hidden = pictures(), pictures()
    hidden[:, 4:12, 4:12] = pictures(seed=9)[:, 4:12, 4:12]
    for a, b in zip(model.encode(seen, box(), 3), model.encode(hidden, box(), 3), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (np.asarray(model.encode(seen, box(), 4)[0]) != np.asarray(a)).any(), "another noise"


@pytest.mark.parametrize(("hole_fill", "heard"), [("noise", True), ("zeros", False)])
def test_the_encoder_hears_noise_in_the_hole_unless_that_is_filled_with_zeros(hole_fill, heard):
    model = tiny_model(hole_fill=hole_fill)
    fills = pictures(seed=1), pictures(seed=2), np.zeros_like(pictures())
    first, second, zeros = (np.stack(model.posterior(pictures(), box(), x)) for x in fills)
    for one, other in ((first, second), (first, zeros)):
        assert (one != other).any(axis=(1, 2)).tolist() == [heard, heard]  # mean and logvar


def test_concat_elu_doubles_what_convolutions_of_features_read():
    plain, doubled = (
        {name: tuple(v.shape) for name, v in models.named_weights(model).items()}
        for model in (tiny_model(), tiny_model(nonlinearity="concat_elu"))
    )
    assert plain.keys() == doubled.keys()
    # Not what reads pictures and maps, nor a layer of the same name in the head for warming up.
    layers = ("/conv1/kernel", "/conv2/kernel", "/auxiliary/kernel", "/streams/last/kernel")
    reading = {name for name in plain if name.endswith(layers)}
    assert {name.split("/")[0] for name in reading} == {"forward", "reverse"}
    for name, shape in plain.items():
        expected = (*shape[:2], 2 * shape[2], shape[3]) if name in reading else shape
        assert doubled[name] == expected, name


def test_normalised_over_a_batch_of_one_the_encoder_and_the_decoder_see_nothing():
    """Which is why such a batch is refused in training."""
    encoder, decoder = Encoder(4, 16, 4), Decoder(4, 16, 4)
    one, other = pictures(2)[:1], pictures(2)[1:]
    z = np.ones((1, 4), "float32")
    pairs = [
        (encoder(one, box(1), training=True), encoder(other, box(1), training=True)),
        (decoder(z, training=True), decoder(-z, training=True)),
    ]
    for a, b in pairs:
        np.testing.assert_allclose(np.array(a), np.array(b), atol=1e-5)


def test_encoding_does_not_depend_on_the_batch():
    model = tiny_model()
    images, mask = pictures(4), box(4)
    together = np.asarray(model.encode(images, mask, 3)[0])
    alone = np.concatenate([model.encode(images[i, None], mask[i, None], 3)[0] for i in range(4)])
    # Matrix products of other heights sum in another order.
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_log_prob_scores_the_target_pixels_only():
    model = tiny_model()
    z = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    whole = np.asarray(model.log_prob(pictures(), np.zeros((2, 16, 16, 1), "float32"), z))
    hole = np.asarray(model.log_prob(pictures(), box(), z))
    empty = np.asarray(model.log_prob(pictures(), np.ones((2, 16, 16, 1), "float32"), z))
    assert (whole < hole).all()
    np.testing.assert_array_equal(empty, 0)


@pytest.mark.parametrize("conditioning", ["paper", "published"])
@pytest.mark.parametrize("stage", models.STAGES)
def test_every_trained_weight_gets_a_gradient_and_no_other(stage, conditioning):
    config = ModelConfig(**tiny.MODEL | {"conditioning": conditioning})
    model = models.make(models.for_stage(config, stage), 16, seed=1)
    objective = None
    if stages.uses_latents(config, stage):
        objective = make_objective(tiny.config().objective, 4)
    with tf.GradientTape() as tape:
        tensors = {k: tf.constant(v) for k, v in batch().items()}
        share, _, _ = stages.loss(model, objective, stage, tensors, dataset_size=100)
    everything = model.trainable_variables
    gradients = tape.gradient(share, everything)
    moved = {v.path for v in stages.trained_variables(model, stage)}
    for variable, gradient in zip(everything, gradients, strict=True):
        if variable.path in moved:
            assert np.abs(gradient).max() > 0, variable.path
        else:
            assert gradient is None, variable.path


def test_stage_two_leaves_encoder_and_decoder_bitwise_unchanged(tmp_path, eagerly):
    from csi_tf import checkpoints, training

    config = tiny.config("train")
    training.run(config, tmp_path)
    one, _ = checkpoints.read(tmp_path / "stage1" / training.MODEL_FILE)
    two, _ = checkpoints.read(tmp_path / "stage2" / training.MODEL_FILE)
    frozen = [name for name in two if name.startswith(("encoder/", "decoder/"))]
    assert any("moving_variance" in name for name in frozen)
    for name in frozen:
        np.testing.assert_array_equal(one[name], two[name])
    assert any((one[n] != two[n]).any() for n in one if n.startswith("forward/") and n in two)


@pytest.mark.parametrize(
    ("init", "v_is_copied"),
    [("paper", False), ("published", True), ("continued", True), ("mirrored", True)],
)
@pytest.mark.parametrize("conditioning", ["paper", "published"])
def test_stage_two_starts_from_stage_one(init, v_is_copied, conditioning):
    config = ModelConfig(**tiny.MODEL | {"conditioning": conditioning})
    one = models.make(models.for_stage(config, "stage1"), 16, seed=1)
    two = models.make(config, 16, seed=2)
    weights = {name: np.asarray(v) for name, v in models.named_weights(one).items()}
    stages.start_stage_two(two, weights, init)
    after = {name: np.asarray(v) for name, v in models.named_weights(two).items()}
    same = {name for name in weights if weights[name].shape == after[name].shape
            and (weights[name] == after[name]).all()}  # fmt: skip
    w = [name for name in weights if name.startswith("forward/") and "/conditioning_" not in name]
    assert set(w) <= same
    v = "forward/streams/down_0/conditioning_0/kernel"
    rows = weights[v].shape[2]
    assert (after[v][:, :, :rows] == weights[v]).all() == v_is_copied


@pytest.mark.parametrize("init", ["published", "continued"])
def test_what_stage_two_keeps_it_keeps_at_its_length(init):
    """Of weight-normalised maps, whose kernel is longer now than in stage one."""
    config = ModelConfig(**tiny.MODEL | {"conditioning": "published", "weight_norm": True})
    one = models.make(models.for_stage(config, "stage1"), 16, seed=1)
    two = models.make(config, 16, seed=2)
    stages.start_stage_two(two, models.named_weights(one), init)

    def effective(model):
        weights = models.named_weights(model)
        v = "forward/streams/down_0/conditioning_0"
        kernel, gain = (np.asarray(weights[f"{v}/{name}"]) for name in ("kernel", "gain"))
        return kernel * gain / np.sqrt(np.square(kernel).sum(axis=(0, 1, 2)))

    before, after = effective(one), effective(two)
    assert after.shape[2] > before.shape[2]
    np.testing.assert_allclose(after[:, :, : before.shape[2]], before, rtol=1e-5)


@pytest.mark.parametrize("weight_norm", [False, True])
@pytest.mark.parametrize("latents", [False, True])
def test_continued_stage_two_begins_with_the_distribution_stage_one_ended_with(
    latents, weight_norm
):
    changed = {"conditioning": "paper", "weight_norm": weight_norm, "latents": latents}
    config = ModelConfig(**tiny.MODEL | changed)
    one = models.make(models.for_stage(config, "stage1"), 16, seed=1)
    weights = {name: np.asarray(v) for name, v in models.named_weights(one).items()}
    tensors = {k: tf.constant(v) for k, v in batch().items()}

    def nats(model):
        return np.asarray(stages.score(model, "stage2", tensors, training=False).nats)

    for init, same in (("continued", True), ("mirrored", True), ("published", False)):
        two = models.make(config, 16, seed=2)
        stages.start_stage_two(two, weights, init)
        # The sum of nothing and V * Y^z may be rounded otherwise than V * Y^z alone.
        assert np.allclose(nats(two), nats(one), rtol=1e-5) == same

    two = models.make(config, 16, seed=2)
    stages.start_stage_two(two, weights, "continued")
    with tf.GradientTape() as tape:
        share, _, _ = stages.loss(two, None, "stage2", tensors, dataset_size=100)
    u = [v for v in two.trainable_variables if f"conditioning_{int(latents)}" in v.path]
    # A gain moves first, and the direction it stretches after it.
    u = [v for v in u if not weight_norm or v.path.endswith("gain")]
    assert u
    assert all(np.abs(g).max() > 0 for g in tape.gradient(share, u))


@pytest.mark.parametrize("weight_norm", [False, True])
def test_a_mirrored_reverse_net_is_the_forward_net_of_the_picture_turned_round(weight_norm):
    """Up to its last layer, with all observed and no latents heard."""
    config = ModelConfig(**tiny.MODEL | {"conditioning": "paper", "weight_norm": weight_norm})
    one = models.make(models.for_stage(config, "stage1"), 16, seed=1)
    two = models.make(config, 16, seed=2)
    for name, variable in models.named_weights(one).items():
        if "/conditioning_" in name and not name.endswith("kernel" if weight_norm else "gain"):
            variable.assign(np.zeros(variable.shape))
    weights = {name: np.asarray(v) for name, v in models.named_weights(one).items()}
    stages.start_stage_two(two, weights, "mirrored")
    # Features before the last 1x1, seen through one and the same
    features = 9
    last = np.random.default_rng(0).normal(size=(1, 1, config.filters, features)).astype("f4")
    streams = {"forward": one.forward.streams, "reverse": two.reverse.streams}
    found = {}
    for name, each in streams.items():
        each.last = lambda h: np.einsum("bhwc,cf->bhwf", np.asarray(h), last[0, 0])
        x = batch()["image"].astype("f4") / 127.5 - 1
        ones = np.ones_like(x[..., :1])
        if name == "forward":
            y_z = np.zeros((len(x), 16, 16, config.encoder_filters), "f4")
            found[name] = one.forward(x[:, ::-1, ::-1], (y_z,))
        else:
            found[name] = two.reverse(x, ones)[:, ::-1, ::-1]
    np.testing.assert_allclose(found["reverse"], found["forward"], atol=1e-5)
    # A hole is to it what lies outside the picture: nothing is said of it.
    assert not np.asarray(two.reverse.streams.first_down.kernel)[:, :, 4].any()


def test_shuffled_latents_change_the_score_only_through_the_decoder():
    model = tiny_model()
    tensors = {k: tf.constant(v) for k, v in batch().items()}
    own = stages.score(model, "one_stage", tensors, training=False)
    other = stages.score(model, "one_stage", tensors, training=False, shuffled=True)
    np.testing.assert_array_equal(own.z, other.z)
    assert (np.asarray(own.nats) != np.asarray(other.nats)).any()


@pytest.mark.parametrize(
    ("stage", "training", "sees_the_hole"),
    [
        *(("stage1", True, True), ("stage1", False, True), ("stage2", True, False)),
        # What it trains for is filled from the context, and so are the holes it is validated on.
        *(("one_stage", True, True), ("one_stage", False, False)),
    ],
)
def test_where_a_full_image_encoder_sees_the_hole(stage, training, sees_the_hole):
    model = tiny_model(full_image_encoder=True, reverse=stage != "stage1")
    one, other = batch(), batch()
    one["image"][:, 4:12, 4:12] = 255 - other["image"][:, 4:12, 4:12]
    means = [
        np.asarray(
            stages.score(model, stage, {k: tf.constant(v) for k, v in b.items()}, training).mean
        )
        for b in (one, other)
    ]
    assert (means[0] != means[1]).any() == sees_the_hole


def test_models_without_latents_or_reverse():
    bare = tiny_model(latents=False, reverse=False)
    assert bare.encoder is bare.decoder is bare.reverse is None
    assert np.isfinite(bare.log_prob(pictures(), box())).all()
    with pytest.raises(ValueError, match="latents=False"):
        bare.encode(pictures(), box(), 0)


def test_names_of_weights_are_the_same_for_a_second_model():
    first, second = tiny_model(), tiny_model()
    names = models.named_weights(first)
    assert list(names) == list(models.named_weights(second))
    assert any(name.startswith("dropout_seed/") for name in names)
    for a, b in zip(names.values(), models.named_weights(second).values(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_mixed_precision_keeps_latents_and_likelihood_in_float32():
    model = models.make(ModelConfig(**tiny.MODEL), 16, 1, "mixed_bfloat16")
    tensors = {k: tf.constant(v) for k, v in batch().items()}
    scores = stages.score(model, "one_stage", tensors, training=False)
    kinds = {keras.backend.standardize_dtype(x.dtype) for x in scores}
    assert kinds == {"float32"}


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda m: m.log_prob(pictures(), box()), "z is missing"),
        (lambda m: m.log_prob(pictures(), box(), np.zeros((2, 3), "float32")), "expected \\(2, 4"),
        (lambda m: m.log_prob(pictures(), box(), np.zeros((3, 4), "float32")), "expected \\(2, 4"),
        (lambda m: m.log_prob(pictures(), box(), [[0.0] * 4] * 2), "z is a list, expected"),
        (lambda m: m.log_prob(pictures(), box(), np.full((2, 4), np.nan)), "NaN or infinity"),
        (lambda m: m.decode(np.zeros((2, 3), "float32")), r"expected \(batch, 4\)"),
        (lambda m: m.decode(np.zeros((2, 4), int)), "z has dtype int64"),
        (lambda m: m.decode(None), "z is missing"),
        (lambda m: m.encode(pictures(), box(), None), "seed is None"),
        (lambda m: m.encode(pictures(), box(), 0.5), "seed is 0.5"),
        (lambda m: likelihood.holes("model", pictures(), box(), 1, 0), "model is of type str"),
        (lambda m: likelihood.holes(m, pictures(), "month", 1, 0), "month"),
        (lambda m: likelihood.holes(m, [1], "mouth", 1, 0), "images_pm1 is a list"),
        (lambda m: likelihood.whole_images(None, pictures(), box(), 1, 0), "of type NoneType"),
        (lambda m: sampling.sample(m, pictures(), box()), "expected a ForwardPixelCNN"),
        (lambda m: m.log_prob(pictures(size=32), box(), np.zeros((2, 4))), "16x16"),
        (lambda m: m.encode(np.zeros((2, 16, 16, 3), "uint8"), box(), 0), "127.5 - 1"),
        (lambda m: m.encode(pictures(), box() * 255, 0), "0 \\(hole\\)"),
        (lambda m: m.encode(pictures(), box()[:1], 0), r"context_mask has shape \(1, 16, 16, 1\)"),
        (lambda m: m.encode(pictures(), np.ones((2, 8, 8, 1)), 0), "make one with csi_tf.masks"),
    ],
)
def test_bad_input_is_one_clear_error(call, says):
    with pytest.raises(ValueError, match=says):
        call(tiny_model())
