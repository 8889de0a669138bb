"""What a user does on the page, in a real browser: heard as wav bytes, seen as no overlap and no sideways scroll."""

import itertools
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import RECORDING, SOON, WIDTHS, Server, finished, generate, in_sight, mode, picture, put_in, shot, sound, use
from playwright.sync_api import Page

from snac_plugin.interface.layout import EXAMPLES

Tab = Callable[..., Page]
STOPS_WITHIN = 30
"""Seconds from Stop to a free page: a step, the last audio and the picture, on a busy machine."""


def test_the_first_click_makes_music_that_plays(tab: Tab, server: Server) -> None:
    page = tab()
    generate(page)
    assert len(sound(server.newest())) == round(1.536 * 32000)
    length = page.evaluate(
        """async () => {
          const audio = document.querySelector('.snac-card audio');
          audio.load();
          await new Promise((done) => { audio.onloadedmetadata = audio.onerror = done; });
          return audio.duration;
        }"""
    )
    assert length == pytest.approx(1.536, abs=0.01)
    shot(page, "first_click")
    before = server.log.count("Traceback")
    page.get_by_label("Samples", exact=True).fill("20")
    page.click("#snac-generate")
    wrong = page.wait_for_selector("#snac-status .snac-wrong").inner_text()
    assert wrong.startswith("Samples: found 20, expected 1 to 8")
    page.wait_for_selector("#snac-generate")
    assert not page.locator("#snac-result :text-is('Error'):visible, .snac-picture :text-is('Error'):visible").count()
    assert server.log.count("Traceback") == before, "a mistake of a user is none of the server"
    shot(page, "mistake")
    page.get_by_label("Samples", exact=True).fill("2")
    page.wait_for_selector("#snac-status .snac-wrong", state="detached")


def test_a_new_page_has_a_recording_so_that_the_first_click_is_music(tab: Tab, server: Server) -> None:
    page = tab().context.new_page()
    page.goto(server.url)
    page.wait_for_selector(RECORDING)
    page.fill("#snac-seed input", "5")
    assert page.evaluate("document.querySelector('#snac-generate').getBoundingClientRect().bottom <= innerHeight"), "in sight"
    shot(page, "opened")
    generate(page)  # in its own number of steps: this is what the first click gives
    heard = sound(server.newest())
    assert len(heard) == 3 * 196608
    assert page.locator(".snac-from").inner_text().split() == ["from", EXAMPLES[0].name]
    with page.expect_download() as download:
        page.click("#snac-pack")
    with zipfile.ZipFile(download.value.path()) as archive:
        names = {Path(name).name for name in archive.namelist()}
    assert {EXAMPLES[0].name, server.newest().name, server.newest().with_suffix(".json").name} <= names
    page.wait_for_function("() => document.querySelector('#snac-result').innerText.includes('0:18')")  # its waveform is drawn
    picture(page, "page", ".snac-head")


def test_an_upload_is_continued_and_the_result_twice(tab: Tab, server: Server, song: Path) -> None:
    page = tab()
    mode(page, "Continue")
    put_in(page, song)
    assert page.wait_for_selector(".snac-file").inner_text() == "my song.wav · 2.00 s · 44.1 kHz · stereo"
    generate(page)
    heard = [sound(song), sound(server.newest())]
    for _ in range(2):
        use(page, "Continue it")
        generate(page)
        heard.append(sound(server.newest()))
    for before, after in itertools.pairwise(heard):
        np.testing.assert_array_equal(after[: len(before)], before)
        assert len(after) == len(before) + round(1.536 * 44100)
    tree = page.locator(".snac-from").first
    assert tree.inner_text().splitlines()[-1].strip() == "my song.wav"
    indents = [one.bounding_box()["x"] for one in tree.locator("li").all()]
    assert len(indents) == 3
    assert indents == sorted(set(indents)), "each of them further in than what came of it"
    shot(page, "continued_twice")
    tree.locator("a").last.click()
    assert page.locator(".snac-card:target").get_attribute("data-sample") == page.locator(".snac-card").last.get_attribute(
        "data-sample"
    )
    in_sight(page, ".snac-card:target")


