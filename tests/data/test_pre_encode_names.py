"""Tracks of any name are encoded, each under a name of its own that stable-audio-tools finds again."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from stable_audio_tools.data.dataset import create_dataloader_from_config
from tiny import CHUNK_FRAMES, write_tiny_codec

from snac_plugin.codec.load import load_codec
from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.data.pre_encode import pre_encode

FRAME, RATE = 3072, 32000


def test_names_that_are_no_text_too_long_or_alike_are_all_encoded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They were a raw error, or the codes of one took the place of another's; a log that is kept as text could not hold them."""
    codec = SnacPretransform(load_codec(str(write_tiny_codec(tmp_path / "codec"))), piece_seconds=1.0)
    (tmp_path / "music").mkdir()
    names = (b"caf\xe9.wav", b"caf\xe8.wav", b"n" * 251 + b".wav", b"two\nlines.wav", b"two_lines.wav")
    music = [str(tmp_path / "music" / os.fsdecode(name)) for name in names]
    for seed, path in enumerate(music):
        with open(path, "wb") as file:
            noise = np.random.default_rng(seed).uniform(-0.5, 0.5, 4 * FRAME)
            soundfile.write(file, noise, RATE, format="WAV")
    bad = tmp_path / "music" / os.fsdecode(b"bad\xff.wav")
    bad.write_text("no audio")
    source = {"dataset_type": "audio_dir", "datasets": [{"id": "a", "path": str(tmp_path / "music")}]}
    for _ in range(2):  # the second time all are there
        config = pre_encode(source, tmp_path / "out", codec, min_frames=CHUNK_FRAMES, progress=False)
        details = json.loads((tmp_path / "out" / "details.json").read_text())
        assert details["tracks"] == len(music)
        assert [entry["path"] for entry in details["rejected"]] == [str(bad)]
    caplog.text.encode()
    assert r"bad\xff.wav" in caplog.text
    dataset = create_dataloader_from_config(json.loads(config.read_text()), 1, 4 * FRAME, RATE, 1, num_workers=1).dataset
    assert sorted(dataset[index][1]["path"] for index in range(len(dataset))) == sorted(music)
