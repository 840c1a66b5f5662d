"""From a slider's release in a browser to the new picture, over the sampler's own time.

    python benchmarks/studio.py

For each model that comes along and each of three holes: the median of several releases, from the
key that ends the typing of a value until the page has the new completion and its browser is idle
again, and of as many direct calls of the sampler for the same hole and number of completions. Aim:
at most 3. Meanwhile, the longest time for which the page answered nothing (its main thread was
busy). Last, how long opening takes until the first hole is filled. Needs Chromium and Playwright
(of the development set).
"""

import shutil
import socket
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

import csi_tf
from csi_tf import masks
from csi_tf.session import Session
from csi_tf.studio.engine import SAMPLES, Engine
from csi_tf.studio.serve import serving
from csi_tf.studio.settings import Studio

HOLES = ("mouth", "eyes", "bottom_half")
RELEASES = 7
# Times for which a browser's main thread is busy with one thing, those of 50 ms and more.
WATCH = """
window.longest = 0;
new PerformanceObserver(list => {
  for (const entry of list.getEntries()) window.longest = Math.max(window.longest, entry.duration);
}).observe({type: "longtask"});
"""
COUNT = "parseInt(document.querySelector('#status')?.innerText.match(/Drawing (\\d+)/)?.[1] ?? 0)"


def sampler(engine: Engine, session: Session) -> float:
    """Seconds, the first call apart, which compiles."""
    times = []
    for _ in range(RELEASES + 1):
        began = time.perf_counter()
        engine.complete(session)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def page_times(page: Page) -> tuple[float, float]:
    """Seconds from release to picture, and of the longest time without an answer."""
    slider = page.locator("#slider-0 input[type=number]")
    times, busy = [], []
    for number in range(RELEASES + 1):
        before = page.evaluate(COUNT)
        page.evaluate("window.longest = 0")
        slider.fill(f"{-1 + number / 4:.2f}")
        began = time.perf_counter()
        slider.press("Tab")
        page.wait_for_function(f"before => {COUNT} > before", arg=before)
        page.evaluate("new Promise(done => requestIdleCallback(done))")
        times.append(time.perf_counter() - began)
        page.wait_for_timeout(300)
        busy.append(page.evaluate("window.longest") / 1000)
    return statistics.median(times[1:]), max(busy[1:])


def main() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    files = Path(tempfile.mkdtemp())
    names = csi_tf.available()
    engine = Engine(names)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    heads = ("model", "hole", "sampler s", "slider to picture s", "ratio", "page busy, at most s")
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    with serving(Studio(model=",".join(names), port=port), files) as url, sync_playwright() as web:
        opened: list[float] = []
        browser = web.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name in names:
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            page.add_init_script(WATCH)
            began = time.perf_counter()
            page.goto(url)
            page.wait_for_function(f"{COUNT} > 0")
            opened.append(time.perf_counter() - began)
            if name != names[0]:
                page.locator("#model input").click()
                page.get_by_role("option", name=name).click()
                page.wait_for_function(f"{COUNT} > 1")
            for hole in HOLES:
                before = page.evaluate(COUNT)
                page.locator(f"#box-{hole}").click()
                page.wait_for_function(f"before => {COUNT} > before", arg=before)
                face = engine.face(name, 0)
                mask = masks.named(hole, len(face.image))
                asked = Session(name, face.image, mask, num_samples=SAMPLES)
                alone, (whole, busy) = sampler(engine, asked), page_times(page)
                ratio = whole / alone
                print(f"| {name} | {hole} | {alone:.2f} | {whole:.2f} | {ratio:.1f} | {busy:.2f} |")
            page.close()
        browser.close()
        first, then = opened[:2]
        print(f"\nFrom opening to a filled hole: {first:.1f} s the first time, {then:.1f} s then")


if __name__ == "__main__":
    main()
