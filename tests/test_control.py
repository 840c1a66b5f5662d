"""Control and the readers it rests on.

The models are functions: faces rendered from factors that a code sets, perfectly, mixed in pairs,
or not at all.
"""

import math

import numpy as np
import pytest
import scipy.stats
from sklearn.linear_model import Ridge

from csi_tf import latents, masks
from csi_tf.data import procedural_faces as faces
from csi_tf.evaluation import control, regressors

MOUTH = masks.named("mouth", 32)
SET = ("smile", "mouth_opening", "beard")
VALUES = np.linspace(-4, 4, 9)
WIDE = 10.0  # standard deviation of factors that a slope of 1 moves by 8
LABELS = tuple(attribute.name for attribute in faces.ATTRIBUTES)
# At the end of a slider factors stay at theirs: values beyond -2 and 2 are ties.
CLIPPED = scipy.stats.spearmanr(VALUES, np.clip(VALUES, -2, 2)).statistic


def perfect(z):
    return z[:, :3] * [1, 1, -1]


def mixed(z):
    """Smile and opening of the mouth by sum and difference, as a turned code has them."""
    return np.stack([z[:, 0] + z[:, 1], z[:, 0] - z[:, 1], -math.sqrt(2) * z[:, 2]], 1) / 2**0.5


def dead(z):
    return np.zeros((len(z), 3))


def render(model, z, first):
    """The faces from number `first` on, with three factors set by the code: -2..2 is their all."""
    rows = faces.sample_factors(np.arange(first, first + len(z)), seed=9)
    for name, part in zip(SET, np.clip((model(z) + 2) / 4, 0, 1).T, strict=True):
        factor = faces.FACTORS[faces.NAMES.index(name)]
        rows[:, faces.NAMES.index(name)] = factor.low + (factor.high - factor.low) * part
    return faces.render(rows)


def inferred(first, count):
    return np.random.default_rng(first).normal(size=(count, 4))


def traversals(model, first, count=8, directions=None):
    """(L, N, V, H, W, 3): along four axes of which the model knows three, or along directions."""
    z = inferred(first, count)
    return np.array(
        [
            [render(model, z + (v - z @ d)[:, None] * d, first) for v in VALUES]
            for d in (np.eye(4) if directions is None else directions)
        ]
    ).swapaxes(1, 2)


@pytest.fixture(scope="module")
def data():
    return faces.generate("train", stop=2000), faces.generate("test", stop=500)


@pytest.fixture(scope="module")
def reader(data):
    return regressors.factor_reader(*examples(data, "factors"), faces.NAMES, MOUTH)


def examples(data, what):
    return [(part["images"], part[what]) for part in data]


def measured(model, reader, **settings):
    readings = [reader(traversals(model, first, **settings)) for first in (0, 100)]
    scale = reader.names, reader.resolution, reader.spread, reader.related
    return control.measure(*readings, VALUES, *scale)


@pytest.fixture(scope="module")
def found(reader):
    return {model: measured(model, reader) for model in (perfect, mixed, dead)}


# Readers


def test_a_reader_is_ridge_regression_and_reads_held_out_faces(data, reader):
    hole = MOUTH[..., 0] == 0
    pixels = [part["images"][:, hole].reshape(len(part["images"]), -1) / 255 for part in data]
    fitted = Ridge(alpha=1.0).fit(pixels[0], data[0]["factors"])
    columns = [faces.NAMES.index(name) for name in reader.names]
    expected = fitted.predict(pixels[1])[:, columns]
    # Float32 sums over 2,000 faces; angles are tens of degrees, of which .02 is nothing.
    np.testing.assert_allclose(reader(data[1]["images"]), expected, atol=0.02)
    truth = data[1]["factors"][:, columns]
    r2 = 1 - np.square(expected - truth).mean(0) / truth.var(0)
    np.testing.assert_allclose(reader.quality, r2, atol=1e-3)
    assert set(SET) < set(reader.names)
    assert min(reader.quality) >= regressors.USEFUL_R2


