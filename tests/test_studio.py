"""What is behind the studio's page: masks from paint, squares of photos, turns, ports."""

import shutil
import socket
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
import tiny
from commanding import load_once
from PIL import Image
from test_loading import export

import run
from csi_tf import checkpoints, loading, masks, session
from csi_tf import latents as latent_space
from csi_tf.inpaint import sample_prior
from csi_tf.session import Session
from csi_tf.studio import actions, canvas
from csi_tf.studio import desk as desk_module
from csi_tf.studio.actions import Actions, telling
from csi_tf.studio.desk import Desk, Desks, Photo, Result, Superseded
from csi_tf.studio.engine import Engine
from csi_tf.studio.settings import Studio

FACE = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype("uint8")


@pytest.mark.parametrize("size", [16, 32, 48, 64])
@pytest.mark.parametrize("name", ["mouth", "left_half", "none", "all"])
def test_the_mask_on_the_canvas_is_recovered_exactly(size, name):
    mask = masks.named(name, size)
    shown = canvas.value(np.zeros((size, size, 3), np.uint8), mask, 7)
    told, strokes = canvas.told(shown, size)
    np.testing.assert_array_equal(told, mask)
    assert strokes == 7


@pytest.mark.parametrize(
    "painted",
    [
        None,
        {},
        "0101",
        {"hole": "01", "strokes": 1},
        {"hole": "2" * 256, "strokes": 1},
        {"hole": 1},
    ],
    ids=lambda painted: str(painted)[:20],
)
def test_what_no_canvas_tells_is_refused(painted):
    with pytest.raises(ValueError, match="load the page again"):
        canvas.told(painted, 16)


def test_the_square_of_a_photo_stays_inside_it():
    for shape in ((40, 60, 3), (60, 40, 3), (1, 9, 3)):
        for part in (0.1, 0.5, 1):
            for across in (0, 0.3, 1):
                left, top, side, height = canvas.box(shape, part, across, 1 - across)
                assert side == height >= 1
                assert 0 <= left <= shape[1] - side
                assert 0 <= top <= shape[0] - side
    assert canvas.cropped(FACE, 16, 0.5, 0, 1).shape == (16, 16, 3)
    np.testing.assert_array_equal(canvas.cropped(FACE, 32, 1, 0, 0), FACE)


def test_photos_that_are_too_large_or_none_are_refused(tmp_path, monkeypatch):
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(ValueError, match="no picture"):
        canvas.photo(str(tmp_path / "text.png"))
    Image.fromarray(FACE).save(tmp_path / "face.png")
    np.testing.assert_array_equal(canvas.photo(str(tmp_path / "face.png")), FACE)
    monkeypatch.setattr(canvas, "MOST_PIXELS", 1000)
    for pillows_own in (10_000, 500):  # which refuses what has twice as many
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillows_own)
        with pytest.raises(ValueError, match="more than 1,000 pixels"):
            canvas.photo(str(tmp_path / "face.png"))


@pytest.fixture
def desks():
    desks = Desks()
    for person in "ab":
        desks.open(person, Desk(Session("m", FACE, masks.named("mouth", 32))))
    return desks


def test_only_the_newest_request_of_a_person_is_begun_and_once(desks):
    first, other = desks.begin("a"), desks.begin("b")
    with pytest.raises(Superseded):
        desks.begin("a")
    second = desks.change("a", lambda desk: desk.with_session(seed=7))
    with pytest.raises(Superseded):
        desks.check("a", first.turn)
    desks.check("b", other.turn)
    assert desks.begin("a").session.seed == 7
    desks.check("a", second.turn)
    desks.change("a", lambda desk: desk)
    desks.stop("a")
    with pytest.raises(Superseded):
        desks.begin("a")
    older, newer = (desks.change("a", lambda desk: desk).turn for _ in range(2))
    with pytest.raises(Superseded):
        desks.begin("a", older)  # which has waited for long
    desks.check("a", desks.begin("a", newer).turn)
    desks.stop_all()
    with pytest.raises(Superseded):
        desks.check("b", other.turn)


