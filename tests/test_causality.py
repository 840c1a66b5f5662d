"""What an output may depend on, read from gradients before any training step.

Each picture of the batch is asked about a different pixel, so one backward pass gives the whole
Jacobian: row k holds the gradient of a random combination of the outputs at pixel k.
"""

import numpy as np
import pytest
import tensorflow as tf

from csi_tf.warmup import WarmupHead
from pixel_cnn_pp import ForwardPixelCNN, ReversePixelCNN, convolutions

SIDE = 8
PIXELS = SIDE * SIDE


def jacobian(function, *inputs):
    """(PIXELS, PIXELS) gradients of the outputs at each pixel with respect to each input pixel."""
    variables = [tf.constant(np.repeat(x, PIXELS, axis=0)) for x in inputs]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        y = function(*variables)
        y = tf.reshape(y, (PIXELS, PIXELS, -1))
        weights = tf.random.stateless_normal(y.shape[-1:], seed=(1, 2))
        total = tf.einsum("kkc,c->", y, weights)
    gradients = tape.gradient(total, variables)
    return [np.abs(g.numpy()).sum(-1).reshape(PIXELS, PIXELS) for g in gradients]


def random_image(seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (1, SIDE, SIDE, 3)).astype("float32")


def maps(channels, seed=1):
    return np.random.default_rng(seed).normal(size=(1, SIDE, SIDE, channels)).astype("float32")


NETWORKS = [
    {"blocks": 1},
    {"blocks": 2},
    {"blocks": 5},
    {"blocks": 2, "field": (5, 9)},
    {"blocks": 2, "activation": "concat_elu", "weight_norm": True},
    {"blocks": 2, "conditioning_form": "published"},
]


@pytest.mark.parametrize("conditioned", [False, True])
@pytest.mark.parametrize("options", NETWORKS, ids=str)
def test_forward_sees_earlier_pixels_only(options, conditioned):
    network = ForwardPixelCNN(filters=6, mixtures=1, **options)
    image = random_image()
    if conditioned:
        seen, of_map = jacobian(lambda x, m: network(x, m), image, maps(3))
        assert (of_map > 0).any(axis=0).all(), "every part of the maps reaches some output"
        assert np.diag(of_map).all(), "maps are not shifted: output k sees map k"
    else:
        (seen,) = jacobian(network, image)
    later_or_same = np.triu(np.ones((PIXELS, PIXELS), bool))
    assert (seen[later_or_same] == 0).all(), "exactly zero: later pixels are not connected at all"
    for k in range(PIXELS):
        row, column = divmod(k, SIDE)
        if row:
            assert seen[k, k - SIDE] > 0, f"pixel above {row, column}"
        if column:
            assert seen[k, k - 1] > 0, f"pixel to the left of {row, column}"
        if row and column < SIDE - 1:
            assert seen[k, k - SIDE + 1] > 0, f"pixel above to the right of {row, column}"


@pytest.mark.parametrize("options", NETWORKS[:5], ids=str)
def test_reverse_sees_later_context_pixels_only(options):
    network = ReversePixelCNN(filters=6, features=4, **options)
    mask = np.ones((1, SIDE, SIDE, 1), "float32")
    mask[:, 2:5, 3:6] = 0
    (seen,) = jacobian(lambda x: network(x, np.repeat(mask, PIXELS, 0)), random_image())
    earlier_or_same = np.tril(np.ones((PIXELS, PIXELS), bool))
    assert (seen[earlier_or_same] == 0).all()
    assert (seen[:, mask.ravel() == 0] == 0).all(), "pixels of the hole are hidden"
    below = [(k, k + SIDE) for k in range(PIXELS - SIDE) if mask.ravel()[k + SIDE]]
    right = [(k, k + 1) for k in range(PIXELS - 1) if (k + 1) % SIDE and mask.ravel()[k + 1]]
    assert all(seen[pair] > 0 for pair in below + right)


def test_reverse_sees_the_mask_of_later_pixels():
    network = ReversePixelCNN(blocks=1, filters=6, features=4)
    image = random_image()

    def features(cut):
        mask = np.ones((1, SIDE, SIDE, 1), "float32")
        if cut:
            mask[:, 5, 5] = 0
            image[:, 5, 5] = 0  # the same pixels either way: what differs is the mask alone
        return network(image, mask).numpy()[0]

    image[:, 5, 5] = 0
    changed = np.abs(features(True) - features(False)).sum(-1) > 0
    assert changed[4, 5]
    assert changed[5, 4]
    assert not changed[5, 5:].any()
    assert not changed[6:].any()


@pytest.mark.parametrize("blocks", [1, 2, 5])
@pytest.mark.parametrize("field", [None, (5, 9)])
def test_joined_networks_condition_targets_on_all_context(blocks, field):
    """eq. (4): a target depends on all context around it and on earlier targets only."""
    forward = ForwardPixelCNN(blocks, filters=6, mixtures=1, field=field)
    reverse = ReversePixelCNN(blocks, filters=6, features=4, field=field)
    mask = np.ones((1, SIDE, SIDE, 1), "float32")
    mask[:, 3:6, 2:6] = 0
    masks = np.repeat(mask, PIXELS, 0)

    def joined(x):
        return forward(x, reverse(x * masks, masks))

    (seen,) = jacobian(joined, random_image())
    targets = np.flatnonzero(mask.ravel() == 0)
    context = np.flatnonzero(mask.ravel() == 1)
    for k in targets:
        later = targets[targets >= k]
        assert (seen[k, later] == 0).all(), "neither itself nor any later target"
        row, column = divmod(k, SIDE)
        for name, sites in {
            "above": [c for c in context if c // SIDE < row and c % SIDE == column],
            "below": [c for c in context if c // SIDE > row and c % SIDE == column],
            "left": [c for c in context if c % SIDE < column and c // SIDE == row],
            "right": [c for c in context if c % SIDE > column and c // SIDE == row],
        }.items():
            assert seen[k, sites].any(), f"no context {name} of {row, column} is seen"
        if column > 2:
            assert seen[k, k - 1] > 0, "the target just drawn is seen"


def test_the_check_notices_a_leak(monkeypatch):
    """A convolution padded one column too little to the left must fail the property above."""

    def leaky(x, top=0, left=0, right=0):
        if left == 1 and not right:
            left, right = 0, 1
        return original(x, top, left, right)

    original = convolutions.shifts.pad
    monkeypatch.setattr(convolutions.shifts, "pad", leaky)
    network = ForwardPixelCNN(blocks=1, filters=6, mixtures=1)
    (seen,) = jacobian(network, random_image())
    assert (seen[np.triu(np.ones((PIXELS, PIXELS), bool))] > 0).any()


def test_the_head_of_the_latent_warm_up_sees_four_neighbours_and_its_own_map():
    of_image, of_map = jacobian(WarmupHead(mixtures=1), random_image(), maps(3))
    assert ((of_map > 0) == np.eye(PIXELS, dtype=bool)).all()
    for pixel in range(PIXELS):
        row, column = divmod(pixel, SIDE)
        before = [(row, column - 1), *((row - 1, column + i) for i in (-1, 0, 1))]
        expected = {i * SIDE + j for i, j in before if i >= 0 and 0 <= j < SIDE}
        assert {*np.flatnonzero(of_image[pixel]).tolist()} == expected
