"""The part control, on models whose answers are known and on one that was never trained.

Most models are functions: faces rendered with three factors set by the code, in place of what a
network would draw.
"""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import tiny

from csi_tf import latents, masks
from csi_tf import model as models
from csi_tf.data import procedural_faces as faces
from csi_tf.data.base import ImageArrays
from csi_tf.errors import RunFailed
from csi_tf.evaluation import control as measuring
from csi_tf.evaluation import evaluate, steering
from csi_tf.evaluation.parts import control
from csi_tf.evaluation.report import Report
from csi_tf.evaluation.settings import Evaluation
from csi_tf.evaluation.subject import Subject
from csi_tf.latents import Latent

SET = ("smile", "mouth_opening", "beard")
COLUMNS = [faces.NAMES.index(name) for name in SET]
COUNT, VALUES = 12, 7


def arrays(first, count, size=32):
    factors = faces.sample_factors(np.arange(first, first + count))
    images = faces.render(factors, size)
    return ImageArrays(images, factors=factors, factor_names=faces.NAMES)


def labelled(part):
    names = tuple(attribute.name for attribute in faces.ATTRIBUTES)
    return ImageArrays(part.images, faces.attributes(part.factors), names)


DATA = {"factors": (arrays(0, 2000), arrays(3000, 300), arrays(4000, COUNT))}
DATA["attributes"] = tuple(map(labelled, DATA["factors"]))
DATA["unknown"] = tuple(ImageArrays(part.images) for part in DATA["factors"])
# Whose face a picture is, so that it can be drawn with three of its factors set anew.
KNOWN = {
    image.tobytes(): factors
    for part in DATA["factors"]
    for image, factors in zip(part.images, part.factors, strict=True)
}


@pytest.fixture(scope="module", autouse=True)
def fitted_once():
    """Readers of the same pictures, of which the same is known, and of the same hole."""
    fit, fitted = steering.reader, {}

    def reader(subject, context_mask=None):
        data = [
            getattr(part, what)
            for part in (subject.train, subject.validation)
            for what in ("images", "factors", "attributes")
        ]
        key = (*map(id, data), None if context_mask is None else context_mask.tobytes())
        if key not in fitted:
            fitted[key] = fit(subject, context_mask), data  # kept, for no other to get its id
        return fitted[key][0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steering, "reader", reader)
        yield


def perfect(z):
    return z[:, :3] * [1, 1, -1]


def mixed(z):
    return np.stack([z[:, 0] + z[:, 1], z[:, 0] - z[:, 1], -(2**0.5) * z[:, 2]], 1) / 2**0.5


def clipped(z):
    """A smile that only the upper half of its latent moves, all the way."""
    return np.stack([np.maximum(z[:, 0], 0) * 4 / 3 - 2, z[:, 1], -z[:, 2]], 1)


def jealous(z):
    """What shows as long as the others are low."""
    others = np.abs(z[:, :3]).sum(1, keepdims=True) - np.abs(z[:, :3])
    return perfect(z) * (others < 3)


def chance(z):
    """Another face each time, whatever the code."""
    return np.random.default_rng(int(1e6 * abs(z).sum())).uniform(-2, 2, size=(len(z), 3))


class Model:
    """Encodes a picture by its factors, the fourth latent by none."""

    size = 32
    config = SimpleNamespace(latent_dim=4)

    def encode(self, images_pm1, context_mask, seed):
        del context_mask, seed
        images = np.rint((images_pm1 + 1) * 127.5).astype(np.uint8)
        rows = np.array([KNOWN[image.tobytes()] for image in images])[:, COLUMNS]
        low, high = (
            np.array([getattr(faces.FACTORS[i], w) for i in COLUMNS]) for w in ("low", "high")
        )
        z = np.zeros((len(rows), 4), np.float32)
        z[:, :3] = (4 * (rows - low) / (high - low) - 2) * [1, 1, -1]
        return z, np.full_like(z, -4)


def drawn_by(function):
    def completions(model, image_u8, mask, z, seed, batch):
        rows = np.repeat(KNOWN[image_u8.tobytes()][None], len(z), axis=0)
        for column, part in zip(COLUMNS, np.clip((function(z) + 2) / 4, 0, 1).T, strict=True):
            factor = faces.FACTORS[column]
            rows[:, column] = factor.low + (factor.high - factor.low) * part
        return faces.render(rows)

    return completions


