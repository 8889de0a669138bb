"""How clear and how bright audio is: tonal peaks, spectral flatness, levels of frequency bands.

All are of power spectra P under Hann windows of about 64 ms that overlap by half. Peaks and flatness leave out frames whose band is
silent, below -90 dB of full scale; a clip without others gives NaN. Letters: N audio samples, P clips, S songs, T frames, F bins.
"""

import math
from collections.abc import Mapping

import numpy as np
from scipy.signal import spectrogram
from torch import Tensor

from snac_plugin.evaluation.clips import Clips
from snac_plugin.evaluation.confidence_intervals import Estimate, by_song, mean_of
from snac_plugin.evaluation.frechet_distance import REAL
from snac_plugin.evaluation.report import Table

WINDOW_SECONDS, SILENCE_DB, PEAKS = 0.064, -90.0, 5
PEAK_BAND, FLATNESS_BAND = (700.0, 2000.0), (700.0, 8000.0)  # Hz, from and up to
BANDS = {
    "0 to 200 Hz, dB": (0.0, 200.0),
    "200 to 700 Hz, dB": (200.0, 700.0),
    "700 to 2,000 Hz, dB": (700.0, 2000.0),
    "2,000 to 10,000 Hz, dB": (2000.0, 10000.0),
    "above 10,000 Hz, dB": (10000.0, np.inf),
}


def tonal_peaks_db(audio: np.ndarray, rate: int) -> float:
    """How far partials of audio [N] stand out at 0.7 to 2 kHz: the five highest local maxima of 10 log10 P above its median.

    Mean over maxima and frames, in dB; a maximum that is missing counts 0. White noise has about 7, clear partials 15 and more.
    """
    level = 10 * np.log10(_in_band(audio, rate, PEAK_BAND) + 1e-20)
    above = level - np.median(level, axis=1, keepdims=True)
    inner = above[:, 1:-1]
    maxima = np.where((inner >= above[:, :-2]) & (inner >= above[:, 2:]), inner, 0.0)
    return float(np.sort(maxima, axis=1)[:, -PEAKS:].mean()) if len(maxima) else float("nan")


def flatness(audio: np.ndarray, rate: int) -> float:
    """exp(mean log P) / mean P of audio [N] over 0.7 to 8 kHz, mean over frames: near 0 for a tone, 0.56 for white noise.

    (The power of noise in a bin is distributed exponentially: e to the minus Euler's constant.)
    """
    power = _in_band(audio, rate, FLATNESS_BAND)
    return float(np.mean(np.exp(np.log(power + 1e-20).mean(axis=1)) / power.mean(axis=1))) if len(power) else float("nan")


def band_levels_db(audio: np.ndarray, rate: int) -> np.ndarray:
    """Level of each of `BANDS` in audio [N] in dB of full scale [5], not below -120; NaN for a band that the rate does not have."""
    frequencies, power = _spectra(audio, rate)
    mean, inside = power.mean(axis=0), [(frequencies >= low) & (frequencies < high) for low, high in BANDS.values()]
    return np.array([10 * np.log10(mean[bins].sum() + 1e-12) if bins.any() else np.nan for bins in inside])


def timbre_table(clips: Clips, made: Mapping[str, Tensor], seed: int) -> Table:
    """Rows: the recordings, and what each coder made of them [P, N]."""

    def measured(audio: Tensor) -> np.ndarray:  # [7, S]
        found = [[tonal_peaks_db(c, clips.rate), flatness(c, clips.rate), *band_levels_db(c, clips.rate)] for c in audio.numpy()]
        return np.array([by_song(values, clips.songs) for values in np.array(found).T])

    found = {name: measured(audio) for name, audio in {REAL: clips.audio, **made}.items()}
    rows = {}
    for name, (peaks, flat, *levels) in found.items():
        times = mean_of(np.log(np.maximum(flat, 1e-9) / np.maximum(found[REAL][1], 1e-9)), seed)
        rows[name] = [peaks, flat, Estimate(*map(math.exp, (times.value, times.low, times.high))), *(levels - found[REAL][2:])]
    title = (
        "**Timbre**: tonal peaks above the median at 0.7 to 2 kHz, spectral flatness at 0.7 to 8 kHz (0 a tone, 0.56 white noise; "
        "times the recordings': geometric mean over songs), and levels of bands less the recordings'"
    )
    columns = ("coder", "tonal peaks, dB", "flatness", "flatness, times the recordings'", *BANDS)
    return Table.of("timbre", title, columns, rows, seed)


def _in_band(audio: np.ndarray, rate: int, band: tuple[float, float]) -> np.ndarray:
    """P [T, F] within a band, of frames in which it is not silent."""
    frequencies, power = _spectra(audio, rate)
    inside = power[:, (frequencies >= band[0]) & (frequencies < band[1])]
    return inside[10 * np.log10(inside.sum(axis=1) + 1e-20) > SILENCE_DB]


def _spectra(audio: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies [F] in Hz and P [T, F], whose bins sum to the mean square of their frame."""
    size = 2 ** round(np.log2(WINDOW_SECONDS * rate))
    whole = np.pad(np.asarray(audio, dtype=np.float64), (0, max(0, size - len(audio))))
    frequencies, _, density = spectrogram(whole, rate, "hann", size, size // 2, detrend=False)
    return frequencies, density.T * rate / size
