"""Measures of audio: tempo, beat strength, key, loudness, brightness; and how far two clips agree in tempo and key.

Tempo, beat and key are librosa's, an optional package. Letters: N audio samples.
"""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from snac_plugin.data.demo_music.theory import NOTE_NAMES
from snac_plugin.errors import InstallationError
from snac_plugin.evaluation.confidence_intervals import by_song

# How well each pitch class fits a major and a minor key, from its tonic up (Krumhansl and Kessler 1982).
MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
BEAT, PITCH = "beat strength, 0 to 1", "pitch classes, correlation"
SAME_TEMPO = 0.04
TEMPO_KEYS = ("tempo", "bpm")
"""What metadata and conditions call beats a minute."""
SLOWEST_BEAT, FASTEST_BEAT = 1.5, 0.3  # seconds from beat to beat: 40 and 200 a minute
ONSET_HOP = 512
SPECTRUM = 2048  # samples of a window
WITHOUT_LIBROSA = 'tempo, beat and key need librosa, which is not installed: pip install "librosa==0.11.0"'


def have_librosa() -> bool:
    return importlib.util.find_spec("librosa") is not None


def tempo(audio: np.ndarray, rate: int) -> float:
    """Beats a minute of audio [N]; 0 where no beat is found."""
    found, _ = _librosa().beat.beat_track(y=audio, sr=rate)
    return float(np.atleast_1d(found)[0])


def same_tempo(first: float, second: float) -> bool:
    """Whether two tempos agree to 4 %, up to factors of two, which beat trackers confuse."""
    if min(first, second) <= 0:
        return False
    octaves = np.log2(first / second)
    return bool(abs(octaves - round(octaves)) <= np.log2(1 + SAME_TEMPO))


def beat_strength(audio: np.ndarray, rate: int) -> float:
    """The highest autocorrelation of the strength of onsets at 40 to 200 beats a minute: 1 for a steady click, 0.1 for noise."""
    onsets = _librosa().onset.onset_strength(y=audio, sr=rate, hop_length=ONSET_HOP)
    apart = onsets - onsets.mean()
    lags = np.arange(round(FASTEST_BEAT * rate / ONSET_HOP), round(SLOWEST_BEAT * rate / ONSET_HOP) + 1)
    lags = lags[lags < len(apart) // 2]
    if not len(lags):
        return float("nan")
    return float(max(correlation(apart[:-lag], apart[lag:]) for lag in lags))


def pitch_classes(audio: np.ndarray, rate: int) -> np.ndarray:
    """Mean energy of each pitch class, from C up [12]."""
    return _librosa().feature.chroma_stft(y=audio, sr=rate, n_fft=8192, hop_length=2048).mean(axis=1)


def key(classes: np.ndarray) -> int:
    """The key whose profile correlates best with pitch classes [12]: 0 to 11 major from C up, 12 to 23 minor."""
    return int(np.argmax(key_fits(classes)))


def key_clarity(audio: np.ndarray, rate: int) -> float:
    """Correlation of the pitch classes of audio [N] with the profile of the key that fits best, -1 to 1."""
    return float(key_fits(pitch_classes(audio, rate)).max())


def key_fits(classes: np.ndarray) -> np.ndarray:
    """Correlation of pitch classes [12] with each key's profile [24]."""
    return np.array([correlation(classes, np.roll(p, tonic)) for p in (MAJOR, MINOR) for tonic in range(12)])


def key_name(key: int) -> str:
    """The name of a key: 0 is "C major", 21 is "A minor"."""
    return f"{NOTE_NAMES[key % 12]} {'minor' if key >= 12 else 'major'}"


def level_db(audio: np.ndarray, _: int = 0) -> float:
    """Root mean square of audio [N] in dB of full scale."""
    return float(10 * np.log10(np.mean(np.square(audio, dtype=np.float64)) + 1e-10))


def brightness(audio: np.ndarray, rate: int) -> float:
    """Spectral centroid of audio [N] in Hz, weighted by magnitude; 0 for silence."""
    padded = np.pad(audio, (0, max(0, SPECTRUM - len(audio))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, SPECTRUM)[:: SPECTRUM // 4]
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(SPECTRUM), axis=-1)).sum(axis=0)
    return float((spectrum * np.fft.rfftfreq(SPECTRUM, 1 / rate)).sum() / max(spectrum.sum(), 1e-10))


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's; 0 where one of them is constant."""
    a, b = a - np.mean(a), b - np.mean(b)
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size > 1e-12 else 0.0


def _librosa() -> Any:
    try:
        import librosa
    except ImportError:
        advice = 'pip install "librosa==0.11.0", or pip install -e ".[evaluate]" in a checkout.'
        raise InstallationError("librosa", "nothing", "librosa, which finds tempo, beat and key", advice) from None
    return librosa


def measures() -> dict[str, Callable[[np.ndarray, int], float]]:
    """Measures of audio [N] at a rate in Hz, by name with its unit; beat and key only where librosa is installed."""
    found: dict[str, Callable[[np.ndarray, int], float]] = {"loudness, dB": level_db, "brightness, Hz": brightness}
    if have_librosa():
        found |= {BEAT: beat_strength, "key clarity, -1 to 1": key_clarity}
    return found


@dataclass(frozen=True)
class TempoAndKey:
    """Tempo in beats a minute and energy of each pitch class [12] of a clip."""

    tempo: float
    classes: np.ndarray

    @classmethod
    def of(cls, audio: np.ndarray, rate: int) -> "TempoAndKey":
        return cls(tempo(audio, rate), pitch_classes(audio, rate))


COMPARISONS: dict[str, Callable[[TempoAndKey, TempoAndKey], float]] = {
    "tempo within 4 %": lambda a, b: same_tempo(a.tempo, b.tempo),
    "same key": lambda a, b: key(a.classes) == key(b.classes),
    PITCH: lambda a, b: correlation(a.classes, b.classes),
}
"""Shares of clips, and a correlation; all 1 at best."""


def agreement(
    after: Sequence[TempoAndKey],
    before: Sequence[TempoAndKey],
    songs: np.ndarray,
    compare: Callable[[TempoAndKey, TempoAndKey], float],
) -> tuple[np.ndarray, np.ndarray]:
    """Agreement of continuations [P] of two or more songs [P] with their contexts [P], and with other songs': each [S]."""
    pairs = np.array([[compare(a, b) for b in before] for a in after], dtype=np.float64)
    other = songs[:, None] != songs[None, :]
    return by_song(np.diag(pairs), songs), by_song((pairs * other).sum(axis=1) / other.sum(axis=1), songs)
