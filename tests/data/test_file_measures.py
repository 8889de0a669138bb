"""Measures of one file: against pyloudnorm, known filters and known sounds."""

import tracemalloc
from pathlib import Path

import numpy as np
import pyloudnorm
import pytest
import soundfile
from scipy.signal import firwin, lfilter

from snac_plugin.data.audio_file import UnreadableAudio
from snac_plugin.data.file_measures import k_weighting, measure

RATE = 44100


def noise(seconds: float, channels: int = 2, rate: int = RATE) -> np.ndarray:
    """Noise that gets louder in steps, so that gating matters."""
    sound = np.random.default_rng(0).normal(0, 0.1, (round(seconds * rate), channels))
    return sound * np.repeat([0.01, 0.3, 1.0], -(-len(sound) // 3))[: len(sound), None]


def written(path: Path, sound: np.ndarray, rate: int = RATE, **options: str) -> Path:
    soundfile.write(path, sound, rate, **options)
    return path


def test_the_filters_are_those_of_the_standard() -> None:
    """Its tables for 48 kHz."""
    shelf, high_pass = k_weighting(48000)
    assert shelf == pytest.approx(
        [1.53512485958697, -2.69169618940638, 1.19839281085285, 1, -1.69065929318241, 0.73248077421585], abs=1e-10
    )
    assert high_pass == pytest.approx([1, -2, 1, 1, -1.99004745483398, 0.99007225036621], abs=1e-8)


def test_the_largest_samples_are_measured(tmp_path: Path) -> None:
    """Their mean over channels left the range of float32, and the spectrum had no end."""
    sound = np.sign(noise(1.0)) * 3e38
    found = measure(written(tmp_path / "loud.wav", sound.astype(np.float32), subtype="FLOAT"))
    assert found.peak == pytest.approx(3e38)
    assert found.bandwidth > 15_000


@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (48000, 1), (22050, 5), (32000, 2)])
def test_loudness_is_pyloudnorms(tmp_path: Path, rate: int, channels: int) -> None:
    """It keeps all of a file in memory; here are blocks, whose borders must not be heard."""
    sound = noise(7.3, channels, rate)
    path = written(tmp_path / "a.wav", sound, rate, subtype="FLOAT")
    expected = pyloudnorm.Meter(rate, filter_class="DeMan").integrated_loudness(sound)
    assert measure(path).loudness == pytest.approx(expected, abs=0.02)


def test_a_sine_of_full_scale_has_the_loudness_of_the_standard(tmp_path: Path) -> None:
    sine = np.sin(2 * np.pi * 997 * np.arange(48000 * 3) / 48000)[:, None]
    assert measure(written(tmp_path / "a.wav", sine, 48000, subtype="FLOAT")).loudness == pytest.approx(-3.01, abs=0.02)
    assert measure(written(tmp_path / "b.wav", sine[:9600], 48000)).loudness is None, "shorter than a window"


@pytest.mark.parametrize(("cut", "abrupt"), [(16000, True), (11025, True), (None, False)])
def test_bandwidth_is_where_the_spectrum_ends(tmp_path: Path, cut: float | None, abrupt: bool) -> None:
    sound = noise(3, 1)
    if cut:
        sound = lfilter(firwin(513, cut, fs=RATE), 1, sound, axis=0)
    found = measure(written(tmp_path / "a.wav", sound, subtype="PCM_16"))
    assert found.cut == abrupt
    assert found.bandwidth == pytest.approx(cut or RATE / 2, abs=600)


def test_a_falling_spectrum_is_not_cut(tmp_path: Path) -> None:
    """Music has less and less above; 12 dB an octave is dark."""
    spectrum = np.fft.rfft(noise(3, 1)[:, 0])
    sound = np.fft.irfft(spectrum / (1 + (np.fft.rfftfreq(3 * RATE, 1 / RATE) / 500) ** 2))
    assert not measure(written(tmp_path / "a.wav", sound / np.abs(sound).max() / 2, subtype="PCM_16")).cut


def test_mp3_files_are_cut(tmp_path: Path) -> None:
    found = measure(written(tmp_path / "a.mp3", noise(3, 1), format="MP3"))
    assert (found.cut, found.bandwidth < 21000) == (True, True)


def test_the_digest_is_of_the_samples(tmp_path: Path) -> None:
    sound = (noise(1) * 2**15).clip(-32000, 32000).astype(np.int16)
    wav, flac = written(tmp_path / "a.wav", sound), written(tmp_path / "b.flac", sound)
    assert measure(wav).digest == measure(flac).digest
    others = [
        written(tmp_path / "c.wav", sound, 48000),
        written(tmp_path / "d.wav", sound[:-1]),
        written(tmp_path / "e.wav", -sound),
    ]
    assert len({measure(wav).digest, *(measure(other).digest for other in others)}) == 4


def test_silence_and_what_is_not_finite_are_told(tmp_path: Path) -> None:
    with pytest.raises(UnreadableAudio, match="silent: nothing above -60 dB"):
        measure(written(tmp_path / "a.wav", noise(1) * 1e-4, subtype="FLOAT"))
    with pytest.raises(UnreadableAudio, match="NaN or infinite"):
        measure(written(tmp_path / "b.wav", np.full((1000, 1), np.inf), subtype="FLOAT"))


def test_a_long_file_needs_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    peaks = []
    for minutes in (0.5, 3):
        path = written(tmp_path / f"{minutes}.wav", noise(60 * minutes, 2, 8000), 8000)
        tracemalloc.start()
        measure(path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
