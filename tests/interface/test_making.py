"""What the page makes of its inputs, without a server: the same as the command, nothing left behind, chunks heard as they come."""

import json
import shutil
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import soundfile
import torch
from pages import build

from snac_plugin import cli
from snac_plugin.cli import generate
from snac_plugin.errors import SnacPluginError
from snac_plugin.generation.context import mono
from snac_plugin.interface import making
from snac_plugin.interface.controls import Controls
from snac_plugin.interface.history import Histories, History
from snac_plugin.interface.making import PageGenerator
from snac_plugin.interface.pace import Reporter
from snac_plugin.interface.page import _through_codec
from snac_plugin.interface.results import Results, Shown
from snac_plugin.interface.runs import Line, Run, Runs
from snac_plugin.interface.served_page import ServedPage
from snac_plugin.interface.settings_in import values_of
from snac_plugin.interface.wording import in_words
from snac_plugin.output.make_samples import make_samples

Made = Callable[..., tuple[list[Shown], Run]]
CONDITIONING = [
    {"id": "style", "type": "class_mixture", "config": {"classes": ["house", "jazz"]}},
    {"id": "quality", "type": "quality", "config": {"thresholds": [1, 2, 3, 4]}},
    {"id": "tempo", "type": "number", "config": {"min_val": 60, "max_val": 180}},
]


def maker_of(folder: Path, conditioning: list[dict[str, Any]] | None = None, **network: Any) -> PageGenerator:
    _, model = build(folder, conditioning, **network)

    def serve(file: Path) -> str:
        (folder / "served").mkdir(exist_ok=True)
        return str(shutil.copy(file, folder / "served"))

    with gr.Blocks():
        return PageGenerator(model, Controls(model.config, model.levels), folder / "out", serve)


def made(maker: PageGenerator, history: History | None = None, **values: Any) -> tuple[list[Shown], Run]:
    run = Run(lambda run: maker.make(maker.controls.filled(values), history, run), Line())
    run.start()
    return run.result(), run


@pytest.fixture
def history(tmp_path: Path) -> History:
    return Histories(tmp_path / "histories").of("0" * 32)


@pytest.mark.slow
def test_page_and_command_make_the_same_wav_of_the_same_conditions(tmp_path: Path) -> None:
    """The page filled a negative up with what was wanted; the command drops what it leaves out."""
    maker = maker_of(tmp_path, CONDITIONING)
    for weights in maker.model.model.parameters():
        weights += 0.05 * torch.randn_like(weights)  # an untrained network passes no condition on
    flags = ["--condition", "style=house:0.7,jazz:0.3", "--condition", "quality=low", "--condition", "tempo=120"]
    flags += ["--negative-condition", "tempo=60", "--cfg-scale", "3", "--seconds", "0.384", "--seed", "3"]
    (prompt,) = generate._prompts(generate.parser().parse_args(flags))
    (alone,) = make_samples(maker.model, prompt.request, tmp_path / "command", seed=3, progress=False)
    asked: dict[str, Any] = {"style_house": 0.7, "style_jazz": 0.3, "quality": "low", "tempo": 120, "cfg_scale": 3, "seed": 3}
    ((page,), _) = made(maker, **asked, negative_conditioning='{"tempo": 60}')
    assert Path(page.wav).read_bytes() == alone.files.wav.read_bytes()
    ((other,), _) = made(maker, **asked)
    assert Path(other.wav).read_bytes() != alone.files.wav.read_bytes(), "the negative does something"


@pytest.mark.slow
def test_chunks_that_are_heard_are_the_wav(tmp_path: Path) -> None:
    maker = maker_of(tmp_path, context_chunks=1)
    ((sample,), run) = made(maker, seconds=2.0, seed=2, steps=4)
    heard = [soundfile.read(urllib.parse.unquote(url.removeprefix("gradio_api/file=")), dtype="float32")[0] for url in run.heard]
    assert len(heard) > 1
    np.testing.assert_array_equal(np.concatenate(heard), soundfile.read(sample.wav, dtype="float32")[0])


@pytest.mark.slow
def test_what_is_heard_of_a_continuation_is_what_is_new(tmp_path: Path, history: History) -> None:
    maker = maker_of(tmp_path, context_chunks=1)
    soundfile.write(tmp_path / "a.wav", 0.3 * np.sin(np.arange(44100) / 20), 44100, subtype="FLOAT")
    ((sample,), run) = made(maker, history, recording=str(tmp_path / "a.wav"), seconds=0.768, seed=2, steps=4)
    heard = [soundfile.read(urllib.parse.unquote(url.removeprefix("gradio_api/file=")), dtype="float32")[0] for url in run.heard]
    np.testing.assert_array_equal(np.concatenate(heard), soundfile.read(sample.wav, dtype="float32")[0][44100:])
    assert sample.source == str(history.folder / history.entries()[0].recordings[0])


