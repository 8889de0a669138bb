"""How fast the spectrum changes, which tells a seam; other measures are in `snac_plugin.evaluation.music_measures`.

Letters: N audio samples, M frames of a spectrogram.
"""

import librosa
import numpy as np

FLUX_WINDOW, FLUX_HOP = 512, 128
COMPRESSION = 100.0
AROUND = 0.01  # seconds around a point in time whose flux is averaged
AWAY = 0.15  # seconds that "inside a chunk" keeps from its borders


def flux(audio: np.ndarray) -> np.ndarray:
    """Spectral flux of audio [N]: rise of the compressed magnitude spectrum from frame to frame [M - 1].

    Value m is about the change at sample (m + 1/2) * FLUX_HOP. Source: Mueller 2015, Fundamentals of Music Processing, 6.1.2.
    """
    magnitude = np.abs(librosa.stft(audio, n_fft=FLUX_WINDOW, hop_length=FLUX_HOP))
    compressed = np.log1p(COMPRESSION * magnitude / max(float(magnitude.max()), 1e-10))
    return np.maximum(np.diff(compressed, axis=1), 0).sum(axis=0)


def flux_at(values: np.ndarray, samples: np.ndarray, rate: int) -> np.ndarray:
    """Mean flux around points in time, given in samples."""
    reach = max(1, round(AROUND * rate / FLUX_HOP))
    centres = np.round(samples / FLUX_HOP - 0.5).astype(int)
    return np.array([values[max(c - reach, 0) : c + reach + 1].mean() for c in centres])


def inside(borders: np.ndarray, samples: int, rate: int, spacing: int) -> np.ndarray:
    """Points in time, in samples, that lie inside chunks: every `spacing` samples, away from borders and ends.

    A codec's frames leave a pattern of their own in the flux: points must lie in it where borders do, at starts of frames.
    """
    grid = np.arange(0, samples, spacing)
    grid = grid[(grid >= AWAY * rate) & (grid <= samples - AWAY * rate)]
    apart = np.abs(grid[:, None] - borders[None]).min(axis=1) if len(borders) else np.full(len(grid), np.inf)
    return grid[apart >= AWAY * rate]


def flux_around(values: np.ndarray, borders: np.ndarray, rate: int, seconds: float) -> np.ndarray:
    """Flux by time from a border, mean over borders [2 * reach + 1]; borders too near the ends are left out."""
    reach = round(seconds * rate / FLUX_HOP)
    centres = np.round(borders / FLUX_HOP - 0.5).astype(int)
    return np.mean([values[c - reach : c + reach + 1] for c in centres if c >= reach and c + reach < len(values)], axis=0)
