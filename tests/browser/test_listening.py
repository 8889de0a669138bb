"""What is heard: chunks while the next are made, a sample beside another, the codec, a batch."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import SOON, Server, finished, generate, in_sight, mode, put_in, shot, sound, use
from playwright.sync_api import Page

Tab = Callable[..., Page]


def test_finished_chunks_play_without_a_gap_and_are_the_wav(tab: Tab, server: Server) -> None:
    page = tab(seconds=30.72, seed=81)
    generate(page, wait=False)
    page.click("#snac-listen:visible")
    page.wait_for_function("() => window.snacHeard.pieces.length > 1")
    shot(page, "listening")
    finished(page, 1)
    page.wait_for_function("() => document.querySelector('#snac-status [data-pieces]')?.dataset.pieces.split(' ').length >= 5")
    page.wait_for_function("() => window.snacHeard.pieces.length >= 5")
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
    """Two players drifted apart by a tenth of a second when they were swapped."""
    page = tab()
    mode(page, "Vary")
    put_in(page, song)
    generate(page)
    page.click("button:has-text('Compare with its source')")
    page.click(".snac-ab [data-ab=play]")
    page.wait_for_function("() => window.snacCompared.context?.currentTime - window.snacCompared.began > 0.3")
    page.evaluate("() => { window.playing = window.snacCompared.sources }")
    page.click(".snac-ab [data-ab='1']")
    page.wait_for_function("() => { const [a, b] = window.snacCompared.gains.map((one) => one.gain.value); return b - a > 0.99; }")
    assert page.evaluate("() => window.snacCompared.sources === window.playing || !window.snacCompared.sources.length")
    page.wait_for_function("() => document.querySelector('.snac-ab [data-ab=play]').innerText === 'Play'")  # at its end
    page.click(".snac-card [data-do=compare]")  # the sample with itself
    page.wait_for_function("() => new Set(document.querySelector('.snac-ab')?.dataset.sounds.split(' ')).size === 1")
    in_sight(page, ".snac-ab")
    page.click(".snac-ab [data-ab=play]")
    page.wait_for_function("() => window.snacCompared.sources.length === 2")
    loudest = page.evaluate(APART)
    assert loudest["heard"] > 0.001
    assert loudest["apart"] == 0, "two sounds that are the same are not at the same place"


APART = """() => new Promise((done) => {  // the loudest sample of a sound, and of its difference to the other one
  const ab = window.snacCompared, [first, second] = ab.sources, inverse = new GainNode(ab.context, { gain: -1 });
  const taps = [first, second].map(() => new AnalyserNode(ab.context, { fftSize: 4096 })), found = [0, 0];
  first.connect(inverse).connect(taps[1]);
  second.connect(taps[1]);
  first.connect(taps[0]);
  const look = (times) => {
    taps.forEach((tap, index) => {
      const samples = new Float32Array(4096);
      tap.getFloatTimeDomainData(samples);
      found[index] = Math.max(found[index], ...samples.map(Math.abs));
    });
    if (times && ab.sources.length) setTimeout(() => look(times - 1), 40); else done({ heard: found[0], apart: found[1] });
  };
  setTimeout(() => look(20), 150);
})"""


def test_a_loop_goes_round_without_a_gap_until_repeat_is_pressed(tab: Tab, server: Server) -> None:
    """Players stopped at its end. With their own `loop` chromium is silent for 4 to 12 ms at each seam."""
    page = tab(loop=True, seed=95)
    generate(page)
    wav = sound(server.newest())[:, 0]
    page.wait_for_selector("#snac-player .snac-repeat.snac-on")
    for player in ("#snac-result button[aria-label=Play]", ".snac-card audio"):
        if player.endswith("audio"):
            page.evaluate("(player) => document.querySelector(player).play()", player)
        else:
            page.click(player)
        page.wait_for_function("() => [...snacRounds.values()].some((one) => one.source)")
        heard = np.array(page.evaluate(HEARD, 2 * len(wav)), dtype=np.float32)  # two seams
        place = int(np.argmax(np.correlate(np.tile(wav, 2), heard[:4000], "valid")))
        np.testing.assert_array_equal(heard, np.resize(np.roll(wav, -place), len(heard)))
        toggle = "#snac-player .snac-repeat" if "result" in player else ".snac-card .snac-repeat"
        page.click(toggle)
        page.wait_for_function("() => [...snacRounds].every(([media, one]) => !one.source && media.paused)")  # at its end


HEARD = """async (samples) => {  // what Web Audio plays of the player that goes round
  const one = [...snacRounds.values()].find((one) => one.source), blocks = [], name = `tap${performance.now()}`;
  const code = `registerProcessor("${name}", class extends AudioWorkletProcessor {
    process([input]) { if (input[0]) this.port.postMessage(input[0].slice()); return true; } })`;
  await one.clock.audioWorklet.addModule(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
  const tap = new AudioWorkletNode(one.clock, name);
  tap.port.onmessage = (event) => blocks.push(...event.data);
  one.gain.connect(tap).connect(one.clock.destination);
  while (blocks.length < samples) await new Promise((done) => setTimeout(done, 50));
  one.gain.disconnect(tap);
  return blocks;
}"""


def test_an_upload_is_heard_through_the_codec(tab: Tab, song: Path) -> None:
    page = tab()
    mode(page, "Continue")
    put_in(page, song)
    page.click("#snac-codec:visible")
    page.wait_for_selector(".snac-ab")
    names = page.locator(".snac-ab button[data-ab]").all_inner_texts()
    assert names == ["Play", "A · my song", "B · my song_through_codec"]
    page.click(".snac-ab [data-ab=play]")
    page.wait_for_function("() => window.snacCompared.sounds.length === 2")
    lengths = page.evaluate("() => window.snacCompared.sounds.map((one) => one.duration)")
    assert lengths == pytest.approx([2, 2], abs=0.01)


@pytest.mark.parametrize("width", ["desk", "phone"])
def test_a_batch_stands_side_by_side(tab: Tab, width: str) -> None:
    page = tab(width, seed=91)
    generate(page)
    use(page, "Four variations")
    finished(page, 5)
    # All at once: the page may still scroll.
    boxes = page.locator(".snac-players audio").evaluate_all("all => all.map((one) => one.getBoundingClientRect().toJSON())")
    assert len(boxes) == 4
    if width == "desk":
        assert boxes[0]["y"] == boxes[1]["y"]
        assert boxes[1]["x"] >= boxes[0]["x"] + boxes[0]["width"]
    assert page.get_by_label("Samples", exact=True).input_value() == "1", "the next click would make four again"
    page.locator(".snac-card [data-do=compare]").last.click()
    in_sight(page, ".snac-ab")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shot(page, f"{width}_batch")


def test_a_number_box_that_was_cleared_shows_its_own_number_again(tab: Tab, song: Path) -> None:
    """It stayed empty. A region that nobody marked is none."""
    page = tab()
    mode(page, "Repaint")
    put_in(page, song)
    for box, written in (("#snac-to input", "1.5"), ("#snac-seed input", "7")):
        page.fill(box, written)
        page.fill(box, "")
        page.press(box, "Tab")
    page.wait_for_function("() => document.querySelector('#snac-seed input').value === '-1'", timeout=SOON)
    assert page.input_value("#snac-to input") == ""
    mode(page, "Continue")
    length = page.get_by_label("number input for Length of what is new (s)")
    assert length.input_value() == "1.536"
    length.fill("")
    length.press("Tab")
    page.wait_for_timeout(300)
    assert length.input_value() == "6.144"
