"""TFDS sources, exercised on data made here: nothing is downloaded."""

import logging
import os
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from csi_tf import data
from csi_tf.data import tfds_builder
from csi_tf.errors import RunFailed


class TestProceduralFacesBuilder(tfds.testing.DatasetBuilderTestCase):
    """TFDS's own checks: registration, features, serialisation, counts, disjoint splits."""

    DATASET_CLASS = tfds_builder.ProceduralFaces
    BUILDER_CONFIG_NAMES_TO_TEST = [  # noqa: RUF012 - TFDS fixes the form
        tfds_builder.Config(name="tiny", size=16, train=6, test=3)
    ]
    SPLITS = {"train": 6, "test": 3}  # noqa: RUF012
    EXAMPLE_DIR = os.path.dirname(__file__)  # must exist, though nothing is read from it


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with two small datasets, prepared without any download."""
    folder = str(tmp_path_factory.mktemp("tfds"))
    config = tfds_builder.Config(name="few", train=12, test=5)
    for builder in (
        tfds_builder.ProceduralFaces(data_dir=folder, config=config),
        GreyFrames(data_dir=folder),
    ):
        builder.download_and_prepare()
    return folder


class GreyFrames(tfds.core.GeneratorBasedBuilder):
    """Grey, wider than high, one split, labels of other kinds: what other datasets look like."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(8, 12, 1)),
            "attributes": tfds.features.Sequence(np.int64),
            "label": tfds.features.ClassLabel(num_classes=3),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number in range(30):
            image = np.full((8, 12, 1), number, np.uint8)
            image[:, :2] = image[:, -2:] = 255
            yield number, {"image": image, "attributes": [1, 2], "label": number % 3}


def test_default_sizes_are_the_whole_splits():
    configs = {config.name: config for config in tfds_builder.ProceduralFaces.BUILDER_CONFIGS}
    assert (configs["size32"].train, configs["size32"].test) == (60_000, 2_259)


def test_the_builder_writes_what_the_generator_draws(prepared):
    read = data.arrays("tfds:procedural_faces/few", "test", 32, data_dir=prepared)
    drawn = data.arrays("procedural_faces", "test", 32, limit=5)
    assert read.factor_names == tuple(sorted(drawn.factor_names))
    assert read.attribute_names == tuple(sorted(drawn.attribute_names))
    factors = drawn.factors[:, np.argsort(drawn.factor_names)]
    attributes = drawn.attributes[:, np.argsort(drawn.attribute_names)]
    # TFDS stores examples, too, in an order of its own.
    order = [read.factors.tolist().index(row) for row in factors.tolist()]
    assert np.array_equal(read.images[order], drawn.images)
    assert np.array_equal(read.attributes[order], attributes)


def test_grey_frames_are_cropped_to_rgb_squares_with_a_test_split_held_out(prepared):
    name = "tfds:grey_frames"
    assert data.splits(name, data_dir=prepared) == ("train", "test", "all")
    train, test = (data.arrays(name, split, 8, data_dir=prepared) for split in ("train", "test"))
    assert (len(train), len(test)) == (24, 6)
    levels = np.concatenate([train.images, test.images])
    # The white margins lie outside the central square, so every image is one level of grey.
    assert (levels == levels[:, :1, :1, :1]).all()
    assert sorted(levels[:, 0, 0, 0]) == list(range(30))
    assert train.attribute_names == ()


def test_reading_and_streaming_agree_and_stop_at_the_limit(prepared):
    settings = {"size": 4, "data_dir": prepared, "limit": 7}
    held = data.arrays("tfds:grey_frames", "train", **settings)
    stream = data.load("tfds:grey_frames", "train", **settings)
    streamed = np.stack([row["image"] for row in stream.as_numpy_iterator()])
    assert streamed.shape == (7, 4, 4, 3)
    assert np.array_equal(streamed, held.images)


def test_celeb_a_keeps_the_paper_crop_and_forty_attributes():
    with tfds.testing.mock_data(num_examples=2):
        # The mock knows no example counts; the crop and the columns are what is tested.
        raw = list(tfds.as_numpy(tfds.load("celeb_a", split="train")))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("csi_tf.data.tfds_source._slices", lambda builder: {"train": "train"})
            patch.setattr("csi_tf.data.tfds_source._count", lambda builder, part: 2)
            read = data.arrays("celeb_a", "train", 32)
    assert len(read.attribute_names) == 40
    for image, attributes, example in zip(read.images, read.attributes, raw, strict=True):
        crop = example["image"][45:173, 25:153]
        assert np.array_equal(image, data.resize_antialiased(crop, 32))
        assert attributes.tolist() == [example["attributes"][n] for n in read.attribute_names]


def test_impossible_downloads_say_how_to_use_a_local_copy(tmp_path, monkeypatch):
    def fail(self):
        raise ConnectionError("no route\nto host")

    for name in ("celeb_a", "cifar10"):
        builder = type(tfds.builder(name, data_dir=tmp_path))
        monkeypatch.setattr(builder, "download_and_prepare", fail)
    with pytest.raises(data.DataError, match=r"no route to host.*img_align_celeba.*npz:PATH") as e:
        data.arrays("celeb_a", "train", 32, data_dir=str(tmp_path))
    assert "\n" not in str(e.value)
    # A failure, not a mistake on the command line: another exit code.
    with pytest.raises(RunFailed, match=r"images:DIR"):
        data.splits("tfds:cifar10", data_dir=str(tmp_path))


@pytest.mark.parametrize(
    ("name", "instead"),
    [("celeb_a", "CelebA's own files in data_dir, npz:PATH"), ("tfds:mnist", "or use npz:PATH")],
)
def test_without_tfds_the_way_out_is_named(monkeypatch, name, instead):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(data.DataError, match=f"pip install .*{instead}") as caught:
        data.arrays(name, "train", 32)
    assert "\n" not in str(caught.value)


def test_unknown_and_unsuitable_datasets_are_named(prepared):
    with pytest.raises(data.DataError, match=r"did you mean .*cifar10"):
        data.arrays("tfds:cifar1", "train", 32, data_dir=prepared)
    with pytest.raises(data.DataError, match=r"cannot provide procedural_faces/none"):
        data.arrays("tfds:procedural_faces/none", "train", 32, data_dir=prepared)
    with pytest.raises(data.DataError, match="its splits are train, test, all"):
        data.arrays("tfds:grey_frames", "validation", 32, data_dir=prepared)


def test_a_download_is_announced_once_with_what_is_missing(tmp_path, monkeypatch, caplog):
    """urllib3 warns of every attempt; the message names the folder that would do instead."""

    def fail(self):
        logging.getLogger("urllib3.connectionpool").warning("Retrying (Retry(total=4, ...")
        raise ConnectionError("no route to host")

    builder = type(tfds.builder("celeb_a", data_dir=tmp_path))
    monkeypatch.setattr(builder, "download_and_prepare", fail)
    with pytest.raises(data.DataError):
        data.arrays("celeb_a", "train", 32, data_dir=str(tmp_path))
    assert f"nor is there a folder img_align_celeba in {tmp_path}" in caplog.text
    assert "Retrying" not in caplog.text
    logging.getLogger("urllib3").setLevel(logging.NOTSET)