def test_of_few_pictures_with_many_pixels_the_reader_is_the_same(data):
    """The smaller of two systems with one solution."""
    few = [(images[:900], rows[:900, :6]) for images, rows in examples(data, "factors")]
    reader = regressors.factor_reader(*few, faces.NAMES[:6])  # 3,072 pixel values
    pixels = [images.reshape(len(images), -1) / 255 for images, _ in few]
    fitted = Ridge(alpha=1.0).fit(pixels[0], few[0][1])
    columns = [faces.NAMES.index(name) for name in reader.names]
    np.testing.assert_allclose(reader(few[1][0]), fitted.predict(pixels[1])[:, columns], atol=0.02)
    labels = [(images[:900], rows[:900]) for images, rows in examples(data, "attributes")]
    glasses = [(images, rows[:, [LABELS.index("Eyeglasses")]]) for images, rows in labels]
    assert regressors.attribute_reader(*glasses, ["Eyeglasses"]).quality[0] > 0.8


def test_a_reader_of_a_hole_sees_nothing_else(data, reader):
    images = data[1]["images"][:4]
    blank = np.where(MOUTH == 1, 0, images).astype(np.uint8)
    np.testing.assert_array_equal(reader(blank), reader(images))
    assert np.abs(reader(images[::-1].copy()) - reader(images)).max() > 0
    assert not {"glasses", "gaze", "fringe"} & set(reader.names)  # which are elsewhere
    np.testing.assert_allclose(
        reader(images.reshape(2, 2, 32, 32, 3)).reshape(4, -1), reader(images), atol=1e-4
    )


def test_pixels_that_nothing_can_be_read_from_are_refused(data):
    shuffled = [(images, targets[::-1]) for images, targets in examples(data, "factors")]
    with pytest.raises(ValueError, match=r" and 17 more cannot be read"):
        regressors.factor_reader(*shuffled, faces.NAMES, MOUTH)


def test_attributes_are_read_as_log_odds(data):
    labels = examples(data, "attributes")
    reader = regressors.attribute_reader(*labels, LABELS, MOUTH)
    assert {"Smiling", "Mouth_Slightly_Open", "No_Beard"} < set(reader.names)
    assert not {"Eyeglasses", "Looking_Right"} & set(reader.names)
    truth = data[1]["attributes"][:, LABELS.index("Smiling")]
    odds = reader(data[1]["images"])[:, reader.names.index("Smiling")]
    yes, no = (odds[truth == 1] >= 0).mean(), (odds[truth == 0] < 0).mean()
    accuracy = (yes + no) / 2
    assert reader.quality[reader.names.index("Smiling")] == pytest.approx(accuracy)
    assert accuracy > 0.88  # .93 with these faces; .75 counts as of use, .5 is chance
    found = measured(perfect, reader)
    assert [found.names[i] for i in found.factor[:2]] == ["Smiling", "Mouth_Slightly_Open"]
    assert found.margin[:2].min() > 0.5


def test_a_rare_attribute_is_found_as_often_as_its_absence(data):
    """A fifth of the faces has black hair, which a mouth shows in the beard and at the sides."""
    column = LABELS.index("Black_Hair")
    labels = [(images, rows[:, [column]]) for images, rows in examples(data, "attributes")]
    reader = regressors.attribute_reader(*labels, ["Black_Hair"], MOUTH)
    odds, truth = reader(data[1]["images"])[:, 0], data[1]["attributes"][:, column]
    assert truth.mean() < 0.25
    # One in 110 of those who have it is .01; without weights the two are .2 apart.
    assert (odds[truth == 1] >= 0).mean() == pytest.approx((odds[truth == 0] < 0).mean(), abs=0.1)