@pytest.mark.slow
def test_settings_of_an_edit_name_its_recordings_without_folders_and_make_it_again(
    tmp_path: Path, history: History, capsys: pytest.CaptureFixture[str]
) -> None:
    """They held paths on the server, of which a user has none."""
    maker, samples = maker_of(tmp_path, context_chunks=1), []
    for folder, step in (("one", 20), ("two", 30)):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "song.wav", 0.3 * np.sin(np.arange(64000) / step), 32000, subtype="FLOAT")
        asked: dict[str, Any] = {"edit_mode": "Repaint", "edit_put_back": True, "seed": 3, "steps": 4}
        ((sample,), _) = made(maker, history, recording=str(tmp_path / folder / "song.wav"), **asked)
        samples.append(sample)
    assert str(history.folder.name) not in (text := Path(samples[0].wav).with_suffix(".json").read_text())
    assert str(tmp_path / "one") not in text
    assert Path(samples[0].wav).name != Path(samples[1].wav).name, "two recordings of one name, and the first sample was lost"
    for sample in samples:
        values, lacking = values_of(maker.controls, sample.settings, history.recording)
        assert lacking == {}
        ((again,), _) = made(maker, history, **values)
        assert Path(again.wav) == Path(sample.wav), "the same settings"
    assert values_of(maker.controls, sample.settings, Histories(tmp_path).of("1" * 32).recording)[1] == {"recording": "song.wav"}
    told = ["--settings", str(Path(sample.wav).with_suffix(".json")), "--out", str(tmp_path / "command")]
    assert cli.main(["generate", *told]) == 1
    assert "a sample of song.wav, which is not here, expected --edit beside it" in capsys.readouterr().err


def test_errors_are_in_the_words_of_the_page(tmp_path: Path) -> None:
    """`repaint: found 9:3` was said, which no input is called."""
    maker = maker_of(tmp_path, context_chunks=1)
    soundfile.write(tmp_path / "song.wav", np.zeros(64000), 32000)
    asked: dict[str, Any] = {"recording": str(tmp_path / "song.wav"), "edit_mode": "Repaint"}
    for values, words in (
        ({"edit_repaint_from": 9, "edit_repaint_to": 3}, "Region to repaint: found 9 s to 3 s, expected seconds from 0 on"),
        ({"edit_repaint_from": 1, "edit_repaint_to": 3}, "Region to repaint: found 1.000 to 3.000 s in a recording of 2.000 s"),
        ({"batch_size": 20}, "Samples: found 20, expected 1 to 8 at once on the page"),
        ({"edit_mode": "Continue", "edit_from_second": 4}, "From second: found 4.0, expected a second of the recording"),
    ):
        with pytest.raises(SnacPluginError) as error:
            made(maker, **asked | values)
        assert in_words(error.value, maker.controls).startswith(words)


@pytest.mark.slow
def test_a_recording_that_is_refused_leaves_no_copy(tmp_path: Path, history: History) -> None:
    maker = maker_of(tmp_path, context_chunks=1)
    (tmp_path / "notes.wav").write_text("no music")
    soundfile.write(tmp_path / "short.wav", np.full(32000, np.nan), 32000, subtype="FLOAT")
    for name in ("notes.wav", "short.wav"):
        with pytest.raises(SnacPluginError, match=f"^{name}: ") as error:
            made(maker, history, recording=str(tmp_path / name), steps=4)
        assert str(tmp_path) not in str(error.value)
    assert not list((tmp_path / "histories").rglob("*.wav"))


@pytest.mark.slow
def test_the_codec_gets_what_a_generation_gets(tmp_path: Path) -> None:
    """Loud stereo at another rate was resampled and cut off in another way."""
    maker, codec = (one := maker_of(tmp_path)), one.model.pretransform
    wave = 1.2 * np.sin(np.arange(22050)[:, None] / np.array([20, 31]))
    soundfile.write(tmp_path / "a.wav", wave, 44100, subtype="FLOAT")
    coded = soundfile.read(maker.through_codec(str(tmp_path / "a.wav"), Run(lambda run: None, Line())), dtype="float32")[0]
    heard = mono(torch.from_numpy(wave.T).float(), 44100, 32000)[None, None]
    np.testing.assert_array_equal(coded, codec.decode_tokens(codec.tokenize(heard), heard.shape[-1])[0, 0].numpy())


