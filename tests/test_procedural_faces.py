"""The procedural faces: what a factor does, and what a picture depends on."""

import subprocess
import sys
import zlib

import numpy as np
import pytest

from csi_tf.data import procedural_faces as faces
from csi_tf.data.procedural_faces import ATTRIBUTES, FACTORS, NAMES, attributes, generate, render

COUNT = len(FACTORS)


@pytest.fixture(scope="module")
def changes() -> np.ndarray:
    """(F, 150, 32, 32, 3): the picture at the high end of a factor less that at its low end."""
    base = faces.sample_factors(150, seed=1)
    found = []
    for i, factor in enumerate(FACTORS):
        low, high = base.copy(), base.copy()
        low[:, i], high[:, i] = factor.low, factor.high
        found.append(render(high).astype(np.float32) - render(low))
    return np.stack(found)


def test_a_face_does_not_depend_on_its_batch_or_its_place_in_it():
    factors = faces.sample_factors(40)
    for size in (17, 32, 64):  # an odd size leaves vector instructions a remainder
        together = render(factors, size)
        for i in (0, 1, 23, 39):
            np.testing.assert_array_equal(render(factors[i : i + 1], size)[0], together[i])
        np.testing.assert_array_equal(render(factors[::-1], size), together[::-1])


def test_the_data_set_is_the_same_everywhere():
    """Only exactly rounded operations touch a pixel, so one checksum serves every machine.

    A deliberate change of the drawing changes this number; nothing else may.
    """
    made = generate("test", 32, stop=64)
    assert zlib.crc32(made["factors"].tobytes()) == 0xB321AABD
    assert zlib.crc32(made["images"].tobytes()) == 0x4EEA3D4A


def test_a_row_of_factors_depends_on_seed_and_example_alone():
    rows = faces.sample_factors(100, seed=5)
    np.testing.assert_array_equal(faces.sample_factors([7, 99, 7], seed=5), rows[[7, 99, 7]])
    assert not np.isin(faces.sample_factors(100, seed=6), rows).any()
    assert rows.dtype == np.float32
    assert rows.shape == (100, COUNT)


def test_factors_are_uniform_and_independent():
    low = np.array([factor.low for factor in FACTORS])
    high = np.array([factor.high for factor in FACTORS])
    count = 20_000
    rows = (faces.sample_factors(count) - low) / (high - low)
    assert rows.min() > -1e-6
    assert rows.max() < 1 + 1e-6  # float32 rounding of the range
    shares = np.stack([np.histogram(column, 10, (0, 1))[0] for column in rows.T]) / count
    # Five standard errors, as hundreds of numbers are looked at: sqrt(.1 * .9 / n) and 1 / sqrt(n).
    assert np.abs(shares - 0.1).max() < 5 * 0.3 / count**0.5
    between = np.corrcoef(rows.T) - np.eye(COUNT)
    assert np.abs(between).max() < 5 / count**0.5


def test_splits_are_disjoint_and_can_be_had_in_parts():
    train, test = (set(range(*faces.SPLITS[split])) for split in ("train", "test"))
    assert (len(train), len(test)) == (60_000, 2_259)
    assert not train & test
    whole = generate("test", 16, start=2_250)
    part = generate("test", 16, start=2_253, stop=2_256)
    assert len(whole["images"]) == 9
    for key, values in part.items():
        np.testing.assert_array_equal(values, whole[key][3:6])
    np.testing.assert_array_equal(whole["images"], render(whole["factors"], 16))
    np.testing.assert_array_equal(whole["attributes"], attributes(whole["factors"]))
    assert len(generate("train", 16, start=5, stop=5)["images"]) == 0


@pytest.mark.parametrize(("size", "tolerance"), [(16, 6), (17, 6), (32, 3), (48, 3), (128, 1)])
def test_every_size_gives_the_same_face(size: int, tolerance: float):
    """Soft edges stand in for exact areas, and locks finer than a pixel are left out when small.

    Measured: 4.4 grey levels at 16 pixels, 2.2 at 32, .6 at 128; half a pixel out costs thrice it.
    """
    factors = faces.sample_factors(8)
    fine = render(factors, 256)
    image = render(factors, size)
    assert image.shape == (8, size, size, 3)
    assert image.dtype == np.uint8
    rows = (np.arange(size) * 256) // size
    down = np.add.reduceat(np.add.reduceat(fine.astype(np.float32), rows, 1), rows, 2)
    spans = np.diff(np.append(rows, 256)).astype(np.float32)
    down /= (spans[:, None] * spans[None, :])[None, :, :, None]
    assert np.abs(down - image).mean() < tolerance


def test_factors_act_smoothly():
    """A thousandth of a range moves no pixel far: nothing pops in, not even thin glasses."""
    base = faces.sample_factors(30, seed=4)
    for i, factor in enumerate(FACTORS):
        step = np.float32((factor.high - factor.low) / 1000)
        low, high = base.copy(), base.copy()
        low[:10, i] = factor.low
        low[:, i] = np.clip(low[:, i], factor.low, factor.high - step)
        high[:, i] = low[:, i] + step
        moved = np.abs(render(low).astype(int) - render(high))
        # The steepest move an edge by .015 pixels, which is 4 of 256 grey levels at most.
        assert moved.max() <= 4, factor.name


def test_each_factor_shows_in_its_own_region(changes: np.ndarray):
    for factor, change in zip(FACTORS, changes, strict=True):
        top, bottom, left, right = factor.region
        assert np.abs(change[:, top:bottom, left:right]).mean() >= 4, factor.name