def test_a_marked_region_is_repainted_and_all_else_stays(tab: Tab, server: Server, song: Path) -> None:
    page = tab()
    mode(page, "Repaint")
    put_in(page, song)
    box = page.wait_for_selector(".snac-wave").bounding_box()
    page.wait_for_function("() => document.querySelector('#snac-from input').value === '0.67'")
    assert page.input_value("#snac-to input") == "1.33", "the middle third is proposed"
    assert not page.locator("#snac-recording [aria-label='Trim audio to selection']").count()  # they mark another waveform
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 60)
    page.mouse.up()
    first, last = (float(page.input_value(f"#{name} input")) for name in ("snac-from", "snac-to"))
    assert (first, last) == (pytest.approx(0.5, abs=0.03), pytest.approx(1.2, abs=0.03))
    shot(page, "repaint")
    generate(page)
    before, after = sound(song), sound(server.newest())
    start, stop = round(first * 44100), round(last * 44100)
    np.testing.assert_array_equal(after[:start], before[:start])
    np.testing.assert_array_equal(after[stop:], before[stop:])
    assert not np.array_equal(after[start:stop], before[start:stop])


def test_finer_levels_are_redone(tab: Tab, server: Server) -> None:
    page = tab(seed=21)
    generate(page)
    plan = server.newest()
    use(page, "Redo finer levels")
    generate(page)
    made = server.newest()
    settings = json.loads(made.with_suffix(".json").read_text())
    assert (settings["keep_levels"], settings["edit"]) == ("A", plan.name)
    assert len(sound(made)) == len(sound(plan))
    assert not np.array_equal(sound(made), sound(plan))


def test_stop_in_mid_chunk_keeps_the_chunks_before(tab: Tab, server: Server) -> None:
    page = tab(seconds=122.88, seed=31)  # minutes of work, if it is not stopped
    generate(page, wait=False)
    page.wait_for_function("() => /Chunk [2-9] of 20/.test(document.querySelector('#snac-status').innerText)", timeout=SOON)
    shot(page, "at_work")
    started = time.perf_counter()
    page.click("#snac-stop")
    finished(page, 1)
    assert time.perf_counter() - started < STOPS_WITHIN
    assert page.locator("text=Stopped: this is what was finished.").is_visible()
    seconds = len(sound(server.newest("seed_31*.wav"))) / 32000
    assert seconds % 6.144 == pytest.approx(0, abs=1e-6)
    assert 6 < seconds < 122


def test_a_closed_tab_frees_the_page_for_another(tab: Tab, server: Server) -> None:
    page = tab(seconds=122.88, steps=96, seed=41)  # minutes of work
    generate(page, wait=False)
    page.wait_for_function("() => /step/.test(document.querySelector('#snac-status').innerText)", timeout=SOON)
    other = tab(seed=42)
    generate(other, wait=False)
    other.wait_for_selector("text=Place 1 in the queue")
    shot(other, "waiting")
    page.close()
    started = time.perf_counter()
    finished(other, 1)
    assert time.perf_counter() - started < 60, "it waited for what nobody wants any more"
    assert not list(server.out.glob("*/*.part"))


def test_history_is_found_after_a_reload_and_by_this_browser_alone(tab: Tab) -> None:
    page = tab(seed=51)
    assert not page.locator("#snac-pack").is_visible(), "there is nothing yet"
    generate(page)
    assert page.locator("#snac-pack").is_visible()
    page.wait_for_selector(".snac-card time[data-local]")
    assert "UTC" not in page.locator(".snac-card time").inner_text(), "in local time"
    page.evaluate("window.snacCard = document.querySelector('.snac-card')")
    page.click(".snac-card [data-do=mark]")
    page.wait_for_selector(".snac-card.snac-star")
    page.wait_for_timeout(1000)
    assert page.evaluate("window.snacCard.isConnected"), "a card that plays is not drawn anew"
    page.reload()
    page.wait_for_selector(".snac-card.snac-star")
    page.click(".snac-card [data-do=open]")
    page.wait_for_selector("text=Use these settings")
    page.click("text=Settings of this sample")
    page.wait_for_selector(".json-holder >> text=new_seconds")
    assert "root=" not in page.locator(".json-holder").inner_text()
    assert tab(beside=page).locator(".snac-card").count() == 1
    assert tab().locator(".snac-card").count() == 0
    page.on("dialog", lambda dialog: dialog.accept())
    page.click(".snac-card [data-do=delete]")
    page.wait_for_selector(".snac-card", state="detached")


def test_two_tabs_with_different_seeds_get_their_own(tab: Tab, server: Server) -> None:
    first, second = tab(seed=61), tab(seed=62)
    generate(first, wait=False)
    generate(second, wait=False)
    finished(first, 1)
    finished(second, 1)
    heard = [sound(server.newest(f"seed_{seed}.wav")) for seed in (61, 62)]
    assert not np.array_equal(*heard)
    for page, seed in ((first, 61), (second, 62)):
        assert f"seed {seed} " in page.locator(".snac-card").inner_text()


