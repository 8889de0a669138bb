"""`evaluate.py` end to end on tiny parts: table, JSON and picture of all three kinds; and what a user gets wrong."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from tiny import CODEC_24KHZ, conditioned_model_config, tiny_model_config, write_tiny_codec

from snac_plugin.checkpoints.writing import save_unwrapped
from snac_plugin.cli import main
from snac_plugin.evaluation import codec_report
from snac_plugin.evaluation import music_measures as music
from snac_plugin.plugin import builders

pytestmark = pytest.mark.slow

FRAME, RATE = 3072, 32000


def write_songs(folder: Path, count: int, seconds: float, pitch: float) -> None:
    folder.mkdir()
    time = np.arange(round(seconds * RATE)) / RATE
    for index in range(count):
        tone = 0.3 * np.sin(2 * np.pi * pitch * 2 ** (index / 3) * time) * (np.sin(2 * np.pi * (index + 3) * time) > 0)
        soundfile.write(folder / f"song_{index}.wav", tone + 0.01 * np.random.default_rng(index).standard_normal(len(time)), RATE)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A tiny model with two chunks of context, its codec, held-out songs and other ones."""
    folder = tmp_path_factory.mktemp("evaluate")
    codec = write_tiny_codec(folder / "codec")
    config = tiny_model_config(codec, context_chunks=2, head="logits")
    torch.manual_seed(0)
    save_unwrapped(builders.model(config), folder / "model.safetensors", config, None)
    write_songs(folder / "held_out", 4, 4.0, 110)
    write_songs(folder / "made", 3, 2.0, 300)
    return SimpleNamespace(folder=folder, codec=str(codec), ckpt=str(folder / "model.safetensors"))


