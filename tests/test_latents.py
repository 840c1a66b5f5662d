"""latents.json: names of latents beside a model, and what is wrong with one."""

import json

import numpy as np
import pytest
import tiny

from csi_tf import latents
from csi_tf import model as models
from csi_tf.config import ModelConfig

SMILE = {"name": "smile", "dimension": 3, "interval": [-2.5, 2.5], "rank": 2, "mask": "mouth"}
OLDER = {"name": "older", "direction": [0.6, 0, -0.8, 0], "interval": [-1, 3], "rank": 1}


def read(tmp_path, content):
    path = tmp_path / latents.FILE
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return latents.beside(tmp_path / "model.safetensors", 4)


def test_the_file_beside_the_model_is_read_by_rank(tmp_path):
    assert latents.beside(tmp_path / "model.safetensors", 4) == ()
    older, smile = read(tmp_path, [SMILE, OLDER])
    assert (older.name, older.dimension, older.interval) == ("older", None, (-1, 3))
    assert (smile.name, smile.dimension, smile.rank) == ("smile", 3, 2)
    assert (smile.mask, older.mask) == ("mouth", None)
    np.testing.assert_allclose(older.direction, [0.6, 0, -0.8, 0])
    np.testing.assert_array_equal(smile.direction, [0, 0, 0, 1])


def test_what_is_written_is_what_is_read(tmp_path):
    before = read(tmp_path, [SMILE, OLDER])
    latents.write(tmp_path / latents.FILE, before)
    after = latents.beside(tmp_path / "model.safetensors", 4)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.direction, other.direction)
        assert (one.name, one.interval, one.rank, one.dimension, one.mask) == (
            *(other.name, other.interval, other.rank, other.dimension, other.mask),
        )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        (SMILE, "list of entries"),
        ([3], "entry 1 is of type int"),
        ([SMILE, SMILE], "two entries are called 'smile'"),
        ([SMILE | {"nmae": "x"}], "entry 1 has .*nmae"),
        ([{"name": "smile", "dimension": 3, "rank": 1}], "expected name, interval, rank"),
        ([SMILE | {"direction": OLDER["direction"]}], "either dimension or direction"),
        ([SMILE | {"name": ""}], "called ''"),
        ([SMILE | {"name": "3"}], "no number"),
        ([SMILE | {"name": "a=b"}], "'='"),
        ([SMILE | {"dimension": 4}], "dimension is 4; give a whole number from 0 to 3"),
        ([SMILE | {"dimension": True}], "dimension"),
        ([SMILE | {"rank": 0}], "rank is 0"),
        ([SMILE | {"mask": "moth"}], "mask is 'moth'; choose from center, eyes"),
        ([SMILE | {"mask": 3}], "mask is 3"),
        ([SMILE | {"interval": [2, 2]}], "interval"),
        ([SMILE | {"interval": [2]}], "interval"),
        ([SMILE | {"interval": ["a", 2]}], "interval"),
        ('[{"name": "x", "dimension": 0, "interval": [0, NaN], "rank": 1}]', "finite"),
        ([OLDER | {"direction": [1.0, 0]}], "2 numbers; the model has 4"),
        ([OLDER | {"direction": [1.0, 1, 0, 0]}], "length 1.41421, expected 1"),
        ([OLDER | {"direction": "x"}], "direction"),
    ],
)
def test_mistakes_name_the_file(tmp_path, content, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path, content)
    assert str(tmp_path / latents.FILE) in str(caught.value)


@pytest.fixture(scope="module")
def model():
    model = models.make(ModelConfig(**tiny.MODEL), 16, seed=1)
    smile = latents.Latent("smile", latents.axis(3, 4), (-1.0, 1.0), 1, 3)
    model.named_latents = (smile, latents.Latent("wide", np.full(4, 0.5), (-3.0, 3.0), 2))
    return model


def test_unknown_names_list_the_known_ones(model):
    with pytest.raises(ValueError, match="it has smile, wide; a dimension from 0 to 3"):
        latents.settings(model, {"nose": 1})
    with pytest.raises(ValueError, match="perhaps smile is meant; a dimension from 0 to 3"):
        latents.settings(model, {"Smiel": 1})


def test_a_dimension_and_its_name_are_one_latent(model):
    assert latents.find(model, 3) is latents.find(model, "smile")
    with pytest.raises(ValueError, match="the same thing"):
        latents.settings(model, {3: 1.0, "smile": 1.0})
    with pytest.raises(ValueError, match="the same thing"):
        latents.settings(model, {0: 1, 1: 1, 2: 1, 3: 1, "wide": 1})


def test_the_interval_of_a_name_decides_what_is_far(model, recwarn):
    latents.settings(model, {0: 5.0, "smile": 2.0})
    assert not recwarn.list
    with pytest.warns(UserWarning, match="smile is set to 2.1, .* -1 to 1"):
        latents.settings(model, {3: 2.1})
