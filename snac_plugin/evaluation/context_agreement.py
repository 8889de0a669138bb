"""Does a continuation share tempo and key with its own context, more than with the contexts of other songs?

Letters: P clips, S songs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from snac_plugin.evaluation.confidence_intervals import by_song
from snac_plugin.evaluation.music_measures import correlation, key, pitch_classes, same_tempo, tempo


@dataclass(frozen=True)
class TempoAndKey:
    """Tempo in beats a minute and energy of each pitch class [12] of a clip."""

    tempo: float
    classes: np.ndarray

    @classmethod
    def of(cls, audio: np.ndarray, rate: int) -> TempoAndKey:
        return cls(tempo(audio, rate), pitch_classes(audio, rate))


COMPARISONS: dict[str, Callable[[TempoAndKey, TempoAndKey], float]] = {
    "tempo within 4 %": lambda a, b: same_tempo(a.tempo, b.tempo),
    "same key": lambda a, b: key(a.classes) == key(b.classes),
    "pitch classes, correlation": lambda a, b: correlation(a.classes, b.classes),
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