def test_no_two_factors_do_the_same(changes: np.ndarray):
    alike = np.corrcoef(changes.mean(1).reshape(COUNT, -1)) - np.eye(COUNT)
    assert np.abs(alike).max() < 0.9


def test_a_ridge_regression_reads_every_factor():
    """From raw pixels of unseen faces, R^2 >= .8 for each: so no factor is hidden by another."""
    train, test = generate("train", stop=4000), generate("test", stop=500)

    def pixels(made: dict[str, np.ndarray]) -> np.ndarray:
        return made["images"].reshape(len(made["images"]), -1) / np.float32(255)

    mean, centre = pixels(train).mean(0), train["factors"].mean(0)
    x = pixels(train) - mean
    gram = x.T @ x + 5 * np.eye(x.shape[1], dtype=np.float32)
    weights = np.linalg.solve(gram, x.T @ (train["factors"] - centre))
    error = (pixels(test) - mean) @ weights + centre - test["factors"]
    r2 = 1 - (error**2).mean(0) / test["factors"].var(0)
    assert {n: r for n, r in zip(NAMES, r2, strict=True) if r < 0.8} == {}


@pytest.mark.parametrize(
    ("factor", "box", "share"),
    [
        ("eye_opening", (9, 21, 5, 27), 0.99),
        ("gaze", (9, 21, 5, 27), 0.99),
        ("mouth_opening", (22, 32, 4, 28), 0.99),
        ("smile", (22, 32, 4, 28), 0.85),  # a smile lifts the cheeks as well
        ("nose_length", (18, 27, 11, 21), 0.9),  # the box is narrow for a turned head
        ("fringe", (0, 12, 0, 32), 0.85),  # a swept fringe comes down to the temple
    ],
)
def test_parts_lie_in_the_named_boxes_of_the_paper(
    factor: str, box: tuple[int, int, int, int], share: float, changes: np.ndarray
):
    top, bottom, left, right = box
    change = np.abs(changes[NAMES.index(factor)])
    assert change[:, top:bottom, left:right].sum() > share * change.sum()


def test_attributes_are_thresholds_on_factors():
    assert len({attribute.name for attribute in ATTRIBUTES}) == len(ATTRIBUTES) == 12
    labels = attributes(faces.sample_factors(4000))
    assert labels.dtype == np.uint8
    share = labels.mean(0)
    assert share.min() > 0.15  # neither answer is rare
    assert share.max() < 0.85
    column = [attribute.name for attribute in ATTRIBUTES].index("Smiling")
    assert attributes({"smile": [-1, 0, 0.1, 0.3, 1]})[:, column].tolist() == [0, 0, 0, 1, 1]
    column = [attribute.name for attribute in ATTRIBUTES].index("No_Beard")
    assert attributes({"beard": [0, 0.2, 0.4, 1]})[:, column].tolist() == [1, 1, 0, 0]


def test_a_mapping_leaves_the_rest_at_the_midpoint():
    middle = np.array([(factor.low + factor.high) / 2 for factor in FACTORS], np.float32)
    rows = np.tile(middle, (3, 1))
    rows[:, NAMES.index("smile")] = (-1, 0, 1)
    rows[:, NAMES.index("glasses")] = 1
    np.testing.assert_array_equal(render({"smile": [-1, 0, 1], "glasses": 1}), render(rows))
    np.testing.assert_array_equal(render({}), render(middle[None]))


ROW = faces.sample_factors(1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: render(ROW[0]), r"shape \(18,\).*factors\[None\]"),
        (lambda: render(ROW[:, :5]), r"shape \(1, 5\).*\(N, 18\)"),
        (lambda: render(ROW.astype(str)), "<U"),
        (lambda: render(ROW * np.nan), "azimuth is nan in row 0"),
        (lambda: render({"smile": [0, 2]}), "smile is 2.0 in row 1.*-1 to 1.*np.clip"),
        (lambda: render({"smiel": 0}), "Unknown factor 'smiel'.*smile"),
        (lambda: render({"smile": [0, 1], "gaze": [0, 0, 0]}), "one length"),
        (lambda: render({"smile": [[0, 1]]}), "one-dimensional"),
        (lambda: render({"smile": "wide"}), "smile came as <U4"),
        (lambda: render(ROW, 8), "size is 8; .* from 16 to 256"),
        (lambda: render(ROW, 32.0), "size is 32.0; .*whole number"),
        (lambda: attributes(ROW[0]), "shape"),
        (lambda: faces.sample_factors(-1), "0 up"),
        (lambda: faces.sample_factors(0.5), "float64"),
        (lambda: faces.sample_factors([[1]]), r"shape \(1, 1\)"),
        (lambda: generate("valid"), "Unknown split 'valid'.*train, test"),
        (lambda: faces.sample_factors(2, seed="a"), "seed is 'a'; give a whole number"),
        (lambda: generate(["train"]), r"Unknown split \['train'\]"),
        (lambda: generate("train", start="1"), "start is '1'; give a whole number"),
        (lambda: generate("train", stop=2.0), "stop is 2.0; give a whole number"),
        (lambda: generate("test", stop=2_260), "0:2260.*2259"),
        (lambda: generate("test", start=4, stop=3), "4:3"),
    ],
)
def test_bad_input_is_named_with_its_remedy(call, message: str):
    with pytest.raises(ValueError, match=message):
        call()


def test_drawing_needs_no_tensorflow():
    code = (
        "import sys; sys.modules['tensorflow'] = None; "
        "from csi_tf.data import procedural_faces as f; f.generate('test', stop=2)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