def test_attributes_that_cannot_be_learned_are_named(data):
    columns = [LABELS.index("Smiling"), LABELS.index("Eyeglasses")]
    names = [LABELS[i] for i in columns]
    labels = [(images, rows[:, columns]) for images, rows in examples(data, "attributes")]
    glasses = [(images, rows[:, 1:]) for images, rows in labels]
    with pytest.raises(ValueError, match=r"Eyeglasses \(accuracy 0\.\d\d\) cannot be read"):
        regressors.attribute_reader(*glasses, names[1:], MOUTH)
    all_no = [(images, rows * [1, 0]) for images, rows in labels]
    with pytest.raises(ValueError, match="Eyeglasses is the same in all pictures"):
        regressors.attribute_reader(*all_no, names, MOUTH)
    with pytest.raises(ValueError, match="labels are 0 or 1"):
        regressors.attribute_reader(*[(x, 0.5 + y) for x, y in labels], names, MOUTH)


def test_mistakes_in_pictures_and_masks(data, reader):
    factors = examples(data, "factors")
    with pytest.raises(ValueError, match="uint8"):
        reader(data[0]["images"][:2] / 255)
    with pytest.raises(ValueError, match="for the names"):
        regressors.factor_reader(*factors, ("smile",), MOUTH)
    with pytest.raises(ValueError, match="hole of zeros"):
        regressors.factor_reader(*factors, faces.NAMES, np.ones_like(MOUTH))


# Correlations, intervals, effects on arrays


def test_rank_correlation_is_spearmans_with_ties():
    readings = np.random.default_rng(0).integers(5, size=(6, 9, 2)).astype(float)
    readings[0, :, 0] = 3  # never moves
    found = control.rank_correlation(readings)
    assert found[0, 0] == 0
    for n, f in np.argwhere(np.ptp(readings, axis=1) > 0):
        expected = scipy.stats.spearmanr(VALUES, readings[n, :, f]).statistic
        assert found[n, f] == pytest.approx(expected, abs=1e-12)


def test_moves_below_the_resolution_do_not_count():
    slope = np.outer(VALUES, [0.1, 0.2])
    np.testing.assert_allclose(control.rank_correlation(slope), 1)
    np.testing.assert_allclose(control.rank_correlation(slope, [1.0, 1.0]), [0, 1])


@pytest.mark.parametrize(
    ("response", "interval"),
    [
        (VALUES, (-4, 4)),
        (np.clip(VALUES, -2, 3), (-2, 3)),
        (np.clip(VALUES, 0, None), (0, 4)),  # shows in one direction only
        (np.minimum(VALUES, 4 - VALUES), (-4, 2)),  # turns back
        (np.tanh(VALUES), (-2, 2)),
    ],
)
def test_useful_interval_leaves_flat_and_falling_ends_out(response, interval):
    first, last = control.useful(np.asarray(response, float), VALUES)
    assert (VALUES[first], VALUES[last]) == interval


def ramps(slopes, count=5):
    """Readings (1, N, V, F) that are straight lines."""
    return np.tile(np.multiply.outer(VALUES, np.asarray(slopes, float)), (1, count, 1, 1))


def test_effects_are_in_standard_deviations_over_the_interval():
    readings = np.clip(ramps([2.0, -0.5, 0.0]), [-4, -0.5, 0], [2, 1, 0])  # useful from -2 to 1
    readings[0, ::2, :, 2] += VALUES  # up in some pictures
    readings[0, 1::2, :, 2] -= VALUES  # down in others
    found = control.measure(readings, readings, VALUES, "abc", np.full(3, 0.1), np.array([3, 1, 2]))
    np.testing.assert_array_equal(found.interval, [[-2, 1]])
    # Of five pictures the third reading rises in three and falls in two.
    np.testing.assert_allclose(found.effect, [[2, -1.5, 3 / 2 / 5]])
    np.testing.assert_allclose(found.moved, [[2, 1.5, 1.5]])
    np.testing.assert_allclose(found.outside, [0.75])
    # What goes with the factor in the data is no other one.
    related = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], bool)
    args = VALUES, "abc", np.full(3, 0.1), np.array([3, 1, 2]), related
    kin = control.measure(readings, readings, *args)
    np.testing.assert_allclose(kin.outside, [0.75])  # the third, which moves as far as the second
    assert kin.margin[0] > 0.7 > found.margin[0] + 0.6


