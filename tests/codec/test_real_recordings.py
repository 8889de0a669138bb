"""Recordings that nobody made for this package: the sounds that Debian's alsa-utils and sound-theme-freedesktop install."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
import torch

from snac_plugin.codec.load import load_codec
from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.codec_training.losses import SpectralLoss
from snac_plugin.codec_training.recordings import audio_files, read_mono
from snac_plugin.errors import AudioError

ALSA, FREEDESKTOP = Path("/usr/share/sounds/alsa"), Path("/usr/share/sounds/freedesktop/stereo")
NAMES = [
    ALSA / "Front_Center.wav",
    ALSA / "Noise.wav",
    FREEDESKTOP / "bell.oga",
    FREEDESKTOP / "audio-channel-rear-left.oga",
    FREEDESKTOP / "audio-volume-change.oga",
]

pytestmark = pytest.mark.skipif(
    not (ALSA.is_dir() and FREEDESKTOP.is_dir()),
    reason="needs the recordings of Debian's packages alsa-utils and sound-theme-freedesktop in /usr/share/sounds",
)


@pytest.fixture(scope="module")
def pretransform() -> SnacPretransform:
    return SnacPretransform(load_codec("snac_tiny_32khz"), piece_seconds=2.0)


@pytest.mark.parametrize("path", NAMES, ids=lambda path: path.stem)
def test_a_real_recording_comes_back_in_its_length_and_nearer_than_silence(path: Path, pretransform: SnacPretransform) -> None:
    audio = read_mono(path, pretransform.sample_rate)[None, None]
    made = pretransform.decode(pretransform.encode(audio), length=audio.shape[-1])
    assert made.shape == audio.shape
    assert torch.isfinite(made).all()
    distance = SpectralLoss(pretransform.sample_rate)
    assert distance(audio, made).mel < 0.85 * distance(audio, torch.zeros_like(audio)).mel


def test_they_are_of_several_rates_and_channel_counts_and_all_are_read() -> None:
    files = audio_files(ALSA) + audio_files(FREEDESKTOP)
    kinds = {(info.samplerate, info.channels) for info in map(soundfile.info, map(str, files))}
    assert len(kinds) > 1
    assert all(len(read_mono(path, 32_000)) > 0 for path in files)


def test_a_stereo_recording_as_it_lies_there_says_how_to_convert_it(pretransform: SnacPretransform) -> None:
    stereo = next(path for path in audio_files(FREEDESKTOP) if soundfile.info(str(path)).channels == 2)
    samples, _ = soundfile.read(str(stereo), dtype="float32", always_2d=True)
    with pytest.raises(AudioError, match=r"2 channels.*mean\(dim=1"):
        pretransform.encode(torch.from_numpy(samples.T)[None])
