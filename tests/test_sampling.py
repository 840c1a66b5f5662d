import gc
import weakref

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixel_cnn_pp import ForwardPixelCNN, ReversePixelCNN, cached, mixture, sampling


@pytest.fixture(autouse=True)
def first_weights():
    keras.utils.set_random_seed(0)


def setting(batch=3, size=8):
    rng = np.random.default_rng(0)
    images = np.rint(rng.uniform(0, 255, (batch, size, size, 3))) / 127.5 - 1
    mask = np.ones((batch, size, size, 1), "float32")
    mask[0, 2:5, 3:7] = 0
    mask[1, 7, 7] = 0  # and the last picture has no hole
    return images.astype("float32"), mask


def networks():
    forward, reverse = ForwardPixelCNN(1, 8, 2), ReversePixelCNN(1, 8, 4)
    images, mask = setting()
    return forward, reverse(images * mask, mask)


def noise_of(network, seed, images, mask, truncation=1.0):
    keys = sampling.keys(seed, images, mask)
    return sampling.noise_of(keys, images.shape[1:3], network.mixtures, truncation)


# The two samplers are one.

CASES = {
    "one block": (1, 8, {}, (2, 7, 9), (5,)),
    "three blocks, two maps": (3, 6, {}, (3, 10, 10), (4, 3)),
    "a plain PixelCNN": (2, 6, {}, (1, 12, 6), ()),
    "published conditioning": (2, 6, {"conditioning_form": "published"}, (2, 8, 8), (4, 3)),
    "weight norm, concat_elu": (1, 6, {"weight_norm": True, "activation": "concat_elu"},
                                (2, 8, 8), (4,)),
    "an exact field": (2, 6, {"field": (4, 9)}, (2, 9, 9), (4,)),
    "a field of one column": (1, 6, {"field": (2, 1)}, (2, 6, 6), (4,)),
    "a wide exact field": (1, 6, {"field": (5, 11)}, (2, 8, 14), ()),
}  # fmt: skip


@pytest.fixture(scope="module", params=list(CASES))
def case(request):
    blocks, filters, options, shape, channels = CASES[request.param]
    rng = np.random.default_rng(1)
    keras.utils.set_random_seed(0)
    network = ForwardPixelCNN(blocks, filters, 3, **options)
    images = (np.rint(rng.uniform(0, 255, (*shape, 3))) / 127.5 - 1).astype("float32")
    maps = tuple(rng.normal(size=(*shape, c)).astype("float32") for c in channels)
    network(images, maps or None)
    # Fresh networks say nearly the same of every pixel; trained ones do not.
    for weight in network.trainable_variables:
        if "bias" in weight.path or "gain" in weight.path:
            weight.assign(weight + rng.normal(0, 0.2, weight.shape))
    return network, images, maps


def some_masks(shape):
    """Rectangles, single pixels, nothing and everything, each picture its own."""
    _, height, width = shape
    cuts = st.tuples(
        st.integers(0, height), st.integers(0, height), st.integers(0, width), st.integers(0, width)
    )
    return st.lists(st.lists(cuts, max_size=3), min_size=shape[0], max_size=shape[0])


def drawn_masks(shape, rectangles):
    mask = np.ones((*shape, 1), "float32")
    for picture, cuts in zip(mask, rectangles, strict=True):
        for top, bottom, left, right in cuts:
            picture[min(top, bottom) : max(top, bottom), min(left, right) : max(left, right)] = 0
    return mask


def test_at_most_one_value_in_ten_thousand_is_rounded_otherwise(case):
    """Of 27,000 and more: what lies between two levels may be rounded to either."""
    network, images, maps = case
    images, *maps = (np.tile(each, (128, 1, 1, 1)) for each in (images, *maps))
    hidden = np.zeros_like(images[..., :1])
    noise = noise_of(network, np.arange(len(images)), images, hidden)
    fast, slow = (
        np.rint((np.clip(draw.exact, -1, 1) + 1) * 127.5)
        for draw in (
            sampling.draws(network, images, hidden, tuple(maps), noise, images, method)
            for method in ("cached", "naive")
        )
    )
    assert fast.size > 27_000
    assert (fast != slow).mean() < 1e-4


