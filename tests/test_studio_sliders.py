"""Sliders of the studio in a real browser: moved late, stopped, moved while a result arrives."""

import re
import threading
import time

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

from csi_tf import masks
from csi_tf.studio.desk import Superseded
from csi_tf.studio.engine import Engine

pytestmark = needs_chromium


def test_a_slider_changes_the_hole_and_nothing_else(browser, address, tmp_path):
    with tab(browser, address) as page:
        _, first = now(page, tmp_path)
        moved, pixels = after(page, lambda: slide(page, 2, 2.5), tmp_path)
        assert moved.latents == {2: 2.5}
        only_the_hole_differs(moved, pixels)
        assert (pixels != first).any()
        assert "set by you" in page.locator("#slider-2").inner_text()
        back, pixels = after(page, page.locator("#reset-2").click, tmp_path)
        assert back.latents == {}
        np.testing.assert_array_equal(pixels, first)


def test_only_what_was_asked_for_last_is_drawn(browser, address, tmp_path, monkeypatch):
    """Whatever is begun before the last move takes as long as somebody waits for it."""
    whole = Engine.complete

    def slow(engine, asked, progress):
        while asked.latents != {2: -1}:
            time.sleep(0.05)
            progress(0, 16)
        return whole(engine, asked, progress)

    with tab(browser, address) as page:
        monkeypatch.setattr(Engine, "complete", slow)
        page.locator("#box-bottom_half").click()
        for value in (1, 2, -1):  # of one slider, faster than they can be drawn
            slide(page, 2, value)
        page.get_by_text("set by you").wait_for()
        saved, pixels = now(page, tmp_path)
        assert saved.latents == {2: -1}
        np.testing.assert_array_equal(saved.context_mask, masks.named("bottom_half", 16))
        only_the_hole_differs(saved, pixels)


def test_a_move_that_arrives_late_takes_no_other_back(browser, address, tmp_path):
    with tab(browser, address) as page:
        held, answers = hold_the_first(page), []
        page.on("response", lambda answer: answers.append(answer.url))
        slide(page, 2, 2)
        slide(page, 2, -1)
        page.wait_for_timeout(500)
        held[0].continue_()
        for _ in range(100):
            if len(moves := [url for url in answers if url.endswith("/run/predict")]) == 4:
                break
            page.wait_for_timeout(100)
        assert len(moves) == 4  # of each its turn
        saved, _ = after(page, page.locator("#fill").click, tmp_path)
        assert saved.latents == {2: -1}


@pytest.mark.parametrize("number", [2, 3], ids=["the same", "another"])
def test_a_result_takes_no_slider_out_of_the_hand(browser, address, tmp_path, monkeypatch, number):
    whole, wanted = Engine.complete, threading.Event()

    def slow(engine, asked, progress):
        assert wanted.wait(60)
        return whole(engine, asked, progress)

    with tab(browser, address) as page:
        monkeypatch.setattr(Engine, "complete", slow)
        count = drawings(page)
        slide(page, 2, 1)
        handle = page.locator(f"#slider-{number} input[type=range]")
        handle.scroll_into_view_if_needed()
        box = handle.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 0.3 * box["width"], y, steps=5)
        held = handle.input_value()
        wanted.set()
        drawn(page, count)
        page.wait_for_timeout(500)  # for whatever else a result may bring
        assert handle.input_value() == held
        saved, _ = after(page, page.mouse.up, tmp_path)
        assert saved.latents == {2: 1} | {number: float(held)}


def test_sliders_go_back_though_what_was_asked_before_was_stopped(
    browser, address, tmp_path, monkeypatch
):
    with tab(browser, address) as page:
        place = page.locator("#slider-2 input[type=number]")
        first = place.input_value()
        with monkeypatch.context() as held:
            begun = threading.Event()

            def slow(engine, asked, progress):
                begun.set()
                while True:
                    time.sleep(0.05)
                    progress(0, 16)

            held.setattr(Engine, "complete", slow)
            slide(page, 2, 2.5)
            assert begun.wait(20)
            page.locator("#stop").click()
            page.get_by_text("Stopped;").wait_for()
        after(page, page.locator("#reset-all").click, tmp_path)
        assert place.input_value() == first != "2.5"


def test_what_is_stopped_is_not_shown(browser, address, tmp_path, monkeypatch):
    """The studio runs in this process, so that a drawing can be made to take its time."""
    whole, begun, stopped = Engine.complete, threading.Event(), threading.Event()

    def slow(engine, asked, progress):
        begun.set()
        try:
            for row in range(600):
                time.sleep(0.05)
                progress(row, 600)
        except Superseded:
            stopped.set()
            raise
        return whole(engine, asked, progress)

    with tab(browser, address) as page:
        session_before, before = now(page, tmp_path)
        count = drawings(page)
        monkeypatch.setattr(Engine, "complete", slow)
        page.locator("#fill").click()
        assert begun.wait(20)
        page.get_by_text(re.compile(r"\d+/600 rows")).wait_for()
        page.locator("#stop").click()
        assert stopped.wait(20)
        monkeypatch.undo()
        page.get_by_text("Stopped;").wait_for()
        assert page.locator("#gallery button").count() == session_before.num_samples
        session_after, after_ = now(page, tmp_path)
        assert session_after.to_dict() == session_before.to_dict()
        np.testing.assert_array_equal(after_, before)
        page.locator("#fill").click()  # and it goes on being of use
        drawn(page, count)
