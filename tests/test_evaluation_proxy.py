"""The classifier that KID and FID lean on, and what is said where there is none."""

import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from csi_tf import data
from csi_tf.data.base import ImageArrays
from csi_tf.errors import RunFailed
from csi_tf.evaluation import features, proxy

SIZE = 16


@pytest.fixture(scope="module")
def faces():
    return (
        data.arrays("procedural_faces", "train", SIZE, limit=800),
        data.arrays("procedural_faces", "test", SIZE, limit=300),
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("runs") / ".cache"


@pytest.fixture(scope="module")
def look(faces, cache):
    return proxy.features(*faces, seed=0, cache=cache)


def damaged(images, kind):
    """The lower half replaced."""
    images, half = images.copy(), SIZE // 2
    lower = images[:, half:]
    rng = np.random.default_rng(0)
    if kind == "noise":
        lower[:] = rng.integers(0, 256, lower.shape)
    if kind == "mean":
        lower[:] = lower.mean(0)
    if kind == "others":  # whole faces cut in half
        lower[:] = lower[rng.permutation(len(lower))]
    return images


def test_other_real_faces_are_near_and_broken_ones_far(faces, look):
    """None of them training images, which the classifier has learnt by heart."""
    first, second = np.split(faces[1].images, 2)
    real = look(first)

    def kid(images):
        return features.kid_by_image(real, look(images)[:, None]).mean()

    floor = kid(second)
    # 0 on average, with a standard deviation of .02 over sets of 150 faces
    assert abs(floor) < 0.06
    for kind in ("noise", "mean", "others"):
        assert kid(damaged(second, kind)) > abs(floor) + 0.03, kind


def test_features_are_of_one_scale_and_none_is_dead(faces, look):
    seen = look(faces[0].images)
    assert seen.shape == (800, proxy.WIDTH)
    np.testing.assert_allclose(seen.mean(0), 0, atol=1e-4)  # float32 sums of 800
    assert np.square(seen).mean() == pytest.approx(1, abs=1e-4)
    assert seen.std(0).min() > 0.01
    assert f"{len(data.procedural_faces.ATTRIBUTES)} attributes" in look.about


def test_a_picture_has_its_features_in_any_shape_of_array(faces, look):
    images = faces[1].images[:6]
    alone = np.stack([look(each) for each in images])
    # Sums in another order
    np.testing.assert_allclose(look(images.reshape(2, 3, *images.shape[1:])).reshape(6, -1),
                               alone, atol=1e-4)  # fmt: skip


def test_a_classifier_is_trained_once_for_the_same_images(faces, cache, look, monkeypatch):
    monkeypatch.setattr(proxy, "_fit", lambda *_: pytest.fail("trained again"))
    again = proxy.features(*faces, seed=0, cache=cache)
    images = faces[1].images[:4]
    np.testing.assert_array_equal(again(images), look(images))
    assert again.about == look.about
    fewer = replace(faces[0], images=faces[0].images[1:], attributes=faces[0].attributes[1:])
    for train, seed in ((fewer, 0), (faces[0], 1)):
        with pytest.raises(pytest.fail.Exception, match="trained again"):
            proxy.features(train, faces[1], seed=seed, cache=cache)


def test_the_seed_decides(faces):
    """To what threads leave of it: sums of gradients come in another order."""
    few = replace(faces[0], images=faces[0].images[:100], attributes=faces[0].attributes[:100])
    made = [proxy._body((SIZE, SIZE, 3), seed).get_weights() for seed in (3, 3, 4)]
    np.testing.assert_array_equal(made[0][0], made[1][0])
    assert (made[0][0] != made[2][0]).all()
    orders = [np.concatenate(list(proxy._batches(len(few), seed))) for seed in (3, 3, 4)]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert (orders[0] != orders[2]).any()


def test_every_epoch_shows_whole_batches_of_distinct_images():
    batches = list(proxy._batches(200, 0))
    assert len(batches) == proxy.EPOCHS * 3
    assert len({*np.concatenate(batches[:3])}) == 3 * proxy.BATCH
    assert [len(rows) for rows in proxy._batches(20, 0)] == [20] * proxy.EPOCHS


def test_balanced_accuracy_by_hand():
    """Of 3 yes 2 are told, of 1 no 1; in the other column everything is called yes."""
    labels = np.array([[1, 1], [1, 0], [1, 0], [0, 0]], bool)
    logits = np.array([[1, 1], [2, 1], [-1, 1], [-3, 1]])
    assert proxy.balanced_accuracy(logits, labels) == pytest.approx(((2 / 3 + 1) / 2 + 0.5) / 2)


def test_rare_attributes_are_left_out(faces):
    def relabelled(arrays):
        labels = np.zeros((len(arrays), 3), np.uint8)
        labels[:, 1] = arrays.attributes[:, 0]
        labels[:2, 2] = 1
        names = ("never", "often", "twice")
        return replace(arrays, attributes=labels, attribute_names=names)

    train, held_out = map(relabelled, faces)
    assert proxy._labels(train, held_out)[2] == ("often",)
    constant = replace(train, attributes=np.ones_like(train.attributes))
    with pytest.raises(RunFailed, match="between 5% and 95% of the images"):
        proxy.features(constant, held_out, seed=0)


def test_labels_that_cannot_be_learnt_make_no_features(faces):
    train, held_out = (
        replace(each, images=each.images[:100], attributes=each.attributes[:100]) for each in faces
    )
    shuffled = np.random.default_rng(0).permutation(train.attributes)
    with pytest.raises(RunFailed, match=r"0\.75 being of use: raise --train_images"):
        proxy.features(replace(train, attributes=shuffled), held_out, seed=0)


def test_images_without_attributes_have_no_features(faces):
    with pytest.raises(RunFailed, match=r"need attributes.*--features=inception"):
        proxy.features(ImageArrays(faces[0].images), faces[1], seed=0)


def test_inception_of_small_pictures(monkeypatch):
    """Its weights are no part of a test: a network that averages stands in."""
    asked = SimpleNamespace()

    def stand_in(**options):
        vars(asked).update(options)
        return lambda x, training: keras.ops.mean(x, axis=(1, 2))

    monkeypatch.setattr(keras.applications, "InceptionV3", stand_in)
    found = proxy.inception()
    flat = np.full((2, 3, SIZE, SIZE, 3), 255, np.uint8)
    flat[1] = 0
    seen = found(flat)
    assert seen.shape == (2, 3, 3)
    # Bilinear weights of a flat picture add up to one but for rounding.
    np.testing.assert_allclose(seen[:, 0, 0], [1, -1], atol=1e-5)
    assert asked.weights == "imagenet"
    assert asked.input_shape == (299, 299, 3)
    assert "not comparable" in found.about


def test_without_the_weights_of_inception(monkeypatch):
    def refused(**_):
        raise Exception("URL fetch failure on https://example.org: None -- no route\nmore")

    monkeypatch.setattr(keras.applications, "InceptionV3", refused)
    with pytest.raises(RunFailed, match=r"\(URL fetch failure.*no route\): .*--features=proxy$"):
        proxy.inception()


def test_the_same_weights_on_jax(faces, cache, look, tmp_path):
    """And training runs there, without TensorFlow."""
    pytest.importorskip("jax", reason="the JAX extra is not installed")
    program = """
import sys
from pathlib import Path
import numpy as np
from csi_tf import data
from csi_tf.evaluation import proxy

train, held_out = (data.arrays("procedural_faces", s, 16, limit=n)
                   for s, n in (("train", 800), ("test", 300)))
kept = proxy.features(train, held_out, 0, Path(sys.argv[1]))
np.save(sys.argv[2], kept(held_out.images[:8]))
proxy.EPOCHS, proxy.USEFUL_ACCURACY = 1, 0
assert np.isfinite(proxy.features(held_out, held_out, 0)(train.images[:8])).all()
sys.exit("tensorflow" in sys.modules)
"""
    file = tmp_path / "features.npy"
    done = subprocess.run(
        [sys.executable, "-c", program, str(cache), str(file)],
        env=os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # However many lines of progress a slow machine has time for
    assert done.stdout.count("(100%)") == 1, "the first was trained before"
    # Sums in another order, in float32
    np.testing.assert_allclose(np.load(file), look(faces[1].images[:8]), atol=1e-4)
