"""Does audio share tempo and key with what came before it, more than with what came before other songs?

Letters: P clips, S songs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from snac_plugin.evaluation import music


@dataclass(frozen=True)
class Heard:
    """Tempo in beats a minute and energy of each pitch class [12] of a clip."""

    tempo: float
    classes: np.ndarray

    @classmethod
    def in_audio(cls, audio: np.ndarray, rate: int) -> Heard:
        """Of audio [N]."""
        return cls(music.tempo(audio, rate), music.pitch_classes(audio, rate))


COMPARISONS: dict[str, Callable[[Heard, Heard], float]] = {
    "tempo within 4 %": lambda a, b: music.same_tempo(a.tempo, b.tempo),
    "same key": lambda a, b: music.key(a.classes) == music.key(b.classes),
    "pitch classes, correlation": lambda a, b: float(np.corrcoef(a.classes, b.classes)[0, 1]),
}
"""By name: shares of clips, and a correlation; all 1 at best."""


def own_and_others(
    after: Sequence[Heard], before: Sequence[Heard], songs: np.ndarray, compare: Callable[[Heard, Heard], float]
) -> tuple[np.ndarray, np.ndarray]:
    """Agreement of each clip with what came before it, and with what came before clips of other songs, mean by song.

    Args:
        after: the continuations [P].
        before: their contexts [P].
        songs: the song of each [P]; two or more.
        compare: one of `COMPARISONS`.

    Returns:
        [S] and [S].
    """
    pairs = np.nan_to_num(np.array([[compare(a, b) for b in before] for a in after], dtype=np.float64))
    apart = songs[:, None] != songs[None, :]
    others = (pairs * apart).sum(axis=1) / apart.sum(axis=1)
    numbers = np.unique(songs)
    mine = np.diag(pairs)
    return tuple(np.array([values[songs == song].mean() for song in numbers]) for values in (mine, others))  # type: ignore[return-value]