def evaluate(parts: SimpleNamespace, out: Path, *flags: Any) -> dict[str, Any]:
    """Run the command; what results.json holds, after a look at the other files."""
    data = ["--data", str(parts.folder / "held_out"), "--out", str(out), "--device", "cpu", "--clips", "5"]
    assert main(["evaluate", *data, *map(str, flags)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["results.json", "results.md", "results.png"]
    assert (out / "results.png").read_bytes().startswith(b"\x89PNG")

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads((out / "results.json").read_text(), parse_constant=refuse)


@pytest.fixture(scope="module")
def measured(parts: SimpleNamespace) -> SimpleNamespace:
    """Figures of the model in four steps, and what was printed beside them."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        found = evaluate(parts, parts.folder / "measured", "--ckpt-path", parts.ckpt, "--steps", "4")
    return SimpleNamespace(found=found, printed=printed.getvalue(), folder=parts.folder / "measured")


def cells(found: dict[str, Any], table: str, column: str) -> dict[str, Any]:
    """A column of a table by the first cell of its rows."""
    rows = found["tables"][table]["rows"]
    return {next(iter(row.values())): row[column] for row in rows}


def test_conditions_and_scales_for_all_clips() -> None:
    """They go over what the JSON beside each song says; guidance by condition is for checkpoints alone."""
    from snac_plugin.cli import evaluate as command
    from snac_plugin.cli.arguments import request_from
    from snac_plugin.generation.request import SAMPLING

    flags = ["--data", "songs", "--ckpt", "a", "--condition", "tempo=120", "--guidance", "style=2", "--guidance", "context=3"]
    request = request_from(command.parser().parse_args(flags), "chunks", *SAMPLING, "conditioning")
    assert request.conditioning == {"tempo": "120"}
    assert request.guidance == {"style": 2.0, "context": 3.0}


def test_a_checkpoint(measured: SimpleNamespace) -> None:
    pytest.importorskip("librosa")
    found = measured.found
    assert found["settings"]["data"]["songs"] == 4
    assert found["settings"]["data"]["clips"] == 5
    assert found["settings"]["seed"] == 0
    losses = cells(found, "losses", "validation loss")
    assert list(losses) == ["A", "B", "C", "D", "mean"]
    assert all(cell["low"] <= cell["value"] <= cell["high"] for cell in losses.values())
    assert losses["mean"]["value"] == pytest.approx(np.mean([losses[name]["value"] for name in "ABCD"]))
    assert len(found["tables"]["frechet"]["rows"]) == 6
    assert cells(found, "frechet", "distance")["recordings of other songs (floor)"]["value"] > 0
    assert cells(found, "frechet", "distance on log-mel")["white noise as loud (ceiling)"]["value"] > 0
    assert len(found["tables"]["agreement"]["rows"]) == 9
    assert '"bpm" in the JSON file beside each song' in found["notes"][0]
    beats = cells(found, "sound", "beat strength, 0 to 1")
    assert list(beats) == [
        "recordings",
        "recordings through the codec",
        "continuations",
        "made without context",
        "random codes, decoded",
    ]
    assert "5 clips of 1.15 s from 4 songs" in measured.printed
    assert "| mean |" in measured.printed
    assert (measured.folder / "results.md").read_text().strip() in measured.printed


def test_conditions_and_repetition_are_measured_where_songs_say_them(parts: SimpleNamespace, tmp_path: Path) -> None:
    """In recordings through the codec, continuations and what is made without context."""
    pytest.importorskip("librosa")
    config = conditioned_model_config(Path(parts.codec))
    torch.manual_seed(0)
    save_unwrapped(builders.model(config), tmp_path / "model.safetensors", config, None)
    songs = tmp_path / "songs"
    shutil.copytree(parts.folder / "held_out", songs)
    for index in range(4):
        said = {"style": "jazz" if index % 2 else "house", "tempo": 190 + index}
        (songs / f"song_{index}.json").write_text(json.dumps(said))
    flags = ["--data", songs, "--ckpt-path", tmp_path / "model.safetensors", "--steps", "4", "--clips", "4", "--chunks", "3"]
    found = evaluate(parts, tmp_path / "out", *flags)
    kinds = ["recordings through the codec", "continuations", "made without context"]
    rows = found["tables"]["conditions"]["rows"]
    told = [(name, kind) for name in ("style, told by a classifier", "tempo within 4 %") for kind in kinds]
    assert [(row["condition"], row["audio"]) for row in rows] == told
    assert all(0 <= row["as asked"]["value"] <= 1 for row in rows)
    assert [row["audio"] for row in found["tables"]["repetition"]["rows"]] == kinds
    assert all(0 <= row["all"]["value"] <= 1 for row in found["tables"]["repetition"]["rows"][:2])
    assert found["notes"] == []


def test_the_same_seed_gives_the_same_file(parts: SimpleNamespace, measured: SimpleNamespace, tmp_path: Path) -> None:
    assert evaluate(parts, tmp_path, "--ckpt-path", parts.ckpt, "--steps", "4") == measured.found


def test_without_librosa_the_rest_is_measured_and_the_lack_is_named(
    parts: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(music, "have_librosa", lambda: False)
    found = evaluate(parts, tmp_path / "a", "--ckpt-path", parts.ckpt, "--steps", "4", "--no-free")
    assert "agreement" not in found["tables"]
    assert "made without context" not in cells(found, "frechet", "distance")
    assert "pip install" in capsys.readouterr().out
    found = evaluate(parts, tmp_path / "b", "--generated", parts.folder / "made", "--codec", parts.codec, "--seconds", "1")
    assert list(cells(found, "sound", "difference")) == ["loudness, dB", "brightness, Hz"]
    assert "pip install" in capsys.readouterr().out


def test_guidance_of_the_command_line_is_what_continuations_get(parts: SimpleNamespace, tmp_path: Path) -> None:
    """It changes them, and is written down with what the config says of the rest; without context there is nothing to guide."""
    config = tiny_model_config(Path(parts.codec), context_chunks=2)
    model = builders.model(config)
    torch.manual_seed(0)
    for weight in model.model.network.parameters():  # a new network predicts nothing yet
        torch.nn.init.normal_(weight, std=0.2)
    save_unwrapped(model, tmp_path / "model.safetensors", config, None)
    flags = ["--ckpt-path", tmp_path / "model.safetensors", "--steps", "4"]
    plain, guided = (evaluate(parts, tmp_path / scale, *flags, "--cfg-scale", scale) for scale in ("1", "5"))
    assert guided["settings"]["sampling"]["cfg_scale"] == 5
    assert guided["settings"]["sampling"]["steps"] == {"A": 1, "B": 1, "C": 1, "D": 1}
    distance = [cells(found, "frechet", "distance") for found in (plain, guided)]
    assert distance[0]["continuations"] != distance[1]["continuations"]
    assert distance[0]["made without context"] == distance[1]["made without context"]


def test_a_model_without_context_is_measured_without_continuations(parts: SimpleNamespace, tmp_path: Path) -> None:
    config = tiny_model_config(Path(parts.codec), context_chunks=0)
    save_unwrapped(builders.model(config), tmp_path / "model.safetensors", config, None)
    found = evaluate(parts, tmp_path / "out", "--ckpt-path", tmp_path / "model.safetensors", "--steps", "4")
    assert list(found["tables"]["losses"]["rows"][0]) == ["level", "validation loss"]
    assert "continuations" not in cells(found, "frechet", "distance")
    assert "made without context" in cells(found, "frechet", "distance")
    assert "no context" in found["notes"][0]


def test_a_folder_of_generated_audio(parts: SimpleNamespace, tmp_path: Path) -> None:
    """Sine tones nearly three times as high are heard as brighter."""
    pytest.importorskip("librosa")
    found = evaluate(parts, tmp_path, "--generated", parts.folder / "made", "--codec", parts.codec, "--seconds", "1.5")
    assert set(cells(found, "frechet", "distance")) >= {"recordings of other songs (floor)", "generated"}
    difference = cells(found, "sound", "difference")["brightness, Hz"]
    assert difference["value"] > 0
    assert len(found["tables"]["sound"]["rows"]) == 5
    assert found["settings"]["generated"]["songs"] == 3


@pytest.mark.parametrize("opus", [True, False])
def test_a_codec_with_opus_and_without(
    parts: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    opus: bool,
) -> None:
    if not opus:
        monkeypatch.setattr(codec_report, "have_opus", lambda: False)
    elif not codec_report.have_opus():
        pytest.skip("no Opus here")
    found = evaluate(parts, tmp_path, "--codec", parts.codec, "--seconds", "2", "--clips", "2")
    rows = cells(found, "distances", "log-mel, six scales, dB")
    assert list(rows)[:2] == [Path(parts.codec).name, codec_report.UNTRAINED]
    assert len(rows) == 2 + opus
    assert ("Opus is missing" in capsys.readouterr().out) is not opus
    assert list(cells(found, "timbre", "flatness")) == ["recordings", *rows]
    assert list(cells(found, "prefixes", codec_report.SIX_SCALES)) == ["recordings", "A", "AB", "ABC", "ABCD"]
    assert cells(found, "prefixes", codec_report.SIX_SCALES)["ABCD"] == rows[Path(parts.codec).name]
    usage = found["tables"]["usage"]["rows"]
    assert [row["codes counted"] for row in usage[:4]] == [2 * 20 * n for n in (1, 2, 4, 8)]
    assert all(1 <= row["perplexity"]["value"] <= row["codes used"] + 0.01 for row in usage)


def test_another_geometry(parts: SimpleNamespace, tmp_path: Path) -> None:
    """Three levels at 24 kHz: songs are resampled, and nothing counts on four levels."""
    codec = write_tiny_codec(tmp_path / "codec", CODEC_24KHZ)
    found = evaluate(parts, tmp_path / "out", "--codec", codec, "--seconds", "3.5")
    assert [row["level"] for row in found["tables"]["usage"]["rows"]] == list("ABCABC")
    assert "lines at 46.9 Hz, dB" in found["tables"]["distances"]["rows"][0]


def test_what_is_stopped_leaves_no_file(parts: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("snac_plugin.evaluation.codec_report.read_clips", stop)
    data = ["--data", str(parts.folder / "held_out"), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main(["evaluate", "--codec", parts.codec, *data]) == 130
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "none of them, expected one of --ckpt-path, --generated and --codec"),
        (["--ckpt-path", "CKPT", "--codec", "CODEC"], "--ckpt-path, --codec"),
        (["--codec", "CODEC", "--steps", "9"], "no such flag without --ckpt-path"),
        (["--codec", "CODEC", "--temperature", "0.5"], "no such flag without --ckpt-path"),
        (["--codec", "CODEC", "--cfg-scale", "2"], "no such flag without --ckpt-path"),
        (
            ["--ckpt-path", "CKPT", "--sampler", "euler", "--temperature", "0.5"],
            "--temperature: found 0.5, expected the --sampler pingpong-codes beside it",
        ),
        (["--ckpt-path", "CKPT", "--prompt", "house"], "found the key 'prompt', expected nothing: this model was trained without"),
        (["--ckpt-path", "CKPT", "--seconds", "3"], "no such flag without --generated or --codec"),
        (["--codec", "CODEC", "--clips", "0"], "--clips: found 0"),
        (["--codec", "CODEC", "--seed", "-1"], "--seed: found -1"),
        (["--codec", "CODEC", "--seconds", "0.5"], "at least 1.54, one long window"),
        (["--codec", "CODEC", "--seconds", "60"], "0 songs of"),
        (["--codec", "CODEC", "--data", "EMPTY"], "no audio files"),
        (["--codec", "CODEC", "--data", "nowhere"], "no folder"),
        (["--codec", "nowhere"], "a shipped codec"),
        (["--generated", "EMPTY", "--codec", "CODEC"], "no audio files"),
        (["--ckpt-path", "nowhere.ckpt"], "nowhere.ckpt"),
        (["--ckpt-path", "CKPT", "--chunks", "30"], "Give longer songs"),
    ],
)
def test_errors_say_what_to_do(
    parts: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    words = {"CKPT": parts.ckpt, "CODEC": parts.codec, "EMPTY": str(tmp_path)}
    data = ["--data", str(parts.folder / "held_out"), "--device", "cpu", "--out", str(tmp_path / "out")]
    assert main(["evaluate", *data, *(words.get(flag, flag) for flag in flags)]) == 1
    assert message in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def test_a_checkpoint_of_another_codec_is_refused(
    parts: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_model_config(Path(parts.codec), context_chunks=2, head="logits")
    other = {"name": "other", "fingerprint": "0" * 12}
    save_unwrapped(builders.model(config), tmp_path / "model.safetensors", config, other)
    flags = ["--ckpt-path", str(tmp_path / "model.safetensors"), "--data", str(parts.folder / "held_out"), "--device", "cpu"]
    assert main(["evaluate", *flags, "--out", str(tmp_path / "out")]) == 1
    assert "codec 'other'" in capsys.readouterr().err


def test_too_short_songs_are_told_before_torch_is_imported(parts: SimpleNamespace, tmp_path: Path) -> None:
    """After the model was loaded, it was said before; so does a folder with one long song among short ones."""
    write_songs(tmp_path / "short", 3, 1.0, 110)
    (tmp_path / "short" / "long.wav").write_bytes((parts.folder / "held_out" / "song_0.wav").read_bytes())
    flags = ["evaluate", "--ckpt-path", parts.ckpt, "--data", str(tmp_path / "short"), "--out", str(tmp_path / "out")]
    code = f"import sys; from snac_plugin.cli import main; failed = main({flags}); "
    ran = subprocess.run(
        [sys.executable, "-c", f"{code}assert failed; assert 'torch' not in sys.modules"], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert "found 1 song of 1.15 s or more, 3 other files (song_0.wav: 1.00 s, shorter than a clip)" in ran.stderr