def test_what_strays_is_settled_on_validation_pictures():
    seen, held_out = ramps([2.0, 0.5, 0.1]), ramps([2.0, 0.1, 0.5])
    found = control.measure(seen, held_out, VALUES, "abc", np.full(3, 0.1), np.full(3, 9.0))
    np.testing.assert_allclose(found.outside, [0.05])


def test_factors_that_are_one_thing_in_the_data_are_counted_once():
    slopes = [[3.0, 0, 0, 0], [0, 3.0, 0, 0], [0, 0, 3.0, 0], [0, 0, 0, 3.0], [3.0, 0, 0, 0]]
    readings = np.concatenate([ramps(each) for each in slopes])
    related = np.eye(4, dtype=bool)
    related[[0, 1, 1, 2], [1, 0, 2, 1]] = True  # a smile, its cheeks, and what goes with those
    scale = np.full(4, 0.1), np.full(4, 9.0)
    every = np.ones(5, bool)
    apart = control.measure(readings, readings, VALUES, "abcd", *scale)
    assert apart.factors(every) == 4
    kin = control.measure(readings, readings, VALUES, "abcd", *scale, related)
    assert kin.factors(every) == 3  # the first and the third are two things
    assert kin.factors(np.array([True, True, False, False, True])) == 1
    assert kin.factors(~every) == 0


def test_labels_that_go_together_are_related(data):
    """A smile goes with its cheeks, whose label is another in a tenth of the faces."""
    smile, beard = LABELS.index("Smiling"), LABELS.index("No_Beard")
    labels = []
    for images, rows in examples(data, "attributes"):
        cheeks = rows[:, smile] ^ (np.arange(len(rows)) % 10 == 0)
        labels.append((images, np.stack([rows[:, smile], cheeks, rows[:, beard]], 1)))
    names = ["Smiling", "High_Cheekbones", "No_Beard"]
    reader = regressors.attribute_reader(*labels, names, MOUTH)
    assert reader.names == tuple(names)
    np.testing.assert_array_equal(reader.related, [[1, 1, 0], [1, 1, 0], [0, 0, 1]])
    found = measured(perfect, reader)
    # Without this, what moves a smile would not be told from what moves its cheeks.
    assert found.steers[0]
    assert found.names[found.factor[0]] in names[:2]


def test_factors_drawn_independently_are_not_related(reader):
    np.testing.assert_array_equal(reader.related, np.eye(len(reader.names)))


def test_the_next_best_counts_in_either_direction():
    noise = np.random.default_rng(1).normal(size=(1, 40, 9, 3))
    readings = ramps([1.0, 0.0, -1.0], 40) + [0.1, 1.0, 4.0] * noise
    args = VALUES, "abc", np.zeros(3), np.full(3, WIDE)
    found = control.measure(readings, readings, *args)
    by_hand = [
        np.mean([scipy.stats.spearmanr(VALUES, one).statistic for one in readings[0, :, :, f]])
        for f in range(3)
    ]
    np.testing.assert_allclose(found.correlation[0], by_hand, atol=1e-12)
    assert by_hand[2] < 0
    assert found.margin[0] == pytest.approx(by_hand[0] + by_hand[2])
    # A latent that is for its factor in the falling direction is as good.
    turned = control.measure(-readings, -readings, *args)
    np.testing.assert_allclose(turned.margin, found.margin)
    # In the other direction than on validation pictures it is not.
    assert control.measure(readings, -readings, *args).margin[0] < -1


def test_of_two_factors_ordered_equally_well_the_one_that_moves_more_is_meant():
    for slopes, meant in (([1.0, 2.0], 1), ([2.0, 1.0], 0), ([2.0, -5.0], 1)):
        readings = ramps(slopes)
        found = control.measure(readings, readings, VALUES, "ab", np.zeros(2), np.full(2, WIDE))
        assert found.factor[0] == meant
        assert found.margin[0] == 0
    # One swap in one picture is no reason to prefer what hardly moves: .997 against 1.
    readings = ramps([0.1, 2.0])
    readings[0, 0, 4:6, 1] = readings[0, 0, 5:3:-1, 1]
    found = control.measure(readings, readings, VALUES, "ab", np.zeros(2), np.full(2, WIDE))
    assert found.factor[0] == 1
    assert -0.01 < found.margin[0] < 0


