"""z of whole pictures guessed from what is seen: its law, its fit, and completions with it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow_probability as tfp
import tiny
from commanding import export
from PIL import Image
from test_inpaint import EYES, assert_same, make, part, pictures

import csi_tf
import run
from csi_tf import checkpoints, data, loading, masks, runs, whole, whole_fitting
from csi_tf import model as models
from csi_tf.evaluation.report import Report
from csi_tf.inpaint import inpaint, reconstruct
from csi_tf.modes import Whole
from csi_tf.whole import WholeLatents
from csi_tf.whole_fitting import Seen

DIM, SIZE = 4, 16


def some_law(seed=3):
    """Weights of a size that matters."""
    law = WholeLatents(DIM)
    law.build(None)
    rng = np.random.default_rng(seed)
    for kernel in (law.shift.kernel, law.factor.kernel, law.chain[2].kernel, law.kernels[2]):
        kernel.assign(rng.normal(0, 0.05, kernel.shape))
    return law


def some_inputs(count=6):
    rng = np.random.default_rng(0)
    mask = masks.sample("rectangle", count, SIZE, 1)
    return rng.normal(size=(count, DIM)).astype(np.float32), mask


def logistic(x):
    return (1 + np.tanh(x / 2)) / 2


def test_nats_are_those_of_a_chain_of_mixtures():
    law = some_law()
    mean, mask = some_inputs()
    z = np.random.default_rng(1).normal(size=mean.shape).astype(np.float32)
    told = law(mean, mask)
    centre, factor = np.asarray(told.centre, np.float64), np.asarray(told.factor, np.float64)
    assert np.array_equal(np.triu(factor, 1), np.zeros_like(factor))
    noise = np.einsum("bij,bj->bi", factor, z - centre)
    mixtures = (np.asarray(x, np.float64) for x in law.mixtures(noise.astype(np.float32), told))
    log_weights, means, log_scales = mixtures
    np.testing.assert_allclose(np.exp(log_weights).sum(-1), 1, rtol=1e-6)
    x = logistic((noise[..., None] - means) / np.exp(log_scales))
    density = np.sum(np.exp(log_weights) * x * (1 - x) / np.exp(log_scales), axis=-1)
    expected = -np.log(density).sum(1) - np.log(np.linalg.det(factor))
    np.testing.assert_allclose(law.nats(z, told), expected, rtol=1e-4, atol=1e-4)  # float32


def test_what_is_said_of_a_number_depends_on_those_before_it_and_on_no_other():
    law = some_law()
    told = law(*some_inputs(1))
    noise = np.random.default_rng(1).normal(size=(1, DIM)).astype(np.float32)
    before = np.concatenate([np.asarray(x)[0] for x in law.mixtures(noise, told)], axis=1)
    for i in range(DIM):
        other = noise.copy()
        other[0, i] += 0.7
        after = np.concatenate([np.asarray(x)[0] for x in law.mixtures(other, told)], axis=1)
        changed = (after != before).any(axis=1)
        assert changed.tolist() == [j > i for j in range(DIM)]


def test_the_probability_of_all_of_one_number_is_one():
    law = WholeLatents(1)
    law.build(None)
    rng = np.random.default_rng(0)
    for layer in (law.shift, law.factor, law.chain[2]):
        layer.kernel.assign(rng.normal(0, 0.1, layer.kernel.shape))
    z = np.linspace(-40, 40, 40_001, dtype=np.float32)[:, None]
    mask = np.broadcast_to(masks.named("eyes", SIZE), (len(z), SIZE, SIZE, 1)).astype(np.float32)
    told = law(np.full_like(z, 0.3), mask)
    density = np.exp(-np.asarray(law.nats(z, told), np.float64))
    assert density.sum() * (z[1, 0] - z[0, 0]) == pytest.approx(1, abs=1e-3)  # float32


def test_draws_are_of_the_law(monkeypatch):
    """The share below each drawn number, under its mixture, is the one it was drawn from."""
    monkeypatch.setattr(whole, "_UNLIKE", np.inf)
    law, count = some_law(), 4000
    mean, mask = (np.repeat(x[:1], count, axis=0) for x in some_inputs())
    normal = np.random.default_rng(2).normal(size=(count, DIM))
    drawn = law.draw(mean, mask, normal)
    told = law(mean, mask)
    noise = np.einsum("bij,bj->bi", np.asarray(told.factor), drawn - np.asarray(told.centre))
    log_weights, means, log_scales = (np.asarray(x) for x in law.mixtures(noise, told))
    below = np.exp(log_weights) * logistic((noise[..., None] - means) / np.exp(log_scales))
    expected = tfp.distributions.Normal(0.0, 1.0).cdf(normal.astype(np.float32))
    np.testing.assert_allclose(below.sum(-1), expected, atol=1e-4)  # z in float32 between the two


def test_a_share_of_a_mixture_lies_below_its_quantile():
    below = np.array([1e-12, 0.01, 0.5, 0.9, 1 - 1e-12])
    weights, means, scales = np.array([[0.3, 0.7]]), np.array([[-4.0, 2.0]]), np.array([[0.1, 1.5]])
    found = whole._quantile(below, np.log(weights), means, np.log(scales))
    assert np.all(np.diff(found) > 0)
    x = (found[:, None] - means) / scales
    # 1 + tanh near -1 has some four digits of 1e-12 left.
    np.testing.assert_allclose(np.sum(weights * logistic(x), axis=1), below, rtol=1e-3)
    np.testing.assert_allclose(np.sum(weights * logistic(-x), axis=1), 1 - below, rtol=1e-3)


def test_of_a_picture_unlike_all_others_z_is_the_mean():
    law = some_law()
    mean, mask = some_inputs()
    mean[0] = 0
    law.factor.bias.assign(-20 * np.eye(DIM).ravel())  # noise is spread e^20 times as far
    drawn = law.draw(mean, mask, np.ones_like(mean))
    np.testing.assert_array_equal(drawn, mean)
    law.factor.bias.assign(np.zeros(DIM**2))
    assert np.all(law.draw(mean, mask, np.ones_like(mean)) != mean)


def test_only_the_latest_rows_are_learnt_from_and_none_before_they_are_there(model, monkeypatch):
    monkeypatch.setattr(whole_fitting, "KEPT", 2 * whole_fitting.BATCH)

    def marked(model, images, z, masking, seed, step):
        cells = np.ones((len(z), whole.CELLS, whole.CELLS, 1), np.float32)
        return Seen(np.full_like(z, step), np.full_like(z, step), step * cells)

    monkeypatch.setattr(whole_fitting, "_seen", marked)
    z = np.zeros((3, DIM), np.float32)
    settings = Whole("trained")
    batches = whole_fitting._batches(model, pictures(), z, masks.sample, settings)
    for step, batch in zip(range(20), batches, strict=False):
        latest = step // whole_fitting.REUSE * whole_fitting.REUSE
        expected = {max(latest - whole_fitting.REUSE, 0), latest}
        assert {*np.unique(batch.z)} == expected
        assert all(
            (part == batch.z[:, :1].reshape(-1, *[1] * (part.ndim - 1))).all() for part in batch
        )


def test_large_entries_beside_the_diagonal_do_no_harm():
    law = some_law()
    law.factor.bias.assign(np.full(DIM**2, 200.0) * (1 - np.eye(DIM).ravel()))
    mean, mask = some_inputs()
    assert np.isfinite(np.asarray(law.nats(mean, law(mean, mask)))).all()


def test_a_mask_is_told_by_where_it_is():
    law = some_law()
    mean = np.zeros((2, DIM), np.float32)
    mask = np.stack([masks.named(name, SIZE) for name in ("eyes", "mouth")])
    centre, factor, _ = (np.asarray(x) for x in law(mean, mask))
    assert np.abs(centre[0] - centre[1]).max() > 1e-3
    assert np.abs(factor[0] - factor[1]).max() > 1e-3


def test_fitting_finds_what_is_told_and_how_far_off_that_is():
    """z is half the mean, and the rest is noise, the wider the more is hidden."""
    rng = np.random.default_rng(4)

    def batch(count):
        mask = masks.sample("rectangle", count, SIZE, int(rng.integers(2**31)))
        mean = rng.normal(size=(count, DIM)).astype(np.float32)
        hidden = 1 - mask.mean(axis=(1, 2))
        noise = rng.normal(size=mean.shape) * (0.2 + hidden)
        return Seen((mean / 2 + noise).astype(np.float32), mean, mask), hidden

    law = WholeLatents(DIM)
    law.build(None)
    steps = 300
    whole_fitting._fit(law, (batch(128)[0] for _ in range(steps)), steps)
    seen, hidden = batch(2000)
    found = whole_fitting.judge(law, seen, 0)
    ideal = np.square(seen.z - seen.mean / 2).sum() / np.square(seen.z - seen.z.mean(0)).sum()
    assert found["unexplained"] == pytest.approx(ideal, rel=0.05)
    assert found["spread"] == pytest.approx(1, abs=0.1)
    normal = np.random.default_rng(5).normal(size=seen.mean.shape)
    away = law.draw(seen.mean, seen.mask, normal) - law(seen.mean, seen.mask).centre
    scale = np.sqrt(np.square(away).mean(axis=1))
    assert np.corrcoef(scale, hidden[:, 0])[0, 1] > 0.5  # each scale is of four numbers


@pytest.fixture(scope="module")
def model():
    model = make()
    model.draw_whole = some_law().draw
    return model


def test_completions_keep_what_is_observed_and_differ_more(model):
    images = pictures()
    drawn = inpaint(model, images, EYES, 3, z="whole", seed=1)
    for sample in range(3):
        assert np.array_equal(drawn.images[:, sample] * (EYES == 1), images * (EYES == 1))
    law = some_law()
    # What the posterior's mean is, is what z is guessed from.
    mean = inpaint(model, images, EYES, 3, z="mean", seed=1).inferred
    centre, factor, _ = law(mean[:, 0], np.stack([EYES] * 3))
    whitened = np.einsum(
        "bij,bsj->bsi", np.asarray(factor), drawn.inferred - np.asarray(centre)[:, None]
    )
    # 36 numbers of mixtures whose spreads are about 1, some with long tails
    assert 0.3 < np.median(np.abs(whitened)) < 2
    posterior = inpaint(model, images, EYES, 3, seed=1)
    assert drawn.inferred.std(axis=1).mean() > 1.2 * posterior.inferred.std(axis=1).mean()
    assert np.array_equal(drawn.latents, drawn.inferred)


def test_a_completion_does_not_depend_on_the_company(model):
    images = pictures()
    together = inpaint(model, images, EYES, 4, z="whole", seed=2)
    alone = inpaint(model, images[1:2], EYES, 2, z="whole", seed=2, first_sample=2)
    assert_same(part(together, slice(1, 2), slice(2, 4)), part(alone))


def test_where_nothing_is_hidden_it_is_the_posterior(model):
    images = pictures()
    for draw in (
        lambda z: inpaint(model, images, "none", z=z),
        lambda z: reconstruct(model, images, z=z),
    ):
        assert np.array_equal(draw("whole").inferred, draw("posterior").inferred)


def test_latents_that_are_set_stay_set(model):
    drawn = inpaint(model, pictures(), EYES, 2, {1: 2.5}, z="whole")
    np.testing.assert_allclose(drawn.latents[..., 1], 2.5, rtol=1e-6)


def test_a_model_without_it_says_how_to_get_it():
    with pytest.raises(ValueError, match="--mode=whole"):
        inpaint(make(), pictures(), EYES, z="whole")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    export(Path("trained"))
    return tmp_path


def fit(*words):
    return run.main(["run.py", "--mode=whole", "--model=trained", "--steps=3", *words])


@pytest.fixture(scope="module")
def fitted_once(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("fitted"))
        export(Path("trained"))
        assert fit() == 0
        return Path("trained").absolute()


@pytest.fixture
def fitted(place, fitted_once):
    """A model with what fitting it left."""
    shutil.copy(fitted_once / whole.FILE, "trained")


def test_the_command_writes_what_loading_and_inpainting_take(place, capsys):
    assert fit() == 0
    said = capsys.readouterr().out
    assert "variance cannot be predicted" in said
    assert whole.FILE in said
    info = checkpoints.read(Path("trained") / whole.FILE)[1]
    assert info["command"].endswith("--mode=whole --model=trained --steps=3")
    assert info["mask"] == "rectangle"
    limit = tiny.config("train").data.limit
    assert info["pictures"] == limit
    assert fit("--dataset=procedural_faces") == 0  # named or not, it is that of the training
    assert checkpoints.read(Path("trained") / whole.FILE)[1]["pictures"] == limit
    words = ["--input=dataset:procedural_faces:test:0-1", "--mask=mouth", "--num_samples=2"]
    how = ["run.py", "--mode=inpaint", "--model=trained", *words]
    assert run.main([*how, "--z=whole", "--output=a"]) == 0
    assert run.main([*how, "--output=b"]) == 0
    assert Path("a/results.jsonl").read_text() != Path("b/results.jsonl").read_text()


def test_it_is_the_same_again_and_goes_with_an_export(fitted):
    first = checkpoints.read(Path("trained") / whole.FILE)[0]
    assert fit() == 0
    again = checkpoints.read(Path("trained") / whole.FILE)[0]
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name], name)
    assert run.main(["run.py", "--mode=export", "--model=trained", "--output=small"]) == 0
    assert csi_tf.load("small").draw_whole is not None


def test_of_another_version_it_is_refused_and_can_be_made_anew(fitted):
    path = Path("trained") / whole.FILE
    arrays, info = checkpoints.read(path)
    arrays.popitem()
    checkpoints.write(path, arrays, info)
    with pytest.raises(ValueError, match="--mode=whole --model=trained"):
        csi_tf.load("trained")
    assert fit() == 0
    assert csi_tf.load("trained").draw_whole is not None


def test_of_another_encoder_it_is_refused(fitted):
    weights, info = checkpoints.read(Path("trained") / loading.MODEL_FILE)
    name = next(name for name in weights if name.startswith("encoder/"))
    Path("other").mkdir()
    other = weights | {name: weights[name] + 1}
    checkpoints.write(Path("other") / loading.MODEL_FILE, other, info)
    shutil.copy(Path("trained") / whole.FILE, "other")
    with pytest.raises(ValueError, match="another encoder"):
        csi_tf.load("other")


def test_what_cannot_be_fitted_is_said(place, capsys):
    assert fit("--mask=nowhere") == run.USAGE
    assert "nowhere" in capsys.readouterr().err
    assert run.main(["run.py", "--mode=whole", "--model=procedural_faces"]) == run.USAGE
    assert "comes along" in capsys.readouterr().err
    shipped = loading.SHIPPED / "procedural_faces" / "stage2"  # by its place
    assert run.main(["run.py", "--mode=whole", f"--model={shipped}"]) == run.USAGE
    assert "comes along" in capsys.readouterr().err
    config = tiny.config("one_stage", model={"latents": False})
    bare = models.make(models.for_stage(config.model, "one_stage"), SIZE, seed=1)
    weights = {name: np.asarray(v) for name, v in models.exported_weights(bare).items()}
    Path("bare").mkdir()
    info = {"stage": "one_stage", "config": config.to_json(), "version": csi_tf.__version__}
    checkpoints.write(Path("bare") / loading.MODEL_FILE, weights, info)
    assert run.main(["run.py", "--mode=whole", "--model=bare"]) == run.USAGE
    assert "no latents" in capsys.readouterr().err


def test_a_model_that_another_uses_is_to_be_copied(place, capsys):
    """The mode has no --output that could be another."""
    with runs.locked(Path("trained")):
        assert fit() == run.FAILURE
    said = capsys.readouterr().err
    assert "copy the model to a place of your own, and name that with --model" in said
    assert "--output" not in said


def test_held_out_pictures_are_looked_for_before_the_fit(place, monkeypatch, capsys):
    monkeypatch.setattr(whole_fitting, "encode", lambda *_: pytest.fail("went on"))
    folder = Path("photos/train")
    folder.mkdir(parents=True)
    (folder.parent / "val").mkdir()
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(folder / "a.png")
    assert fit("--dataset=images:photos") == run.USAGE
    assert "val" in capsys.readouterr().err


def test_a_fit_that_is_not_finite_replaces_none(fitted, monkeypatch, capsys):
    path = Path("trained") / whole.FILE
    before = path.read_bytes()
    monkeypatch.setattr(whole_fitting, "RATE", np.inf)
    assert fit() == run.FAILURE
    assert "not finite, and was not written" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_another_data_set_is_not_cut_to_what_the_model_saw(place):
    arrays = data.arrays("procedural_faces", "train", SIZE, limit=100)
    np.savez("more.npz", images=arrays.images)
    assert fit("--dataset=npz:more.npz") == 0
    count = checkpoints.read(Path("trained") / whole.FILE)[1]["pictures"]
    assert count == len(data.arrays("npz:more.npz", "train", SIZE)) > tiny.config().data.limit


def test_it_is_told_when_what_z_was_drawn_from_has_changed(fitted, capsys):
    words = ["--input=dataset:procedural_faces:test:0-0", "--mask=mouth", "--num_samples=1"]
    how = ["run.py", "--mode=inpaint", "--model=trained", "--z=whole", "--output=a", *words]
    assert run.main(how) == 0
    again = ["run.py", "--mode=inpaint", "--output=b"]
    again.append(f"--repeat={next(Path('a').glob('*-000.png'))}")
    assert run.main(again) == 0
    assert fit("--seed=1") == 0
    capsys.readouterr()
    assert run.main([*again, "--overwrite"]) == run.FAILURE
    assert whole.FILE in capsys.readouterr().err


def test_an_evaluation_is_of_one_way_to_draw_z(place, capsys):
    quick = ["--parts=seam", "--images=10", "--num_samples=2", "--masks=mouth"]
    how = ["run.py", "--mode=evaluate", "--model=trained", *quick]
    assert run.main([*how, "--z=whole"]) == run.USAGE
    assert "--mode=whole" in capsys.readouterr().err
    assert fit() == 0
    assert run.main([*how, "--z=whole", "--output=w"]) == 0
    assert run.main([*how, "--output=p"]) == 0
    a, b = (Report.read(Path(each)) for each in ("w", "p"))
    assert not np.array_equal(a.rows("seam/none/steps"), b.rows("seam/none/steps"))
    # One from before there was this setting is of the posterior.
    del b.about["settings"]["z"]
    b.write(Path("p"))
    assert run.main([*how, "--output=p"]) == 0
    capsys.readouterr()
    assert run.main([*how, "--z=whole", "--output=p"]) == run.USAGE
    assert "--overwrite" in capsys.readouterr().err
    assert fit("--seed=1") == 0
    capsys.readouterr()
    assert run.main([*how, "--z=whole", "--output=w"]) == run.USAGE
    assert whole.FILE in capsys.readouterr().err
