import numpy as np
import pytest

from pixel_cnn_pp import ForwardPixelCNN, ReversePixelCNN, mixture, sampling


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


def test_observed_pixels_come_back_bit_for_bit_and_holes_are_filled_on_the_grid():
    forward, context = networks()
    images, mask = setting()
    rows = []
    drawn = sampling.sample(
        forward,
        images,
        mask,
        context,
        seed=1,
        progress=lambda done, total: rows.append((done, total)),
    )
    seen = np.broadcast_to(mask == 1, images.shape)
    np.testing.assert_array_equal(drawn[seen], images[seen])
    filled = drawn[~seen]
    np.testing.assert_allclose(filled, mixture.to_grid(filled), atol=1e-6)
    assert (filled != images[~seen]).mean() > 0.9
    assert rows == [(i, 4) for i in (1, 2, 3, 4)]


def test_what_lies_under_a_hole_has_no_say():
    forward, context = networks()
    images, mask = setting()
    other = np.where(mask == 1, images, -images)
    first, second = (sampling.sample(forward, x, mask, context, seed=1) for x in (images, other))
    np.testing.assert_array_equal(first, second)


def test_each_draw_is_from_the_network_s_own_distribution():
    """At truncation 0 a draw is the mean of a component given the pixels drawn before it."""
    forward, context = networks()
    images, mask = setting()
    drawn = sampling.sample(forward, images, mask, context, seed=1, truncation=0)
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