def test_nothing_is_called_after_what_moves_further_than_it_ever_does_in_the_data():
    for slopes, meant in (([1.0, 5.1], 0), ([1.0, 4.9], 1)):
        readings = ramps(slopes)
        found = control.measure(readings, readings, VALUES, "ab", np.zeros(2), np.full(2, WIDE))
        assert found.factor[0] == meant
        assert found.margin[0] == 0  # it counts as another's movement all the same


def test_chance_pairs_do_not_win():
    """Readings of nothing: the best pair of validation pictures is no pair on others."""
    noise = np.random.default_rng(0).normal(size=(2, 24, 8, 9, 12))
    args = VALUES, [str(f) for f in range(12)], np.zeros(12), np.ones(12)
    chosen_and_reported = control.measure(noise[0], noise[0], *args)
    held_out = control.measure(noise[0], noise[1], *args)
    assert chosen_and_reported.margin.min() > -0.01  # pairs are chosen to two digits
    assert held_out.margin.max() < 0.15
    assert held_out.margin.mean() < -0.1
    assert held_out.dead.mean() > 0.8  # 3 standard deviations in one of 12 factors: 3 in 100


# Models


def test_a_perfect_model_is_read_as_such(found):
    one = found[perfect]
    assert [one.names[i] for i in one.factor[:3]] == list(SET)
    own = one.correlation[[0, 1, 2], one.factor[:3]]
    # Hair and glasses hide a few changes from the reader; ranks at the ends may swap.
    np.testing.assert_allclose(own, np.array([1, 1, -1]) * CLIPPED, atol=0.05)
    assert one.margin[:3].min() > 0.75
    np.testing.assert_array_equal(one.interval[:3], [[-2, 2]] * 3)
    # A uniform factor's range is 12^.5 of its standard deviations; a reading shrinks by up to R^2.
    assert np.abs(one.effect[[0, 1, 2], one.factor[:3]]).min() > regressors.USEFUL_R2 * 12**0.5
    assert one.effect[2, one.factor[2]] < 0
    assert one.outside[:3].max() < 0.2


def test_a_mixed_model_controls_worse(found):
    good, bad = found[perfect], found[mixed]
    assert bad.margin[:2].max() < 0.3 < good.margin[:2].min() - 0.4
    assert bad.outside[:2].min() > 0.5
    assert bad.margin[2] > 0.75  # the beard has a latent of its own in both


def test_dead_latents_are_told(found):
    np.testing.assert_array_equal(found[perfect].dead, [False, False, False, True])
    assert found[dead].dead.all()
    assert not found[dead].correlation.any()
    assert np.isnan(found[dead].outside).all()
    assert np.isnan(found[perfect].interval[3]).all()


def moved_together(model, reader):
    """Three latents of the mouth, each alone and all of them."""
    z = inferred(0, 12) * 0.3
    steps = 1.2 * np.eye(4)[:3]
    alone = [reader(render(model, z + step, 0)) for step in steps]
    return (
        reader(render(model, z, 0)),
        alone,
        reader(render(model, z + steps.sum(0), 0)),
        reader.spread,
    )


def test_changes_of_a_perfect_model_add_up(reader):
    assert control.additivity(*moved_together(perfect, reader)) > 0.95

    def jealous(z):
        """A latent shows only as long as the others are low."""
        others = z[:, :3].sum(1, keepdims=True) - z[:, :3]
        return z[:, :3] * (others < 1)

    assert control.additivity(*moved_together(jealous, reader)) < 0.6
    assert math.isnan(control.additivity(*moved_together(dead, reader)))


