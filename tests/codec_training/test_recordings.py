"""Audio files read as mono at one rate, and crops of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from snac_plugin.codec_training.recordings import Recordings, audio_files, read_mono
from snac_plugin.errors import AudioError


def test_channels_are_averaged_and_the_rate_converted(tmp_path: Path) -> None:
    time = np.arange(44_100) / 44_100
    left = 0.5 * np.sin(2 * np.pi * 441 * time)
    soundfile.write(tmp_path / "a.wav", np.stack([left, np.zeros_like(left)], axis=1), 44_100, subtype="FLOAT")
    mono = read_mono(tmp_path / "a.wav", 32_000)
    expected = 0.25 * torch.sin(2 * torch.pi * 441 * torch.arange(32_000) / 32_000)
    assert mono.shape == (32_000,)
    torch.testing.assert_close(mono[500:-500], expected[500:-500], atol=2e-3, rtol=0)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"no audio")
    with pytest.raises(AudioError, match=r"a\.wav: found a file that cannot be read"):
        read_mono(tmp_path / "a.wav", 32_000)
    with pytest.raises(AudioError, match="no audio files"):
        audio_files(tmp_path / "nothing")


def test_crops_follow_the_seed_and_lie_inside_the_recordings(tmp_path: Path) -> None:
    for index, samples in enumerate((100, 5000)):
        soundfile.write(tmp_path / f"{index}.wav", np.full(samples, 0.25 * (index + 1)), 8000)
    recordings = Recordings.load(audio_files(tmp_path), 8000, shortest=1000)
    assert [len(track) for track in recordings.tracks] == [1000, 5000]
    crops = recordings.crops(200, 1000, np.random.default_rng(3))
    assert crops.shape == (200, 1, 1000)
    again, other = (recordings.crops(200, 1000, np.random.default_rng(seed), quietest_db=-6) for seed in (3, 4))
    assert torch.equal(recordings.crops(200, 1000, np.random.default_rng(3)), crops)
    assert not torch.equal(again, other)
    long = crops[:, 0, -1] > 0.4
    assert 0.95 < float(long.float().mean()) <= 1.0  # one place in the short recording, 4,001 in the long one
    torch.testing.assert_close(crops[long], torch.full_like(crops[long], 0.5), atol=1e-3, rtol=0)


def test_random_gains_stay_in_their_range(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(2000, 0.5), 8000)
    crops = Recordings.load(audio_files(tmp_path), 8000).crops(300, 100, np.random.default_rng(0), quietest_db=-6.0206)
    levels = crops.mean(-1).flatten()
    assert 0.249 < float(levels.min()) < 0.27
    assert 0.48 < float(levels.max()) < 0.501
