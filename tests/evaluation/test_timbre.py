"""Tonal peaks, flatness and levels of bands of sounds whose answer is known."""

import numpy as np
import pytest
import torch

from snac_plugin.evaluation.clips import Clips
from snac_plugin.evaluation.timbre import BANDS, band_levels_db, flatness, timbre_table, tonal_peaks_db

RATE, SPACING = 32000, 32000 / 2048  # of the bins
PARTIALS = [SPACING * n for n in (50, 65, 80, 95, 110)]  # 781 to 1,719 Hz


def noise(size: float = 0.1, seed: int = 0) -> np.ndarray:
    return size * np.random.default_rng(seed).standard_normal(6 * RATE)


def tones(frequencies: list[float], size: float = 0.1) -> np.ndarray:
    time = np.arange(6 * RATE) / RATE
    return size * np.sum([np.sin(2 * np.pi * f * time) for f in frequencies], axis=0)


def low_passed(audio: np.ndarray) -> np.ndarray:
    """20 dB less above 9.95 kHz: a window's bins leak into their neighbours."""
    spectrum = np.fft.rfft(audio)
    spectrum[..., 6 * 9950 :] *= 0.1
    return np.fft.irfft(spectrum, audio.shape[-1])


def test_partials_in_noise_stand_out_as_far_as_their_power_says() -> None:
    """A tone on a bin leaves 1 / 1.5 of its power there under a Hann window; noise spreads its variance over 1,024 bins.

    Noise, whose power is distributed exponentially, fills all bins of the band but three a tone: the band's median is a higher
    quantile of the noise.
    """
    tone, floor = 0.1**2 / 2 / 1.5, 0.001**2 / 1024
    bins = len([n for n in range(1025) if 700 <= n * SPACING < 2000])
    expected = 10 * np.log10(tone / floor) - 10 * np.log10(-np.log(1 - 0.5 * bins / (bins - 15)))
    assert tonal_peaks_db(tones(PARTIALS) + noise(0.001), RATE) == pytest.approx(expected, abs=0.3)


def test_peaks_are_of_their_band_and_of_no_loudness() -> None:
    of_noise, clear = tonal_peaks_db(noise(), RATE), tones(PARTIALS) + noise(0.01)
    assert of_noise == pytest.approx(7, abs=0.5)
    assert tonal_peaks_db(tones([SPACING * 7, SPACING * 320]) + noise(), RATE) == pytest.approx(of_noise, abs=0.2)
    assert tonal_peaks_db(0.01 * clear, RATE) == pytest.approx(tonal_peaks_db(clear, RATE), abs=0.01)
    assert tonal_peaks_db(tones([660.3]), RATE) == 0  # its skirt falls through the band without a maximum


def test_white_noise_is_flat_and_a_tone_is_not() -> None:
    assert flatness(noise(), RATE) == pytest.approx(np.exp(-np.euler_gamma), abs=0.01)
    assert flatness(0.01 * noise(), RATE) == pytest.approx(flatness(noise(), RATE), rel=1e-6)
    assert flatness(tones([SPACING * 64]) + noise(1e-4), RATE) < 0.01


def test_band_levels_sum_to_the_whole_and_say_where_it_is() -> None:
    found = band_levels_db(noise(0.1), RATE)
    assert 10 * np.log10(np.sum(10 ** (found / 10))) == pytest.approx(-20, abs=0.1)
    widths = np.array([min(high, RATE / 2) - low for low, high in BANDS.values()])
    np.testing.assert_allclose(found - found[-1], 10 * np.log10(widths / widths[-1]), atol=0.4)
    tone = band_levels_db(tones([1000.0]), RATE)
    assert tone[2] == pytest.approx(10 * np.log10(0.1**2 / 2), abs=0.05)
    assert max(tone[[0, 4]]) < -80


def test_silence_has_no_peaks_and_no_flatness() -> None:
    assert np.isnan(tonal_peaks_db(np.zeros(RATE), RATE))
    assert np.isnan(flatness(np.zeros(RATE), RATE))
    assert band_levels_db(np.zeros(RATE), RATE).tolist() == [-120] * 5
    half = np.concatenate([noise(), np.zeros(6 * RATE)])
    assert flatness(half, RATE) == pytest.approx(flatness(noise(), RATE), rel=0.01)  # pauses count nothing


def test_a_band_above_half_the_rate_is_missing() -> None:
    assert np.isnan(band_levels_db(noise()[:16000], 16000)).tolist() == [False] * 4 + [True]


def test_a_table_shows_copies_for_what_they_are() -> None:
    """A perfect one; one that lost 20 dB at the top; one with noise 20 dB louder, which fills all bins but three a tone."""
    songs = np.stack([tones(PARTIALS) + noise(0.003, seed) for seed in (1, 2)])
    noisy = songs + noise(0.003 * np.sqrt(99), 3)
    made = {"copy": songs, "dull": low_passed(songs), "noisy": noisy, "half": np.stack([songs[0], noisy[1]])}
    clips = Clips(torch.from_numpy(songs), np.array([0, 1]), (), None, RATE, ())  # type: ignore[arg-type]
    table = timbre_table(clips, {name: torch.from_numpy(audio) for name, audio in made.items()}, 0)
    ratio, above, peaks, flat = (
        {name: estimate.value for name, estimate in table.estimates(column).items()}
        for column in ("flatness, times the recordings'", "above 10,000 Hz, dB", "tonal peaks, dB", "flatness")
    )
    assert list(ratio) == ["recordings", "copy", "dull", "noisy", "half"]
    assert (ratio["copy"], above["copy"], peaks["copy"]) == (1, 0, peaks["recordings"])
    assert ratio["dull"] == pytest.approx(1, abs=0.01)
    assert above["dull"] == pytest.approx(-20, abs=0.1)
    bins = len([n for n in range(1025) if 700 <= n * SPACING < 8000])
    assert ratio["noisy"] == pytest.approx(100 ** ((bins - 15) / bins), rel=0.05)
    assert ratio["half"] == pytest.approx(np.sqrt(ratio["noisy"]), rel=0.01)  # the geometric mean of 1 and that
    assert flat["noisy"] == pytest.approx(ratio["noisy"] * flat["recordings"], rel=1e-3)
    assert above["noisy"] == pytest.approx(20, abs=0.1)
    assert peaks["noisy"] == pytest.approx(peaks["recordings"] - 20, abs=0.3)
