"""Samples on disk: exact audio, nothing lost, the same bytes for the same sample."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from tiny import LEVELS_32KHZ

from snac_plugin.output.sample_files import SampleFiles, SampleWriter, write_sample

AUDIO = torch.linspace(-1, 1, 12288)[None]
CODES = torch.arange(60).reshape(15, 4)


def write(folder: Path, audio: torch.Tensor = AUDIO, **settings: Any) -> SampleFiles:
    return write_sample(folder, "seed_1", audio, 32000, codes=CODES, levels=LEVELS_32KHZ, settings=settings)


def test_the_wav_holds_the_very_samples_as_floats(tmp_path: Path) -> None:
    files = write(tmp_path / "new" / "folder", steps=4)
    info = soundfile.info(files.wav)
    assert (info.subtype, info.samplerate, info.channels, info.frames) == ("FLOAT", 32000, 1, 12288)
    assert torch.equal(torch.from_numpy(soundfile.read(files.wav, dtype="float32")[0]), AUDIO[0])


def test_the_three_files_bear_one_name_and_the_settings_are_readable(tmp_path: Path) -> None:
    files = write(tmp_path, steps={"A": 1}, prompt="Größe", path=Path("x"))
    assert [path.name for path in (files.wav, files.picture, files.json)] == ["seed_1.wav", "seed_1.png", "seed_1.json"]
    assert json.loads(files.json.read_text(encoding="utf-8")) == {"steps": {"A": 1}, "prompt": "Größe", "path": "x"}
    assert files.picture.read_bytes().startswith(b"\x89PNG")


def test_a_wav_written_later_is_the_same_bit_for_bit(tmp_path: Path) -> None:
    # libsndfile puts the time of writing, in seconds, into float files
    first = write(tmp_path / "a", steps=4).wav.read_bytes()
    time.sleep(1.1)
    assert write(tmp_path / "b", steps=4).wav.read_bytes() == first


def test_the_same_settings_take_the_same_name(tmp_path: Path) -> None:
    assert write(tmp_path, steps=4) == write(tmp_path, steps=4)
    assert len(list(tmp_path.iterdir())) == 3


def test_other_settings_never_overwrite(tmp_path: Path) -> None:
    first, second = write(tmp_path, steps=4), write(tmp_path, -AUDIO, steps=8)
    assert second.wav.name == "seed_1_2.wav"
    assert write(tmp_path, steps=8) == second
    assert soundfile.read(first.wav)[0][0] == -1
    assert json.loads(first.json.read_text()) == {"steps": 4}


def test_somebody_elses_wav_of_that_name_is_kept(tmp_path: Path) -> None:
    (tmp_path / "seed_1.wav").write_bytes(b"mine")
    assert write(tmp_path, steps=4).wav.name == "seed_1_2.wav"
    assert (tmp_path / "seed_1.wav").read_bytes() == b"mine"


def test_a_write_that_fails_half_way_leaves_the_old_files_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = write(tmp_path, steps=4)
    kept = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(SampleWriter, "write", fail)
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path, -AUDIO, steps=4)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == kept
    assert before.wav in kept


def test_a_long_sample_is_drawn_in_part(tmp_path: Path) -> None:
    """An hour of audio must not be read back whole for its picture."""
    wav = SampleWriter(tmp_path, "long", 8000, 2, samples=8000 * 200)
    for second in range(200):
        wav.write(torch.full((2, 8000), second / 200))
    files = wav.finish({}, shown_from=8000 * 100)
    assert soundfile.info(files.wav).frames == 8000 * 200
    assert files.picture.stat().st_size > 1000


def test_a_stopped_recording_keeps_what_was_written(tmp_path: Path) -> None:
    """Until it has its name, the unfinished file can be read: a crash loses nothing that was on disk."""
    wav = SampleWriter(tmp_path, "cut", 8000, 1)
    wav.write(torch.ones(1, 4000) / 2)
    assert soundfile.info(wav.part).frames == 4000
    wav.discard()
    assert list(tmp_path.iterdir()) == []
