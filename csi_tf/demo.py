"""--mode=demo: from nothing to a picture of filled holes, in a few minutes on two cores."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from csi_tf import data, loading, masks, training
from csi_tf.config import Config
from csi_tf.figures import panels
from csi_tf.inpaint import inpaint

FACES, COMPLETIONS = 6, 3
MASKS = ("mouth", "eyes", "center", "nose", "bottom_half", "left_half")


def run(config: Config, directory: Path) -> None:
    training.run(replace(config, run=replace(config.run, mode="train")), directory)
    model = loading.load(directory)
    split = data.held_out_split(config.data.dataset, config.data.data_dir)
    faces = data.arrays(
        config.data.dataset,
        split,
        config.data.image_size,
        data_dir=config.data.data_dir,
        limit=FACES,
    ).images
    mask = np.stack([masks.named(name, model.size) for name in MASKS[: len(faces)]])
    filled = inpaint(model, faces, mask, COMPLETIONS, seed=config.run.seed).images
    rows = [faces, panels.with_holes(faces, mask), *filled.swapaxes(0, 1)]
    picture = directory / "demo.png"
    Image.fromarray(panels.grid(rows, scale=4)).save(picture)
    print(
        f"Held-out images, their holes ({', '.join(MASKS)}) and {COMPLETIONS} fillings: {picture}"
    )
    print(f"Curves: {directory}/stage1/metrics.jsonl and {directory}/stage2/metrics.jsonl")
    print(f"TensorBoard: tensorboard --logdir {directory}")
