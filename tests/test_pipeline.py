"""Batches are a function of their number: orders, mirroring, shards, masks."""

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from csi_tf import data, masks
from csi_tf.data import pipeline


def numbered(count, size=4):
    """Images that say which one they are, and mirror visibly."""
    images = np.zeros((count, size, size, 3), np.uint8)
    images[..., 0] = np.arange(count)[:, None, None]
    images[:, :, 0, 1] = 255
    return images


def test_every_image_once_an_epoch():
    batches = data.Batches(numbered(23), 4, seed=3, drop_remainder=False)
    assert batches.steps_per_epoch == 6
    for epoch in range(2):
        epoch_batches = list(batches.iterate(6 * epoch, 6 * epoch + 6))
        seen = np.concatenate([b["image"][:, 0, 0, 0] for b in epoch_batches])
        assert sorted(seen) == list(range(23))
        counters = np.concatenate([b["example"] for b in epoch_batches])
        assert np.array_equal(counters, np.arange(23 * epoch, 23 * epoch + 23))
        assert counters.dtype == np.int64


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = {data.epoch_order(50, seed, epoch).tobytes() for seed in (0, 1) for epoch in (0, 1)}
    assert len(orders) == 4


def test_unshuffled_batches_keep_the_order():
    batches = data.Batches(numbered(10), 5, shuffle=False)
    assert batches.batch(3)["image"][:, 0, 0, 0].tolist() == [5, 6, 7, 8, 9]


def test_the_last_incomplete_batch_is_dropped_when_asked():
    batches = data.Batches(numbered(10), 4)
    assert batches.steps_per_epoch == 2
    assert batches.batch(2)["example"].tolist() == [10, 11, 12, 13]


def same(one, other):
    assert one.keys() == other.keys()
    for key in one:
        assert np.array_equal(one[key], other[key])


def test_resuming_equals_skipping():
    def made():
        return data.Batches(
            numbered(21), 4, seed=5, flip=True, mask_distribution="rectangle", drop_remainder=False
        )

    skipped = list(made().iterate(0, 15))[9:]
    resumed = list(made().iterate(9, 15))
    for one, other in zip(skipped, resumed, strict=True):
        same(one, other)


def test_the_tensorflow_dataset_equals_the_numpy_batches():
    batches = data.Batches(
        numbered(21, 8), 4, seed=5, flip=True, mask_distribution="rectangle", drop_remainder=False
    )
    stream = list(batches.dataset(3, 9).as_numpy_iterator())
    for one, other in zip(batches.iterate(3, 9), stream, strict=True):
        same(one, other)
        assert {key: value.dtype for key, value in one.items()} == {
            key: value.dtype for key, value in other.items()
        }


def test_batches_made_ahead_by_threads_come_in_order():
    batches = data.Batches(numbered(21, 8), 4, seed=5, flip=True, mask_distribution="rectangle")
    made = list(batches.ahead(3, 29))
    assert len(made) == 26
    for one, other in zip(batches.iterate(3, 29), made, strict=True):
        same(one, other)
    endless = batches.ahead(3)
    same(next(endless), made[0])
    endless.close()


def test_the_tensorflow_dataset_has_static_shapes_and_no_end():
    batches = data.Batches(numbered(21, 8), 4, num_shards=2, mask_distribution="rectangle")
    dataset = batches.dataset(start=1_000)
    shapes = {key: tuple(spec.shape) for key, spec in dataset.element_spec.items()}
    assert shapes == {"image": (2, 8, 8, 3), "example": (2,), "context_mask": (2, 8, 8, 1)}
    # 200 epochs in, without having read what came before.
    assert next(dataset.as_numpy_iterator())["example"].tolist() == [21 * 200, 21 * 200 + 1]


def test_half_the_examples_are_mirrored_anew_each_epoch():
    mirrored = pipeline.flips(0, np.arange(10_000))
    # Five standard deviations of a fair coin.
    assert abs(mirrored.mean() - 0.5) < 5 * 0.5 / np.sqrt(10_000)
    count = 500
    batches = data.Batches(numbered(count), count, seed=1, flip=True)
    was_mirrored = []
    for epoch in range(2):
        batch = batches.batch(epoch)
        left, right = batch["image"][:, 0, 0, 1] == 255, batch["image"][:, 0, -1, 1] == 255
        assert (left ^ right).all()
        was_mirrored.append(right[np.argsort(data.epoch_order(count, 1, epoch))])
    agreement = (was_mirrored[0] == was_mirrored[1]).mean()
    assert abs(agreement - 0.5) < 5 * 0.5 / np.sqrt(count)


