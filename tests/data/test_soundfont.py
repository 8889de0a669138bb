"""SoundFont reading and single notes: in tune, of the right length, without clicks, without aliasing."""

import numpy as np
import pytest

from snac_plugin.data.demo_music.render import find_soundfont
from snac_plugin.data.demo_music.sampler import Sampler
from snac_plugin.data.demo_music.soundfont import SoundFont
from snac_plugin.errors import AudioError

RATE = 32000


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    return Sampler(SoundFont(find_soundfont()), RATE)


def cents_off(sound: np.ndarray, pitch: int) -> float:
    """How far the strongest harmonics lie from those of `pitch`, by the best fitting comb within 150 cents."""
    spectrum = np.log1p(200 * np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 17)) / len(sound))
    offsets = np.arange(-150, 151, 3)
    fundamentals = 440 * 2 ** ((pitch - 69 + offsets / 100) / 12)
    scores = sum(
        0.8**harmonic * spectrum[np.round(fundamentals * harmonic * (1 << 17) / RATE).astype(int)] for harmonic in range(1, 7)
    )
    return float(offsets[np.argmax(scores)])


@pytest.mark.parametrize("program", [0, 4, 24, 27, 33, 40, 48, 56, 66, 73, 80, 89])
def test_instruments_sound_at_the_pitch_written(sampler, program):
    for pitch in (48, 55, 60, 67, 72):
        assert abs(cents_off(sampler.note(program, False, pitch, 0.6)[3000:19000], pitch)) <= 15, pitch


def test_a_sustained_note_outlasts_its_recording_and_ends_in_silence(sampler):
    sound = sampler.note(48, False, 60, 8.0)
    start, end = sound[RATE : 2 * RATE], sound[7 * RATE : 8 * RATE]
    assert np.sqrt(np.mean(end**2)) > 0.3 * np.sqrt(np.mean(start**2))
    assert 8 * RATE < len(sound) <= 9.5 * RATE
    assert np.abs(sound[-30:]).max() < 0.002
    assert np.abs(sound[0]) < 0.002


def test_high_notes_do_not_alias(sampler):
    """Far above its recording a note keeps harmonics only: read without a filter, 0.2 % of its power folds back between them."""
    sound = sampler.note(84, False, 91, 1.0)[4000:28000]
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
    frequencies = np.fft.rfftfreq(len(sound), 1 / RATE)
    fundamental = 440 * 2 ** ((91 - 69) / 12)
    away = np.abs(frequencies / fundamental - np.round(frequencies / fundamental)) > 0.1
    assert power[away].sum() < 1e-4 * power.sum()


def test_soft_notes_are_darker(sampler):
    def centroid(loudness: float) -> float:
        power = np.abs(np.fft.rfft(sampler.note(81, False, 60, 0.5, loudness))) ** 2
        return float((power * np.arange(len(power))).sum() / power.sum())

    assert centroid(0.2) < 0.8 * centroid(1.0)


def test_drums_and_missing_presets(sampler):
    assert np.abs(sampler.note(0, True, 36, 0.5)).max() > 0.05
    assert not sampler.note(3, True, 36, 0.5).any()


def test_another_file_is_refused(tmp_path):
    (tmp_path / "song.sf2").write_bytes(b"RIFF\x04\x00\x00\x00WAVE")
    with pytest.raises(AudioError, match="SoundFont 2"):
        SoundFont(tmp_path / "song.sf2")
