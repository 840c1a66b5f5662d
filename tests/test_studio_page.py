"""The studio in a real browser: painted on, saved, misused; where Chromium is installed."""

import json
import re
import shlex

import numpy as np
import pytest
from browsing import (
    after,
    drawings,
    drawn,
    hold_the_first,
    needs_chromium,
    now,
    only_the_hole_differs,
    slide,
    tab,
)
from PIL import Image

import run
from csi_tf import latents, masks, session

pytestmark = needs_chromium


def stroke(page, start, end):
    """Drag over the canvas; places are parts of the picture's width and height."""
    surface = page.locator("#editor canvas")
    surface.scroll_into_view_if_needed()
    box = surface.bounding_box()
    (left, top), (right, bottom) = (
        (box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)
    )
    page.mouse.move(left, top)
    page.mouse.down()
    page.mouse.move(right, bottom, steps=10)
    page.mouse.up()


def hole_size(page):
    label = page.locator("#editor canvas").get_attribute("aria-label")
    return int(re.search(r"(\d+) of its", label)[1])


def hole_changes(page, action):
    """Done when the canvas says so."""
    before = hole_size(page)
    action()
    page.wait_for_function(
        "before => !document.querySelector('#editor canvas').ariaLabel.includes(`${before} of`)",
        arg=f" {before}",
    )


def test_a_face_is_there_and_its_hole_is_filled(browser, address, tmp_path):
    with tab(browser, address) as page:
        saved, pixels = now(page, tmp_path)
        assert "held-out" in saved.said
        only_the_hole_differs(saved, pixels)
        assert page.locator("#gallery button").count() == saved.num_samples


def test_painting_erasing_and_undoing_change_the_hole(browser, address, tmp_path):
    with tab(browser, address) as page:
        before, _ = now(page, tmp_path)
        assert hole_size(page) == (before.context_mask == 0).sum()
        stroke(page, (0.3, 0.22), (0.7, 0.22))
        painted, pixels = after(page, page.locator("#fill").click, tmp_path)
        line = before.context_mask.copy()
        line[3:4, 4:12] = 0  # 0.22 of 16 pixels is in row 3, and the brush has the size 2
        assert (painted.context_mask <= line).all()
        assert (painted.context_mask < before.context_mask).sum() <= 3 * 9
        only_the_hole_differs(painted, pixels)
        hole_changes(page, page.get_by_role("button", name="Undo").click)
        undone, _ = after(page, page.locator("#fill").click, tmp_path)
        np.testing.assert_array_equal(undone.context_mask, before.context_mask)
        hole_changes(page, page.get_by_role("button", name="Redo").click)
        page.locator("#editor canvas").press("Control+z")
        page.get_by_role("button", name="Eraser").click()
        stroke(page, (0.4, 0.9), (0.6, 0.9))
        erased, _ = after(page, page.locator("#fill").click, tmp_path)
        assert (erased.context_mask >= before.context_mask).all()
        assert (erased.context_mask[14, 7:10] == 1).all()


def test_what_is_seen_on_the_canvas_is_the_hole(browser, address, tmp_path):
    """Read where each pixel of the model has its middle."""
    with tab(browser, address) as page:
        saved, _ = now(page, tmp_path)
        shown = page.locator("#editor canvas").evaluate(
            "(c) => Array.from({length: 256}, (_, i) => Array.from(c.getContext('2d').getImageData("
            "(i % 16 + .5) * c.width / 16, (Math.floor(i / 16) + .5) * c.width / 16, 1, 1).data))"
        )
        seen = np.array(shown)[:, :3].reshape(16, 16, 3)
        observed = saved.context_mask[..., 0] == 1
        np.testing.assert_array_equal(seen[observed], saved.image[observed])
        paint = 0.78 * np.array([225, 29, 110]) + 0.22 * saved.image[~observed]
        np.testing.assert_allclose(seen[~observed], paint, atol=2)  # rounded twice by the browser


