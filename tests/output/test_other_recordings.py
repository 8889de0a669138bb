"""Settings are of recordings with a digest each: another recording at the same path gives another sample, and nothing is lost."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from snac_plugin.cli import main
from snac_plugin.generation.request import Request
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.output.make_samples import make_samples


def write_song(path: Path, seed: int) -> Path:
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(40000), 32000)
    return path


USES: dict[str, list[str]] = {
    "continue": ["--continue", "SONG", "--seconds", "0.3"],
    "edit": ["--edit", "SONG", "--repaint", "0.3:0.5"],
    "lead-in": ["--lead-in", "SONG", "--seconds", "0.3"],
    "bridge's second": ["--bridge", "OTHER", "SONG", "--seconds", "0.3"],
}


@pytest.mark.parametrize("flags", USES.values(), ids=USES)
def test_a_changed_recording_gives_another_file_and_settings_say_so(
    checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, flags: list[str]
) -> None:
    """The same command replaced the earlier sample, whose recording is gone; and settings went on without a word."""
    song, other = write_song(tmp_path / "song.wav", 1), write_song(tmp_path / "other.wav", 9)
    flags = [str({"SONG": song, "OTHER": other}.get(flag, flag)) for flag in flags]
    command = ["generate", "--ckpt", str(checkpoint), "--steps", "4", "--seed", "1", "--out", str(tmp_path / "out"), *flags]
    assert main(command) == 0
    (first,) = (tmp_path / "out").glob("*.wav")
    sound, settings = first.read_bytes(), first.with_suffix(".json")
    again = [
        "generate",
        "--settings",
        str(settings),
        "--out",
        str(tmp_path / "again"),
        *(flags[:2] if "--continue" in flags else []),
    ]
    assert main(again) == 0
    assert not [told for told in caplog.messages if "another recording" in told]

    write_song(song, 2)
    assert main(command) == 0
    assert first.read_bytes() == sound
    assert sorted(path.name for path in (tmp_path / "out").glob("*.wav")) == [first.name, f"{first.stem}_2.wav"]
    assert main(again) == 0
    (told,) = [told for told in caplog.messages if "another recording" in told]
    assert told.startswith(f"{settings} is of another recording than {song}: its settings are used, but")
    assert (tmp_path / "again" / f"{first.stem}_2.wav").read_bytes() == (tmp_path / "out" / f"{first.stem}_2.wav").read_bytes()


def test_prompts_make_samples_of_a_changed_recording_again(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    song = write_song(tmp_path / "song.wav", 1)
    entries = [{"edit": str(song), "repaint": [[0, 1]]}, {"context": str(song), "seconds": 0.3}]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, entries)))
    command = ["generate", "--ckpt", str(checkpoint), "--steps", "4", "--seed", "1", "--out", str(tmp_path / "out")]
    for seed, skipped in ((1, 0), (1, 2), (2, 0), (2, 2)):
        write_song(song, seed)
        capsys.readouterr()
        assert main([*command, "--prompts", str(tmp_path / "p.jsonl")]) == 0
        assert capsys.readouterr().out.count("skipped  ") == skipped
    names = ["song_seed_1.wav", "song_seed_1_2.wav", "song_seed_2.wav", "song_seed_2_2.wav"]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.wav")) == names
    assert main([*command, "--edit", str(song), "--repaint", "0:1"]) == 0, "the line's 0 is the flag's 0.0"
    assert sorted(path.name for path in (tmp_path / "out").glob("*.wav")) == names


def test_another_recording_in_place_of_a_continued_one_is_told(
    checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Settings of earlier versions have no digests: names are compared."""
    song, other = write_song(tmp_path / "song.wav", 1), write_song(tmp_path / "other.wav", 2)
    model = ["--ckpt", str(checkpoint), "--steps", "4", "--seed", "1", "--out", str(tmp_path)]
    assert main(["generate", *model, "--continue", str(song), "--seconds", "0.3"]) == 0
    settings = tmp_path / "song_seed_1.json"
    assert main(["generate", "--settings", str(settings), "--continue", str(other), "--out", str(tmp_path)]) == 0
    told = f"{settings} is of another recording than {other}"
    assert [one.startswith(told) for one in caplog.messages if "another" in one] == [True]
    content = json.loads(settings.read_text())
    del content["continues"]["digest"]
    (tmp_path / "old.json").write_text(json.dumps(content))
    for file, count in ((song, 0), (other, 1)):
        caplog.clear()
        assert main(["generate", "--settings", str(tmp_path / "old.json"), "--continue", str(file), "--out", str(tmp_path)]) == 0
        assert sum("another recording" in one for one in caplog.messages) == count


def test_recordings_that_are_audio_have_digests_too(model: SnacDiffusion, tmp_path: Path) -> None:
    """Of two in one folder the second took the place of the first: both were noted as "audio"."""
    first, second = (torch.randn(1, 40000, generator=torch.Generator().manual_seed(seed)) / 10 for seed in (1, 2))
    given: list[Any] = [(32000, first), (32000, second), (32000, second.numpy()), (16000, second)]
    made = [
        next(make_samples(model, Request(edit=one, repaint=[(0.3, 0.5)], steps=4), tmp_path, seed=1, progress=False))
        for one in given
    ]
    assert [one.files.wav.name for one in made] == ["seed_1.wav", "seed_1_2.wav", "seed_1_2.wav", "seed_1_3.wav"]


def test_numbers_are_compared_as_numbers(model: SnacDiffusion, tmp_path: Path) -> None:
    song = write_song(tmp_path / "song.wav", 1)
    for strength, name in ((1, "song_seed_1.wav"), (1.0, "song_seed_1.wav"), (0.5, "song_seed_1_2.wav")):
        request = Request(edit=song, strength={"A": 0.5, "B": strength, "C": strength, "D": strength}, steps=4)
        assert next(make_samples(model, request, tmp_path, seed=1, progress=False)).files.wav.name == name
