"""Images a second of each stage, as shares of what the machine can multiply; memory; two workers.

    python benchmarks/training.py [--quick]

The denominator is that of step_time.py, measured in the same run. Work is the arithmetic of all
convolutions and dense layers that a step needs: forward, and the gradients that are asked for.
Each case runs in a process of its own, so that its peak memory is its own.
"""

import argparse
import json
import os
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path

CASE = "--case"
CORE = "CSI_TF_CORE"  # the one core that a case may use


def operations(model, stage: str, batch: int) -> float:
    """Multiplications and additions of a training step."""
    import keras
    import numpy as np

    from pixel_cnn_pp import CausalConv

    total = 0
    for network in (model.encoder, model.decoder, model.forward, model.reverse):
        if network is None:
            continue
        frozen = stage == "stage2" and network in (model.encoder, model.decoder)
        side = model.size if network in (model.encoder, model.forward, model.reverse) else 1
        for layer in network._flatten_layers():
            passes = 1 if frozen else 3
            if layer.name.startswith("first_") or (layer.name == "conv_0" and not frozen):
                passes = 2  # nobody asks for the gradient of the picture
            if stage == "stage2" and layer.name == "conditioning_0":
                passes = 2  # nor for that of frozen maps
            if isinstance(layer, CausalConv):
                total += 2 * model.size**2 * int(np.prod(layer.kernel.shape)) * passes
            elif isinstance(layer, keras.layers.Conv2DTranspose):
                outputs = side * layer.strides[0] if layer.padding == "same" else 4
                work = side if layer.padding == "same" else 1  # each input pixel meets the kernel
                total += 2 * work**2 * int(np.prod(layer.kernel.shape)) * passes
                side = outputs
            elif isinstance(layer, keras.layers.Conv2D):
                side = side // layer.strides[0] if layer.padding == "same" else side - 3
                total += 2 * side**2 * int(np.prod(layer.kernel.shape)) * passes
            elif isinstance(layer, keras.layers.Dense):
                total += 2 * int(np.prod(layer.kernel.shape)) * passes
    return total * batch


def case(stage: str, preset: str, precision: str, batch: int, seconds: float) -> None:
    """One measurement, printed as JSON."""
    if CORE in os.environ:
        os.sched_setaffinity(0, {int(os.environ[CORE])})
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from dataclasses import replace

    import numpy as np

    import flags
    from csi_tf import learner, training

    config = flags.parse(["run.py", f"--mode={stage}", f"--preset={preset}"])
    config = replace(
        config,
        optimiser=replace(config.optimiser, precision=precision, batch_size=batch),
        data=replace(config.data, limit=max(batch, 2)),
        loop=replace(config.loop, validation_images=2),
    )
    images, _ = training._images(config)
    made = learner.make(config, stage, 60_000, 1000)
    workers, worker = made.workers
    batches = replace(training.batches_of(config, images), num_shards=workers, shard_index=worker)
    given, times, end = batches.batch(0), [], 0.0
    for step in range(10_000):
        start = time.perf_counter()
        np.asarray(made.step(given, False)["loss"])
        if step >= 2:
            times.append(time.perf_counter() - start)
            end = end or time.perf_counter() + seconds
        # Workers must take the same number of steps.
        if (workers > 1 and step == 12) or (workers == 1 and end and time.perf_counter() > end):
            break
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    work = operations(made.model, stage, batch)
    print(json.dumps({"seconds": min(times), "operations": work, "gigabytes": peak}))


def measure(*arguments: object, **environment: str) -> subprocess.Popen:
    command = [sys.executable, __file__, CASE, *map(str, arguments)]
    return subprocess.Popen(
        command,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def read(process: subprocess.Popen) -> dict:
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"a case failed: {process.args}")
    return json.loads(out.splitlines()[-1])


def two_workers(precision: str, batch: int) -> tuple[float, float]:
    """Images a second of one and of two workers, each with a core of its own."""
    with socket.socket() as a, socket.socket() as b:
        a.bind(("127.0.0.1", 0))
        b.bind(("127.0.0.1", 0))
        hosts = [f"127.0.0.1:{s.getsockname()[1]}" for s in (a, b)]
    alone = read(measure("stage1", "cpu", precision, batch, 5, **{CORE: "0"}))
    tasks = [
        json.dumps({"cluster": {"worker": hosts}, "task": {"type": "worker", "index": i}})
        for i in range(2)
    ]
    both = [
        measure("stage1", "cpu", precision, 2 * batch, 5, TF_CONFIG=task, **{CORE: str(core)})
        for core, task in enumerate(tasks)
    ]
    slowest = max(read(process)["seconds"] for process in both)
    return batch / alone["seconds"], 2 * batch / slowest


def main() -> None:
    if CASE in sys.argv:
        stage, preset, precision, batch, seconds = sys.argv[2:]
        case(stage, preset, precision, int(batch), float(seconds))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the paper's stage two at batch 16")
    quick = parser.parse_args().quick
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as run.py does
    from step_time import POLICIES, multiplication_rate

    rates = {dtype: multiplication_rate(dtype) for dtype in POLICIES}
    for dtype, rate in rates.items():
        print(f"{dtype} matrix product: {rate / 1e9:.0f} Gop/s", flush=True)
    cases = [("stage2", "paper", 16)]
    if not quick:
        cases += [("stage1", "paper", 16), ("one_stage", "paper", 16), ("stage2", "paper", 64)]
        cases += [("stage1", "cpu", 64), ("stage2", "cpu", 64)]
    print("\n| stage | preset | batch | dtype | images/s | share | peak GB |")
    print("|---|---|---|---|---|---|---|")
    for stage, preset, batch in cases:
        for dtype, rate in rates.items():
            found = read(measure(stage, preset, POLICIES[dtype], batch, 8))
            share = found["operations"] / found["seconds"] / rate
            print(
                f"| {stage} | {preset} | {batch} | {dtype} | {batch / found['seconds']:.1f}"
                f" | {share:.2f} | {found['gigabytes']:.1f} |",
                flush=True,
            )
    if not quick:
        one, two = two_workers("mixed_bfloat16", 32)
        print(f"\nWorkers of one core, cpu preset, stage one, 32 images each: one {one:.1f}")
        print(f"images/s, two {two:.1f} images/s, {two / one:.2f} times as many.")


if __name__ == "__main__":
    main()
