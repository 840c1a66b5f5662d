"""Images a second of the training pipeline, beside those that training eats, at 32x32.

    python benchmarks/data_pipeline.py

The pipeline must be well ahead of the training rate on the same machine, or training waits for it.
Training is measured as the step of a forward PixelCNN alone, which is an upper bound: a whole
model eats fewer.
"""

import argparse
import time
from collections.abc import Iterable

import numpy as np
from step_time import SIZE, our_times

from csi_tf import data


def rate(batches: Iterable, images_per_batch: int, warm_up: int) -> float:
    count, start = 0, 0.0
    for count, _ in enumerate(batches, 1):
        if count == warm_up:  # the first ones pay for tracing and for filling the buffers
            start = time.perf_counter()
    return (count - warm_up) * images_per_batch / (time.perf_counter() - start)


def report(what: str, images_per_second: float) -> None:
    print(f"{what:<42} {images_per_second:>10,.0f} images/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--images", type=int, default=60_000)
    args = parser.parse_args()

    start = time.perf_counter()
    made = data.arrays("procedural_faces", "train", SIZE, limit=min(args.images, 2048))
    drawn = len(made) / (time.perf_counter() - start)
    report("drawing procedural faces", drawn)

    images = np.resize(made.images, (args.images, *made.images.shape[1:]))
    warm_up = max(1, args.steps // 10)
    for masks in (None, "rectangle"):
        batches = data.Batches(images, args.batch, flip=True, mask_distribution=masks)
        for route, stream in (
            ("NumPy", batches.iterate(0, args.steps)),
            ("made ahead", batches.ahead(0, args.steps)),
            ("tf.data", batches.dataset(0, args.steps)),
        ):
            what = f"{route}, flips" + " and rectangle masks" * (masks is not None)
            report(what, rate(stream, args.batch, warm_up))
    for what, blocks, filters, dtype in (
        ("one block of 16 filters, bfloat16", 1, 16, "bfloat16"),
        ("three blocks of 48, bfloat16", 3, 48, "bfloat16"),
        ("five blocks of 100, float32", 5, 100, "float32"),
    ):
        _, step, _, _ = our_times(dtype, args.batch, filters, blocks)
        report(f"training {what}", args.batch / step)


if __name__ == "__main__":
    main()
