"""Recordings that nobody made for this package: the sounds that Debian's alsa-utils and sound-theme-freedesktop install."""

from pathlib import Path

import pytest
import soundfile
import torch
import torchaudio

from snac_plugin.codec.load import load_codec
from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.errors import AudioError
from snac_plugin.spectra.mel import multi_scale_log_mel_distance

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
    samples, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    mono = torchaudio.functional.resample(torch.from_numpy(samples.mean(axis=1)), rate, pretransform.sample_rate)
    audio = mono[None, None]
    made = pretransform.decode(pretransform.encode(audio), length=audio.shape[-1])
    assert made.shape == audio.shape
    assert torch.isfinite(made).all()
    distances = [multi_scale_log_mel_distance(audio, other, pretransform.sample_rate) for other in (made, torch.zeros_like(audio))]
    assert distances[0] < 0.85 * distances[1]


def test_a_stereo_recording_as_it_lies_there_says_how_to_convert_it(pretransform: SnacPretransform) -> None:
    stereo = next(path for path in sorted(FREEDESKTOP.glob("*.oga")) if soundfile.info(str(path)).channels == 2)
    samples, _ = soundfile.read(str(stereo), dtype="float32", always_2d=True)
    with pytest.raises(AudioError, match=r"2 channels.*mean\(dim=1"):
        pretransform.encode(torch.from_numpy(samples.T)[None])