def test_mirroring_twice_restores_and_leaves_the_images_alone():
    images = numbered(64)
    before = images.copy()
    once = data.Batches(images, 64, shuffle=False, flip=True).batch(0)["image"]
    assert not np.array_equal(once, before)
    assert np.array_equal(
        data.Batches(once, 64, shuffle=False, flip=True).batch(0)["image"], before
    )
    assert np.array_equal(images, before)


@pytest.mark.parametrize("num_shards", [1, 2, 3, 6])
def test_shards_tile_the_global_batch(num_shards):
    def shard(index, shards):
        return data.Batches(
            numbered(20),
            6,
            seed=2,
            flip=True,
            mask_distribution="rectangle",
            drop_remainder=False,
            num_shards=shards,
            shard_index=index,
        )

    for step in range(8):
        whole = shard(0, 1).batch(step)
        parts = [shard(index, num_shards).batch(step) for index in range(num_shards)]
        same(whole, {key: np.concatenate([part[key] for part in parts]) for key in whole})


def test_masks_belong_to_the_example_not_the_batch():
    small = data.Batches(numbered(20, 8), 2, seed=2, mask_distribution="rectangle")
    large = data.Batches(numbered(20, 8), 10, seed=2, mask_distribution="rectangle")
    drawn = np.concatenate([small.batch(step)["context_mask"] for step in range(5)])
    assert np.array_equal(drawn, large.batch(0)["context_mask"])
    assert drawn.shape == (10, 8, 8, 1)
    assert set(np.unique(drawn)) == {0, 1}
    # Keyed by the counter: in another epoch the same image gets another mask.
    later = large.batch(3)
    expected = masks.sample("rectangle", 10, 8, seed=2, examples=np.arange(30, 40))
    assert np.array_equal(later["context_mask"], expected)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"images": numbered(4) / 255}, "scale floats"),
        ({"images": numbered(4)[:, :2]}, r"expected \(N, S, S, 3\)"),
        ({"batch_size": 5}, "do not fill a batch of 5"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"num_shards": 3}, "multiple of 3"),
        ({"num_shards": 2, "shard_index": 2}, "shard_index is 2; .* from 0 to 1"),
        ({"mask_distribution": "rectangles"}, "rectangle"),
        ({"images": [0, 1]}, "Batches got list"),
        ({"images": numbered(4)[:0], "drop_remainder": False}, "no images"),
        ({"batch_size": 2.0}, "batch_size is 2.0"),
        ({"num_shards": None}, "num_shards is None"),
        ({"seed": None}, "seed is None"),
        ({"seed": 0.5}, "seed is 0.5"),
        ({"seed": "a"}, "seed is 'a'"),
    ],
)
def test_impossible_batches_are_refused_at_once(settings, words):
    with pytest.raises(ValueError, match=words):
        data.Batches(**{"images": numbered(4), "batch_size": 2, **settings})


def test_the_benchmark_lines_up(monkeypatch, capsys):
    """Every line's rate ends in the same column."""
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "benchmarks")
    benchmark = importlib.import_module("data_pipeline")
    monkeypatch.setattr(benchmark, "our_times", lambda *_: (1, 1e-3, 1, 1))
    monkeypatch.setattr(sys, "argv", ["data_pipeline.py", "--batch=4", "--steps=20", "--images=64"])
    benchmark.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert len({line.index(" images/s") for line in lines}) == 1


def test_numpy_route_does_not_import_tensorflow():
    code = (
        "import sys; from csi_tf import data; "
        "images = data.arrays('procedural_faces', 'train', 16, limit=8).images; "
        "data.Batches(images, 4, mask_distribution='rectangle', flip=True).batch(3); "
        "sys.exit('tensorflow' in sys.modules or 'tensorflow_datasets' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