@pytest.mark.parametrize("part", [1.0, 0.5, 0.0, -1.0])
def test_additivity_in_closed_form(part):
    """All together move by a part k of the sum of the single changes: 2k / (1 + k^2)."""
    rng = np.random.default_rng(0)
    base, changes = rng.normal(size=(6, 2)), rng.normal(size=(3, 6, 2))
    together = base + part * changes.sum(0)
    found = control.additivity(base, base + changes, together, [1.0, 7.0])
    assert found == pytest.approx(2 * part / (1 + part**2))


# latents.json


def test_latents_are_named_ranked_and_read_back(tmp_path, found):
    named = control.entries(found[perfect], control.axes(4))
    assert sorted(latent.name for latent in named[:3]) == ["less beard", "mouth_opening", "smile"]
    assert (named[3].name, named[3].dimension, named[3].interval) == ("dead 3", 3, latents.USUAL)
    effects = [found[perfect].validation_moved[latent.dimension].max() for latent in named]
    assert effects == sorted(effects, reverse=True)
    path = tmp_path / latents.FILE
    latents.write(path, named)
    read = latents.read(path, 4)
    assert [latent.rank for latent in read] == [1, 2, 3, 4]
    assert [latent.name for latent in read] == [latent.name for latent in named]
    assert read[0].interval == (-2, 2)


def test_latents_without_a_factor_keep_their_number(found):
    named = {each.dimension: each.name for each in control.entries(found[dead], control.axes(4))}
    assert named == {i: f"dead {i}" for i in range(4)}
    readings = ramps([1.0, 1.0])
    tied = control.measure(readings, readings, VALUES, "ab", np.zeros(2), np.ones(2))
    (entry,) = control.entries(tied, control.axes(1))
    assert (entry.name, entry.dimension) == ("latent 0", 0)


def test_names_and_ranks_are_settled_on_validation_pictures():
    chosen, reported = np.concatenate([ramps([1.0, 0]), ramps([2.0, 0])]), ramps([-3.0, 0])
    reported = np.concatenate([reported, reported / 10])
    found = control.measure(chosen, reported, VALUES, "ab", np.zeros(2), np.full(2, WIDE))
    named = control.entries(found, control.axes(2))
    assert [(each.name, each.dimension) for each in named] == [("a", 1), ("a 2", 0)]
    assert found.own.max() < -0.99  # but what is reported is what they do elsewhere


def test_two_latents_of_one_factor_have_two_names():
    readings = np.concatenate([ramps([1.0]), ramps([3.0])])
    twice = control.measure(readings, readings, VALUES, ["smile"], np.zeros(1), np.ones(1))
    named = control.entries(twice, control.axes(2))
    assert [(each.name, each.dimension) for each in named] == [("smile", 1), ("smile 2", 0)]


@pytest.mark.parametrize(
    ("factor", "name"),
    [("hair=black", "hair_black"), ("Hair, black", "Hair_ black"), ("5", "attribute 5")],
)
def test_latents_of_factors_that_are_no_names_can_be_read_back(tmp_path, factor, name):
    """Data may call an attribute anything, and what is written has to load."""
    readings = ramps([1.0])
    found = control.measure(readings, readings, VALUES, [factor], np.zeros(1), np.ones(1))
    latents.write(tmp_path / latents.FILE, control.entries(found, control.axes(1)))
    assert [each.name for each in latents.read(tmp_path / latents.FILE, 1)] == [name]


def test_the_best_of_every_factor_comes_before_the_second_best_of_any():
    readings = np.concatenate([ramps([1.0, 0]), ramps([-3.0, 0]), ramps([0, 0.5])])
    made = control.measure(readings, readings, VALUES, "ab", np.zeros(2), np.full(2, WIDE))
    named = [(each.name, each.dimension) for each in control.entries(made, control.axes(3))]
    assert named == [("less a", 1), ("b", 2), ("a", 0)]


