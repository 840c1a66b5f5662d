"""The parts likelihood, latents and reconstruction, on models whose answers are known."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tiny

from csi_tf import likelihood as likelihoods
from csi_tf import model as models
from csi_tf.data import procedural_faces
from csi_tf.data.base import ImageArrays
from csi_tf.evaluation.encoding import encode
from csi_tf.evaluation.parts import latents, likelihood, reconstruction
from csi_tf.evaluation.report import Report
from csi_tf.evaluation.settings import Evaluation
from csi_tf.evaluation.subject import Subject
from csi_tf.pixels import pm1

SIZE, COUNT = 16, 12


def faces(first=0, count=COUNT, size=SIZE):
    factors = procedural_faces.sample_factors(np.arange(first, first + count))
    images = procedural_faces.render(factors, size)
    return ImageArrays(images, factors=factors, factor_names=procedural_faces.NAMES)


def subject(model, stage="stage2", **settings):
    chosen = {"images": COUNT, "masks": "mouth,rectangle", "posterior_draws": 3} | settings
    return Subject(
        Evaluation("m", **chosen),
        None,
        model,
        tiny.config(),
        {"stage": stage, "training_images": 1000},
        "procedural_faces",
        faces(),
        faces(100),
    )


@pytest.fixture(scope="module")
def stage_one():
    config = models.for_stage(tiny.config().model, "stage1")
    model = models.make(config, SIZE, seed=1)
    rng = np.random.default_rng(5)
    last = model.forward.streams.last  # so that z reaches the pixels
    last.kernel.assign(np.asarray(last.kernel) + rng.normal(0, 0.3, last.kernel.shape))
    return model


@pytest.mark.parametrize("full", [False, True])
def test_likelihoods_are_those_of_the_library(stage_one, full, monkeypatch):
    shown_whole = replace(stage_one.config, full_image_encoder=full)
    monkeypatch.setattr(stage_one, "config", shown_whole)
    one, report = subject(stage_one, "stage1"), Report()
    one.config = replace(one.config, model=shown_whole)
    likelihood.measure(one, report)
    images = pm1(one.pictures)
    seed, log2 = one.seed("likelihood"), math.log(2)
    mask = one.context_mask("mouth", COUNT)
    holes = likelihoods.holes(stage_one, images, mask, 3, seed)
    values = 3 * (1 - mask).sum((1, 2, 3))
    found = report.rows("likelihood/mouth/averaged")
    np.testing.assert_allclose(found, -holes / (values * log2), rtol=1e-5)  # six digits are kept
    law = one.context_mask("rectangle", COUNT)  # which the model was trained with
    whole = likelihoods.whole_images(stage_one, images, law, 3, seed)
    found = report.rows("likelihood/whole/importance")
    np.testing.assert_allclose(found, -whole / (3 * SIZE**2 * log2), rtol=1e-5)
    assert report.measures["likelihood/whole/bits_per_dim"].better == "lower"


class Told:
    """Bits of every value: 1, and 2 more where z is not that of the image; or whatever z is."""

    encoder, reverse, size = object(), None, SIZE

    def __init__(self, listens):
        self.listens = listens

    def encode(self, images, mask, seed):
        mean = np.asarray(images).mean((1, 2, 3))[:, None]
        return mean, np.full_like(mean, -40)  # no spread: z is the mean

    def pixel_log_prob(self, images, mask, z):
        wrong = np.abs(z - np.asarray(images).mean((1, 2, 3))[:, None]) > 1e-6
        bits = 1 + 2 * (wrong & self.listens)
        return -3 * math.log(2) * bits[..., None] * np.ones((len(images), SIZE, SIZE))


@pytest.mark.parametrize(("listens", "gained"), [(True, 2), (False, 0)])
def test_what_the_own_z_is_worth(listens, gained):
    report = Report()
    likelihood.measure(subject(Told(listens)), report)
    for mask in ("mouth", "rectangle"):
        assert report.measures[f"likelihood/{mask}/given_z"].estimate == pytest.approx(1)
        assert report.measures[f"likelihood/{mask}/bits_of_z"].estimate == pytest.approx(gained)
    assert not any("whole" in key for key in report.measures)  # it is no model of stage one


def test_what_the_reverse_net_says_is_worth():
    """2 bits a value where it is told of anything."""
    model = Told(False)
    model.reverse = object()
    model.pixel_log_prob = lambda images, mask, z: (
        -3 * math.log(2) * np.where(np.asarray(mask).any((1, 2)), 1.0, 3.0)[..., None]
        * np.ones((len(images), SIZE, SIZE))
    )  # fmt: skip
    report = Report()
    likelihood.measure(subject(model), report)
    for mask in ("mouth", "rectangle"):
        assert report.measures[f"likelihood/{mask}/bits_of_reverse"].estimate == pytest.approx(2)


def test_without_latents_there_is_nothing_to_shuffle():
    model = Told(False)
    model.encoder = None
    model.pixel_log_prob = lambda images, mask, z: np.full((len(images), SIZE, SIZE), -1.0)
    report = Report()
    likelihood.measure(subject(model), report)
    assert set(report.measures) == {f"likelihood/{m}/given_z" for m in ("mouth", "rectangle")}


def test_codes_do_not_depend_on_the_batch(stage_one):
    images = faces(count=70).images  # more than a batch
    mask = np.ones((70, SIZE, SIZE, 1), np.float32)
    mask[:, 3:9, 3:9] = 0
    codes, alone = encode(stage_one, images, mask, 3), encode(stage_one, images[66:67], mask[:1], 3)
    # Sums over a batch of 6 and of 1 may round apart.
    np.testing.assert_allclose(codes.z[66:67], alone.z, rtol=1e-4, atol=1e-5)


def test_the_place_of_the_hole_is_found_in_a_code_that_has_it():
    mask = subject(Told(True)).context_mask("rectangle", 300)
    rng = np.random.default_rng(0)
    blind = rng.normal(size=(300, 6))
    telling = np.concatenate([latents._places(mask), blind], axis=1)
    estimates = []
    for z in (telling, telling * 0.5 + rng.normal(size=telling.shape), blind):
        report = Report()
        latents._mask_probe(report, z, mask)
        estimates.append(report.measures["latents/mask_probe"].estimate)
    assert estimates[0] == pytest.approx(1)
    assert 0.1 < estimates[1] < 0.5
    assert estimates[2] < 0.05
    report = Report()
    latents._mask_probe(report, blind, subject(Told(True)).context_mask("mouth", 300))
    assert not report.measures  # one place for all


def test_factors_that_a_code_holds_are_told_and_others_are_not():
    rng = np.random.default_rng(0)
    # As data come; the float32 mean of a constant is not always that.
    factors = (rng.uniform(size=(600, 3)) * [1, 50, 0] + [0, 0, 0.1]).astype(np.float32)
    mean = np.column_stack([2 - factors[:, 0], rng.normal(size=(600, 60))])
    report = Report()
    latents._told(report, mean, factors, ("held", "lost", "constant"))
    told = {key.split("/")[-1]: each for key, each in report.measures.items()}
    assert set(told) == {"held", "lost"}
    assert told["held"].estimate == pytest.approx(1, abs=1e-6)
    # On the images it was fitted to, the regression would explain a third by chance.
    assert told["lost"].low <= told["lost"].estimate < 0
    assert told["lost"].images == 300  # those that the regression was not fitted to
    latents._told(few := Report(), mean[:6], factors[:6], ("held", "lost", "constant"))
    assert not few.measures


def test_spread_of_the_aggregate_posterior():
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(4000, 3)) * [0.6, 0, 1]
    logvar = np.log(np.full((4000, 3), [0.64, 1, 0.01]))
    report = Report()
    latents._spread(report, latents.Codes(mean.astype("f4"), logvar.astype("f4"), mean))
    spread = [report.measures[f"latents/aggregate_std/{d}"].estimate for d in range(3)]
    # Means of 4,000 rows
    np.testing.assert_allclose(spread, [1, 1, 1.01**0.5], atol=0.03)
    assert report.measures["latents/active_units"].estimate == 2
    mean = report.measures["latents/aggregate_std_mean"]
    assert mean.low <= mean.estimate <= mean.high
    shrunk = report.measures["latents/aggregate_std_min"]
    assert shrunk.estimate == min(spread)
    assert (shrunk.low, shrunk.high) == (None, None)  # an extreme has no interval


def test_disentanglement_tells_axes_from_noise():
    rng = np.random.default_rng(0)
    factors = rng.uniform(size=(600, 3))
    axes = np.column_stack([factors, rng.normal(size=(600, 2))])
    turned = axes[:, :3] @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
    found = [
        latents._scores(z, factors, mig=True) for z in (axes, turned, rng.normal(size=(600, 5)))
    ]
    for name in ("mig", "sap", "dci_disentanglement", "dci_completeness"):
        assert found[0][name] > 0.9 > found[1][name] > 0, name
    assert found[2]["dci_informativeness"] < 0.1


@pytest.mark.parametrize(("count", "has_mig"), [(399, False), (420, False), (450, True)])
def test_mig_is_of_all_parts_or_left_out(count, has_mig, monkeypatch):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(count, 2))
    monkeypatch.setattr(latents, "encode", lambda *_: SimpleNamespace(mean=z, z=z))
    quick = SimpleNamespace(disentanglement=0.0, completeness=0.0, informativeness=0.0)
    monkeypatch.setattr(latents.disentanglement, "dci", lambda *_, **__: quick)
    one = subject(Told(True), encoded_images=count)
    one.test = ImageArrays(np.zeros((count, SIZE, SIZE, 3), np.uint8), factors=z)
    one.dataset = "npz:faces.npz"
    report = Report()
    latents._disentanglement(one, report)
    assert ("latents/mig" in report.measures) == has_mig
    assert "latents/sap" in report.measures


def test_statistics_of_latents_end_to_end(stage_one):
    one = subject(stage_one, "stage1")
    one.test = faces(count=640)
    report = Report()
    codes = encode(stage_one, one.test.images, one.context_mask("rectangle", 640), 1)
    latents._statistics(one, report, codes)
    assert report.measures["latents/kl"].images == 640


def test_the_mmd_above_its_floor_is_that_of_draws_from_the_prior():
    one = subject(Told(True))
    rng = np.random.default_rng(0)
    z = rng.normal(size=(640, 4)).astype("f4")
    found = []
    for codes in (z, z + 1):
        report = Report()
        latents._statistics(one, report, latents.Codes(codes, np.zeros_like(z), codes))
        found.append(report.measures["latents/mmd_above_floor"].estimate)
    # Batches of 64 draws vary by some thousandths.
    assert abs(found[0]) < 0.01 < 0.1 < found[1]


def test_the_factor_vae_score_tells_a_code_of_factors_from_noise(monkeypatch):
    """Which of 18 factors was held, in groups of 32 pictures."""
    rendered = SimpleNamespace(
        sample_factors=procedural_faces.sample_factors, render=lambda factors, size: factors
    )
    monkeypatch.setattr(latents, "procedural_faces", rendered)
    one = SimpleNamespace(model=SimpleNamespace(size=32), seed=lambda name: 0)
    factors = procedural_faces.sample_factors(1000, 1)
    noise = np.random.default_rng(0)
    codes = {"axes": lambda x: x, "noise": lambda x: noise.normal(size=x.shape)}
    found = {}
    for name, code in codes.items():
        monkeypatch.setattr(
            latents, "encode", lambda model, x, *_, code=code: SimpleNamespace(z=code(x))
        )
        found[name] = latents._factor_vae(one, code(factors))
    assert found["axes"] > 0.9  # a factor that was held in one half of the groups only is missed
    assert found["noise"] < 0.25  # a vote in 18, of 200 groups


def test_reconstructions(monkeypatch):
    one = subject(SimpleNamespace(encoder=object(), size=32), "stage1", images=20)
    one.test, one.validation = faces(count=20, size=32), faces(100, 200, 32)
    monkeypatch.setattr(Subject, "train", faces(1000, 2000, 32))
    truth = one.pictures
    blurred = (sum(np.roll(truth.astype(int), i, 2) for i in range(-2, 3)) // 5).astype("uint8")
    found = []
    for drawn in (truth ^ 1, blurred, truth[::-1]):
        given = SimpleNamespace(images=drawn[:, None])
        monkeypatch.setattr(reconstruction, "reconstruct", lambda *a, given=given, **k: given)
        report = Report()
        reconstruction.measure(one, report)
        found.append({key.split("/")[1]: m.estimate for key, m in report.measures.items()})
    near, blur, others = found
    assert near["psnr_first"] > 40 > blur["psnr_first"] > others["psnr_first"]
    assert near["sharpness"] == pytest.approx(1, abs=0.02)  # a bit in 256 levels
    assert blur["sharpness"] < 0.8
    assert near["read"] > 0.99 > blur["read"] > others["read"]