def test_nothing_that_is_done_at_the_same_moment_is_lost(desks):
    def move(number):
        def change(desk):
            time.sleep(0.001)  # long enough for another to come between
            return desk.with_session(latents={**desk.session.latents, number: 1.0})

        desks.change("a", change)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(move, range(64)))
    assert set(desks.begin("a").session.latents) == set(range(64))


def test_a_stroke_that_is_told_late_or_twice_changes_nothing(desks):
    mouth, eyes, nose = (masks.named(name, 32) for name in ("mouth", "eyes", "nose"))
    assert desks.tell("a", eyes, 2)
    asked = desks.begin("a")
    assert not desks.tell("a", nose, 1)
    assert not desks.tell("a", eyes, 2)
    desks.check("a", asked.turn)
    assert (desks.get("a").session.context_mask == eyes).all()
    desks.open("a", Desk(Session("other", FACE, mouth)))  # the canvas counts on
    assert not desks.tell("a", eyes, 2)
    assert desks.tell("a", nose, 3)


def test_only_a_result_that_is_wanted_says_where_sliders_stand(desks):
    asked = desks.begin("a")
    assert desks.place("a", asked, {0: 1.0}) == {}
    newer = desks.change("a", lambda desk: replace(desk, stand={**desk.stand, 1: 2.0}))
    with pytest.raises(Superseded):
        desks.place("a", asked, {0: 7.0})
    assert desks.place("a", newer, {}) == {0: 1.0, 1: 2.0}


def test_the_desk_that_was_left_longest_ago_gives_way(desks):
    for number in range(desk_module.PEOPLE - 2):
        desks.open(str(number), desks.get("a"))
    desks.stop("a")
    desks.open("one more", desks.get("b"))
    assert "a" in desks
    with pytest.raises(ValueError, match="load it again"):
        desks.begin("b")
    with pytest.raises(Superseded):
        desks.check("b", 1)


def test_a_closed_page_gives_way_before_an_open_one(desks, tmp_path):
    actions, person = Actions(Engine([]), tmp_path, 0), SimpleNamespace(session_hash="b")
    actions.desks = desks
    asked = desks.begin("b")
    actions.left(person)
    with pytest.raises(Superseded):
        desks.check("b", asked.turn)
    for number in range(desk_module.PEOPLE - 1):
        desks.open(str(number), desks.get("a"))
    assert "a" in desks
    assert "b" not in desks
    actions.left(person)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    file = tmp_path_factory.mktemp("exported") / loading.MODEL_FILE
    export(file, stage="stage2")
    return file


@pytest.fixture
def engine(tmp_path, exported, monkeypatch):
    monkeypatch.setattr(loading, "load", load_once)
    shutil.copy(exported, tmp_path)
    return Engine([str(tmp_path / loading.MODEL_FILE)])


def test_a_sweep_passes_through_the_completion(engine):
    (name,) = engine.names
    asked = engine.face(name, 5)
    made = engine.complete(asked)
    latent = engine.open(name).sliders[2]
    z, number = made.latents[0, 0], int(made.numbers[0, 0])
    strip = engine.sweep(asked, latent, z, number, [-2.0, float(z[2])])
    np.testing.assert_array_equal(strip[1], made.images[0, 0])
    seen = asked.context_mask[..., 0] == 1
    np.testing.assert_array_equal(strip[0][seen], asked.image[seen])


def test_what_is_inferred_is_the_posterior_mean_along_each_slider(engine):
    (name,) = engine.names
    asked = engine.face(name, 1)
    opened = engine.open(name)
    mean, _ = opened.model.encode(
        asked.image[None].astype("float32") / np.float32(127.5) - 1, asked.context_mask[None], 0
    )
    np.testing.assert_allclose(engine.inferred(asked), np.asarray(mean)[0], atol=1e-5)