@pytest.mark.slow
def test_the_codec_s_round_trip_is_as_long_as_the_recording(tmp_path: Path) -> None:
    maker = maker_of(tmp_path)
    soundfile.write(tmp_path / "a.wav", 0.3 * np.sin(np.arange(30000) / 20), 32000, subtype="FLOAT")
    coded = soundfile.read(maker.through_codec(str(tmp_path / "a.wav"), Run(lambda run: None, Line())), dtype="float32")[0]
    codec, recorded = maker.model.pretransform, soundfile.read(tmp_path / "a.wav", dtype="float32")[0]
    mono = torch.from_numpy(recorded)[None, None]
    np.testing.assert_array_equal(coded, codec.decode(codec.encode(mono), length=30000)[0, 0].numpy())


def test_stop_ends_the_codec_s_run_in_a_sentence_whether_it_waits_or_has_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker, runs, go = maker_of(tmp_path), Runs(), threading.Event()
    with ServedPage() as page:
        results = Results(str, gr.HTML())
    soundfile.write(tmp_path / "a.wav", np.zeros(32000), 32000)

    def asked() -> Iterator[Any]:
        return _through_codec(page, runs, maker, results)(str(tmp_path / "a.wav"), gr.Request(session_hash="tab"))

    before = runs.new("other", lambda run: go.wait(60))
    before.start()
    waiting = asked()
    assert "Place 1 in the queue" in [next(waiting), next(waiting)][1][results.status]
    runs.stop("tab")
    assert ">Stopped.<" in list(waiting)[-1][results.status]
    go.set()
    before.result()
    assert "a_through_codec.wav" in list(asked())[-1][results.compared]["value"]
    monkeypatch.setattr(making, "check_length", lambda path: runs.stop("tab"))  # after it began, before it tells anything
    assert ">Stopped.<" in list(asked())[-1][results.status]


@pytest.mark.slow
def test_the_chunks_that_are_told_are_those_that_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an edit the default length was told, and chunks beyond it."""
    maker, made_of = maker_of(tmp_path, context_chunks=1), dict[str, set[int]]()
    soundfile.write(tmp_path / "a.wav", 0.1 * np.sin(np.arange(60000) / 20), 44100)  # 1.36 s: four chunks of 0.384 s
    asked: dict[str, dict[str, Any]] = {
        "Vary": {"edit_keep_levels": "A"},
        "Repaint": {"edit_repaint": "0.1:0.2,0.9:1.3"},
        "Loop": {},
        "Bridge": {"edit_bridge_second": str(tmp_path / "a.wav"), "seconds": 0.5},
        "From nothing": {"seconds": 0.8},
    }
    told: list[tuple[int, int]] = []

    class Told(Reporter):
        def __call__(self, chunk: int, level: int, step: int) -> None:
            super().__call__(chunk, level, step)
            told.append((chunk, self._chunks))

    monkeypatch.setattr(making, "Reporter", Told)
    for mode, values in {**asked, "Loop alone": {"edit_mode": "Loop", "recording": None, "seconds": 0.8}}.items():
        told.clear()
        made(maker, **{"edit_mode": mode, "recording": str(tmp_path / "a.wav"), "steps": 4, "seed": 1, **values})
        assert {chunks for _, chunks in told} == {max(chunk for chunk, _ in told) + 1}, mode
        made_of[mode] = {chunks for _, chunks in told}
    assert (made_of["Vary"], made_of["Loop"]) == ({4}, {1})


def test_how_much_a_run_computes(tmp_path: Path) -> None:
    maker = maker_of(tmp_path, context_chunks=1)
    soundfile.write(tmp_path / "a.wav", np.zeros(32000), 32000)  # three chunks of 0.384 s
    given: dict[str, Any] = {"recording": str(tmp_path / "a.wav"), "steps": 10}
    of = lambda **values: maker.amount(maker.controls.filled(given | values))  # noqa: E731
    assert of(seconds=0.768, batch_size=2) == 40
    assert of(edit_mode="Vary", edit_keep_levels="A") == 3 * 8, "of levels that stay no step is computed"
    assert of(edit_mode="Repaint", edit_repaint_to=0.3) == 10
    assert of(edit_mode="Repaint", edit_repaint="1:0") == 1, "what is no request is said later"
    assert json.loads(json.dumps(of())) == 10
