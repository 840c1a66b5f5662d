"""Completions: what they depend on, what they keep, what they say of themselves."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tiny
from PIL import Image

from csi_tf import drawing, latents, masks, noise
from csi_tf import model as models
from csi_tf.config import ModelConfig
from csi_tf.errors import RunFailed
from csi_tf.inpaint import inpaint, reconstruct, sample_prior, stream, traverse
from pixel_cnn_pp import sampling

SIZE, DIM = 16, tiny.MODEL["latent_dim"]
EYES = masks.named("eyes", SIZE)
HOLE = EYES[..., 0] == 0


def make(dtype="float32", **changes):
    """Fresh weights of a size that matters: z and what is observed must reach the pixels."""
    model = models.make(ModelConfig(**tiny.MODEL | changes), SIZE, seed=1, dtype=dtype)
    rng = np.random.default_rng(5)
    last = model.forward.streams.last
    last.kernel.assign(np.asarray(last.kernel) + rng.normal(0, 0.3, last.kernel.shape))
    return model


@pytest.fixture(scope="module")
def model():
    return make()


@pytest.fixture(scope="module")
def stage_one():
    return make(reverse=False)


def pictures(count=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3)).astype("uint8")


def assert_same(completions, others):
    for name in ("images", "latents", "inferred", "seeds", "numbers"):
        np.testing.assert_array_equal(getattr(completions, name), getattr(others, name), name)
    # A convolution's last bit depends on the place in the batch on some processors: one unit in the
    # last place of some pixels' float32, of whole holes some 2e-9.
    np.testing.assert_allclose(completions.log_likelihood, others.log_likelihood, rtol=1e-7)


def part(completions, image=slice(None), sample=slice(None)):
    """Some of the completions, to compare with others."""
    names = ("images", "latents", "inferred", "log_likelihood", "seeds", "numbers")
    return type("Part", (), {n: getattr(completions, n)[image, sample] for n in names})


def test_observed_pixels_are_those_given_and_the_hole_is_drawn(model):
    images = pictures()
    made = inpaint(model, images, EYES, 2)
    assert made.images.shape == (3, 2, SIZE, SIZE, 3)
    assert made.images.dtype == np.uint8
    assert (made.images[:, :, ~HOLE] == images[:, None][:, :, ~HOLE]).all()
    # Of 256 levels few agree by chance.
    assert (made.images[:, :, HOLE] == images[:, None][:, :, HOLE]).mean() < 0.1


def test_a_completion_is_the_same_alone_and_in_any_request(model):
    """Pixels bit for bit, with one mask or one for each, whatever comes along in which order."""
    images = pictures(5)
    several = np.stack([masks.named(n, SIZE) for n in ("eyes", "mouth", "eyes", "nose", "mouth")])
    for mask in (np.repeat(EYES[None], 5, 0), several):
        whole = inpaint(model, images, mask, 3, seed=4)
        for i in (1, 4):
            alone = inpaint(model, images[i], mask[i], 3, seed=4)
            assert_same(alone, part(whole, slice(i, i + 1)))
        backwards = inpaint(model, images[::-1], mask[::-1], 3, seed=4)
        assert_same(part(backwards, slice(None, None, -1)), whole)


def test_sample_k_does_not_depend_on_how_many_there_are(model):
    image = pictures(1)
    many = inpaint(model, image, EYES, 19)
    few = inpaint(model, image, EYES, 8)
    assert_same(few, part(many, sample=slice(8)))
    assert_same(inpaint(model, image, EYES, 2, first_sample=17), part(many, sample=slice(17, 19)))
    assert len(np.unique(many.seeds)) == 19
    assert len(np.unique(many.images.reshape(19, -1), axis=0)) == 19


def test_what_lies_under_the_hole_does_not_matter(model):
    image = pictures(1)
    other = np.where(HOLE[..., None], 255 - image, image)
    assert_same(inpaint(model, image, EYES, 2), inpaint(model, other, EYES, 2))


@pytest.mark.parametrize("change", ["seed", "picture", "mask"])
def test_noise_differs_by_seed_picture_and_mask(model, change):
    image, mask, seed = pictures(1), EYES, 0
    before = inpaint(model, image, mask, seed=seed)
    if change == "seed":
        seed = 1
    elif change == "picture":
        image = image.copy()
        image[0, 0, 0, 0] ^= 1
    else:
        mask = mask.copy()
        mask[0, 0] = 0
    after = inpaint(model, image, mask, seed=seed)
    assert after.seeds[0, 0] != before.seeds[0, 0]
    assert (after.images[0, 0, HOLE] != before.images[0, 0, HOLE]).mean() > 0.5


def test_pictures_come_in_every_form(model, tmp_path):
    images = pictures(2)
    expected = inpaint(model, images, EYES)
    path = tmp_path / "face.png"
    Image.fromarray(images[0]).save(path)
    for form in (path, str(path), Image.fromarray(images[0]), images[0], images[:1], [path]):
        assert_same(inpaint(model, form, EYES), part(expected, slice(1)))
    assert_same(inpaint(model, [path, Image.fromarray(images[1])], EYES), expected)
    turned = Image.fromarray(np.rot90(images[0]))  # which a camera says is to be turned back
    turned.getexif()[0x0112] = 6
    assert_same(inpaint(model, turned, EYES), part(expected, slice(1)))
    assert_same(inpaint(model, [images[0], images[1]], "eyes"), expected)
    assert_same(inpaint(model, images, ["eyes", "eyes"]), expected)
    for mask in (path, Image.fromarray(images[0])):
        with pytest.raises(ValueError, match=r"is read by csi_tf.masks.from_file\(path, 16\)"):
            inpaint(model, images, mask)
    with pytest.raises(ValueError, match=r"files from masks\.from_file"):
        inpaint(model, images, str(path))
    with pytest.raises(ValueError, match="a float32 array"):
        inpaint(model, images, [])


def test_a_latent_is_set_and_only_it(model):
    images = pictures(2)
    inferred = inpaint(model, images, EYES, 2)
    made = inpaint(model, images, EYES, 2, latents={2: 1.25})
    np.testing.assert_array_equal(made.inferred, inferred.inferred)
    np.testing.assert_array_equal(made.latents[..., 2], np.float32(1.25))
    others = [0, 1, 3]
    np.testing.assert_array_equal(made.latents[..., others], inferred.latents[..., others])
    np.testing.assert_array_equal(made.seeds, inferred.seeds)
    assert (made.images != inferred.images).any()


def test_a_direction_moves_z_along_itself_only(model, monkeypatch):
    v = np.array([0.6, 0.0, -0.8, 0.0])
    smile = latents.Latent("smile", v, (-2.0, 2.0), 1)
    monkeypatch.setattr(model, "named_latents", (smile,))
    image = pictures(1)
    made = inpaint(model, image, EYES, 3, latents={"smile": 1.5})
    z = made.inferred.astype(np.float64)
    expected = z + (1.5 - z @ v)[..., None] * v
    np.testing.assert_allclose(made.latents, expected, atol=1e-6)  # float32 of order 1
    # Not at right angles with the axis 0: both values hold in the end.
    both = inpaint(model, image, EYES, 3, latents={"smile": 1.5, 0: -1.0}).latents
    np.testing.assert_allclose(both @ v, 1.5, atol=1e-6)
    np.testing.assert_allclose(both[..., 0], -1.0, atol=1e-6)
    np.testing.assert_array_equal(both[..., [1, 3]], made.inferred[..., [1, 3]])


def test_a_traversal_is_the_inpainting_with_that_latent(model):
    image, values = pictures(1)[0], (-2.0, 0.0, 2.0)
    made = traverse(model, image, 1, values, EYES, seed=3)
    assert made.shape == (3, SIZE, SIZE, 3)
    for value, picture in zip(values, made, strict=True):
        one = inpaint(model, image, EYES, latents={1: value}, seed=3)
        np.testing.assert_array_equal(picture, one.images[0, 0])
    assert (made[0] != made[2]).any()
    same = traverse(model, image, 1, [0.5] * 10, EYES, seed=3)
    assert (same == same[0]).all(), "the noise is the same for every value"
    np.testing.assert_array_equal(traverse(model, image, 1, np.float32([2]), EYES, 3), made[2:])


def test_a_traversal_without_a_mask_starts_from_the_reconstruction(stage_one):
    image = pictures(1)
    made = reconstruct(stage_one, image, seed=2)
    value = float(made.inferred[0, 0, 1])
    np.testing.assert_array_equal(
        traverse(stage_one, image, 1, [value, 3.0], seed=2)[0], made.images[0, 0]
    )


def test_z_from_elsewhere(model):
    images = pictures(2)
    mean = inpaint(model, images, EYES, 3, z="mean").latents
    assert (mean == mean[:, :1]).all()
    encoded, logvar = model.encode(images[:1] / np.float32(127.5) - 1, EYES[None], 0)
    np.testing.assert_array_equal(mean[0, 0], encoded[0])
    drawn = inpaint(model, images, EYES, 3)
    normal = noise.normals(0, "noise/posterior", drawn.seeds.ravel(), DIM).reshape(2, 3, DIM)
    expected = mean[0] + np.exp(0.5 * np.asarray(logvar)) * normal[0]
    np.testing.assert_allclose(drawn.latents[0], expected, rtol=1e-6)
    np.testing.assert_array_equal(inpaint(model, images, EYES, 3, z="prior").latents, normal)
    for z in (0.25, ("prior", 0.25)):
        np.testing.assert_array_equal(inpaint(model, images, EYES, 3, z=z).latents, normal / 2)
    for shape in ((DIM,), (2, DIM), (2, 3, DIM)):
        z = np.random.default_rng(1).normal(size=shape).astype("float32")
        wide = z[:, None] if z.ndim == 2 else z
        made = inpaint(model, images, EYES, 3, z=z, latents={0: 2.0})
        np.testing.assert_array_equal(made.inferred, np.broadcast_to(wide, (2, 3, DIM)))
        np.testing.assert_array_equal(made.latents[..., 1:], made.inferred[..., 1:])


def test_likelihoods_are_those_of_the_model(model, stage_one):
    for each in (model, stage_one):
        images = pictures(2)
        made = inpaint(each, images, EYES, 3)
        mask = np.repeat(EYES[None], 3, 0)
        for i in range(2):
            images_pm1 = made.images[i] / np.float32(127.5) - 1
            nats = each.log_prob(images_pm1, mask, made.latents[i])
            # Sums of hundreds of float32 terms, in other orders.
            np.testing.assert_allclose(made.log_likelihood[i], nats, rtol=1e-5)
        bits = -made.log_likelihood / (np.log(2) * 3 * HOLE.sum())
        np.testing.assert_allclose(made.bits_per_dim, bits)


def test_the_spread_is_that_of_the_samples(model):
    made = inpaint(model, pictures(2), EYES, 4)
    assert made.std.dtype == np.float32
    np.testing.assert_allclose(made.std, made.images.astype(float).std(axis=1), rtol=1e-6)
    assert (made.std[:, ~HOLE] == 0).all()
    assert made.std[:, HOLE].mean() > 1


def test_ranking_moves_everything_alike(model):
    images = pictures(2)
    plain, ranked = (inpaint(model, images, EYES, 6, order=o) for o in (None, "likelihood"))
    assert (np.diff(ranked.log_likelihood) <= 0).all()
    assert (ranked.numbers != plain.numbers).any()
    for i in range(2):
        assert_same(part(ranked, i), part(plain, i, ranked.numbers[i]))
    np.testing.assert_array_equal(ranked.std, plain.std)


def test_without_a_hole_the_picture_comes_back(model):
    images = pictures(2)
    made = inpaint(model, images, "none", 2)
    assert (made.images == images[:, None]).all()
    assert (made.log_likelihood == 0).all()
    assert np.isnan(made.bits_per_dim).all()


def test_with_nothing_observed_the_picture_does_not_matter(model):
    first, other = (inpaint(model, pictures(1, seed), "all", 2) for seed in (0, 1))
    assert_same(first, other)


def test_samples_of_the_prior(model):
    made = sample_prior(model, 10, seed=3)
    assert made.shape == (10, SIZE, SIZE, 3)
    np.testing.assert_array_equal(sample_prior(model, 4, seed=3), made[:4])
    assert (sample_prior(model, 4, seed=4) != made[:4]).any()
    drawn = inpaint(model, pictures(1), "all", 4, z="prior", seed=3)
    np.testing.assert_array_equal(drawn.images[0], made[:4])
    set_too = inpaint(model, pictures(1), "all", 4, {0: 2.0}, z="prior", seed=3)
    set_ = sample_prior(model, 4, seed=3, latents={0: 2.0})
    np.testing.assert_array_equal(set_too.images[0], set_)
    assert (set_ != made[:4]).any()


def test_a_reconstruction_shows_the_encoder_everything_and_keeps_no_pixel(stage_one, model):
    image = pictures(1)
    for each in (stage_one, model):
        made = reconstruct(each, image, 2, z="mean")
        whole = np.ones((1, SIZE, SIZE, 1), "float32")
        mean, _ = each.encode(image / np.float32(127.5) - 1, whole, 0)
        np.testing.assert_array_equal(made.latents[0], np.repeat(mean, 2, 0))
        # Told only z: with that z the same as a picture of which nothing is known.
        assert (made.images == image[:, None]).mean() < 0.1
        blank = each.log_prob(
            made.images[0] / np.float32(127.5) - 1,
            np.zeros_like(whole).repeat(2, 0),
            mean.numpy().repeat(2, 0),
        )
        np.testing.assert_allclose(made.log_likelihood[0], blank, rtol=1e-5)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_reconstruction_tells_published_conditioning_the_mask_of_its_stage(reverse):
    """Stage one: what the encoder saw, all. Stage two: what may be looked at, nothing."""
    model = make(conditioning="published", reverse=reverse)
    made = reconstruct(model, pictures(1), 2)
    mask = np.full((2, SIZE, SIZE, 1), float(not reverse), "float32")
    images_pm1 = made.images[0] / np.float32(127.5) - 1
    nats = np.sum(model.pixel_log_prob(images_pm1, mask, made.latents[0]), (1, 2))
    np.testing.assert_allclose(made.log_likelihood[0], nats, rtol=1e-5)  # sums in other orders
    other = np.sum(model.pixel_log_prob(images_pm1, 1 - mask, made.latents[0]), (1, 2))
    assert (np.abs(other / nats - 1) > 1e-4).all(), "the mask matters"


@pytest.mark.parametrize(
    "changes", [{"latents": False}, {"conditioning": "published"}, {"dtype": "mixed_bfloat16"}]
)
def test_other_forms_of_the_model(changes):
    model, image = make(**changes), pictures(1)
    made = inpaint(model, image, EYES, 2)
    assert (made.images[0][:, ~HOLE] == image[0, ~HOLE]).all()
    assert made.latents.shape == (1, 2, DIM if model.decoder else 0)
    assert sample_prior(model, 2).shape == (2, SIZE, SIZE, 3)
    if model.decoder is None:
        for call in ({"latents": {0: 1.0}}, {"z": "mean"}, {"z": 0.5}):
            with pytest.raises(ValueError, match="no latents"):
                inpaint(model, image, EYES, **call)


def test_truncation_reaches_the_pixels(model):
    """Nearer to the means of the mixture, the samples differ less from one another."""
    modes = inpaint(model, pictures(1), EYES, 8, truncation=0)
    free = inpaint(model, pictures(1), EYES, 8, truncation=None)
    np.testing.assert_array_equal(modes.latents, free.latents)
    assert modes.std.mean() < 0.9 * free.std.mean()


def test_many_completions_come_in_chunks_of_one_shape(model, monkeypatch):
    """Memory and compiled programs do not grow with the request, and the first comes early."""
    shapes = []
    sample = sampling.sample

    def watched(network, images, *rest, **options):
        shapes.append(images.shape)
        return sample(network, images, *rest, **options)

    monkeypatch.setattr(sampling, "sample", watched)
    chunks = stream(model, pictures(2), EYES, 10, batch=8)
    first = next(chunks)
    assert len(shapes) == 1
    parts = [first, *chunks]
    assert set(shapes) == {(8, SIZE, SIZE, 3)}
    assert [len(each.images) for each in parts] == [8, 8, 4]
    whole = inpaint(model, pictures(2), EYES, 10, batch=8)
    for each in parts:
        np.testing.assert_array_equal(each.images, whole.images[each.image, each.number])
        np.testing.assert_array_equal(each.seeds, whole.seeds[each.image, each.number])


def test_progress_counts_rows_and_can_cancel(model):
    two = np.stack([EYES, masks.named("none", SIZE)])
    seen = []
    inpaint(model, pictures(2), two, 9, progress=lambda *each: seen.append(each))
    rows = 9 * int((EYES == 0).any(axis=(1, 2)).sum())
    done = [each for each, _ in seen]
    assert {total for _, total in seen} == {rows}
    assert done == sorted(done)
    assert done[-1] == rows

    class Cancelled(Exception):
        pass

    def cancel(done, total):
        raise Cancelled

    with pytest.raises(Cancelled):
        inpaint(model, pictures(1), EYES, progress=cancel)


def test_damaged_weights_are_told(model):
    damaged = make()
    damaged.forward.streams.last.bias.assign(
        np.full(damaged.forward.streams.last.bias.shape, np.nan)
    )
    with pytest.raises(RunFailed, match="damaged"):
        inpaint(damaged, pictures(1), EYES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "runs/x"}, r"csi_tf.load\('runs/x'\)"),
        ({"images_u8": pictures(1) / 255.0}, "expected uint8"),
        ({"images_u8": pictures(1)[:, :12]}, "resize_antialiased"),
        ({"images_u8": pictures(1)[..., :1]}, "three channels"),
        ({"images_u8": pictures(0)}, "one picture or more"),
        ({"images_u8": []}, "at least one"),
        ({"images_u8": [pictures(1)]}, "one array"),
        ({"images_u8": "nowhere.png"}, "nowhere.png"),
        ({"images_u8": 3}, "int"),
        ({"context_mask": "mout"}, "mouth"),
        ({"context_mask": EYES[..., 0]}, "mask"),
        ({"context_mask": EYES * np.float32(np.nan)}, "0 and 1"),
        ({"context_mask": EYES[None].repeat(3, 0)}, "3 masks for 2 images"),
        ({"context_mask": masks.named("eyes", 32)}, "expected 16x16"),
        ({"num_samples": 0}, "num_samples is 0"),
        ({"num_samples": 1.5}, "num_samples"),
        ({"first_sample": -1}, "first_sample"),
        ({"latents": {4: 1.0}}, "from 0 to 3"),
        ({"latents": {"smile": 1.0}}, "no latent called 'smile'"),
        ({"latents": {0: np.nan}}, "finite"),
        ({"latents": {0: 1e39}}, "of 1e.06 at most"),
        ({"z": 1e80}, "variance"),
        ({"latents": {0: "1"}}, "finite"),
        ({"latents": [1.0]}, "dimension or name"),
        ({"z": "middle"}, "posterior"),
        ({"z": -1.0}, "variance"),
        ({"z": ("prior", np.inf)}, "variance"),
        ({"z": np.zeros((3, DIM))}, "shape"),
        ({"z": np.full(DIM, np.nan)}, "NaN"),
        ({"seed": 0.5}, "seed"),
        ({"truncation": -1}, "truncation"),
        ({"truncation": np.nan}, "truncation"),
        ({"order": "best"}, "likelihood"),
        ({"progress": 3}, "progress"),
        ({"batch": 0}, "batch"),
    ],
)
def test_mistakes_are_told_before_anything_is_drawn(model, monkeypatch, changes, message):
    monkeypatch.setattr(drawing, "_draw", None)
    with pytest.raises(ValueError, match=message) as caught:
        inpaint(**{"model": model, "images_u8": pictures(2), "context_mask": EYES} | changes)
    assert str(caught.value).count(". ") == 0


def test_mistakes_of_the_others(model, monkeypatch):
    monkeypatch.setattr(drawing, "_draw", None)
    with pytest.raises(ValueError, match="2 pictures"):
        traverse(model, pictures(2), 0, [1.0])
    for values in ([], 1.0, ["1"], [np.nan]):
        with pytest.raises(ValueError, match="values"):
            traverse(model, pictures(1), 0, values)
    with pytest.raises(ValueError, match="count"):
        sample_prior(model, 0)
    with pytest.raises(ValueError, match=r"csi_tf\.load"):
        sample_prior("runs/x", 1)


def test_a_value_far_from_use_is_warned_of_once(model, recwarn):
    inpaint(model, pictures(2), EYES, 3, latents={0: 5.9})
    assert not [each for each in recwarn if each.category is UserWarning]
    with pytest.warns(UserWarning, match="far from where it is of use") as warned:
        traverse(model, pictures(1), 0, [-10.0, 0.0, 10.0, 11.0], EYES)
    assert len(warned) == 1


IMPORTS = """
import sys
for first in ("import csi_tf", "from csi_tf.inpaint import stream"):
    for name in [name for name in sys.modules if name.split(".")[0] == "csi_tf"]:
        del sys.modules[name]
    exec(first)
    import csi_tf
    assert ("csi_tf.inpaint" in sys.modules) == (first != "import csi_tf")
    assert csi_tf.inpaint.__name__ == "inpaint" and callable(csi_tf.inpaint)
    from csi_tf.inpaint import Completions, inpaint, stream
    import csi_tf.inpaint
    from csi_tf import inpaint as again
    assert csi_tf.inpaint is inpaint is again
    assert sys.modules["csi_tf.inpaint"].inpaint is inpaint
    assert csi_tf.traverse and csi_tf.reconstruct and csi_tf.sample_prior and csi_tf.load
    assert callable(csi_tf.available)
    assert "inpaint" in dir(csi_tf)
"""


def test_the_package_has_the_function_and_the_module():
    """Whichever is imported first."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS],
        env=os.environ | {"KERAS_BACKEND": "numpy"},  # the soonest imported
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_importing_the_package_imports_no_tensorflow():
    program = "import sys, csi_tf; csi_tf.available(); csi_tf.masks; csi_tf.latents; csi_tf.noise"
    program += "; assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
