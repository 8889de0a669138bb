"""The real server with the shipped model, and Debian's chromium driven by Playwright."""

import contextlib
import functools
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

ROOT = Path(__file__).parents[2]
SHOTS = Path(os.environ.get("SNAC_PLUGIN_SHOTS", ROOT / "runs" / "browser"))
SOON = 240_000
"""Milliseconds within which a short generation ends on a busy machine with two cores."""
WIDTHS = {"desk": (1280, 900), "phone": (390, 844)}
RECORDING = "#snac-recording [aria-label=Clear]"
"""What is there once a recording is."""
QUICK = {"seed": 7, "seconds": 1.536, "steps": 4}


class Server:
    """A page that is served from a process of its own; what it writes lies under `out`."""

    def __init__(self, out: Path) -> None:
        self.out = out
        command = [sys.executable, "-u", str(ROOT / "run_gradio.py"), "--out", str(out)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "GRADIO_ANALYTICS_ENABLED": "False"}
        self._log = out.parent / "server.log"  # not a pipe, which would fill up
        with self._log.open("w") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)

    @functools.cached_property
    def url(self) -> str:
        """Where it serves, once it does."""
        while not (found := re.search(r"http://[\w.:]+", self._log.read_text())):
            assert self._process.poll() is None, self._log.read_text()
            time.sleep(0.1)
        return found[0]

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def newest(self, pattern: str = "*.wav") -> Path:
        """The wav that was written last, in the history of any browser."""
        return max(self.out.glob(f"*/{pattern}"), key=lambda path: path.stat().st_mtime_ns)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("page") / "out")
    yield made
    made.stop()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "no chromium: apt install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,  # containers are small, without a display and without a sound card
            args=["--no-sandbox", "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required"],
            timeout=SOON,
        )
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium: Browser, server: Server) -> Iterator[Callable[..., Page]]:
    """Opens a tab of a new browser, or beside another tab, with the settings of a quick sample."""
    with contextlib.ExitStack() as contexts:

        def opened(width: str = "desk", beside: Page | None = None, **settings: Any) -> Page:
            wide, high = WIDTHS[width]
            context = chromium.new_context(viewport={"width": wide, "height": high}) if beside is None else beside.context
            if beside is None:
                contexts.callback(context.close)
                context.set_default_timeout(SOON)
            page = context.new_page()
            query = urllib.parse.urlencode({"settings": json.dumps(QUICK | settings)})
            page.goto(f"{server.url}/?{query}")
            page.wait_for_selector("#snac-generate")
            seed = str((QUICK | settings)["seed"])
            page.wait_for_function("([seed]) => document.querySelector('#snac-seed input')?.value === seed", arg=[seed])
            return page

        yield opened


def generate(page: Page, wait: bool = True) -> None:
    """Press Generate, and wait until the sample is in the history, or until it is being made."""
    cards = page.locator(".snac-card").count()
    page.click("#snac-generate")
    if wait:
        finished(page, cards + 1)
    else:
        page.wait_for_selector("#snac-stop")


def finished(page: Page, cards: int) -> None:
    page.wait_for_function("(count) => document.querySelectorAll('.snac-card').length >= count", arg=cards, timeout=SOON)
    page.wait_for_selector("#snac-generate")


def mode(page: Page, name: str) -> None:
    """Choose a mode, and wait until its inputs are shown."""
    if not page.locator(".snac-modes label.selected", has_text=name).count():
        click(page, page.locator(".snac-modes label", has_text=name))


def put_in(page: Page, file: Path) -> None:
    """Upload a recording, and wait until it is there."""
    page.set_input_files("#snac-recording input[type=file]", str(file))
    page.wait_for_selector(f"{RECORDING}, .snac-wrong")


def use(page: Page, button: str) -> None:
    """Press a button that puts the sample in as the recording."""
    click(page, page.locator(f"button:has-text('{button}')"))
    page.wait_for_selector(RECORDING)


def click(page: Page, button: Locator) -> None:
    """Press, and wait until the server's answer is seen."""
    with page.expect_response(lambda answer: "/gradio_api/run/" in answer.url):
        button.click()
    settled(page)


def in_sight(page: Page, selector: str) -> None:
    """Wait until an element lies in the window, from its top on."""
    inside = "(one) => { const box = document.querySelector(one)?.getBoundingClientRect(); return box && box.top >= -1"
    page.wait_for_function(f"{inside} && Math.min(box.bottom, box.top + 90) <= innerHeight + 1; }}", arg=selector)


def settled(page: Page) -> None:
    """Wait until the page is drawn, and fades no more."""
    page.evaluate("""() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(async () => {
      const fades = document.getAnimations().filter((one) => one.effect.getTiming().iterations < 9);
      await Promise.allSettled(fades.map((one) => one.finished));
      done();
    })))""")


def shot(page: Page, name: str) -> None:
    """Keep a picture of the page to look at."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    settled(page)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


def picture(page: Page, name: str, top: str) -> None:
    """What is in sight from an element on: docs/pictures has two of these."""
    settled(page)
    page.evaluate("(top) => scrollTo(0, document.querySelector(top).getBoundingClientRect().top + scrollY - 12)", top)
    Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(SHOTS / f"{name}.png", optimize=True)


@pytest.fixture
def song(tmp_path: Path) -> Path:
    """Two seconds of stereo at 44.1 kHz."""
    time_axis = np.arange(2 * 44100) / 44100
    tones = [0.2 * np.sin(2 * np.pi * hertz * time_axis) * (1 + np.sin(2 * np.pi * 2 * time_axis)) / 2 for hertz in (220, 330)]
    soundfile.write(tmp_path / "my song.wav", np.stack(tones, axis=1).astype(np.float32), 44100, subtype="FLOAT")
    return tmp_path / "my song.wav"


def sound(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="float32", always_2d=True)[0]
