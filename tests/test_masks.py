"""Masks: the named boxes, and every random law against an independent computation."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from csi_tf import masks
from csi_tf.masks.distributions import brush_strokes

RANDOM = masks.DISTRIBUTIONS
MIXTURE = "rectangle:0.6,brush:0.4"


def holes(distribution, count, size=32, seed=0, **options):
    return masks.sample(distribution, count, size, seed, **options)[..., 0] == 0


# --- named boxes ---------------------------------------------------------------------------------

BOXES_AT_32 = {
    "center": (8, 24, 8, 24),
    "eyes": (9, 21, 5, 27),
    "nose": (18, 27, 11, 21),
    "mouth": (22, 32, 4, 28),
    "hair": (0, 12, 0, 32),
    "face": (8, 32, 8, 24),
    "bottom_half": (16, 32, 0, 32),
    "bottom_quarter": (24, 32, 0, 32),
    "top_half": (0, 16, 0, 32),
    "left_half": (0, 32, 0, 16),
    "right_half": (0, 32, 16, 32),
    "all": (0, 32, 0, 32),
    "none": (0, 0, 0, 0),
}


def test_the_named_boxes_are_those_of_the_reference():
    assert set(masks.NAMES) == set(BOXES_AT_32)
    for name, (top, bottom, left, right) in BOXES_AT_32.items():
        mask = masks.named(name, 32)
        assert mask.shape == (32, 32, 1)
        assert mask.dtype == np.float32
        expected = np.ones((32, 32), np.float32)
        for row in range(top, bottom):
            for column in range(left, right):
                expected[row, column] = 0
        np.testing.assert_array_equal(mask[..., 0], expected, err_msg=name)
    np.testing.assert_array_equal(masks.named("eye", 32), masks.named("eyes", 32))


@pytest.mark.parametrize("factor", [2, 4])
def test_boxes_scale_with_the_image(factor):
    for name, expected in BOXES_AT_32.items():
        assert masks.box(name, 32 * factor) == tuple(factor * edge for edge in expected)
        enlarged = masks.named(name, 32).repeat(factor, axis=0).repeat(factor, axis=1)
        np.testing.assert_array_equal(masks.named(name, 32 * factor), enlarged)


@pytest.mark.parametrize("size", [2, 3, 5, 15, 31, 33, 49, (17, 40)])
def test_halves_tile_and_no_box_is_empty_at_any_size(size):
    hole = {name: masks.named(name, size) == 0 for name in masks.NAMES}
    for one, other in (("top_half", "bottom_half"), ("left_half", "right_half")):
        np.testing.assert_array_equal(hole[one] ^ hole[other], hole["all"])
    assert hole["all"].all()
    assert not hole["none"].any()
    assert all(hole[name].any() for name in masks.NAMES if name != "none")
    height, width = hole["all"].shape[:2]
    assert (height, width) == (size if isinstance(size, tuple) else (size, size))
    for name in masks.NAMES:
        top, bottom, left, right = masks.box(name, size)
        assert 0 <= top <= bottom <= height
        assert 0 <= left <= right <= width


@pytest.mark.parametrize("size", [1, 0, -4, 32.0, True, "32", (32,), (32, 32, 1), None])
def test_impossible_sizes_are_refused(size):
    with pytest.raises(ValueError, match=r"give (a whole number|one side)"):
        masks.named("mouth", size)


def test_an_unknown_name_lists_the_valid_ones():
    with pytest.raises(ValueError, match=r"'moth'.*center, eyes, nose, mouth.*none"):
        masks.named("moth", 32)
    with pytest.raises(ValueError, match=r"masks\.sample"):
        masks.named("rectangle", 32)
    with pytest.raises(ValueError, match=r"\['mouth'\]"):
        masks.named(["mouth"], 32)


# --- rectangles ----------------------------------------------------------------------------------


def side_coverage(size, sides, limit):
    """Exact chance of each row to lie in the hole, and E[side^2], by going through every case."""
    chance, squares = np.zeros(size), 0.0
    for side in sides:
        squares += side**2 / len(sides)
        starts = range(limit - side + 1)
        for start in starts:
            chance[start : start + side] += 1 / len(sides) / len(starts)
    return chance, squares


# distribution, size, sides from .. to, rows 0..limit-1 can be masked
RECTANGLES = [
    ("rectangle", 32, 4, 32, 32),
    ("rectangle", 45, 6, 45, 45),
    ("published_rectangle", 32, 4, 27, 31),
    ("published_rectangle", 64, 8, 54, 62),
]


@pytest.mark.parametrize(("distribution", "size", "shortest", "longest", "limit"), RECTANGLES)
def test_rectangles_follow_their_law(distribution, size, shortest, longest, limit):
    count = 8000
    hole = holes(distribution, count, size)
    rows, columns = hole.any(2), hole.any(1)
    np.testing.assert_array_equal(hole, rows[:, :, None] & columns[:, None, :])  # solid boxes

    chance, squares = side_coverage(size, range(shortest, longest + 1), limit)
    for covered in (rows, columns):
        sides = covered.sum(1)
        assert {sides.min(), sides.max()} == {shortest, longest}
        expected = count / (longest - shortest + 1)
        observed = np.bincount(sides)[shortest:]
        # Poisson counts; 5 standard errors over some 40 cells.
        assert np.abs(observed - expected).max() < 5 * np.sqrt(expected)

    pixel = np.outer(chance, chance)
    error = np.sqrt(pixel * (1 - pixel) / count)
    assert (np.abs(hole.mean(0) - pixel) <= 5 * error).all()
    # Height and width are independent, so E[area^2] is the square of E[side^2].
    mean = (chance.sum() / size) ** 2
    error = np.sqrt((squares**2 / size**4 - mean**2) / count)
    assert abs(hole.mean() - mean) < 4 * error


def test_rectangle_reaches_every_pixel_and_published_rectangle_never_the_last():
    assert holes("rectangle", 3000).any(0).all()
    reached = holes("published_rectangle", 6000).any(0)
    assert reached[:31, :31].all()
    assert not reached[31].any()
    assert not reached[:, 31].any()
    chance, _ = side_coverage(32, range(4, 28), 31)
    assert (chance.sum() / 32) ** 2 == pytest.approx(0.2346, abs=5e-5)


# --- pepper, brush, blobs ------------------------------------------------------------------------


def test_pepper_is_independent_given_a_uniform_chance_per_image():
    count = 4000
    hole = holes("pepper", count)
    fraction = hole.mean((1, 2))
    # Var[fraction] = Var[p] + E[p(1-p)]/1024 with p uniform on .1...9
    variance = 0.64 / 12 + (0.25 - 0.64 / 12) / 1024
    assert abs(fraction.mean() - 0.5) < 4 * np.sqrt(variance / count)
    quarters = np.histogram(fraction, [0, 0.3, 0.5, 0.7, 1])[0] / count
    assert np.abs(quarters - 0.25).max() < 5 * np.sqrt(0.25 * 0.75 / count)
    # Given p neighbours are independent: P(both missing) is E[p^2], p being nearly the fraction.
    both = (hole[:, :, 1:] & hole[:, :, :-1]).mean((1, 2))
    excess = both - (fraction**2 - fraction * (1 - fraction) / 1024)
    # sd per image is at most about sqrt(3 * .25/992), from the variance of a product of two pixels
    assert abs(excess.mean()) < 4 * np.sqrt(0.75 / 992 / count)


def test_brush_is_the_thresholded_antialiased_stroke():
    """Against supersampled discs stamped along the same paths."""
    size, fine, count = 32, 8, 12
    counts, vertices, radii = brush_strokes(5, np.arange(count), size)
    hole = holes("brush", count, size, seed=5)
    assert vertices.min() >= 0
    assert vertices.max() <= size
    grid = (np.arange(size * fine) + 0.5) / fine
    painted = np.zeros((count, size * fine, size * fine), bool)
    for i in range(count):
        for stroke in range(counts[i]):
            for segment in range(radii.shape[2]):
                begin, end = vertices[i, stroke, segment : segment + 2]
                stamps = int(np.ceil(np.abs(end - begin).max() * 4)) + 1
                for y, x in np.linspace(begin, end, stamps):
                    square = (grid[:, None] - y) ** 2 + (grid - x) ** 2
                    painted[i] |= square <= radii[i, stroke, segment] ** 2
    coverage = painted.reshape(count, size, fine, size, fine).mean((2, 4))
    # A straight edge through the centre covers half; the round ends of thin strokes a little less.
    assert coverage[hole].min() > 0.4
    # Other way round two segments may cover most of a pixel between them, each less than half:
    # that happens in .35 % of the pixels, a radius wrong by a fifth of a pixel makes it 1 %.
    assert (hole != (coverage >= 0.5)).mean() < 0.006


def test_brush_counts_and_widths_vary():
    counts, _, radii = brush_strokes(0, np.arange(4000), 32)
    frequency = np.bincount(counts, minlength=5)[1:] / 4000
    assert np.abs(frequency - 0.25).max() < 4 * np.sqrt(0.25 * 0.75 / 4000)
    assert radii.min() >= 0.75
    assert radii[:, 0].mean(1).std() > 0.5  # pixels: widths differ between strokes


def blob_oracle(count, seed):
    """The law of `blobs` at 32, blob by blob, with one coin for each neighbour of each pixel."""
    generator = np.random.default_rng(seed)
    fractions = []
    for _ in range(count):
        steps = generator.integers(2, 8, size=generator.integers(1, 5))
        hole = np.zeros((34, 34), bool)  # one pixel of margin
        for left in range(7, 0, -1):
            for _ in range((steps == left).sum()):
                hole[tuple(generator.integers(1, 33, size=2))] = True
            coins = generator.random((3, 3, 34, 34)) < 0.5
            spread = hole.copy()
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    spread |= np.roll(hole & coins[dy, dx], (dy, dx), (0, 1))
            hole = np.pad(spread[1:-1, 1:-1], 1)
        grid = np.pad(hole[1:-1, 1:-1].astype(float), 1, mode="edge")
        kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
        smooth = sum(
            kernel[dy, dx] * grid[dy : dy + 32, dx : dx + 32] for dy in range(3) for dx in range(3)
        )
        fractions.append((smooth >= 0.5).mean())
    return np.array(fractions)


def test_blobs_follow_their_law():
    ours, theirs = holes("blobs", 4000).mean((1, 2)), blob_oracle(1200, 7)
    error = np.hypot(ours.std() / np.sqrt(4000), theirs.std() / np.sqrt(1200))
    assert abs(ours.mean() - theirs.mean()) < 4 * error
    for quantile in (0.1, 0.5, 0.9):
        below = (ours < np.quantile(theirs, quantile)).mean()
        # the error of an empirical quantile, both samples together
        assert abs(below - quantile) < 4 * np.sqrt(
            quantile * (1 - quantile) * (1 / 1200 + 1 / 4000)
        )


@pytest.mark.parametrize("distribution", ["brush", "blobs"])
def test_free_shapes_are_alike_at_every_size(distribution):
    small, large = holes(distribution, 200, 32), holes(distribution, 200, 128)
    shrunk = large.reshape(200, 32, 4, 32, 4).mean((2, 4)) >= 0.5
    # Outlines at 32 are those of 128 seen coarsely; only pixels on the outline may differ.
    assert (small != shrunk).mean() < 0.02
    # and a mask is no noise: a pixel mostly equals its neighbour
    assert (large[:, 1:] != large[:, :-1]).mean() < 0.03


@pytest.mark.parametrize("size", [2, 7, 16, 33])
@pytest.mark.parametrize("distribution", [d for d in RANDOM if d != "pepper"])
def test_no_random_hole_is_empty(distribution, size):
    assert holes(distribution, 300, size).any((1, 2)).all()


# --- seeds and batches ---------------------------------------------------------------------------


@pytest.mark.parametrize("distribution", [*RANDOM, MIXTURE, "mouth:1,pepper:2"])
def test_a_mask_depends_on_seed_and_example_alone(distribution):
    whole = masks.sample(distribution, 150, 32, 3)  # more than is drawn at a time
    assert whole.shape == (150, 32, 32, 1)
    assert whole.dtype == np.float32
    masks.check(whole, size=32, batch=150)
    picked = np.array([149, 3, 3, 77])
    np.testing.assert_array_equal(
        masks.sample(distribution, 4, 32, 3, examples=picked), whole[picked]
    )
    for example in (0, 149):
        alone = masks.sample(distribution, 1, 32, 3, examples=[example])
        np.testing.assert_array_equal(alone[0], whole[example])
    assert (masks.sample(distribution, 150, 32, 4) != whole).any()


def test_example_numbers_may_be_large():
    far = np.array([2**40, 2**40 + 1, 2**62])
    drawn = masks.sample("pepper", 3, 32, 0, examples=far)
    assert len(np.unique(drawn.reshape(3, -1), axis=0)) == 3


# What a seed gives is part of the interface: a change here changes every recorded run.
GOLDEN = {
    "rectangle": "051ae9eddf8c688b",
    "published_rectangle": "a35edbd1e9e8cf51",
    "brush": "6977db992fee4b91",
    "blobs": "63f7d15ab07ecbcd",
    "pepper": "171c4590276a9167",
}


@pytest.mark.parametrize("distribution", RANDOM)
def test_seeds_keep_their_meaning(distribution):
    drawn = np.packbits(holes(distribution, 100, 32, seed=2018))
    assert hashlib.sha256(drawn.tobytes()).hexdigest()[:16] == GOLDEN[distribution]


def test_a_fixed_mask_is_the_same_for_all():
    drawn = masks.sample("bottom_half", 3, 32, 0)
    np.testing.assert_array_equal(drawn, np.stack([masks.named("bottom_half", 32)] * 3))
    assert masks.sample("rectangle", 0, 32, 0).shape == (0, 32, 32, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rectangle", -1, 32, 0), "batch is -1"),
        (("rectangle", 2, 1, 0), "size is 1"),
        (("rectangle", 2, 32, 0.5), "seed is 0.5"),
        (("rectangle", 2, 32, 0, [1, 2, 3]), "3 examples for a batch of 2"),
        (("rectangle", 2, 32, 0, [1.0, 2.0]), r"examples is float64.*np\.arange"),
        (("rectangle", 2, 32, 0, [-1, 2]), "examples has -1; give whole numbers from 0"),
        (("rectangle", 2, 32, 0, [[1], [2]]), r"examples is int64 of shape \(2, 1\)"),
        (("rectangle", 2, 32, 0, None, "white"), "white_is_hole or black_is_hole"),
    ],
)
def test_bad_arguments_of_sample_say_what_to_give(arguments, message):
    with pytest.raises(ValueError, match=message):
        masks.sample(*arguments)


# --- specifications ------------------------------------------------------------------------------


def test_mixtures_follow_their_weights_and_keep_each_components_masks():
    count = 4000
    mixed = holes("rectangle:6, mouth:3,pepper", count)  # a bare name weighs 1
    alone = {name: holes(name, count) for name in ("rectangle", "mouth", "pepper")}
    equal = {name: (mixed == drawn).all((1, 2)) for name, drawn in alone.items()}
    assert np.all(sum(equal.values()) == 1)  # each mask is that of exactly one component
    for name, share in (("rectangle", 0.6), ("mouth", 0.3), ("pepper", 0.1)):
        assert abs(equal[name].mean() - share) < 4 * np.sqrt(share * (1 - share) / count)


def test_parse_gives_normalised_weights():
    mixture = masks.parse("rectangle:3,eye")
    assert [(part.name, part.weight) for part in mixture.components] == [
        ("rectangle", 0.75),
        ("eyes", 0.25),
    ]
    assert masks.parse(mixture) is mixture
    for name in (*masks.NAMES, *masks.DISTRIBUTIONS, "eye"):
        assert masks.parse(name).components[0].weight == 1


@pytest.mark.parametrize(
    ("specification", "message"),
    [
        ("rectangel", r"'rectangel'.*rectangle, published_rectangle.*center, eyes.*file:PATH"),
        ("", "Unknown mask ''"),
        ("rectangle,,brush", "Unknown mask ''"),
        ("rectangle:0,brush", "weight 0.0 .*positive"),
        ("rectangle:-1", "weight -1.0 .*positive"),
        ("rectangle:half", "weight 'half'.*rectangle:0.6,brush:0.4"),
        ("rectangle:nan", "weight nan"),
        ("rectangle:inf", "weight inf"),
        ("rectangle:", "weight ''"),
        ("eye,eyes", "'eyes' is listed twice"),
        ("file:nowhere.png", "no mask file 'nowhere.png'"),
        (None, "not None"),
    ],
)
def test_bad_specifications_are_refused_early(specification, message):
    with pytest.raises(ValueError, match=message):
        masks.parse(specification)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: masks.Mixture(()), r"mixture of \(\); give one"),
        (lambda: masks.Mixture(masks.Component("mouth")), "give one masks.Component or more"),
        (lambda: masks.Mixture(("mouth",)), "holds masks.Component, not 'mouth'"),
        (lambda: masks.Mixture([masks.Component("eye"), masks.Component("eyes")]), "listed twice"),
        (lambda: masks.Component("mouht"), "'mouht'.*mouth"),
        (lambda: masks.Component(["mouth"]), "Unknown mask"),
        (lambda: masks.Component("mouth", 0), "weight 0 "),
        (lambda: masks.Component("mouth", "1"), "weight '1'"),
        (lambda: masks.Component("mouth", True), "weight True"),
        (lambda: masks.Component("mouth", float("nan")), "weight nan"),
        (lambda: masks.Component("file"), "A path goes with"),
        (lambda: masks.Component("mouth", 1, "mask.png"), "A path goes with"),
        (lambda: masks.Component("file", 1, "nowhere.png"), "no mask file 'nowhere.png'"),
    ],
)
def test_mixtures_made_by_hand_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_mixtures_made_by_hand_are_normalised():
    """Unnormalised thresholds would leave the last component what is beyond 1: nothing."""
    mixture = masks.Mixture([masks.Component("eye", 3), masks.Component("mouth", np.float32(1))])
    assert mixture == masks.parse("eyes:0.75,mouth:0.25")
    np.testing.assert_array_equal(
        masks.sample(mixture, 50, 16, 0), masks.sample("eyes:3,mouth:1", 50, 16, 0)
    )


def test_files_in_specifications(tmp_path):
    path = tmp_path / "left:half.png"
    masks.to_file(masks.named("left_half", 32), path)
    drawn = masks.sample(f"file:{path}", 2, 64, 0)
    np.testing.assert_array_equal(drawn, np.stack([masks.named("left_half", 64)] * 2))
    inverted = masks.sample(f"file:{path}", 1, 64, 0, convention="black_is_hole")
    np.testing.assert_array_equal(inverted[0], masks.named("right_half", 64))
    parts = masks.parse(f"file:{path}:0.5,center:1.5").components
    assert [(part.name, part.weight) for part in parts] == [("file", 0.25), ("center", 0.75)]


def test_a_sampler_reads_its_file_once(tmp_path):
    path = tmp_path / "mask.png"
    masks.to_file(masks.named("nose", 32), path)
    draw = masks.sampler(f"file:{path}", 32, 0)
    path.unlink()
    np.testing.assert_array_equal(draw(np.array([5]))[0], masks.named("nose", 32))


# --- checks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (None, r"context_mask is None; expected a float32 array \(height, width, 1\) [^:]*$"),
        ("mouth", r"is 'mouth'; expected a float32 array [^:]*$"),
        ([[1.0]], r"of type list; expected a float32.*np\.array\(mask, np\.float32\)"),
        (np.array(["a"]), r"array of <U1; expected float32 [^:]*$"),
        (np.ones((8, 8, 1), bool), r"is bool.*astype\(np\.float32\) if True means observed"),
        (np.full((8, 8, 1), 255, np.uint8), r"is uint8.*\(mask < 128\)\.astype\(np\.float32\)"),
        (np.ones((8, 8, 1), np.uint8), r"is uint8.*use mask\.astype\(np\.float32\)"),
        (np.ones((8, 8, 1)), r"is float64.*use mask\.astype\(np\.float32\)"),
        (np.ones((8, 8), np.float32), r"shape \(8, 8\).*mask\[\.\.\., None\]"),
        (np.ones((5, 8, 8), np.float32), r"shape \(5, 8, 8\).*mask\[\.\.\., None\]"),
        (np.ones((8, 8, 3), np.float32), r"shape \(8, 8, 3\).*mask\[\.\.\., :1\]"),
        (np.ones(8, np.float32), r"shape \(8,\); expected \(height, width, 1\)"),
        (np.full((8, 8, 1), 0.5, np.float32), r"such as 0\.5\); threshold it"),
        (np.full((8, 8, 1), 255, np.float32), r"such as 255\)"),
        (np.full((8, 8, 1), np.nan, np.float32), r"such as nan\)"),
        (np.ones((9, 8, 1), np.float32), r"9x8 pixels; expected 8x8.*from_file"),
        (np.ones((3, 8, 8, 1), np.float32), "3 masks for 2 images"),
    ],
)
def test_check_says_how_to_convert(mask, message):
    with pytest.raises(ValueError, match=message):
        masks.check(mask, size=8, batch=2)


def test_check_returns_good_masks_unchanged():
    for mask in (masks.named("eyes", 8), masks.sample("pepper", 2, 8, 0)):
        assert masks.check(mask, size=8, batch=2) is mask
    with pytest.raises(ValueError, match=r"^hint is bool"):
        masks.check(np.ones((8, 8, 1), bool), what="hint")


def test_masks_need_no_tensorflow():
    code = (
        "import sys, csi_tf.masks as m; m.sample('rectangle', 1, 32, 0);"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