def test_a_text_file_named_wav_is_said_to_be_none(tab: Tab, tmp_path: Path) -> None:
    (tmp_path / "notes.wav").write_text("no music at all")
    page = tab()
    mode(page, "Continue")
    put_in(page, tmp_path / "notes.wav")
    wrong = page.wait_for_selector(".snac-wrong").inner_text()
    assert wrong.startswith("notes.wav: ")
    assert "/tmp" not in wrong
    shot(page, "no_audio")


def test_a_settings_file_that_is_dropped_fills_the_inputs(tab: Tab, server: Server, tmp_path: Path) -> None:
    page = tab(seed=71)
    generate(page)
    first = server.newest("seed_71.wav")
    other = tab()
    other.click("text=Settings of an earlier sample")
    other.set_input_files("#snac-settings-file input[type=file]", str(first.with_suffix(".json")))
    other.wait_for_function("() => document.querySelector('#snac-seed input').value === '71'")
    generate(other)
    again = server.newest("seed_71.wav")
    assert again != first
    assert again.read_bytes() == first.read_bytes()


@pytest.mark.parametrize("width", WIDTHS)
def test_what_a_button_filled_is_in_sight_and_nothing_is_made_by_accident(tab: Tab, song: Path, width: str) -> None:
    page = tab(width, loop=True, edit="another song.wav")
    assert "Put in another song.wav too" in page.wait_for_selector("#snac-hint .snac-wrong").inner_text()
    page.click("#snac-generate")  # not a loop of nothing
    assert "in place of another song.wav" in page.wait_for_selector("#snac-status .snac-wrong").inner_text()
    in_sight(page, "#snac-status")
    page.wait_for_selector("#snac-generate")
    put_in(page, song)  # by hand, and any will do
    page.wait_for_selector("#snac-hint .snac-wrong", state="detached")
    mode(page, "From nothing")
    generate(page)
    in_sight(page, "#snac-result")
    use(page, "Repaint a part")
    assert "Drag over the lower waveform" in page.wait_for_selector("#snac-hint .snac-todo").inner_text()
    in_sight(page, "#snac-hint")
    assert [page.input_value(f"#snac-{end} input") for end in ("from", "to")] == ["2.05", "4.1"], "the middle third"
    page.fill("#snac-to input", "")
    page.press("#snac-to input", "Tab")
    page.click("#snac-generate")
    page.wait_for_selector("#snac-status .snac-wrong:has-text('no end')")
    page.click("button:has-text('Four variations')")
    page.wait_for_selector("#snac-status .snac-progress")
    in_sight(page, "#snac-status")
    page.click("#snac-stop")
    page.wait_for_selector("#snac-generate")


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_overlaps_and_nothing_scrolls_sideways(tab: Tab, width: str) -> None:
    page = tab(width)
    generate(page)
    for name in ("Continue", "Repaint", "Vary", "Bridge", "Loop", "From nothing"):
        mode(page, name)
        for number, path in enumerate(EXAMPLES if name == "Bridge" else ()):  # one after the other, the second beside the first
            page.click(f"text=Example: {path.stem}")
            page.wait_for_function("(count) => document.querySelectorAll('[aria-label=Clear]').length === count", arg=number + 1)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        assert page.evaluate(OVERLAPS) == [], name
        shot(page, f"{width}_{name.lower().replace(' ', '_')}")
    if width == "phone":  # the result is right under the button
        button, result = (page.locator(one).bounding_box() for one in ("#snac-generate", "#snac-result"))
        assert 0 < result["y"] - button["y"] - button["height"] < 120
        page.click(".snac-card [data-do=open]")
        in_sight(page, "#snac-result")
        mode(page, "Repaint")
        page.click(f"text=Example: {EXAMPLES[0].stem}")
        page.wait_for_selector(".snac-wave")
        page.fill("#snac-from input", "3.2")
        page.fill("#snac-to input", "6.5")
        picture(page, "page_phone", ".snac-modes")


OVERLAPS = """() => {
  const seen = [...document.querySelectorAll('button, audio, input[type=number], .snac-wave')].filter((one) =>
    one.offsetParent && !one.closest('.snac-hidden, .snac-picture, .icon-button') && one.getBoundingClientRect().width > 8);
  const found = [];
  for (const a of seen) for (const b of seen) {
    if (a === b || a.contains(b) || b.contains(a)) continue;
    const p = a.getBoundingClientRect(), q = b.getBoundingClientRect();
    const wide = Math.min(p.right, q.right) - Math.max(p.left, q.left);
    const high = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
    if (wide > 4 && high > 4) found.push(`${a.outerHTML.slice(0, 90)} on ${b.outerHTML.slice(0, 90)}`);
  }
  return found;
}"""
