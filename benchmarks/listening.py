"""What can be heard in audio, as numbers: tempo, key, level, brightness, and how fast the spectrum changes.

Letters: N audio samples, F frequency bins, M frames of a spectrogram.
"""

from __future__ import annotations

import librosa
import numpy as np

# How well each pitch class fits a major and a minor key, from its tonic up (Krumhansl and Kessler 1982).
MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
SAME_TEMPO = 0.04
FLUX_WINDOW, FLUX_HOP = 512, 128
COMPRESSION = 100.0
AROUND = 0.01  # seconds around a point in time whose flux is averaged
AWAY = 0.15  # seconds that "inside a chunk" keeps from its borders


def tempo(audio: np.ndarray, rate: int) -> float:
    """Beats a minute of audio [N]."""
    found, _ = librosa.beat.beat_track(y=audio, sr=rate)
    return float(np.atleast_1d(found)[0])


def same_tempo(first: float, second: float) -> bool:
    """Whether two tempos agree to 4 %, up to factors of two, which beat trackers confuse."""
    if min(first, second) <= 0:
        return False
    octaves = np.log2(first / second)
    return bool(abs(octaves - round(octaves)) <= np.log2(1 + SAME_TEMPO))


def pitch_classes(audio: np.ndarray, rate: int) -> np.ndarray:
    """Mean energy of each pitch class, from C up [12]."""
    return librosa.feature.chroma_stft(y=audio, sr=rate, n_fft=8192, hop_length=2048).mean(axis=1)


def key(classes: np.ndarray) -> int:
    """The key whose profile correlates best: 0 to 11 major from C up, 12 to 23 minor."""
    profiles = [np.roll(profile, tonic) for profile in (MAJOR, MINOR) for tonic in range(12)]
    return int(np.argmax([np.corrcoef(classes, profile)[0, 1] for profile in profiles]))


def level_db(audio: np.ndarray) -> float:
    """Root mean square of audio [N] in dB of full scale."""
    return float(10 * np.log10(np.mean(np.square(audio)) + 1e-10))


def brightness(audio: np.ndarray, rate: int) -> float:
    """Spectral centroid of audio [N] in Hz, each moment weighted by its energy."""
    spectrum = np.abs(librosa.stft(audio, n_fft=2048)).sum(axis=1)
    return float((spectrum * librosa.fft_frequencies(sr=rate, n_fft=2048)).sum() / max(spectrum.sum(), 1e-10))


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
