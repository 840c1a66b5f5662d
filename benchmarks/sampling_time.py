"""The cached sampler against one forward pass, the naive sampler and TFP's.

    python benchmarks/sampling_time.py [--quick] [--model RUN]

A network of five blocks with two conditioning maps, 32x32, truncation 1. All in seconds of this
machine; the ratios, each of two things measured in turn in this process, are what to compare.
"""

import argparse
import math
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from step_time import BLOCKS, best_time

from pixel_cnn_pp import ForwardPixelCNN, ReversePixelCNN, cached, row_loop, sampling

PAPER, CPU = 100, 48  # filters of the two presets
NAIVE_PASSES, NAIVE_REPEATS = 8, 128


class Case:
    """A network and a batch of pictures with nothing observed."""

    def __init__(self, filters: int, batch: int, size: int = 32, blocks: int = BLOCKS):
        keras.utils.set_random_seed(0)
        rng = np.random.default_rng(0)
        self.network = ForwardPixelCNN(blocks, filters)
        self.images = (rng.integers(0, 256, (batch, size, size, 3)) / 127.5 - 1).astype("float32")
        self.mask = np.zeros((batch, size, size, 1), "float32")
        normal = rng.normal(size=(2, batch, size, size, filters)).astype("float32")
        self.maps = tuple(tf.constant(each) for each in normal)
        self.network(self.images[:1], tuple(each[:1] for each in self.maps))
        self._pass = tf.function(lambda images, maps: self.network(images, maps))

    def draw(self, mask=None, method="cached"):
        mask = self.mask if mask is None else mask
        return sampling.sample(self.network, self.images, mask, self.maps, method=method)

    def forward(self):
        return self._pass(tf.constant(self.images), self.maps)

    def centre(self):
        """A hole of half the picture's sides in its middle."""
        mask = np.ones_like(self.mask)
        size = mask.shape[1]
        mask[:, size // 4 : -size // 4, size // 4 : -size // 4] = 0
        return mask

    def few(self):
        """A hole of as many pixels as the naive sampler is timed on."""
        mask = np.ones_like(self.mask)
        mask[:, mask.shape[1] // 2, :NAIVE_PASSES] = 0
        return mask

    def reverse(self):
        filters = self.maps[0].shape[-1]
        network = ReversePixelCNN(BLOCKS, filters, filters)
        run = tf.function(lambda images, mask: network(images, mask))
        images, mask = tf.constant(self.images), tf.constant(self.centre())
        return best_time(lambda: run(images, mask), 1)


def whole_and_hole(cases) -> None:
    print("\n(a) a whole draw over a forward pass: at most 3, aim 1.5")
    print("(b) naive over cached; a naive pass over a forward pass: at most 1.1")
    print("(c) a 16x16 hole over .3 of a whole draw and a pass of each network: at most 1\n")
    print("| filters | batch | forward s | draw s | (a) | naive s | (b) | a pass | hole s | (c) |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for filters, batch in cases:
        case = Case(filters, batch)
        forward, draw = best_time(case.forward), best_time(case.draw)
        hole = best_time(lambda case=case: case.draw(case.centre()))
        some = best_time(lambda case=case: case.draw(case.few(), "naive"), 2, least=2)
        naive, each = some * NAIVE_REPEATS, some / NAIVE_PASSES
        limit = 0.3 * draw + forward + case.reverse()
        print(
            f"| {filters} | {batch} | {forward:.3f} | {draw:.3f} | {draw / forward:.2f}"
            f" | {naive:.1f} | {naive / draw:.0f} | {each / forward:.2f}"
            f" | {hole:.3f} | {hole / limit:.2f} |",
            flush=True,
        )


def larger(filters: int, batch: int) -> None:
    small, large = (best_time(Case(filters, batch, size).draw, 3) for size in (32, 64))
    print(
        f"\n(d) a pixel at 64x64 over one at 32x32, {filters} filters, batch {batch}: "
        f"{large / small / 4:.2f} (at most 1.2)",
        flush=True,
    )


def against_tfp(filters: int = PAPER, size: int = 8) -> None:
    import tensorflow_probability as tfp

    theirs = tfp.distributions.PixelCNN(
        image_shape=(size, size, 3),
        num_resnet=BLOCKS,
        num_hierarchies=1,
        num_filters=filters,
        num_logistic_mix=10,
    )
    draw = tf.function(lambda: theirs.sample(1, seed=0))
    draw()
    start = time.perf_counter()
    draw()
    per_block = (time.perf_counter() - start) / 10
    ours = best_time(Case(filters, 1, size).draw, 2) / BLOCKS
    print(
        f"\n(e) tfp.distributions.PixelCNN over ours, a gated block, {filters} filters, one"
        f" {size}x{size} picture: {per_block / ours:.0f} times as long",
        flush=True,
    )


def first_call(filters: int, batch: int) -> None:
    case, other = Case(filters, batch), Case(filters, batch).centre()

    def seconds(mask=None) -> float:
        start = time.perf_counter()
        case.draw(mask)
        return time.perf_counter() - start

    first, another = seconds(), seconds(other)
    print(
        f"\n(f) first draw with compilation, {filters} filters, batch {batch}: {first:.1f} s"
        " (aim: under 10); the first draw with another mask over later ones:"
        f" {another / best_time(lambda: case.draw(other)):.2f}",
        flush=True,
    )


def wavefront(filters: int, batch: int) -> None:
    """Several rows at once, each as far behind the one above as the field makes it.

    Its products alone: of all weights, since whole rows cannot be computed ahead any more, with as
    many pictures times rows as are in flight.
    """
    case = Case(filters, batch)
    rows, columns = case.mask.shape[1:3]
    lag = cached.reach(case.network.streams.plan)[1]  # the row above must be done this far
    steps, in_flight = columns + (rows - 1) * lag, math.ceil(columns / lag)
    weights = row_loop.weights(case.network.streams)
    matrices = [w.whole for pair in (*weights.down, *weights.down_right) for w in pair[:2]]
    inputs = [tf.random.normal((batch * in_flight, m.shape[0])) for m in matrices]

    @tf.function(jit_compile=True)
    def products():
        def step(i, total):
            # Dependent on what came before, so that no product is left out or taken out.
            return i + 1, total + sum(
                tf.reduce_max(tf.matmul(x + total, m)) * 1e-9
                for x, m in zip(inputs, matrices, strict=True)
            )

        return tf.while_loop(lambda i, _: i < steps, step, (0, tf.zeros(())))[1]

    bound, draw = best_time(products, 2), best_time(case.draw, 2)
    print(
        f"\n(g) staggered rows, {filters} filters, batch {batch}: {steps} steps of {in_flight}"
        f" rows; their matrix products alone take {bound / draw:.2f} of a whole draw of ours",
        flush=True,
    )


def fixed_point(name: str) -> None:
    """Passes until a picture drawn all at once, again and again with the same noise, stays."""
    import csi_tf
    from pixel_cnn_pp import mixture

    model = csi_tf.load(name)
    size = model.size
    images = np.zeros((4, size, size, 3), "float32")
    mask = np.zeros((4, size, size, 1), "float32")
    z = keras.random.normal((4, model.config.latent_dim), seed=0)
    maps = model.conditioning(images, mask, model.decode(z))
    keys = sampling.keys(0, images, mask)
    noise = sampling.noise_of(keys, (size, size), model.config.mixtures, 1.0)
    run = tf.function(lambda x: mixture.combine(model.forward(x, maps), noise).image)
    passes, now = 0, tf.constant(images)
    while True:
        passes, before, now = passes + 1, now, run(now)
        if bool(tf.reduce_all(tf.abs(now - before) < 1e-5)):
            break
    forward = best_time(lambda: run(now), 2)
    draw = best_time(lambda: sampling.sample(model.forward, images, mask, maps), 2)
    print(
        f"\n(h) fixed point, {name}, batch 4: {passes} passes, {passes * forward / draw:.1f} times"
        " as long as our draw"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="batch 16 at 100 filters, (a) to (c)")
    parser.add_argument("--model", help="a trained run, for fixed-point iteration")
    options = parser.parse_args()
    print(f"TensorFlow {tf.__version__}, {os.cpu_count()} cores")
    if options.quick:
        whole_and_hole([(PAPER, 16)])
        return
    first_call(PAPER, 16)
    first_call(CPU, 1)
    whole_and_hole([(filters, batch) for filters in (PAPER, CPU) for batch in (1, 16, 64)])
    larger(PAPER, 1)
    larger(CPU, 16)
    for filters, batch in ((PAPER, 1), (PAPER, 16), (CPU, 1)):
        wavefront(filters, batch)
    if options.model:
        fixed_point(options.model)
    against_tfp()


if __name__ == "__main__":
    main()