def test_a_slider_reaches_as_far_as_its_latent_is_of_use_and_stands(engine, tmp_path):
    """And no further: 0 is no place of its own."""
    (name,) = engine.names
    opened = engine.open(name)
    useful = replace(opened.sliders[0], interval=(1.0, 3.0))
    engine._opened[name] = replace(opened, sliders=(useful,))
    actions = Actions(engine, tmp_path, 1)
    asked = engine.face(name, 1)
    made = engine.complete(asked)
    for latents, inferred, ends in (
        ({}, 2.0, (1, 3)),
        ({}, 0.5, (0.5, 3)),
        ({0: 4.0}, 2.0, (1, 4)),
    ):
        result = Result(replace(asked, latents=latents), made, [inferred], 1, None)
        slider = actions._slider(0, result, {})
        assert (slider.minimum, slider.maximum) == ends
        assert slider.value == latents.get(0, inferred)


def test_sliders_are_those_of_the_model_that_is_open(tmp_path):
    """As soon as it is, and before anything is inferred."""
    other = tiny.config("train", model={"latent_dim": 2})
    for name, config in (("many", None), ("few", other)):
        (tmp_path / name).mkdir()
        export(tmp_path / name / loading.MODEL_FILE, config)
    smile = latent_space.Latent("smile", latent_space.axis(1, 2), (-1.0, 2.0), 1, dimension=1)
    latent_space.write(tmp_path / "few" / latent_space.FILE, [smile])
    many, few = (str(tmp_path / name) for name in ("many", "few"))
    engine, person = Engine([many, few]), SimpleNamespace(session_hash="a")
    actions = Actions(engine, tmp_path, 4)
    actions.first(many, person)
    actions.moved(3, 1.0, person)
    session_ = replace(engine.face(few, 0), latents={"smile": 2.5}, names={0: "nose"})
    (tmp_path / "s.json").write_text(session_.to_json())
    for open_few, reaches, second in (
        (lambda: actions.first(few, person), 2, "latent 0"),
        (lambda: actions.loaded(str(tmp_path / "s.json"), person), 2.5, "nose"),
    ):
        *_, which, first, next_, third, _ = open_few()
        assert (first.label, first.minimum, first.maximum) == ("smile", -1, reaches)
        assert "value" not in first.constructor_args
        assert next_.label == second
        assert not third.visible
        assert which.choices == [("smile", 0), (second, 1)]
        turn = actions.desks.get("a").turn
        for late in (
            lambda: actions.moved(3, 1.0, person),
            lambda: actions.returned(3, person),
            lambda: actions.renamed(3, "grin", person),
        ):
            with pytest.raises(ValueError, match="has no such slider"):
                late()
        actions.desks.check("a", turn)
        actions.first(many, person)


def test_what_has_waited_in_the_queue_does_not_stand_in_for_what_is_newer(engine, tmp_path):
    """It would draw with the older number of completions, or a strip nobody wants any more."""
    actions, person = Actions(engine, tmp_path, 4), SimpleNamespace(session_hash="a")
    actions.first(engine.names[0], person)
    first = actions.turn(person)
    actions.all_returned(person)
    newest = actions.turn(person)
    assert all(map(is_skip, actions.fill(None, 0, 1, 1, False, first, person)))
    _, _, result, *_ = actions.fill(None, 0, 3, 1, False, newest, person)
    assert len(result.made.images[0]) == 3
    actions.sweeping(result, person)
    sweep = actions.turn(person)
    actions.moved(0, 1.5, person)
    assert all(map(is_skip, actions.swept(result, sweep, person)))
    _, _, moved, *_ = actions.fill(result, 0, 1, 1, False, actions.turn(person), person)
    assert moved.session.latents == {0: 1.5}


def test_a_session_may_call_latents_what_no_file_can(engine, tmp_path):
    """There is no latents.json to download then, and the fill is shown."""
    actions, person = Actions(engine, tmp_path, 4), SimpleNamespace(session_hash="a")
    (name,) = engine.names
    session = replace(engine.face(name, 0), names={0: "smile, wide"})
    assert not actions._names(session, person).visible
    assert actions._names(replace(session, names={0: "smile"}), person).visible


def test_what_the_server_has_forgotten_is_told(engine, tmp_path):
    actions, person = Actions(engine, tmp_path, 4), SimpleNamespace(session_hash="a")
    for late in (lambda: actions.picked(None, None, person), lambda: actions.pasted(None, person)):
        with pytest.raises(gr.Error, match="Fill the hole first"):
            late()