@given(st.data())
@settings(max_examples=8, deadline=None)
def test_cached_draws_are_naive_draws(case, data):
    """Fed the same pixels and noise, within 1e-3 of a level before rounding: sums of a few hundred
    float32 in another order. Rounding may then differ at a tie, which this allows and counts."""
    network, images, maps = case
    mask = drawn_masks(images.shape[:3], data.draw(some_masks(images.shape[:3])))
    noise = noise_of(network, data.draw(st.integers(0, 9)), images, mask)
    forced = [
        sampling.draws(network, images, mask, maps, noise, images, method)
        for method in ("cached", "naive")
    ]
    hole = np.broadcast_to(mask != 1, images.shape)
    exact = [(np.clip(draw.exact[hole], -1, 1) + 1) * 127.5 for draw in forced]
    np.testing.assert_allclose(*exact, atol=1e-3)
    levels = [np.rint(each) for each in exact]
    ties = np.abs(exact[0] % 1 - 0.5) < 1e-3
    assert (levels[0] == levels[1])[~ties].all()
    assert (levels[0] != levels[1]).sum() <= 1  # of some hundreds
    free = [
        sampling.draws(network, images, mask, maps, noise, method=method)
        for method in ("cached", "naive")
    ]
    # Left to themselves they agree until the first tie of a picture.
    for fast, slow, near, observed in zip(
        free[0].image, free[1].image, free[1].exact, mask, strict=True
    ):
        apart = (np.abs(fast - slow) > 1e-5) & (observed != 1)
        if apart.any():
            first = np.argwhere(apart.any(-1))[0]
            assert (np.abs((near[tuple(first)] + 1) * 127.5 % 1 - 0.5) < 1e-3).any()


def test_nothing_is_compiled_again_for_another_mask_image_seed_map_or_truncation():
    network = ForwardPixelCNN(1, 6, 2)
    images, mask = setting()
    rng = np.random.default_rng(0)
    for i in range(4):
        maps = rng.normal(size=(*mask.shape[:3], 3)).astype("float32")
        hole = (rng.uniform(size=mask.shape) < 0.5).astype("float32")
        truncation = (1.0, None, 0, 2.5)[i]
        sampling.sample(network, images * (1 - 0.1 * i), hole, maps, i, truncation)
        sampling.sample(network, images, hole, maps, i, progress=lambda done, total: None)
    assert cached.compiled(network).experimental_get_tracing_count() == 1


def test_wide_pictures_are_compiled_for_three_widths_at_most():
    """A quarter, a half and all of it, whichever the holes need."""
    network, size = ForwardPixelCNN(1, 4, 2), 128
    images = np.zeros((1, size, size, 3), "float32")
    for left, width in (
        (0, 3),
        (60, 3),
        (125, 3),
        (50, 30),
        (20, 40),
        (64, 50),
        (0, 128),
        (9, 100),
    ):
        mask = np.ones((1, size, size, 1), "float32")
        mask[:, 5, left : left + width] = 0
        sampling.sample(network, images, mask)
    assert cached.compiled(network).experimental_get_tracing_count() == 3


def test_no_slice_begins_where_the_mask_says(monkeypatch):
    """XLA would take it as a constant, and compile anew for every mask, with no new trace."""
    network = ForwardPixelCNN(2, 6, 2)
    images, mask = setting()
    program, asked = cached.compiled(network), []
    monkeypatch.setattr(
        cached, "compiled", lambda _: lambda *rest: asked.append(rest) or program(*rest)
    )
    sampling.sample(network, images, mask)
    graph = program.get_concrete_function(*asked[0]).graph.as_graph_def()
    slices = 0
    for nodes in (graph.node, *(each.node_def for each in graph.library.function)):
        kind = {node.name: node.op for node in nodes}
        for node in nodes:
            if node.op in ("Slice", "StridedSlice"):
                begin = kind.get(node.input[1].split(":")[0], "an argument")
                assert begin == "Const", f"{node.name} begins at {node.input[1]}, which is {begin}"
                slices += 1
    assert slices, "of windows, whose places are known beforehand"