def subject_of(data, model=None, **settings):
    train, validation, test = data
    asked = {"masks": "mouth,eyes,rectangle", "control_images": COUNT, "control_values": VALUES}
    made = Subject(
        Evaluation("m", **asked | settings),
        None,
        model or Model(),
        tiny.config(),
        {"stage": "stage2"},
        "procedural_faces" if train.factors is not None else "npz:faces.npz",
        test,
        validation,
    )
    made.train = train
    return made


def measured(function, what="factors", **settings):
    subject, report = subject_of(DATA[what], **settings), Report()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steering, "completions", drawn_by(function))
        control.measure(subject, report)
    return subject, report


@pytest.fixture(scope="module")
def found():
    return {f: measured(f) for f in (perfect, mixed, clipped, jealous, chance)}


def number(found, function, key):
    return found[function][1].measures[f"control/{key}"].estimate


def test_a_model_that_can_be_steered_is_counted(found):
    assert number(found, perfect, "axes/count") == 3
    assert number(found, perfect, "axes/factors") == 3
    assert number(found, perfect, "axes/local_factors") == 3
    assert number(found, perfect, "factors") == 3  # directions find the same again
    assert number(found, perfect, "one_sided") == 0
    # A regression of each of the three finds its axis again; of other factors z knows nothing.
    assert number(found, perfect, "directions/count") >= 3
    assert {each.name for each in found[perfect][0].entries if "direction" in each.name} == {
        *(f"{name} direction" for name in SET),
        *(f"principal direction {i}" for i in (1, 2, 3)),
    }
    table = {row["dimension"]: row for row in found[perfect][1].about["latents"][:4]}
    assert [table[i]["factor"] for i in range(3)] == list(SET)
    assert table[3] == {"name": "dead 3", "kind": "axis", "dimension": 3, "dead": True}
    # Set from -3 to 3, of which -2 to 2 is the factors' all.
    assert [table[i]["interval"] for i in range(3)] == [[-2, 2]] * 3


def test_every_latent_that_moves_anything_is_a_row_of_the_page(found):
    told = found[perfect][1].about["latents"]
    lines = evaluate._latents(told)
    dead = sum(each["dead"] for each in told)
    assert lines[2].startswith(f"Of {len(told)} axes and directions {dead} are dead")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[6:-1]]
    heads, _, *rows = rows
    assert [row[0] for row in rows] == [each["name"] for each in told if not each["dead"]]
    first = dict(zip(heads, rows[0], strict=True))
    assert (first["kind"], first["factor"], first["steers"]) == ("axis", "smile", "yes")
    assert float(first["correlation"]) == pytest.approx(told[0]["correlation"], abs=5e-3)
    assert first["interval"] == "-2 to 2"
    assert evaluate._latents([]) == []
    assert evaluate._latents(told[3:4])[2].startswith("Of 1 axes and directions 1 are dead")


def test_all_that_is_told_of_procedural_faces_has_a_direction():
    """Eight of thirteen once had: the smile came after what takes more of a picture."""
    told = [
        (Latent(f"{name} direction", np.eye(32)[i], (-3, 3), i), name, 0.9)
        for i, name in enumerate(faces.NAMES[:13])
    ]
    found = steering.directions(np.random.default_rng(0).normal(size=(100, 32)), told)
    names = [each.name for each in found]
    assert names[8:] == [f"{name} direction" for name in faces.NAMES[:13]]
    assert names[:8] == [f"principal direction {i}" for i in range(1, 9)]


def test_a_direction_is_shown_where_it_does_what_it_was_fitted_to():
    """Of beard that is a hole where a beard follows, and nothing else; an axis is for anything."""
    values = np.linspace(-3, 3, VALUES)

    def under(names, slopes):
        lines = np.tile(np.multiply.outer(values, slopes), (2, COUNT, 1, 1))
        scale = np.zeros(len(names)), np.full(len(names), 10.0)
        made = measuring.measure(lines, lines, values, names, *scale)
        reader = SimpleNamespace(names=names, resolution=scale[0], spread=scale[1])
        return steering.Traversal(reader, values, lines, lines, made)

    found = {
        "mouth": under(("beard", "nose_length"), [4.0, 3.0]),
        "bottom_half": under(("beard", "smile"), [2.0, 0.0]),
        "eyes": under(("glasses", "smile"), [5.0, 0.0]),
    }
    merged, holes = steering.joined(found, [None, "beard"])
    assert holes == ["eyes", "bottom_half"]
    assert [merged.names[i] for i in merged.factor] == ["glasses", "beard"]
    assert merged.steers.all()
    del found["bottom_half"]  # then with another, rather than another in its place
    assert steering.joined(found, [None, "beard"])[1] == ["eyes", "mouth"]


