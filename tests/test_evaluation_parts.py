"""What the parts of an evaluation report of completions that are known."""

from types import SimpleNamespace

import numpy as np
import pytest
import tiny

from csi_tf import data, masks, model
from csi_tf.data.base import ImageArrays
from csi_tf.errors import RunFailed
from csi_tf.evaluation import calibration as coverages
from csi_tf.evaluation import proxy
from csi_tf.evaluation.parts import baselines, calibration, pictures, seam
from csi_tf.evaluation.proxy import Features
from csi_tf.evaluation.report import Report
from csi_tf.evaluation.settings import Evaluation
from csi_tf.evaluation.subject import Subject
from csi_tf.inpaint import inpaint

SIZE, IMAGES, SAMPLES = 16, 30, 4


@pytest.fixture(scope="module")
def faces():
    train = data.arrays("procedural_faces", "train", SIZE, limit=300)
    held_out = data.arrays("procedural_faces", "test", SIZE, limit=200).images
    return train, held_out[:IMAGES], held_out[IMAGES:]


def coarse(images_u8):
    """Colours of 4x4 squares, as features that need no training."""
    squares = images_u8.reshape(len(images_u8), 4, SIZE // 4, 4, SIZE // 4, 3).mean((2, 4))
    return squares.reshape(len(images_u8), -1) / 64 - 2


def subject(faces, complete=None, mask_names="mouth,center", **settings):
    """Of a model that completes images so, given the truncation."""
    train, test, validation = faces
    settings = {"model": "none", "images": IMAGES, "control_images": 10, "masks": mask_names,
                "num_samples": SAMPLES} | settings  # fmt: skip
    network = SimpleNamespace(size=SIZE, encoder=None)
    made = Subject(Evaluation(**settings), None, network, tiny.config(), {}, "procedural_faces",
                   ImageArrays(test), ImageArrays(validation))  # fmt: skip
    made.train, made.trained_on = train, train.images
    made.features = Features("proxy", "squares", coarse)
    for mask in made.settings.mask_names if complete else ():
        hole = made.context_mask(mask, IMAGES)[:, None] == 0
        for truncation in (1.0, 3.0, None):
            drawn = np.clip(np.rint(complete(test, truncation)), 0, 255)
            drawn = np.where(hole, drawn, test[:, None]).astype(np.uint8)
            made._drawn[mask, truncation] = SimpleNamespace(images=drawn)
    return made


def off_by(levels):
    """The truth, with noise that grows where truncation is less."""

    def complete(images, truncation):
        scale = {1.0: 1.0, 3.0: 1.5, None: 2.0}[truncation]
        noise = np.random.default_rng(0).normal(size=(len(images), SAMPLES, SIZE, SIZE, 3))
        return images[:, None] + scale * levels * noise

    return complete


def report(part, subject):
    found = Report()
    part.measure(subject, found)
    return found


def estimates(found):
    return {key: each.estimate for key, each in found.measures.items()}


# Pictures


@pytest.fixture(scope="module")
def nearly(faces):
    return report(pictures, subject(faces, off_by(2)))


@pytest.fixture(scope="module")
def noisy(faces):
    return report(pictures, subject(faces, off_by(60)))


def test_pictures_have_every_measure_under_every_mask(nearly):
    scores = [f"{name}_{which}" for name in ("psnr", "ssim", "l1")
              for which in ("first", "mean", "best", "mean_picture")]  # fmt: skip
    expected = {f"pictures/{mask}/{name}" for mask in ("mouth", "center") for name in
                (*scores, "diversity", "proxy_diversity", "proxy_kid", "proxy_fid")}  # fmt: skip
    expected |= {f"truncation/{t}/{name}" for t in ("1", "3", "none")
                 for name in ("psnr_mean", "diversity", "proxy_kid")}  # fmt: skip
    assert {*nearly.measures} == expected | {"pictures/real/proxy_kid"}
    assert nearly.about["features"] == "squares"
    for name in ("psnr_mean", "diversity", "proxy_kid"):
        assert nearly.rows(f"pictures/mouth/{name}").shape == (IMAGES,)
    for key, each in nearly.measures.items():
        if not key.endswith("fid"):
            assert each.low <= each.estimate <= each.high, key
            assert each.images == IMAGES, key


def test_noise_scores_worse_than_nearly_the_truth(nearly, noisy):
    good, bad = estimates(nearly), estimates(noisy)
    for key, measure in nearly.measures.items():
        if key != "pictures/real/proxy_kid" and measure.better:
            worse = bad[key] > good[key] if measure.better == "lower" else bad[key] < good[key]
            assert worse, key
    # Nearly the truth is as near to other faces as the truth, within what rounding moves.
    assert good["pictures/mouth/proxy_kid"] == pytest.approx(
        good["pictures/real/proxy_kid"], abs=0.002
    )


def test_truncation_is_told_apart(nearly):
    found = estimates(nearly)
    psnr, diversity = (
        [found[f"truncation/{t}/{name}"] for t in ("1", "3", "none")]
        for name in ("psnr_mean", "diversity")
    )
    assert psnr == sorted(psnr, reverse=True)
    assert diversity == sorted(diversity)
    # Both masks have as much noise, so their average is that of each.
    both = np.mean([found[f"pictures/{mask}/diversity"] for mask in ("mouth", "center")])
    assert diversity[0] == pytest.approx(both, rel=1e-5)  # six digits are kept


def test_pictures_without_features(faces, capsys):
    made = subject(faces, off_by(5), mask_names="mouth")
    del made.features
    made.train = ImageArrays(made.train.images)
    found = report(pictures, made)
    assert not [key for key in found.measures if "kid" in key or "fid" in key]
    assert "pictures/mouth/ssim_first" in found.measures
    assert "features" not in found.about
    assert "KID and FID are left out: proxy features need attributes" in capsys.readouterr().out


def test_inception_is_never_left_out_in_silence(faces, monkeypatch):
    def refused():
        raise RunFailed("no weights")

    monkeypatch.setattr(proxy, "inception", refused)
    made = subject(faces, off_by(5), features="inception")
    del made.features
    with pytest.raises(RunFailed, match="no weights"):
        report(pictures, made)
    monkeypatch.setattr(proxy, "inception", lambda: Features("inception", "of a kind", coarse))
    assert "pictures/center/inception_kid" in report(pictures, made).measures


# Seam


def test_the_truth_has_no_seam(faces):
    found = estimates(report(seam, subject(faces, off_by(0))))
    # The mouth's hole ends at the image's lower border, the other has all four sides.
    sides = ("top", "right", "bottom", "left", "all", "steps")
    assert {*found} == {
        *(f"seam/{t}/{side}" for t in ("1", "none") for side in sides),
        *(f"seam/{mask}/{t}" for mask in ("mouth", "center") for t in ("1", "none")),
    }
    np.testing.assert_allclose([*found.values()], 1)


def test_an_edge_that_shows(faces):
    """Brighter completions step at the edge, and nowhere else."""
    made = subject(faces, lambda images, truncation: images[:, None] + 40.0)
    found = report(seam, made)
    assert min(estimates(found).values()) > 1.5
    assert found.rows("seam/none/steps").shape == (IMAGES, 4, 4)


def test_sides_that_no_hole_has_are_absent(faces):
    found = report(seam, subject(faces, off_by(1), mask_names="mouth,bottom_half"))
    assert "seam/1/top" in found.measures
    assert "seam/1/bottom" not in found.measures
    assert not report(seam, subject(faces, off_by(1), mask_names="all")).measures


# Calibration


def test_coverage_of_samples_about_the_truth(faces):
    """The truth is in the midst of its samples, so it is covered more often than one more sample
    would be: 1 - 2 / 2^S against 1 - 2 / (S + 1), but for rounding and clipping.
    """
    made = subject(faces, off_by(10))
    found = estimates(report(calibration, made))
    assert found["calibration/nominal"] == pytest.approx(1 - 2 / (SAMPLES + 1))
    assert found["calibration/coverage"] == pytest.approx(1 - 2 / 2**SAMPLES, abs=0.05)
    by_hand = [
        coverages.coverage(
            made.pictures, made.completions(mask, None).images, masks.named(mask, 16)
        )
        for mask in ("mouth", "center")
    ]
    expected = np.mean([each.per_image for each in by_hand])
    assert found["calibration/coverage"] == pytest.approx(expected, rel=1e-5)
    assert not [key for key in found if "z_returned" in key]


def test_samples_that_all_err_to_one_side_cover_nothing(faces):
    bright = subject(faces, lambda images, _: np.repeat(images[:, None] // 2 + 120, SAMPLES, 1))
    found = estimates(report(calibration, bright))
    assert found["calibration/coverage"] < 0.1


def test_copies_are_told_from_new_faces(faces):
    """1 for the truth itself; 0 for copies of training faces."""
    found = estimates(report(calibration, subject(faces, off_by(0))))
    assert found["calibration/nearest_ratio"] == pytest.approx(1)
    copies = np.repeat(faces[0].images[:IMAGES, None], SAMPLES, axis=1)
    found = estimates(report(calibration, subject(faces, lambda *_: copies)))
    assert found["calibration/nearest_ratio"] == 0


def returned(kept, noise=0.0):
    """Of a stand-in whose pictures carry (kept x) the value set in the first pixel of a row."""
    rng = np.random.default_rng(0)

    def complete(latent, value):
        drawn = np.zeros((40, SIZE, SIZE, 3))
        drawn[:, latent, 0, 0] = kept * value + rng.normal(0, noise, 40)
        return drawn

    return calibration.returned(complete, lambda drawn: drawn[:, :, 0, 0], [3, 0, 7])


def test_a_value_that_is_found_again():
    rows = returned(1.0)
    assert rows.shape == (40, 3, 2)
    np.testing.assert_array_equal(rows[5], [calibration.VALUES] * 3)
    assert calibration.line(rows) == pytest.approx((1, 1))
    assert calibration.line(returned(0.25)) == pytest.approx((1, 0.25))
    assert calibration.line(returned(-1.0)) == pytest.approx((-1, -1))


def test_a_value_that_is_lost():
    assert calibration.line(returned(0.0)) == (0, 0)
    # 240 values of noise: four standard errors.
    assert abs(calibration.line(returned(0.0, noise=1.0))[0]) < 4 / 240**0.5
    # With noise as wide as the values are, the correlation is 1 / 2^.5.
    correlation, slope = calibration.line(returned(1.0, noise=2.0))
    assert correlation == pytest.approx(0.5**0.5, abs=0.1)
    assert slope == pytest.approx(1, abs=4 / 240**0.5)


def test_z_is_set_and_inferred_with_a_real_model(faces):
    made = subject(faces, off_by(5), mask_names="mouth")
    made.model = model.make(tiny.config("stage2").model, SIZE, seed=0)
    found = report(calibration, made)
    rows = found.rows("calibration/z_returned")
    assert rows.shape == (10, tiny.MODEL["latent_dim"], 2)
    assert abs(found.measures["calibration/z_returned"].estimate) <= 1
    # One of them again, by hand.
    spread = calibration.encode(made.model, made.validation.images, 1.0, made.seed("z_returned"))
    latent = int(spread.mean.var(0).argmax())
    how = {"seed": made.seed("z_returned"), "batch": made.settings.batch}
    drawn = inpaint(made.model, faces[1][:10], "bottom_half", latents={latent: 2.0}, **how)
    again = calibration.encode(made.model, drawn.images[:, 0], 1.0, how["seed"]).mean[:, latent]
    np.testing.assert_allclose(rows[:, 0, 1], again, rtol=1e-4, atol=1e-6)


# Baselines


@pytest.fixture(scope="module")
def filled(faces):
    return report(baselines, subject(faces, mask_names="mouth,rectangle"))


def test_baselines_have_the_names_of_pictures(filled):
    names = {tuple(key.split("/")[1:3]) for key in filled.measures}
    simple = ("mean_fill", "nearest_face", "biharmonic")
    expected = {(name, mask) for name in simple for mask in ("mouth", "rectangle")}
    # Rectangles differ from picture to picture, which the linear Gaussian is not made to solve.
    assert names == expected | {("linear_gaussian", "mouth"), ("linear_gaussian_mean", "mouth")}
    for name in ("psnr_best", "diversity", "proxy_diversity", "proxy_fid", "bits_per_dim"):
        assert f"baselines/linear_gaussian/mouth/{name}" in filled.measures
        assert f"baselines/biharmonic/mouth/{name}" not in filled.measures
    for name in ("psnr_first", "l1_mean_picture", "proxy_kid", "seam"):
        for fill in ("mean_fill", "linear_gaussian_mean"):
            assert f"baselines/{fill}/mouth/{name}" in filled.measures
    assert len(filled.rows("baselines/linear_gaussian/mouth/bits_per_dim")) == IMAGES


def test_the_conditional_mean_has_the_least_error(filled):
    found = estimates(filled)
    names = ("mean_fill", "nearest_face", "biharmonic", "linear_gaussian", "linear_gaussian_mean")
    psnr = {name: found[f"baselines/{name}/mouth/psnr_first"] for name in names}
    assert max(psnr, key=psnr.get) == "linear_gaussian_mean"
    # Where the context goes on smoothly less is seen of the edge than where another face begins.
    assert found["baselines/biharmonic/mouth/seam"] < found["baselines/mean_fill/mouth/seam"]


def test_a_baseline_that_cannot_be_had_is_said_to_be_left_out(faces, monkeypatch, capsys):
    def too_large(*_):
        raise ValueError("a hole of 20000 pixels is too large.")

    monkeypatch.setattr(baselines.baselines, "biharmonic", too_large)
    made = subject(faces, mask_names="center")
    made.trained_on = faces[0].images[:15]  # too few for a covariance
    found = report(baselines, made)
    assert {key.split("/")[1] for key in found.measures} == {"mean_fill", "nearest_face"}
    said = capsys.readouterr().out
    assert "biharmonic/center is left out: a hole of 20000" in said
    assert "linear_gaussian is left out: train holds 15 images" in said


@pytest.mark.parametrize("limit", [150, 250])
def test_baselines_learn_from_as_many_pictures_as_the_model(faces, limit):
    made = subject(faces, train_images=200)
    made.config = tiny.config(data={"limit": limit})
    del made.trained_on
    assert made.trained_on.shape == (limit, SIZE, SIZE, 3)
    seen = made.trained_on
    made.config = tiny.config(data={"limit": limit, "horizontal_flip": True})
    del made.trained_on
    np.testing.assert_array_equal(made.trained_on[:limit], seen)
    np.testing.assert_array_equal(made.trained_on[limit:], seen[:, :, ::-1])
