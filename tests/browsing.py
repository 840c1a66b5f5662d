"""What tests of the studio's page share: a browser's tab, what it has drawn, what is done there."""

import re
import shutil
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from csi_tf import session

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here; make browser-test installs it"
)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SECONDS = 60_000


@contextmanager
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@contextmanager
def tab(browser, address, **how):
    """A page whose first hole is filled; nothing may be asked of another machine."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, **how)
    page = context.new_page()
    page.set_default_timeout(SECONDS)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    drawn(page)
    try:
        yield page
    finally:
        context.close()
    elsewhere = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert not elsewhere


def drawings(page):
    """How many pictures have been drawn on this page."""
    found = re.search(r"Drawing (\d+)", page.locator("#status").inner_text())
    return int(found[1]) if found else 0


def drawn(page, before=0):
    page.wait_for_function(
        "before => parseInt(document.querySelector('#status')?.innerText.match(/Drawing (\\d+)/)"
        "?.[1] ?? 0) > before",
        arg=before,
    )


def after(page, action, where):
    """The session and the pixels of what an action has drawn."""
    before = drawings(page)
    action()
    drawn(page, before)
    return now(page, where)


def now(page, where):
    with page.expect_download() as download:
        page.locator("#png").click()
    download.value.save_as(where / "made.png")
    with Image.open(where / "made.png") as image:
        return session.read(where / "made.png"), np.asarray(image)


def slide(page, number, value):
    typed = page.locator(f"#slider-{number} input[type=number]")
    typed.fill(str(value))
    typed.press("Tab")


def hold_the_first(page):
    """The first request for something quick, kept from the server until it is let go on."""
    held = []

    def handle(route):
        if held:
            route.continue_()
        else:
            held.append(route)

    page.route("**/run/predict", handle)
    return held


def only_the_hole_differs(saved, pixels):
    seen = saved.context_mask[..., 0] == 1
    np.testing.assert_array_equal(pixels[seen], saved.image[seen])
    assert (pixels[~seen] != saved.image[~seen]).any()