def test_latents_that_steer_the_same_are_one_factor():
    _, report = measured(lambda z: np.stack([z[:, 0] + z[:, 1], 0 * z[:, 0], z[:, 2]], 1))
    counted = [report.measures[f"control/axes/{what}"].estimate for what in ("count", "factors")]
    assert counted == [3, 2]


class Hued(Model):
    """Whose fourth latent is the hue behind the head."""

    def encode(self, images_pm1, context_mask, seed):
        mean, logvar = super().encode(images_pm1, context_mask, seed)
        images = np.rint((images_pm1 + 1) * 127.5).astype(np.uint8)
        hue = [KNOWN[image.tobytes()][faces.NAMES.index("background_hue")] for image in images]
        mean[:, 3] = 6 * np.array(hue) - 3
        return mean, logvar


@pytest.mark.parametrize("model", [Hued, Model])
def test_what_shows_everywhere_is_no_local_factor(monkeypatch, model):
    """What a latent holds nothing of it is not said to steer, whatever is seen to move."""
    column = faces.NAMES.index("background_hue")

    def completions(_, image_u8, mask, z, seed, batch):
        rows = np.repeat(KNOWN[image_u8.tobytes()][None], len(z), axis=0)
        rows[:, column] = np.clip(0.5 + z[:, 3] / 6, 0, 1)
        return faces.render(rows)

    monkeypatch.setattr(steering, "completions", completions)
    report = Report()
    subject = subject_of(DATA["factors"], model(), masks="mouth")
    control.measure(subject, report)
    assert report.measures["control/axes/factors"].estimate == (model is Hued)
    assert ("background_hue" in {each.name for each in subject.entries}) == (model is Hued)
    assert report.measures["control/axes/local_factors"].estimate == 0
    # Of one latent that steers, how many act in one direction says nothing.
    assert "control/one_sided" not in report.measures


def test_broken_models_score_worse(found):
    assert number(found, mixed, "axes/count") == 1  # the beard
    assert number(found, chance, "axes/count") == 0
    assert number(found, chance, "directions/count") == 0
    for key in ("mouth/correlation", "mouth/effect"):
        scores = [number(found, each, key) for each in (perfect, clipped, chance)]
        assert scores == sorted(scores, reverse=True)
    assert number(found, mixed, "mouth/outside") > 2 * number(found, perfect, "mouth/outside")
    # Nothing but chance: 3 standard deviations of a mean of 4 latents in 12 pictures, 6 steps each.
    assert abs(number(found, chance, "mouth/correlation")) < 3 / (4 * COUNT * (VALUES - 1)) ** 0.5


def test_rows_are_those_of_test_pictures(found):
    report = found[perfect][1]
    rows = report.rows("control/mouth/correlation")
    assert rows.shape == (COUNT,)
    # Three of four axes follow; ranks of the three values beyond the factor's ends are ties.
    assert rows.mean() == pytest.approx(number(found, perfect, "mouth/correlation"), abs=1e-5)
    assert 0.6 < rows.mean() < 0.75


def test_what_acts_in_one_direction_only_is_told(found):
    assert number(found, clipped, "axes/count") == 3
    assert number(found, clipped, "one_sided") == 1
    rows = {row["name"]: row for row in found[clipped][1].about["latents"]}
    assert rows["smile"]["one_sided"]
    assert rows["smile"]["interval"] == [0, 3]
    assert not rows["mouth_opening"]["one_sided"]


def test_additivity(found):
    """1 for what adds up, less where one latent hides another."""
    assert number(found, perfect, "additivity") > 0.95
    assert number(found, jealous, "additivity") < 0.6
    assert "control/additivity" not in found[chance][1].measures  # nothing to move


def test_global_factors_are_measured_under_the_holes_of_figure_7(found):
    assert control._everywhere(found[perfect][0]) == {
        "azimuth", "face_width", "skin_tone", "background_hue", "light_direction", "brightness",
    }  # fmt: skip
    for hole in control.LARGE:
        # These models set factors of the mouth alone.
        assert abs(number(found, perfect, f"global/{hole}/effect")) < 0.3
        assert len(found[perfect][1].rows(f"control/global/{hole}/effect")) == COUNT


def test_a_global_factor_that_is_set_has_an_effect(monkeypatch):
    column = faces.NAMES.index("skin_tone")

    def completions(model, image_u8, mask, z, seed, batch):
        rows = np.repeat(KNOWN[image_u8.tobytes()][None], len(z), axis=0)
        fades = 1 if (mask[0, 16:24] == 0).any() else 0.2
        rows[:, column] = np.clip(0.5 + fades * z[:, 3] / 4, 0, 1)
        return faces.render(rows)

    monkeypatch.setattr(steering, "completions", completions)
    report = Report()
    control.measure(subject_of(DATA["factors"], masks="rectangle"), report)
    effect = {h: report.measures[f"control/global/{h}/effect"].estimate for h in control.LARGE}
    assert effect["bottom_half"] > 2 * effect["bottom_quarter"] > 0


