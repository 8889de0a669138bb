"""Music of another program: it repeats exactly, differs by seed, and plays the pitches asked for."""

import numpy as np
import pytest


def test_songs_repeat_and_differ_by_seed() -> None:
    import other_music

    first = other_music.song(0, 3.0)
    assert first.shape == (3 * other_music.RATE,)
    np.testing.assert_array_equal(first, other_music.song(0, 3.0))
    assert abs(np.corrcoef(first, other_music.song(1, 3.0))[0, 1]) < 0.2
    assert np.sqrt(np.mean(first**2)) == pytest.approx(other_music.RMS, rel=0.15)
    assert np.abs(first).max() <= 0.98


@pytest.mark.parametrize("pitch", [110.0, 220.0, 523.25])
def test_a_plucked_string_has_its_pitch(pitch: float) -> None:
    import other_music

    sound = other_music.pluck(pitch, 1.0, np.random.default_rng(0))
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 8 * len(sound)))
    frequencies = np.fft.rfftfreq(8 * len(sound), 1 / other_music.RATE)
    near = (frequencies > 0.7 * pitch) & (frequencies < 1.4 * pitch)
    assert frequencies[near][spectrum[near].argmax()] == pytest.approx(pitch, rel=0.01)