def test_a_click_that_fails_stops_no_drawing(engine, tmp_path):
    actions, person = Actions(engine, tmp_path, 4), SimpleNamespace(session_hash="a")
    (name,) = engine.names
    actions.first(name, person)
    drawing = actions.desks.begin("a")
    (tmp_path / "none.png").write_text("no picture")
    wrong = str(tmp_path / "none.png")
    for click in (
        lambda: actions.used(None, 1, 0, 0, person),
        lambda: actions.used(wrong, 1, 0, 0, person),
        lambda: actions.loaded(wrong, person),
        lambda: actions.sweeping(None, person),
    ):
        with pytest.raises((ValueError, gr.Error)):
            click()
        actions.desks.check("a", drawing.turn)
    Image.fromarray(FACE).save(wrong)
    actions.used(wrong, 1, 0, 0, person)
    with pytest.raises(Superseded):
        actions.desks.check("a", drawing.turn)


def test_a_photo_that_comes_late_replaces_no_picture_that_came_since(engine, tmp_path, monkeypatch):
    actions, person = Actions(engine, tmp_path, 4), SimpleNamespace(session_hash="a")
    (name,) = engine.names
    actions.first(name, person)
    (tmp_path / "s.json").write_text(engine.face(name, 7).to_json())
    Image.fromarray(FACE).save(tmp_path / "photo.png")
    given = (str(tmp_path / "photo.png"), 1, 0, 0)
    cropped = canvas.cropped

    def late(*how):
        actions.loaded(str(tmp_path / "s.json"), person)
        return cropped(*how)

    with monkeypatch.context() as slow:
        slow.setattr(canvas, "cropped", late)
        with pytest.raises(gr.Error, match="something newer"):
            telling(actions.used)(*given, person)
    kept = actions.desks.begin("a").session  # and it is what will be filled
    assert kept.said == "held-out procedural face 7"
    np.testing.assert_array_equal(kept.image, session.read(tmp_path / "s.json").image)
    actions.used(*given, person)
    assert "your photo" in actions.desks.get("a").session.said


def test_a_slider_that_is_let_go_where_it_stands_is_not_set(drawing):
    person, (name, _) = SimpleNamespace(session_hash="a"), drawing.engine.names
    drawing.first(name, person)
    drawing.another(person)
    drawing.fill(None, *ASKED, person)
    before = drawing.desks.get("a")
    drawing.moved(0, before.stand[0], person)
    assert drawing.desks.get("a") is before
    drawing.moved(0, before.stand[0] + 0.5, person)
    assert drawing.desks.get("a").session.latents == {0: before.stand[0] + 0.5}


def test_a_mask_lies_over_the_photo_that_it_was_drawn_over(engine, tmp_path):
    """And what is pasted back keeps to it, finer than the model's pixels."""
    actions, person = Actions(engine, tmp_path, 4), SimpleNamespace(session_hash="a")
    (name,) = engine.names
    actions.first(name, person)
    pixels = np.random.default_rng(0).integers(0, 256, (60, 100, 3)).astype("uint8")
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    actions.used(str(tmp_path / "photo.png"), 40 / 60, 1, 0, person)  # columns 60 to 99
    hole = np.zeros((60, 100), bool)
    hole[21, 61:98] = True  # a line, in row 8 of the model's 16
    Image.fromarray(hole).save(tmp_path / "line.png")
    actions.masked(str(tmp_path / "line.png"), person)
    asked = actions.desks.get("a")
    seen = asked.session.context_mask[..., 0]
    assert (seen[8] == 0).all()
    assert (np.delete(seen, 8, axis=0) == 1).all()
    made = engine.complete(asked.session)
    filled = Result(asked.session, made, [], 1, asked.photo).pasted
    np.testing.assert_array_equal(filled[~hole], pixels[~hole])
    assert (filled[hole] != pixels[hole]).any()
    actions.invert(person)  # the canvas says what is filled, from now on
    asked = actions.desks.get("a")
    made = engine.complete(asked.session)
    filled = Result(asked.session, made, [], 1, asked.photo).pasted
    changed = (filled != pixels).any(axis=-1)
    assert not changed[20:22].any()  # 2.5 rows for each of the model
    assert changed[:20, 60:].mean() > 0.9
    # Over a picture of the model's own size a line is kept, too.
    actions.another(person)
    actions.masked(str(tmp_path / "line.png"), person)
    assert (actions.desks.get("a").session.context_mask[5] == 0).any()
    actions.used(str(tmp_path / "photo.png"), 40 / 60, 1, 0, person)
    # One of the model's own size lies over what the model is shown.
    masks.to_file(masks.named("nose", 16), tmp_path / "nose.png")
    actions.masked(str(tmp_path / "nose.png"), person)
    shown = actions.desks.get("a").session.context_mask
    np.testing.assert_array_equal(shown, masks.named("nose", 16))