def test_one_and_the_same_move_is_measured_under_both_holes_of_figure_7(monkeypatch):
    """Two axes share the work, one under each hole: neither does what it does under both."""
    column = faces.NAMES.index("skin_tone")

    def completions(model, image_u8, mask, z, seed, batch):
        rows = np.repeat(KNOWN[image_u8.tobytes()][None], len(z), axis=0)
        large = (mask[0, 16:24] == 0).any()
        rows[:, column] = np.clip(0.5 + z[:, 3 if large else 2] / 4, 0, 1)
        return faces.render(rows)

    monkeypatch.setattr(steering, "completions", completions)
    report = Report()
    control.measure(subject_of(DATA["factors"], masks="rectangle"), report)
    effects = [abs(report.measures[f"control/global/{h}/effect"].estimate) for h in control.LARGE]
    assert min(effects) < 0.1 * max(effects)


def test_what_a_small_hole_shows_does_not_choose_the_latent(monkeypatch):
    """One latent acts under both holes, another further and under the large one only."""
    column = faces.NAMES.index("skin_tone")

    def completions(model, image_u8, mask, z, seed, batch):
        rows = np.repeat(KNOWN[image_u8.tobytes()][None], len(z), axis=0)
        large = (mask[0, 16:24] == 0).any()
        rows[:, column] = np.clip(0.5 + z[:, 2] / 12 + large * z[:, 3] / 8, 0, 1)
        return faces.render(rows)

    monkeypatch.setattr(steering, "completions", completions)
    report = Report()
    control.measure(subject_of(DATA["factors"], masks="rectangle"), report)
    effect = {h: report.measures[f"control/global/{h}/effect"].estimate for h in control.LARGE}
    assert abs(effect["bottom_quarter"]) < 0.1 * effect["bottom_half"]


def test_entries_are_what_latents_json_wants(tmp_path, found):
    entries = found[perfect][0].entries
    names = [each.name for each in entries]
    assert set(names[:3]) == {"smile", "mouth_opening", "less beard"}
    assert names[-1] == "dead 3"
    assert "smile direction" in names
    assert {each.dimension for each in entries[3:-1]} == {None}
    latents.write(tmp_path / latents.FILE, entries)
    assert [each.name for each in latents.read(tmp_path / latents.FILE, 4)] == names
    found[perfect][1].write(tmp_path)
    table = json.loads((tmp_path / "evaluation.json").read_text())["about"]["latents"]
    assert {row["name"] for row in table} >= set(names)
    assert {row["name"]: row.get("mask") for row in table}.items() >= {
        (each.name, each.mask) for each in entries
    }
    assert {each.mask for each in entries[:3]} == {"mouth"}


def test_attributes_do_where_factors_are_unknown(capsys):
    subject, report = measured(perfect, "attributes", masks="mouth")
    assert report.measures["control/axes/count"].estimate == 3
    assert {"Smiling", "Mouth_Slightly_Open"} < {each.name for each in subject.entries}
    assert "Eyeglasses" in report.about["unread"]["mouth"]
    assert not {"Smiling", "Mouth_Slightly_Open"} & {*report.about["unread"]["mouth"]}
    said = capsys.readouterr().out
    assert "under mouth, nothing is said of what cannot be read there: " in said
    assert "Eyeglasses" in said
    everywhere = control._everywhere(subject)
    assert "Pale_Skin" in everywhere
    assert not {"Smiling", "No_Beard"} & everywhere


def test_where_nothing_is_known_latents_are_ranked_by_the_pixels_they_move(tmp_path):
    """The fourth holds nothing of the data."""
    subject, report = measured(perfect, "unknown", masks="mouth,eyes,rectangle")
    assert not report.measures
    latents.write(tmp_path / "latents.json", subject.entries)
    found = latents.read(tmp_path / "latents.json", 4)
    assert [each.rank for each in found] == [1, 2, 3, 4]
    assert found[-1].name == "dead 3"
    assert found[-1].mask is None
    table = report.about["latents"]
    assert [each["name"] for each in table] == [each.name for each in found]
    assert evaluate._latents(table)[2].startswith("Of 4 axes and directions 1 are dead")
    assert evaluate._latents(table)[4] == "| name | kind | mask | levels |"
    levels = [each["levels"] for each in table[:3]]
    assert levels == sorted(levels, reverse=True)
    assert {each.mask for each in found[:3]} == {"mouth"}, "where all three are seen"


