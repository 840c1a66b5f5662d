"""Figures 3 to 8: what is drawn, where it stands on the page, and what is said when models lack."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
from matplotlib.figure import Figure
from PIL import Image

import csi_tf
from csi_tf import checkpoints, latents, loading, masks, pixels
from csi_tf import model as models
from csi_tf.figures import arrays, curves, figure3, figure5c, layout, paper
from csi_tf.figures.arrays import SMALL, Material
from csi_tf.figures.layout import Row, Tile
from csi_tf.figures.models import Models
from csi_tf.figures.settings import NUMBERS, Figures

SIZE = 16
# Names in a reproduction: stage and what its settings have of their own.
ALL = {
    "info_vae": ("stage1", {}, {}),
    "csi": ("stage2", {}, {}),
    "noreverse": ("stage2", {"reverse": False}, {}),
    "one_stage": ("one_stage", {}, {}),
    "vae_3x5": ("stage1", {}, {"objective": "vae"}),
    "beta_tcvae_3x5": ("stage1", {}, {"objective": "beta_tcvae", "beta": 5.0}),
    "info_beta_tcvae": ("stage1", {}, {"objective": "info_beta_tcvae", "beta": 5.0}),
}


def export(directory: Path, stage: str, model: dict, objective: dict) -> None:
    """Fresh weights of a size that matters: z must reach the pixels."""
    config = tiny.config("one_stage", model=model, objective=objective)
    made = models.make(models.for_stage(config.model, stage), SIZE, seed=1)
    last = made.forward.streams.last
    noise = np.random.default_rng(5).normal(0, 0.3, last.kernel.shape)
    last.kernel.assign(np.asarray(last.kernel) + noise)
    weights = {name: np.asarray(v) for name, v in models.exported_weights(made).items()}
    info = {"stage": stage, "config": config.to_json(), "version": "1", "images_seen": 1234}
    info |= {"images_before": 567} if stage == "stage2" else {}
    directory.mkdir(parents=True)
    checkpoints.write(directory / loading.MODEL_FILE, weights, info)


@pytest.fixture(scope="module")
def reproduction(tmp_path_factory):
    directory = tmp_path_factory.mktemp("reproduction")
    for name, what in ALL.items():
        export(directory / "models" / name, *what)
    return directory


@pytest.fixture(scope="module")
def drawn(reproduction, tmp_path_factory):
    """Every figure of a reproduction."""
    directory = tmp_path_factory.mktemp("figures")
    paper.run(Figures(str(reproduction), small=True, seed=3, batch=4), directory / "new")
    return directory / "new"


@pytest.fixture(scope="module")
def material():
    faces = csi_tf.data.arrays("procedural_faces", "test", SIZE, limit=80).images
    return Material(faces[:70], faces[70:], SMALL, batch=4)


@pytest.fixture(scope="module")
def opened(reproduction):
    return Models(str(reproduction))


def test_captions_name_no_place_of_this_machine(opened):
    trained = opened["csi"]
    elsewhere = replace(trained.config.data, dataset="npz:/home/me/faces.npz")
    trained = replace(trained, config=replace(trained.config, data=elsewhere))
    caption = paper._caption(Figures("runs/mine", figure="3"), "3", [trained])
    assert "held-out images of npz:faces.npz" in caption
    assert "/home" not in caption


def saved(directory: Path, number: str) -> dict[str, np.ndarray]:
    with np.load(directory / f"figure{number}.npz") as file:
        return dict(file)


def boxes(figure: Figure) -> dict[str, list]:
    """(left, top, right, bottom) in screen pixels of pictures, texts and panels."""
    page, *panels = figure.axes
    layout.pixels(figure)
    height = figure.bbox.height

    def box(extent):
        return extent.x0, height - extent.y1, extent.x1, height - extent.y0

    return {
        "pictures": [box(image.get_window_extent()) for image in page.get_images()],
        "texts": [box(text.get_window_extent()) for text in page.texts if text.get_text()],
        "panels": [box(panel.get_tightbbox()) for panel in panels],
    }


def overlap(a, b) -> bool:
    return min(a[2], b[2]) - max(a[0], b[0]) > 0.5 and min(a[3], b[3]) - max(a[1], b[1]) > 0.5


@pytest.mark.parametrize("number", NUMBERS)
def test_every_figure_is_legible(drawn, number):
    found = saved(drawn, number)
    caption = str(found.pop("caption"))
    module = __import__(f"csi_tf.figures.figure{number}", fromlist=["draw"])
    figure = module.draw(found, caption)
    placed = boxes(figure)
    everything = [each for kind in placed.values() for each in kind]
    for i, first in enumerate(everything):
        assert not any(overlap(first, second) for second in everything[:i])
    width, height = figure.bbox.size
    assert all(b[0] >= 0 and b[1] >= 0 and b[2] <= width and b[3] <= height for b in everything)
    said = " ".join(text.get_text() for text in figure.axes[0].texts)
    assert caption in said, "the whole caption, in its order"
    for words in ("1,234 images", "procedural_faces", "Seed 3", f"--figure={number}", "--model="):
        assert words in caption
    with Image.open(drawn / f"figure{number}.png") as png:
        assert png.size == (round(width), round(height))
    assert (drawn / f"figure{number}.pdf").read_bytes().startswith(b"%PDF")


def test_pixels_are_squares_of_one_size():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (8, 8, 3)).astype("uint8")
    mask = np.ones((8, 8, 1), "float32")
    mask[:4] = 0
    page = layout.pixels(layout.sheet([Row([Tile(image), Tile(image, mask)])], ""))
    side = 12 * 8
    top, left = layout.MARGIN, layout.MARGIN
    shown = page[top : top + side, left : left + side]
    np.testing.assert_array_equal(shown, image.repeat(12, 0).repeat(12, 1))
    left += side + layout.GAP
    shown = page[top : top + side, left : left + side]
    np.testing.assert_array_equal(shown[48:], image.repeat(12, 0).repeat(12, 1)[48:])
    assert {tuple(pixel) for pixel in shown[:48].reshape(-1, 3)} == set(pixels.STRIPES)


def test_lines_fit_whatever_they_hold():
    words = "W" * 200 + " and $two$ " + "i" * 300 + " --flag=x" * 20
    lines = layout.wrapped(words, 300)
    assert all(layout.text_width(line, layout.TEXT) <= 300 for line in lines)
    assert "".join(lines).replace(" ", "") == words.replace(" ", "")
    assert layout.wrapped("", 300) == []


def test_files_are_the_same_every_time(tmp_path, drawn):
    found = saved(drawn, "3")
    caption = str(found.pop("caption"))
    for name in ("one", "two"):
        layout.save(figure3.draw(found, caption), tmp_path, name, found, caption)
    for kind in ("png", "pdf", "npz"):
        assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / f"two.{kind}").read_bytes()
    np.testing.assert_array_equal(saved(drawn, "3")["completed"], found["completed"])


@pytest.mark.parametrize("number", ["3", "4", "5b", "7", "8"])
def test_what_is_observed_is_kept(drawn, number):
    found = saved(drawn, number)
    completed, mask = found["completed"].astype(int), found["context_mask"]
    axis = {"3": 1, "4": 1, "5b": 2, "7": 2, "8": 2}[number]
    if number == "7":
        real, mask = found["real"], mask[:, None, None]
    else:
        real, mask = (np.expand_dims(x, axis - (axis == 2)) for x in (found["real"], mask))
    change = np.abs(completed - real) * (mask == 1)
    assert change.max() == 0
    assert np.abs(completed - real).max() > 0


def test_latents_are_what_moves(opened, material):
    """Ends of a row differ, and all but the latent is the same: moved nowhere, nothing changes."""
    model = opened["csi"].model
    still = latents.Latent("still", latents.axis(0, 4), (0.5, 0.5 + 1e-7), 1, 0)
    moving = latents.Latent("moving", latents.axis(0, 4), (-6, 6), 2, 0)
    found = arrays.rows(model, [[still], [moving]], ["mouth", "mouth"], material)
    assert (found["completed"][0, 0] == found["completed"][0, -1]).all()
    assert (found["completed"][1, 0] != found["completed"][1, -1]).any()
    effect = arrays.effects(model, [still, moving], ["mouth"], material)
    assert effect[0, 0] == 0 < effect[1, 0]


def test_latents_are_set_along_their_directions():
    mean = np.arange(4, dtype=np.float32)
    axis = latents.Latent("a", latents.axis(1, 4), (-2, 2), 1, 1)
    slanted = latents.Latent("b", np.array([0, 0, 0.6, 0.8]), (-1, 1), 2)
    z = arrays.along(mean, [axis, slanted], np.array([[-2.0, 5.0], [2.0, -5.0]]))
    np.testing.assert_allclose(z[:, 1], [-2, 2])
    np.testing.assert_allclose(z @ slanted.direction, [5, -5], rtol=1e-6)
    np.testing.assert_array_equal(z[:, 0], 0)


NAMED = tuple(
    latents.Latent(f"name {i}", latents.axis(3 - i, 4), (-1, 2), i + 1, 3 - i) for i in range(4)
)


def test_figure_4_has_the_best_first_and_the_mouth_last(opened, material, monkeypatch):
    model = opened["csi"].model
    monkeypatch.setattr(model, "named_latents", NAMED)
    found = arrays.figure4(model, material)
    assert found["names"][:-1].tolist() == [each.name for each in NAMED]
    assert found["intervals"][0] == "[-1,\N{NO-BREAK SPACE}2]"
    np.testing.assert_array_equal(found["context_mask"][-1], masks.named("mouth", SIZE))
    effect = arrays.effects(model, NAMED, ["mouth"], material)[:, 0]
    strongest = {NAMED[i].name for i in np.argsort(effect)[1:]}
    assert strongest == {*found["names"][-1].split(" + ")}


def test_a_latent_is_shown_under_the_hole_whose_pixels_it_changes_most(
    opened, material, monkeypatch
):
    """Even where most others change them too."""
    effect = np.array([[9, 1, 1, 1], [9, 8, 1, 1], [9, 1, 8, 1], [1, 1, 1, 8]])
    monkeypatch.setattr(arrays, "effects", lambda *_: effect)
    monkeypatch.setattr(opened["csi"].model, "named_latents", NAMED)
    shown = arrays.figure4(opened["csi"].model, material)["masks"].tolist()
    assert shown == ["mouth", "mouth", "mouth", "face", "mouth"]


def test_a_latent_is_shown_under_the_hole_it_was_named_under(opened, material, monkeypatch):
    holes = ("nose", None, "eyes", None)
    known = [replace(each, mask=hole) for each, hole in zip(NAMED, holes, strict=True)]
    monkeypatch.setattr(arrays, "effects", lambda *_: np.tile([9, 1, 1, 1], (4, 1)))
    monkeypatch.setattr(opened["csi"].model, "named_latents", tuple(known))
    shown = arrays.figure4(opened["csi"].model, material)["masks"].tolist()
    assert shown == ["nose", "mouth", "eyes", "mouth", "mouth"]


def test_names_are_those_of_the_evaluation(tmp_path):
    """Of stage one too, which has the z of stage two."""
    for name in ("info_vae", "csi", "one_stage"):
        export(tmp_path / "models" / name, *ALL[name])
    (tmp_path / "models/csi/evaluation").mkdir()
    latents.write(tmp_path / "models/csi/evaluation" / latents.FILE, NAMED)
    opened = Models(str(tmp_path))
    for name, names in (("csi", 4), ("info_vae", 4), ("one_stage", 0)):
        assert len(opened[name].model.named_latents) == names


def test_marginals_are_those_of_the_latents_that_vary_most(opened, material):
    found = arrays.figure5c(opened["info_beta_tcvae"].model, material)
    assert found["z"].shape == (64, 3)
    assert len(set(found["dimensions"].tolist())) == 3
    assert (found["variance"] > 0).all()


def test_the_prior_and_the_posterior_have_the_papers_colours():
    found = {
        "z": np.random.default_rng(0).normal(0, 0.3, (500, 3)),
        "dimensions": np.array([4, 0, 2]),
        "variance": np.full(500, 0.01),
    }
    _, first, *_, last = figure5c.draw(found).axes
    labels = dict(zip(*reversed(first.get_legend_handles_labels()), strict=True))
    assert labels["prior"].get_color() == figure5c.BLUE
    assert first.get_title().startswith("$z_{4}$")
    # A histogram of a density: a posterior this narrow stands far above the prior.
    assert first.get_ylim()[1] > 1
    assert "4" in last.get_title()


def test_the_values_are_the_papers(drawn):
    assert saved(drawn, "7")["values"][[0, -1]].tolist() == [-6, 6]
    assert arrays.Sizes().wide == 13
    assert (arrays.VARIANCE, arrays.Sizes().runs) == (3.0, 6)
    assert saved(drawn, "7")["masks"].tolist() == ["bottom_half", "bottom_quarter"]
    assert saved(drawn, "5a")["names"].tolist() == [
        "VAE, 3x5", "β-TCVAE (β = 5), 3x5", "InfoVAE-MMD, 3x5"
    ]  # fmt: skip


def test_a_smaller_hole_leaves_less_to_figure_7(drawn):
    found = saved(drawn, "7")
    large, small = found["context_mask"]
    assert (large <= small).all()
    changed = (found["completed"] != found["real"]).any(-1)  # (mask, latent, value, H, W)
    assert (changed[0].sum((-1, -2)) > changed[1].sum((-1, -2))).all()
    assert changed[1].any()


def test_the_columns_of_figure_8_have_the_same_latents(opened, material):
    """Equal weights of both, so equal pictures: seed and column decide, not the model's name."""
    model = opened["csi"].model
    found = arrays.figure8(model, model, material)["completed"]
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0, 0, 0] != found[0, 0, 1]).any()