def test_weights_that_change_are_seen():
    network = ForwardPixelCNN(1, 6, 2)
    images, mask = setting()
    before = sampling.sample(network, images, mask, seed=1)
    for weight in network.trainable_variables:
        weight.assign(weight + 0.1)
    after = sampling.sample(network, images, mask, seed=1)
    assert (before != after).any()
    slow = sampling.sample(network, images, mask, seed=1, method="naive")
    np.testing.assert_array_equal(after, slow)


def test_of_a_wide_picture_only_the_part_that_matters_is_gone_through(monkeypatch):
    network = ForwardPixelCNN(1, 6, 2)
    rng = np.random.default_rng(0)
    images = (np.rint(rng.uniform(0, 255, (2, 12, 128, 3))) / 127.5 - 1).astype("float32")
    mask = np.ones((2, 12, 128, 1), "float32")
    mask[0, 4:7, 60:70] = 0
    mask[1, 8:, 66:72] = 0
    assert cached.window(mask != 1, 4) == slice(56, 88)
    part = sampling.sample(network, images, mask, seed=1)
    monkeypatch.setattr(cached, "NARROWEST", 1000)
    np.testing.assert_array_equal(part, sampling.sample(network, images, mask, seed=1))


def test_rows_out_of_reach_and_below_the_last_hole_are_not_gone_through():
    hole = np.zeros((2, 40, 8), bool)
    hole[0, 20, 2] = hole[1, 23, 7] = True
    work = cached.plan(hole, rows_above=5)
    assert list(work.rows[: work.total]) == list(range(15, 24))
    assert work.stretches[20, : work.counts[20]].tolist() == [[0, 2, 3], [3, 8, 8]]
    assert work.stretches[21, : work.counts[21]].tolist() == [[0, 8, 8]]
    assert work.stretches[23, : work.counts[23]].tolist() == [[0, 7, 8]]