def test_without_anything_to_read():
    one, two, three = DATA["attributes"]
    wrong = ImageArrays(one.images, one.attributes[::-1], one.attribute_names)
    with pytest.raises(
        ValueError, match=r"raise --train_images.* \(accuracy 0\.\d\d\) and 11 more"
    ):
        control.measure(subject_of((wrong, two, three)), Report())


def test_where_nothing_varies_there_is_nothing_to_read():
    """As where all of a few pictures smile: refused like pixels that show nothing."""
    still = []
    for part in DATA["attributes"]:
        same = np.repeat(part.attributes[:1], len(part.images), axis=0)
        still.append(ImageArrays(part.images, same, part.attribute_names))
    with pytest.raises(ValueError, match="nothing that is known of the pictures differs among"):
        control.measure(subject_of(still), Report())


def test_of_few_pictures_chance_is_not_taken_for_what_latents_hold():
    subject = subject_of(DATA["factors"])
    rng = np.random.default_rng(0)
    for count, dimensions in [(100, 32), (100, 80), (1024, 32), (1024, 128)]:
        noise = rng.normal(size=(count, dimensions))
        assert steering.regressions(subject, SET, noise) == []
        noise[:, 0] = subject.train.factors[:count, COLUMNS[0]]
        ((_, name, explained),) = steering.regressions(subject, SET, noise)
        assert name == SET[0]
        assert explained == pytest.approx(1)
    with pytest.raises(ValueError, match="from 64 pictures: raise --encoded_images"):
        steering.regressions(subject, SET, rng.normal(size=(64, 64)))


# A network


@pytest.fixture(scope="module")
def network():
    model = models.make(tiny.config().model, 16, seed=1)
    last = model.forward.streams.last  # so that z reaches the pixels
    noise = np.random.default_rng(5).normal(0, 0.3, last.kernel.shape)
    last.kernel.assign(np.asarray(last.kernel) + noise)
    return model


def test_completions_differ_by_their_latents_alone(network):
    image, mask = arrays(0, 1, 16).images, masks.named("mouth", 16)[None]
    z = np.random.default_rng(0).normal(0, 3, size=(5, 4))
    z[3] = z[0]
    drawn = steering.completions(network, image, mask, z, seed=1, batch=5)
    np.testing.assert_array_equal(drawn[3], drawn[0])
    assert (drawn[1] != drawn[0]).any()
    np.testing.assert_array_equal(
        drawn * mask.astype(np.uint8), np.tile(image * mask.astype(np.uint8), (5, 1, 1, 1))
    )
    # In other batches too, though sums of another order may turn one pixel, and all after it.
    few = steering.completions(network, image, mask, z, seed=1, batch=2)
    assert few.shape == drawn.shape
    assert (few != drawn).any((1, 2, 3)).sum() <= 1


def test_a_network_from_end_to_end(network):
    data = arrays(0, 800, 16), arrays(3000, 200, 16), arrays(4000, COUNT, 16)
    subject = subject_of(data, network, masks="rectangle", control_values=4, batch=64)
    report = Report()
    control.measure(subject, report)
    keys = set(report.measures)
    assert keys >= {
        f"control/{each}/{what}" for each in control.LARGE for what in ("correlation", "effect")
    }
    assert keys >= {"control/axes/count", "control/directions/count", "control/axes/factors"}
    assert report.measures["control/axes/count"].estimate == 0
    assert {each.dimension for each in subject.entries} >= set(range(4))
    assert len(report.about["latents"]) >= 4


def test_damaged_weights(network):
    broken = models.make(tiny.config().model, 16, seed=1)
    broken.forward.streams.last.kernel.assign(
        np.full(broken.forward.streams.last.kernel.shape, np.nan)
    )
    image, mask = arrays(0, 1, 16).images, masks.named("mouth", 16)[None]
    with pytest.raises(RunFailed, match="its weights are damaged"):
        steering.completions(broken, image, mask, np.zeros((1, 4)), seed=1, batch=2)


def test_too_few_pictures_are_told_before_anything_is_drawn(monkeypatch):
    monkeypatch.setattr(control, "_readers", lambda subject: pytest.fail("went on"))
    data = arrays(0, 40, 16), arrays(3000, 10, 16), arrays(4000, COUNT, 16)
    with pytest.raises(ValueError, match="10 validation pictures at 4 values are too few"):
        control.measure(subject_of(data, control_values=4), Report())