def test_images_seen_are_stated_of_both_stages(opened):
    said = opened["csi"].said
    assert said == "csi (InfoVAE-MMD, 3x5, two stages, 1,234 images seen after 567 in stage one)"
    assert "no reverse net" in opened["noreverse"].said
    assert "no reverse net" not in opened["info_vae"].said


def test_missing_models_are_named_with_the_command_that_makes_them(
    tmp_path, reproduction, monkeypatch, capsys
):
    (tmp_path / "models/csi").mkdir(parents=True)
    file = Path("models/csi", loading.MODEL_FILE)
    (tmp_path / file).write_bytes((reproduction / file).read_bytes())
    made = []
    monkeypatch.setattr(paper, "_draw", lambda number, *_: made.append(number))
    with pytest.raises(ValueError, match=r"^figure 8 needs one_stage, not yet in") as raised:
        paper.run(Figures(str(tmp_path), figure="3,8"), tmp_path / "figures")
    assert f"--mode=reproduce --run_dir={tmp_path} --only=one_stage" in str(raised.value)
    assert not (tmp_path / "figures").exists()
    assert made == []
    paper.run(Figures(str(tmp_path)), tmp_path / "figures")
    assert made == ["3", "4", "7"]
    said = " ".join(capsys.readouterr().out.split())
    assert "not drawn: figure 5b needs info_vae, noreverse, not yet in" in said
    (tmp_path / file).unlink()
    with pytest.raises(ValueError, match=r"figure 3 needs csi.*figure 8 needs"):
        paper.run(Figures(str(tmp_path)), tmp_path / "figures")


