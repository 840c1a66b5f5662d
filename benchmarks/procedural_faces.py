"""How well the procedural faces show their factors, and how fast they are drawn.

    python benchmarks/procedural_faces.py [--train 20000] [--png sheet.png]

R^2       one ridge regression from the 3,072 raw pixels of a 32 x 32 face to all the factors, on
          2,000 held-out faces
change    mean absolute grey levels in the factor's region from its low to its high end, over 500
          faces whose other factors are random
alike     the other factor whose mean change picture is most correlated with this one's

Drawing is element-wise NumPy, which runs on one core; its speed is per second of processor time.
"""

import argparse
import time

import numpy as np
from PIL import Image, ImageDraw

from csi_tf.data import procedural_faces as faces

HELD_OUT = 2000
PLAIN = {"glasses": 0.0, "beard": 0.0, "fringe": 0.35, "smile": 0.4, "mouth_opening": 0.3}
PLAIN |= {"skin_tone": 0.75, "hair_colour": 0.3}


def read_back(train: int, held_out: int, penalty: float = 5.0) -> np.ndarray:
    """R^2 of each factor on held-out faces, by ridge regression on pixels."""
    made = {
        "train": faces.generate("train", stop=train),
        "test": faces.generate("test", stop=held_out),
    }
    pixels, targets = {}, {}
    for split, arrays in made.items():
        pixels[split] = arrays["images"].reshape(len(arrays["images"]), -1) / np.float32(255)
        targets[split] = arrays["factors"]
    mean, centre = pixels["train"].mean(0), targets["train"].mean(0)
    x = pixels["train"] - mean
    gram = x.T @ x
    gram[np.diag_indices_from(gram)] += np.float32(penalty)
    weights = np.linalg.solve(gram, x.T @ (targets["train"] - centre))
    read = (pixels["test"] - mean) @ weights + centre
    return 1 - ((read - targets["test"]) ** 2).mean(0) / targets["test"].var(0)


def effects(count: int) -> np.ndarray:
    """(F, count, 32, 32, 3) changes of the picture, each factor taken from low to high."""
    base = faces.sample_factors(count, seed=1)
    changes = []
    for i, factor in enumerate(faces.FACTORS):
        ends = []
        for value in (factor.low, factor.high):
            moved = base.copy()
            moved[:, i] = value
            ends.append(faces.render(moved).astype(np.float32))
        changes.append(ends[1] - ends[0])
    return np.stack(changes)


def images_per_second(size: int, pixels: int = 2_000_000) -> float:
    factors = faces.sample_factors(pixels // size**2, seed=2)
    faces.render(factors, size)
    before = time.process_time()
    faces.render(factors, size)
    return len(factors) / (time.process_time() - before)


def table(train: int) -> None:
    r2 = read_back(train, HELD_OUT)
    changes = effects(500)
    alike = np.corrcoef(changes.mean(1).reshape(len(faces.FACTORS), -1))
    np.fill_diagonal(alike, 0)
    print(f"{'factor':16} {'low':>6} {'high':>6} {'R^2':>6} {'change':>7}  alike")
    for i, factor in enumerate(faces.FACTORS):
        top, bottom, left, right = factor.region
        change = np.abs(changes[i, :, top:bottom, left:right]).mean()
        other = int(np.abs(alike[i]).argmax())
        print(
            f"{factor.name:16} {factor.low:6g} {factor.high:6g} {r2[i]:6.3f} {change:7.1f}"
            f"  {alike[i, other]:+.2f} {faces.NAMES[other]}"
        )
    for size in (32, 64, 128):
        print(f"{size} x {size}: {images_per_second(size):,.0f} images/s")


def contact_sheet(path: str) -> None:
    """Random faces at three sizes, then one row for each factor."""
    rows = [
        (f"{size} px", faces.generate("test", size, start=start, stop=start + 10)["images"])
        for start, size in ((0, 128), (10, 128), (20, 64), (30, 64), (40, 32), (50, 32))
    ]
    for factor in faces.FACTORS:
        values = np.linspace(factor.low, factor.high, 10)
        rows.append((factor.name, faces.render({**PLAIN, factor.name: values}, 128)))
    side, margin = 128, 120
    sheet = Image.new("RGB", (margin + 10 * side, len(rows) * side), "white")
    pen = ImageDraw.Draw(sheet)
    for row, (title, images) in enumerate(rows):
        pen.text((6, row * side + side // 2 - 6), title, fill="black")
        for column, image in enumerate(images):
            tile = Image.fromarray(image).resize((side, side), Image.Resampling.NEAREST)
            sheet.paste(tile, (margin + column * side, row * side))
    sheet.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the procedural faces.")
    parser.add_argument("--train", type=int, default=20_000, help="faces the regression sees")
    parser.add_argument("--png", help="write a contact sheet here")
    arguments = parser.parse_args()
    table(arguments.train)
    if arguments.png:
        contact_sheet(arguments.png)


if __name__ == "__main__":
    main()