def test_named_masks_clear_and_invert(browser, address, tmp_path):
    with tab(browser, address) as page:
        eyes, pixels = after(page, page.locator("#box-eyes").click, tmp_path)
        np.testing.assert_array_equal(eyes.context_mask, masks.named("eyes", 16))
        only_the_hole_differs(eyes, pixels)
        hole_changes(page, page.locator("#invert").click)
        inverted, _ = after(page, page.locator("#fill").click, tmp_path)
        np.testing.assert_array_equal(inverted.context_mask, 1 - eyes.context_mask)
        hole_changes(page, page.locator("#clear").click)
        empty, pixels = after(page, page.locator("#fill").click, tmp_path)
        np.testing.assert_array_equal(pixels, empty.image)
        masks.to_file(masks.named("nose", 16), tmp_path / "nose.png")
        upload = page.locator("input[type=file][accept*=image]").first
        loaded, _ = after(page, lambda: upload.set_input_files(tmp_path / "nose.png"), tmp_path)
        np.testing.assert_array_equal(loaded.context_mask, masks.named("nose", 16))


def test_a_late_answer_takes_no_stroke_away(browser, address, tmp_path):
    """Painted while the page still waits for what a button does."""
    with tab(browser, address) as page:
        held = []
        page.route("**/run/predict", lambda route: held.append((route, route.fetch())))
        page.locator("#invert").click()
        stroke(page, (0.3, 0.22), (0.7, 0.22))
        for _ in range(100):
            if len(held) == 2:
                break
            page.wait_for_timeout(100)
        assert len(held) == 2
        for route, answer in held:
            route.fulfill(response=answer)
        page.unroute("**/run/predict")
        page.get_by_text("The hole has changed.").wait_for()
        page.wait_for_timeout(500)
        seen = hole_size(page)
        saved, _ = after(page, page.locator("#fill").click, tmp_path)
        assert seen == (saved.context_mask == 0).sum()
        assert (saved.context_mask[3, 5:11] == 0).all()


def test_a_stroke_that_arrives_late_is_filled_all_the_same(browser, address, tmp_path):
    with tab(browser, address) as page:
        held = hold_the_first(page)
        stroke(page, (0.3, 0.22), (0.7, 0.22))
        saved, _ = after(page, page.locator("#fill").click, tmp_path)
        assert (saved.context_mask[3, 5:11] == 0).all()
        with page.expect_response("**/run/predict"):
            held[0].continue_()
        page.wait_for_timeout(500)
        assert "Drawing" in page.locator("#status").inner_text(), "nothing has changed with it"


def test_a_finger_paints_and_a_second_one_does_not(browser, address, tmp_path):
    with tab(browser, address, has_touch=True) as page:
        page.set_viewport_size({"width": 390, "height": 844})
        surface = page.locator("#editor canvas")
        surface.scroll_into_view_if_needed()
        box, before = surface.bounding_box(), hole_size(page)

        def at(finger, x, y):
            place = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
            return place | {"id": finger}

        touch = page.context.new_cdp_session(page)
        for kind, points in (
            ("touchStart", [at(0, 0.2, 0.1)]),
            ("touchStart", [at(0, 0.2, 0.1), at(1, 0.8, 0.3)]),
            ("touchMove", [at(0, 0.25, 0.1), at(1, 0.8, 0.4)]),
            ("touchEnd", []),
        ):
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        assert before < hole_size(page) <= before + 3 * 3
        page.get_by_role("button", name="Undo").tap()
        assert hole_size(page) == before
        assert page.get_by_role("button", name="Undo").is_disabled()
        saved, _ = after(page, page.locator("#fill").tap, tmp_path)
        assert (saved.context_mask == 0).sum() == before


