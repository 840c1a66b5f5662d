"""Training step and forward pass of the PixelCNN, as shares of what the machine can multiply.

    python benchmarks/step_time.py [--quick]

(a) The share of the matrix-multiplication rate measured in the same process: best square size from
    512 to 4096 of the same dtype on the same threads. Only the arithmetic of the convolutions
    counts as work, so the share falls short of 1 by everything else a step does.
(b) The speed per gated block over tfp.distributions.PixelCNN with as many filters. TFP computes in
    float32 only; with 5 resnets and 1 hierarchy it has 10 gated blocks.
"""

import argparse
import os
import platform
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as run.py does

import keras
import numpy as np
import tensorflow as tf

from pixel_cnn_pp import CausalConv, ForwardPixelCNN, mixture

BLOCKS, SIZE = 5, 32
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def wait_for(result) -> None:
    """Until a tensor is computed; an array is already."""
    if isinstance(result, tf.Tensor):
        result.numpy()


def best_time(function, seconds: float = 4.0, least: int = 3) -> float:
    """The quickest of several calls: the machine's other work only ever adds time."""
    for _ in range(2):
        wait_for(function())
    times, end = [], time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        start = time.perf_counter()
        wait_for(function())
        times.append(time.perf_counter() - start)
    return min(times)


def multiplication_rate(dtype: str, sizes=(512, 1024, 2048, 4096)) -> float:
    """Operations a second of the best square matrix product."""
    rates = []
    for size in sizes:
        x = tf.Variable(tf.cast(tf.random.normal((size, size)), dtype))
        product = tf.function(lambda x=x: tf.reduce_max(tf.matmul(x, x)[:1]))
        rates.append(2 * size**3 / best_time(product, seconds=1.5))
    return max(rates)


def convolution_operations(network, batch: int, training: bool) -> float:
    """Multiplications and additions of all convolutions; training adds both gradients of each."""
    total = 0
    for layer in network._flatten_layers():
        if isinstance(layer, CausalConv):
            passes = 3 if training else 1
            if training and layer.name.startswith("first_"):
                passes = 2  # nobody asks for the gradient of the picture
            total += 2 * batch * SIZE * SIZE * int(np.prod(layer.kernel.shape)) * passes
    return total


def random_images(batch: int) -> tf.Tensor:
    levels = np.random.default_rng(0).integers(0, 256, (batch, SIZE, SIZE, 3))
    return tf.constant((levels / 127.5 - 1).astype("float32"))


def our_times(dtype: str, batch: int, filters: int, blocks: int = BLOCKS):
    """(forward seconds, step seconds, forward operations, step operations)."""
    network = ForwardPixelCNN(blocks, filters, dtype=POLICIES[dtype])
    images = random_images(batch)
    network(images)
    optimizer = keras.optimizers.Adam(1e-4)
    optimizer.build(network.trainable_variables)

    def step():
        with tf.GradientTape() as tape:
            raw = network(images, training=True)
            loss = -tf.reduce_sum(mixture.log_prob(raw, images)) / batch
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply(gradients, network.trainable_variables)
        return loss

    forward = best_time(tf.function(lambda: network(images)[:, 0, 0, 0]))
    training = best_time(tf.function(step))
    return (
        forward,
        training,
        convolution_operations(network, batch, False),
        convolution_operations(network, batch, True),
    )


def tfp_times(batch: int, filters: int):
    """(forward seconds, step seconds) of TFP's PixelCNN with 10 gated blocks."""
    import tensorflow_probability as tfp
    import tf_keras

    distribution = tfp.distributions.PixelCNN(
        image_shape=(SIZE, SIZE, 3),
        num_resnet=BLOCKS,
        num_hierarchies=1,
        num_filters=filters,
        num_logistic_mix=10,
        dropout_p=0.5,
    )
    images = (random_images(batch) + 1) * 127.5
    distribution.log_prob(images)
    variables = distribution.trainable_variables
    optimizer = tf_keras.optimizers.Adam(1e-4)
    optimizer.build(variables)

    def step():
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(distribution.log_prob(images, training=True))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    forward = tf.function(lambda: distribution.log_prob(images, training=False))
    return best_time(forward, seconds=1, least=2), best_time(tf.function(step), 1, least=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="batch 16 at 100 filters only")
    quick = parser.parse_args().quick
    cases = [(16, 100)] if quick else [(16, 100), (1, 100), (64, 100), (16, 48), (64, 48)]
    print(f"TensorFlow {tf.__version__}, {os.cpu_count()} cores, {platform.machine()}")
    rates = {dtype: multiplication_rate(dtype) for dtype in POLICIES}
    for dtype, rate in rates.items():
        print(f"{dtype} matrix product: {rate / 1e9:.0f} Gop/s")
    print("\n| dtype | batch | filters | forward s | share | step s | share |")
    print("|---|---|---|---|---|---|---|")
    at_16 = {}
    for dtype, rate in rates.items():
        for batch, filters in cases:
            forward, step, forward_work, step_work = our_times(dtype, batch, filters)
            if (batch, filters) == (16, 100):
                at_16[dtype] = forward, step
            shares = forward_work / forward / rate, step_work / step / rate
            print(
                f"| {dtype} | {batch} | {filters} | {forward:.3f} | {shares[0]:.2f}"
                f" | {step:.3f} | {shares[1]:.2f} |",
                flush=True,
            )
    theirs = tfp_times(16, 100)
    print("\n| seconds per gated block, batch 16, 100 filters | forward | step |")
    print("|---|---|---|")
    print(f"| TFP float32 | {theirs[0] / 10:.3f} | {theirs[1] / 10:.3f} |")
    for dtype, ours in at_16.items():
        ratios = [(t / 10) / (o / BLOCKS) for t, o in zip(theirs, ours, strict=True)]
        print(
            f"| ours {dtype} | {ours[0] / BLOCKS:.3f} ({ratios[0]:.1f} times as fast)"
            f" | {ours[1] / BLOCKS:.3f} ({ratios[1]:.1f} times as fast) |"
        )


if __name__ == "__main__":
    main()