def test_a_photo_is_kept_until_another_picture_has_come(drawing, tmp_path):
    person, (name, _) = SimpleNamespace(session_hash="a"), drawing.engine.names
    drawing.first(name, person)
    Image.fromarray(FACE).save(tmp_path / "photo.png")
    drawing.used(str(tmp_path / "photo.png"), 1, 0, 0, person)
    drawing.new(person)
    drawing.stop(person)
    assert drawing.desks.get("a").photo is not None
    drawing.new(person)
    drawing.fill(None, *ASKED, person)
    assert drawing.desks.get("a").photo is None


def test_a_photo_that_is_gone_is_asked_for_again(engine, tmp_path):
    """What is uploaded is kept for a day."""
    actions, person = Actions(engine, tmp_path, 4), SimpleNamespace(session_hash="a")
    asked = engine.face(*engine.names, 1)
    gone = Photo(str(tmp_path / "photo.png"), FACE.shape[:2], (0, 0, 16, 16))
    with pytest.raises(gr.Error, match="upload it again"):
        actions.pasted(Result(asked, engine.complete(asked), [], 1, gone), person)


ASKED = (0, 1, 1, False, None)  # seed, completions, truncation, whether z is whole, any turn


@pytest.fixture
def drawing(tmp_path, monkeypatch):
    """The actions of a studio whose two models draw all their faces, which takes its time."""
    monkeypatch.setattr(loading, "load", load_once)
    config = tiny.config("train", data={"dataset": "npz:photos.npz"})
    for name in "ab":
        (tmp_path / name).mkdir()
        export(tmp_path / name / loading.MODEL_FILE, config)
    return Actions(Engine([str(tmp_path / name) for name in "ab"]), tmp_path, 4)


@pytest.fixture
def clicks(drawing):
    """All that ask for such a face."""
    person = SimpleNamespace(session_hash="a")
    return (
        lambda: drawing.first(drawing.engine.names[0], person),
        lambda: drawing.another(person),
        lambda: drawing.new(person),
    )


def test_a_face_stops_what_is_drawn_and_is_drawn_no_further_than_anybody_waits(drawing, clicks):
    person, rows = SimpleNamespace(session_hash="a"), []
    drawing.first(drawing.engine.names[1], person)
    before = drawing.desks.begin("a")

    def progress(place, **_):
        rows.append(place)
        drawing.stop(person)

    for click in clicks:
        click()
        with pytest.raises(Superseded):
            drawing.desks.check("a", before.turn)
        assert all(map(is_skip, drawing.fill(None, *ASKED, person, progress)))
        assert len(rows) == 1
        rows.clear()
        before = drawing.desks.change("a", lambda desk: desk)
        assert before.session.said == "nothing yet"


def is_skip(shown):
    return shown == gr.skip()


def test_a_face_replaces_no_picture_that_came_since(drawing, clicks, tmp_path, monkeypatch):
    person, (name, _) = SimpleNamespace(session_hash="a"), drawing.engine.names
    drawing.first(name, person)
    saved = replace(drawing.engine.blank(name), said="saved")
    (tmp_path / "s.json").write_text(saved.to_json())

    def late(*_):
        drawing.loaded(str(tmp_path / "s.json"), person)
        return drawing.engine.blank(name)

    monkeypatch.setattr(Engine, "drawn", late)
    for click in clicks:
        click()
        assert all(map(is_skip, drawing.fill(None, *ASKED, person)))
        asked = drawing.desks.begin("a")  # and it is what will be filled
        assert asked.session.said == "saved"
        assert asked.face is None