def test_a_strip_another_completion_and_a_name(browser, address, tmp_path):
    with tab(browser, address) as page:
        _, first = now(page, tmp_path)
        for number in (1, 2):  # faster than they are shown
            page.locator("#gallery button").nth(number).click()
        page.wait_for_timeout(2000)
        _, third = now(page, tmp_path)
        assert (third != first).any()
        page.locator("#sweep").click()
        page.locator("#strip img").wait_for()
        assert "latent 0 from -3.0 to 3.0" in page.locator("#swept").inner_text()
        page.get_by_role("tab", name="Where they differ").click()
        page.locator("#spread img").wait_for()
        page.locator("#rename button").first.click()
        page.locator("#rename-which input").click()
        page.get_by_role("option", name="latent 3").click()
        page.locator("#rename-name textarea, #rename-name input").fill("grin")
        renamed, _ = after(page, page.locator("#rename-do").click, tmp_path)
        assert renamed.names == {3: "grin"}
        assert "grin" in page.locator("#slider-3").inner_text()
        with page.expect_download() as download:
            page.locator("#names").click()
        assert download.value.suggested_filename == "latents.json"
        (named,) = latents.read(download.value.path(), 32)
        assert (named.name, named.dimension) == ("grin", 3)
        page.locator("#rename-which input").click()
        page.get_by_role("option", name="latent 2").click()
        page.locator("#rename-do").click()
        page.get_by_text("Another latent is called").first.wait_for()


def test_a_face_from_nothing(browser, address, tmp_path):
    with tab(browser, address) as page:
        before, _ = now(page, tmp_path)
        saved, pixels = after(page, page.locator("#draw").click, tmp_path)
        assert "from nothing" in saved.said
        assert (saved.image != before.image).any()
        only_the_hole_differs(saved, pixels)


def test_a_saved_session_comes_back_with_the_same_pixels(
    browser, address, tmp_path, monkeypatch, capsys
):
    with tab(browser, address) as page:
        after(page, page.locator("#next").click, tmp_path)
        after(page, page.locator("#box-nose").click, tmp_path)
        before, _ = after(page, lambda: slide(page, 1, -1.5), tmp_path)
        page.locator("#whole input").check()
        saved, pixels = after(page, page.locator("#fill").click, tmp_path)
        assert (before.z, saved.z) == ("posterior", "whole")
        with page.expect_download() as download:
            page.locator("#save").click()
        download.value.save_as(tmp_path / "session.json")
    with tab(browser, address) as page:
        for file in ("session.json", "made.png"):
            load = page.locator("#load").locator("xpath=..").locator("input[type=file]")
            again, drawn_again = after(
                page, lambda f=file, at=load: at.set_input_files(tmp_path / f), tmp_path / "new"
            )
            assert again.to_dict() == saved.to_dict()
            np.testing.assert_array_equal(drawn_again, pixels)
        shown = page.locator("#command .cm-content").inner_text()
    monkeypatch.chdir(tmp_path)  # where session.json is
    _, *words = shlex.split(shown, comments=True)
    assert run.main([*words, "--output=again"]) == 0, capsys.readouterr().err
    same = [file for file in (tmp_path / "again").glob("*.png") if (read(file) == pixels).all()]
    assert same, "the command that is shown draws what the page drew"


def test_what_cannot_be_loaded_is_told_once_and_as_text(browser, address, tmp_path):
    """It is no HTML of the page, and "Error" does not stand on all that would have changed."""
    with tab(browser, address) as page:
        from gradio_client import Client

        programs = Client(address, verbose=False)
        (name,) = programs.predict(api_name="/models")
        asked = programs.predict(name, 3, api_name="/face")
        asked["model"] = "<img src='http://127.0.0.1:9/x.png'>"
        (tmp_path / "bad.json").write_text(json.dumps(asked))
        load = page.locator("#load").locator("xpath=..").locator("input[type=file]")
        load.set_input_files(tmp_path / "bad.json")
        page.get_by_text(f"{asked['model']} is none of this studio's models").first.wait_for()
        # The message's heading, and the line that says what is drawn
        assert page.get_by_text("Error", exact=True).count() <= 2
        assert page.locator("#slider-0 input[type=number]").is_visible()


def read(file):
    with Image.open(file) as image:
        shown = np.asarray(image.convert("RGB"))
    return shown if shown.shape == (16, 16, 3) else np.zeros((1, 1, 3))