def test_a_single_run_gives_the_figures_it_can(tmp_path, reproduction):
    one = Models(str(reproduction / "models/info_vae"))
    assert one.problem("6", paper.NEEDS["6"]) is None
    problem = one.problem("3", paper.NEEDS["3"])
    assert problem.startswith("figure 3 needs csi, which the single run")
    assert "--mode=reproduce --run_dir=DIR --only=csi" in problem
    two = Models(str(reproduction / "models/csi" / loading.MODEL_FILE))
    assert [n for n in NUMBERS if two.problem(n, paper.NEEDS[n]) is None] == ["3", "4", "7"]
    export(tmp_path / "no", "one_stage", {"latents": False}, {})
    none = Models(str(tmp_path / "no"))
    assert none.problem("3", paper.NEEDS["3"]) is None
    assert "trained with --nolatents" in none.problem("4", paper.NEEDS["4"])


def test_figures_are_asked_for_by_their_numbers():
    assert Figures("m").numbers == NUMBERS
    assert Figures("m", figure="8, 5").numbers == ("5a", "5b", "5c", "8")
    assert Figures("m", figure="5b,3,3").numbers == ("3", "5b")
    for wrong in ("2", "", "3;4", "3,"):
        with pytest.raises(ValueError, match="there is no figure"):
            Figures("m", figure=wrong)
    assert Figures(str(Path(__file__))).default_output() == Path(__file__).parent / "figures"
    with pytest.raises(ValueError, match=r"there is no nowhere; give"):
        Figures("nowhere").default_output()
    with pytest.raises(ValueError, match="batch must be at least 1"):
        Figures("m", batch=0)


def test_a_single_validation_is_a_point_in_the_curves():
    rows = [{"step": 5, "validation/kl": 2.0}]

    two = [*rows, {"step": 6, "validation/kl": 2.0}]
    (panel,) = curves.draw(rows, "").axes
    assert panel.lines[0].get_marker() == "o"
    assert curves.draw(two, "").axes[0].lines[0].get_marker() == ""


def test_curves_pass_over_what_was_not_finite():
    rows = [{"step": step, "train/bits_per_dim": 1.0 / step} for step in (1, 2, 3)]
    rows[1]["train/bits_per_dim"] = None  # as metrics.jsonl has it of a skipped step
    (panel,) = curves.draw(rows, "").axes
    assert panel.lines[0].get_xdata().tolist() == [1, 3]


def test_curves_of_a_model_without_latents_show_no_empty_panels():
    def titles(*keys):
        rows = [{"step": step} | dict.fromkeys(keys, 1.0 / step) for step in (1, 2)]
        return [panel.get_title() for panel in curves.draw(rows, "a run").axes]

    assert titles("train/bits_per_dim") == ["bits/dim"]
    everything = titles("train/bits_per_dim", "validation/bits_of_z", "validation/kl")
    assert everything == list(curves.PANELS)
    assert titles() == []