def test_a_face_comes_with_the_hole_and_the_latents_that_were_asked_for_meanwhile(
    drawing, clicks, monkeypatch
):
    person, (name, _) = SimpleNamespace(session_hash="a"), drawing.engine.names
    drawing.first(name, person)

    def slow(*how, **named):
        drawing.box("eyes", person)
        drawing.moved(1, 0.5, person)
        return sample_prior(*how, **named)

    for click in clicks:
        drawing.box("mouth", person)
        drawing.moved(2, 0.5, person)
        click()
        with monkeypatch.context() as held:
            held.setattr("csi_tf.studio.engine.sample_prior", slow)
            assert all(map(is_skip, drawing.fill(None, *ASKED, person)))
        shown, note, result, *_ = drawing.fill(None, *ASKED, person)
        desk = drawing.desks.get("a")
        assert (shown, note) == drawing._picture(desk)
        assert "from nothing" in note
        np.testing.assert_array_equal(desk.session.image, result.session.image)
        np.testing.assert_array_equal(result.session.context_mask, masks.named("eyes", 16))
        assert result.session.latents == {1: 0.5}
        assert result.session.image.std() > 0


def test_the_model_that_was_chosen_last_is_opened(drawing):
    person, names = SimpleNamespace(session_hash="a"), drawing.engine.names
    for name in (names[1], *names, names[0]):
        shown = drawing.first(name, person)
        assert shown[0] == name
    _, note, result, *_ = drawing.fill(None, *ASKED, person)
    assert result.session.model == names[0]
    assert names[0] in note


def test_what_cannot_be_shown_puts_no_slider_anywhere(engine, tmp_path, monkeypatch):
    actions, person = Actions(engine, tmp_path, 4), SimpleNamespace(session_hash="a")
    (name,) = engine.names
    actions.first(name, person)

    def full(*_):
        raise OSError("no space left")

    with monkeypatch.context() as disk:
        disk.setattr(actions, "_file", full)
        with pytest.raises(OSError, match="no space"):
            actions.fill(None, *ASKED, person)
    assert actions.desks.get("a").stand == {}
    actions.all_returned(person)  # asks once more
    actions.fill(None, *ASKED, person)
    assert [*actions.desks.get("a").stand] == [*range(len(engine.open(name).sliders))]


@pytest.mark.parametrize(
    ("stage", "model"),
    [("stage1", {}), ("one_stage", {}), ("one_stage", {"latents": False})],
    ids=str,
)
def test_every_kind_of_model_fills_and_draws(tmp_path, stage, model):
    export(tmp_path / loading.MODEL_FILE, tiny.config(stage, model=model), stage)
    engine = Engine([str(tmp_path)])
    asked = engine.face(str(tmp_path), 1)
    made = engine.complete(asked)
    seen = asked.context_mask[..., 0] == 1
    np.testing.assert_array_equal(made.images[0, 0][seen], asked.image[seen])
    count = 4 if model.get("latents", True) else 0
    assert len(engine.inferred(asked)) == len(engine.open(str(tmp_path)).sliders) == count
    assert engine.drawn(str(tmp_path), 3).image.std() > 0


def test_a_model_of_other_pictures_begins_with_faces_of_its_own(tmp_path):
    config = tiny.config("train", data={"dataset": "npz:photos.npz"})
    export(tmp_path / loading.MODEL_FILE, config)
    engine = Engine([str(tmp_path)])
    first, again, other = (engine.face(str(tmp_path), number) for number in (0, 0, 1))
    np.testing.assert_array_equal(first.image, again.image)
    assert (first.image != other.image).any()
    np.testing.assert_array_equal(first.image, engine.drawn(str(tmp_path), 0).image)
    assert "from nothing" in first.said


def test_what_stands_in_a_file_is_no_html_of_the_page(engine):
    (name,) = engine.names
    asked = engine.face(name, 1).to_dict() | {"model": "<img src='http://elsewhere/x.png'>"}
    with pytest.raises(gr.Error) as error, actions.told():
        engine.checked(session.parse(asked))
    assert "&lt;img src='http://elsewhere/x.png'&gt; is none of this" in error.value.message