def photo(page, file):
    if not page.locator("#upload").is_visible():
        page.locator("#photo button").first.click()
    page.locator("#upload input[type=file]").set_input_files(file)


def test_garbage_is_refused_and_a_large_photo_is_taken(browser, address, tmp_path):
    (tmp_path / "garbage.png").write_bytes(b"no picture at all")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype("uint8")
    Image.fromarray(pixels).resize((6000, 4000)).save(tmp_path / "large.jpg", quality=60)
    with tab(browser, address) as page:
        before, _ = now(page, tmp_path)
        photo(page, tmp_path / "garbage.png")
        page.get_by_text("no picture that can be read").first.wait_for()
        page.get_by_label("Remove Image").first.click()
        with (tmp_path / "huge.png").open("wb") as file:
            file.truncate(215_000_000)
        photo(page, tmp_path / "huge.png")
        page.get_by_text("exceed the maximum").first.wait_for()
        photo(page, tmp_path / "large.jpg")
        page.locator("#frame img").wait_for()
        saved, filled = after(page, page.locator("#use").click, tmp_path)
        assert "6000x4000" in saved.said
        assert saved.image.shape == before.image.shape
        only_the_hole_differs(saved, filled)


def test_a_photo_is_filled_at_its_own_size(browser, address, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype("uint8")
    Image.fromarray(pixels).save(tmp_path / "us.png")
    with tab(browser, address) as page:
        assert not page.locator("#paste").is_visible(), "a face of the studio's has no photo"
        photo(page, tmp_path / "us.png")
        page.locator("#frame img").wait_for()
        after(page, page.locator("#use").click, tmp_path)
        # A mask of the photo's size lies over the photo, not over the square in its middle.
        hole = np.zeros((40, 60), bool)
        hole[:, 20:30] = True
        Image.fromarray(hole).save(tmp_path / "hole.png")
        load = page.locator("#mask").locator("xpath=..").locator("input[type=file]")
        after(page, lambda: load.set_input_files(tmp_path / "hole.png"), tmp_path)
        with page.expect_download() as download:
            page.locator("#paste").click()
        assert download.value.suggested_filename == "us-filled.png"
        download.value.save_as(tmp_path / "us-filled.png")
        saved, small = now(page, tmp_path)
        with Image.open(tmp_path / "us-filled.png") as image:
            filled = np.asarray(image)
        np.testing.assert_array_equal(saved.context_mask[0, :, 0] == 0, [0] * 4 + [1] * 4 + [0] * 8)
        np.testing.assert_array_equal(filled[~hole], pixels[~hole])
        enlarged = Image.fromarray(small).resize((40, 40), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(filled[hole], np.asarray(enlarged)[:, 10:20].reshape(-1, 3))
        assert session.read(tmp_path / "us-filled.png").to_dict() == saved.to_dict()
        after(page, page.locator("#next").click, tmp_path)
        assert not page.locator("#paste").is_visible()


def test_three_tabs_do_not_mix(browser, address, tmp_path):
    with tab(browser, address) as a, tab(browser, address) as b, tab(browser, address) as c:
        pages = (a, b, c)
        before = [drawings(page) for page in pages]
        for number, page in enumerate(pages):
            slide(page, number, 2)
        for number, (page, count) in enumerate(zip(pages, before, strict=True)):
            drawn(page, count)
            saved, pixels = now(page, tmp_path)
            assert saved.latents == {number: 2}
            only_the_hole_differs(saved, pixels)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_it_fits_a_telephone_and_a_desk(browser, address, scheme, width):
    with tab(browser, address, color_scheme=scheme) as page:
        page.set_viewport_size({"width": width, "height": 844})
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        back = page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = np.mean([int(part) for part in re.findall(r"\d+", back)[:3]])
        assert (brightness < 128) == (scheme == "dark")
        result, sliders = (page.locator(name).bounding_box() for name in ("#large", "#slider-0"))
        if width < 1000:
            assert result["y"] < sliders["y"], "what is drawn comes before the sliders"
        else:
            assert sliders["x"] < result["x"], "side by side"
