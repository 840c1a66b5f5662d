from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixel_cnn_pp import ForwardPixelCNN, receptive_field


@pytest.mark.parametrize(("name", "blocks"), [("3x5", 1), ("4x7", 2), ("7x13", 5), ("7x15", 5)])
def test_published_names(name, blocks):
    assert receptive_field.blocks(name) == blocks


def test_the_paper_prints_its_five_blocks_as_7x15():
    assert receptive_field.name(5) == "7x15"
    assert [receptive_field.name(n) for n in (1, 2, 3, 4, 6)] == [
        "3x5",
        "4x7",
        "5x9",
        "6x11",
        "8x15",
    ]


@pytest.mark.parametrize("name", ["7x14", "2x3", "5x5", "seven", "", "7x", "0x0", None, 5])
def test_unknown_names_list_the_valid_ones(name):
    with pytest.raises(ValueError, match="7x15"):
        receptive_field.blocks(name)


@pytest.mark.parametrize("blocks", [1, 2, 3, 5])
def test_true_field_of_the_published_network(blocks):
    """Facts counted by hand: two convolutions a block, which the published names leave out."""
    field = receptive_field.measure(ForwardPixelCNN(blocks, filters=8, mixtures=1))
    assert field == (2 * blocks + 3, 4 * blocks + 4, 2 * blocks + 1)


def test_true_field_is_one_column_wider_to_the_left():
    seen = receptive_field.jacobian_pattern(ForwardPixelCNN(2, filters=8, mixtures=1))
    columns = np.flatnonzero(seen.any(axis=0)) - seen.shape[1] // 2
    assert (columns.min(), columns.max()) == (-6, 5)


@settings(max_examples=15)
@given(
    blocks=st.integers(1, 5),
    rows=st.integers(1, 9),
    half=st.integers(0, 9),
    conditioned=st.booleans(),
)
def test_exact_fields_are_exact(blocks, rows, half, conditioned):
    columns = 2 * half + 1
    network = ForwardPixelCNN(blocks, filters=8, mixtures=1, field=(rows, columns))
    if conditioned:
        network(np.zeros((1, 4, 4, 3), "float32"), np.zeros((1, 4, 4, 2), "float32"))
    seen = receptive_field.jacobian_pattern(network)
    with mock.patch.object(receptive_field, "jacobian_pattern", return_value=seen):  # once is slow
        assert receptive_field.measure(network) == (rows, columns, half)
    middle = seen.shape[1] // 2
    assert seen[-1 - rows : -1, middle - half : middle + half + 1].all(), "no holes in the field"
    assert seen[-1, middle - half : middle].all()


def test_even_columns_have_no_exact_field():
    with pytest.raises(ValueError, match="7x15"):
        ForwardPixelCNN(5, 8, 1, field=(7, 14))