@pytest.mark.parametrize("options", [{"blocks": 2}, {"blocks": 2, "field": (7, 11)}])
def test_the_reach_of_the_kernels_is_the_measured_field(options):
    from pixel_cnn_pp import receptive_field

    network = ForwardPixelCNN(filters=2, mixtures=1, **options)
    rows, columns = cached.reach(network.streams.plan)
    field = receptive_field.measure(network)
    # The published field is a column wider on one side than on the other.
    assert (rows, columns) == (field.rows_above, field.columns // 2)


def test_a_network_that_computes_in_bfloat16_is_sampled_in_float32():
    network = ForwardPixelCNN(1, 6, 2, dtype="mixed_bfloat16")
    exact = ForwardPixelCNN(1, 6, 2)
    images, mask = setting()
    network(images), exact(images)
    exact.set_weights(network.get_weights())
    first, second = (sampling.sample(each, images, mask, seed=1) for each in (network, exact))
    np.testing.assert_array_equal(first, second)


# What a draw depends on.


@pytest.mark.parametrize("method", sampling.METHODS)
def test_observed_pixels_come_back_bit_for_bit_and_holes_are_filled_on_the_grid(method):
    forward, context = networks()
    images, mask = setting()
    images = np.where(mask == 1, images * 0.987, images)  # observed values need not be on the grid
    rows = []
    drawn = sampling.sample(
        forward,
        images,
        mask,
        context,
        seed=1,
        method=method,
        progress=lambda done, total: rows.append((done, total)),
    )
    seen = np.broadcast_to(mask == 1, images.shape)
    np.testing.assert_array_equal(drawn[seen], images[seen])
    filled = drawn[~seen]
    levels = (np.arange(256, dtype="float32") / np.float32(127.5)) - np.float32(1)
    assert np.isin(filled, levels).all()
    assert (filled != images[~seen]).mean() > 0.9
    assert rows == [(i, 4) for i in (1, 2, 3, 4)]


@pytest.mark.parametrize("method", sampling.METHODS)
def test_what_progress_raises_ends_the_draw(method):
    forward, context = networks()
    images, mask = setting()

    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sampling.sample(forward, images, mask, context, method=method, progress=stop)
    sampling.sample(forward, images, mask, context, method=method)


def test_an_empty_hole_gives_the_picture_back():
    forward, context = networks()
    images, mask = setting()
    np.testing.assert_array_equal(
        sampling.sample(forward, images, np.ones_like(mask), context), images
    )


@pytest.mark.parametrize("method", sampling.METHODS)
def test_what_lies_under_a_hole_has_no_say(method):
    forward, context = networks()
    images, mask = setting()
    other = np.where(mask == 1, images, -images)
    first, second = (
        sampling.sample(forward, x, mask, context, seed=1, method=method) for x in (images, other)
    )
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("method", sampling.METHODS)
def test_a_draw_does_not_depend_on_its_batch(method):
    forward, context = networks()
    images, mask = setting()
    context = np.asarray(context)
    together = sampling.sample(forward, images, mask, context, seed=1, method=method)
    for order in ([2, 0, 1], [0], [1], [0, 1]):
        other = sampling.sample(
            forward, images[order], mask[order], context[order], seed=1, method=method
        )
        np.testing.assert_array_equal(other, together[order])


def test_the_same_picture_twice_in_a_batch_is_drawn_twice_unless_the_seeds_are_the_same():
    forward, context = networks()
    images, mask = setting()
    twice = [0, 0]
    arguments = forward, images[twice], mask[twice], np.asarray(context)[twice]
    first, second = sampling.sample(*arguments, seed=1)
    assert (first != second).any()
    alone = sampling.sample(forward, images[:1], mask[:1], np.asarray(context)[:1], seed=1)
    np.testing.assert_array_equal(first, alone[0])
    first, second = sampling.sample(*arguments, seed=np.array([7, 7]))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("method", sampling.METHODS)
def test_each_draw_is_from_the_network_s_own_distribution(method):
    """At truncation 0 a draw is the mean of a component given the pixels drawn before it."""
    forward, context = networks()
    images, mask = setting()
    drawn = sampling.sample(forward, images, mask, context, seed=1, truncation=0, method=method)
    params = mixture.unpack(forward(drawn, context))
    means = np.asarray(params.means)[..., 0, :]
    red = drawn[..., 0, None]
    nearest = np.abs(np.clip(means, -1, 1) - red).min(-1)
    assert nearest[mask[..., 0] == 0].max() <= 1 / 255 + 1e-5


def test_seeds_repeat_and_differ():
    forward, context = networks()
    images, mask = setting()
    first, again, other = (sampling.sample(forward, images, mask, context, s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_bad_input():
    forward, context = networks()
    images, mask = setting()
    with pytest.raises(ValueError, match="method is 'fast'"):
        sampling.sample(forward, images, mask, context, method="fast")
    with pytest.raises(ValueError, match=r"127\.5 - 1"):
        sampling.sample(forward, (images * 127).astype("uint8"), mask, context)
    with pytest.raises(ValueError, match="context_mask has shape"):
        sampling.sample(forward, images, mask[:, :4], context)
    with pytest.raises(ValueError, match="array of 3 of them"):
        sampling.sample(forward, images, mask, context, seed=np.array([1, 2]))
    with pytest.raises(ValueError, match="truncation is -1"):
        sampling.sample(forward, images, mask, context, truncation=-1)


@pytest.mark.parametrize("method", sampling.METHODS)
@pytest.mark.parametrize(("built", "given"), [((), (4,)), ((4,), ()), ((4,), (3,)), ((4,), (4, 4))])
def test_other_maps_than_the_network_was_built_for_are_refused(method, built, given):
    images, mask = setting()
    network = ForwardPixelCNN(1, 8, 2)

    def maps(channels):
        return [np.zeros((*mask.shape[:3], count), "float32") for count in channels] or None

    network(images, maps(built))
    with pytest.raises(ValueError, match="but the network was built for"):
        sampling.sample(network, images, mask, maps(given), method=method)


@pytest.mark.parametrize("method", sampling.METHODS)
def test_a_network_that_is_no_longer_used_goes(method):
    """With what was compiled for it: programs that open many models would fill the memory."""
    network = ForwardPixelCNN(1, filters=4, mixtures=1)
    images, mask = np.zeros((1, 6, 6, 3), "float32"), np.zeros((1, 6, 6, 1), "float32")
    sampling.sample(network, images, mask, method=method)
    seen = weakref.ref(network), weakref.ref(network.streams)
    del network
    for _ in range(2):  # the second for what the first set free
        gc.collect()
    assert [each() for each in seen] == [None, None]