def test_sessions_of_another_studio_are_refused(engine):
    (name,) = engine.names
    asked = engine.face(name, 1)
    with pytest.raises(ValueError, match=r"none of this studio's models: .*--model=/etc$"):
        engine.checked(session.parse(asked.to_dict() | {"model": "/etc"}))
    with pytest.raises(ValueError, match="no latent called"):
        engine.checked(session.parse(asked.to_dict() | {"latents": {"smile": 1}}))
    with pytest.raises(ValueError, match="pixels on a side"):
        engine.checked(Session(name, FACE, masks.named("mouth", 32)))


def test_a_latent_that_a_file_sets_by_its_name_is_its_slider_s(engine, tmp_path):
    (name,) = engine.names
    known = (
        latent_space.Latent("smile", latent_space.axis(2, 4), (-2, 2), 1, dimension=2),
        latent_space.Latent("older", np.array([0.6, 0, 0, 0.8]), (-2, 2), 2),
    )
    latent_space.write(tmp_path / latent_space.FILE, known)
    asked = replace(engine.face(name, 1), latents={"smile": 2.0, "older": 1.0, 0: -1.0})
    kept = engine.checked(asked)
    assert kept.latents == {2: 2.0, "older": 1.0, 0: -1.0}
    np.testing.assert_array_equal(engine.complete(kept).images, engine.complete(asked).images)
    with pytest.raises(ValueError, match="move the same thing"):
        engine.checked(replace(asked, latents={"smile": 2.0, 2: 1.0}))


def test_a_model_is_the_same_however_it_is_spelt(tmp_path, monkeypatch):
    """And sessions call it as it is called from any directory; the page does not."""
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    export(tmp_path / "runs" / "mine" / loading.MODEL_FILE)
    (tmp_path / "link").symlink_to(tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    engine = Engine(["runs/mine"])
    made = engine.face("runs/mine", 1)
    assert made.model == str(tmp_path / "runs" / "mine")
    monkeypatch.chdir("/")
    opened = engine.open(made.model)
    assert opened.name == "runs/mine"
    assert opened.said.startswith("**runs/mine**")
    for other in (f"{tmp_path}/runs/mine/", f"{tmp_path}/link/mine", f"{tmp_path}/x/../runs/mine"):
        assert engine.open(other) is opened
        assert engine.checked(replace(made, model=other)).model == made.model
    with pytest.raises(ValueError, match="none of this studio's models"):
        engine.open(str(tmp_path / "runs"))


def test_models_that_come_along_keep_their_names():
    assert Engine(["procedural_faces"]).face("procedural_faces", 1).model == "procedural_faces"


def test_a_session_of_another_model_is_opened_with_a_notice(engine, tmp_path):
    (name,) = engine.names
    actions, person = Actions(engine, tmp_path, 4), SimpleNamespace(session_hash="a")
    first = actions.first(name, person)
    file = tmp_path / "s.json"
    file.write_text(actions.desks.get("a").session.to_json())
    assert actions.loaded(str(file), person)[0] == first[0] == name
    weights, info = checkpoints.read(name)
    checkpoints.write(name, weights, info | {"made": "anew"})
    later = Actions(Engine([name]), tmp_path, 4)
    later.first(name, person)
    with pytest.warns(UserWarning, match=r"The model of .* is not the one"):  # without a page
        later.loaded(str(file), person)
    kept = later.desks.get("a").session  # which says what it will be drawn with
    assert kept.sha256 == loading.digests(loading.find(name))
    file.write_text(kept.to_json())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        later.loaded(str(file), person)


def test_a_port_that_is_taken_is_said(tmp_path, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run.main(["run.py", "--mode=studio", f"--port={port}"]) == 1
    assert "give another --port" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [{"port": 0}, {"port": 70000}, {"host": ""}])
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Studio(**wrong)


def test_without_a_name_all_models_that_come_along_are_taken():
    assert Studio(model="a, b").names == ("a", "b")
    assert Studio().names[0] == "procedural_faces"