def test_regression_directions_undo_a_turn_and_come_after_the_axes(tmp_path, reader):
    """A mixed model has no axis for the smile; a direction beyond the paper has it."""
    z = np.random.default_rng(0).normal(size=(2000, 4))
    directions = control.regression_directions(z, mixed(z)[:, :2], SET[:2])
    for each, sign in zip(directions, ([1, 1, 0, 0], [1, -1, 0, 0]), strict=True):
        np.testing.assert_allclose(each.direction, np.array(sign) / 2**0.5, atol=1e-9)
        assert each.dimension is None
    every = [*control.axes(4), *directions]
    along = [each.direction for each in every]
    both = measured(mixed, reader, directions=along)
    assert both.margin[4:].min() > 0.75
    named = control.entries(both, every)
    assert [each.name for each in named[-3:]] == [
        "smile direction",
        "mouth_opening direction",
        "dead 3",
    ]
    latents.write(tmp_path / latents.FILE, named)
    read = latents.read(tmp_path / latents.FILE, 4)
    np.testing.assert_allclose(read[-2].direction, directions[1].direction)


def test_dead_directions_are_left_out(found):
    directions = control.principal_directions(np.random.default_rng(0).normal(size=(50, 4)), 4)
    assert control.entries(found[dead], directions) == []


def test_principal_directions_are_those_of_the_codes():
    """Standard deviations 3, 2 and 1 along turned axes: found to 1/sqrt(N), .02, and by order."""
    turned = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    codes = np.random.default_rng(4).normal(size=(5000, 3)) * [1, 3, 2] @ turned
    first, second = control.principal_directions(codes, 2)
    for found, expected in ((first, turned[1]), (second, turned[2])):
        assert abs(found.direction @ expected) > 0.99
        assert found.direction[np.abs(found.direction).argmax()] > 0
        assert np.linalg.norm(found.direction) == pytest.approx(1, abs=1e-12)
    assert (first.name, second.name) == ("principal direction 1", "principal direction 2")


# Mistakes


def test_mistakes():
    readings = ramps([1.0, 2.0])
    fine = (np.zeros(2), np.ones(2))
    with pytest.raises(ValueError, match="same latents, values and factors"):
        control.measure(readings, readings[..., :1], VALUES, "ab", *fine)
    with pytest.raises(ValueError, match="rising order"):
        control.measure(readings, readings, VALUES[::-1], "ab", *fine)
    with pytest.raises(ValueError, match="1 names, 2 resolutions and 2 spreads for 2 factors"):
        control.measure(readings, readings, VALUES, "a", *fine)
    with pytest.raises(ValueError, match=r"at 9 values are too few to tell .* give 5 pictures"):
        control.measure(readings[:, :4], readings, VALUES, "ab", *fine)
    with pytest.raises(ValueError, match="not finite"):
        control.measure(readings * np.nan, readings, VALUES, "ab", *fine)
    with pytest.raises(ValueError, match="2 latents are named and 1 were measured"):
        control.entries(control.measure(readings, readings, VALUES, "ab", *fine), control.axes(2))
    with pytest.raises(ValueError, match=r"give \(N, F\), \(K, N, F\)"):
        control.additivity(np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 2)), [1, 1])
    with pytest.raises(ValueError, match="smile does not follow the codes"):
        control.regression_directions(np.eye(4)[:, :2], np.ones((4, 1)), ["smile"])
    with pytest.raises(ValueError, match="a count up to D"):
        control.principal_directions(np.eye(3), 4)


def test_what_moves_little_else_comes_before_what_moves_more_and_much_else():
    readings = np.concatenate([ramps([3.0, 0]), ramps([0, 1.0])])
    readings[0, :, :, 1] = readings[0, :, ::-1, 0] / 3  # in all but the amount
    readings[0, :, 3:6, 1] = readings[0, :, 5:2:-1, 1]
    made = control.measure(readings, readings, VALUES, "ab", np.zeros(2), np.full(2, WIDE))
    named = [(each.name, each.dimension) for each in control.entries(made, control.axes(2))]
    assert named == [("b", 1), ("a", 0)]
