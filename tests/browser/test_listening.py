"""What is heard: chunks while the next are made, a sample beside another, the codec, a batch."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import SOON, Server, finished, generate, mode, put_in, shot, sound, use
from playwright.sync_api import Page

Tab = Callable[..., Page]


def test_finished_chunks_play_without_a_gap_and_are_the_wav(tab: Tab, server: Server) -> None:
    page = tab(seconds=18.432, seed=81)
    generate(page, wait=False)
    page.click("#snac-listen:visible")
    page.wait_for_function("() => window.snacHeard.pieces.length > 1")
    shot(page, "listening")
    finished(page, 1)
    page.wait_for_function("() => document.querySelector('#snac-status [data-pieces]')?.dataset.pieces.split(' ').length >= 3")
    page.wait_for_function("() => window.snacHeard.pieces.length >= 3")
    heard = page.evaluate(
        "({ pieces: window.snacHeard.pieces, late: window.snacHeard.late, rate: window.snacHeard.context.sampleRate })"
    )
    pieces = [page.request.get(f"{server.url}/{piece['url']}").body() for piece in heard["pieces"]]
    joined = np.concatenate([soundfile.read(io.BytesIO(piece), dtype="float32")[0] for piece in pieces])
    np.testing.assert_array_equal(joined, sound(server.newest())[:, 0])
    ends = [piece["start"] + piece["samples"] for piece in heard["pieces"]]
    gaps = [piece["start"] - end for piece, end in zip(heard["pieces"][1:], ends, strict=False)]
    assert heard["rate"] == 32000
    assert min(gaps) >= 0
    assert sum(gap > 0 for gap in gaps) == heard["late"], "a gap, though the chunk was there in time"


def test_a_sample_is_compared_with_its_source_at_the_same_place(tab: Tab, song: Path) -> None:
    page = tab()
    mode(page, "Vary")
    put_in(page, song)
    generate(page)
    page.click("button:has-text('Compare with its source')")
    page.click(".snac-ab [data-ab=play]")
    state = "(box) => [...box.querySelectorAll('audio')].map((one) => [one.muted, one.paused, one.currentTime])"
    page.wait_for_function("() => document.querySelector('.snac-ab audio').currentTime > 0.3")
    page.click(".snac-ab [data-ab='1']")
    (first, first_paused, at), (second, second_paused, place) = page.eval_on_selector(".snac-ab", state)
    assert (first, second, first_paused, second_paused) == (True, False, False, False)
    assert place == pytest.approx(at, abs=0.15)
    page.click(".snac-ab [data-ab=play]")
    page.wait_for_function("() => [...document.querySelectorAll('.snac-ab audio')].every((one) => one.paused)")


def test_an_upload_is_heard_through_the_codec(tab: Tab, song: Path) -> None:
    page = tab()
    mode(page, "Continue")
    put_in(page, song)
    page.click("#snac-codec:visible")
    page.wait_for_selector(".snac-ab")
    names = page.locator(".snac-ab button[data-ab]").all_inner_texts()
    assert names == ["Play", "A · my song", "B · my song_through_codec"]
    lengths = """(box) => Promise.all([...box.querySelectorAll('audio')].map((one) => new Promise((done) => {
      if (one.readyState) done(one.duration); else one.onloadedmetadata = () => done(one.duration);
    })))"""
    assert page.eval_on_selector(".snac-ab", lengths) == pytest.approx([2, 2], abs=0.01)


@pytest.mark.parametrize("width", ["desk", "phone"])
def test_a_batch_stands_side_by_side(tab: Tab, width: str) -> None:
    page = tab(width, seed=91)
    generate(page)
    use(page, "Four variations")
    finished(page, 5)
    boxes = [one.bounding_box() for one in page.locator(".snac-players audio").all()]
    assert len(boxes) == 4
    if width == "desk":
        assert boxes[0]["y"] == boxes[1]["y"]
        assert boxes[1]["x"] >= boxes[0]["x"] + boxes[0]["width"]
    page.locator(".snac-card [data-do=compare]").last.click()
    page.wait_for_selector(".snac-ab")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shot(page, f"{width}_batch")


def test_a_number_box_that_was_cleared_shows_its_own_number_again(tab: Tab, song: Path) -> None:
    """It stayed empty, and the first second was repainted without a word."""
    page = tab()
    mode(page, "Repaint")
    put_in(page, song)
    page.fill("#snac-to input", "1.5")
    page.fill("#snac-to input", "")
    page.press("#snac-to input", "Tab")
    page.wait_for_function("() => document.querySelector('#snac-to input').value === '1'", timeout=SOON)
