"""Intervals by bootstrap over songs: windows of one song are alike, so songs are what is drawn again.

Letters: S songs, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

RESAMPLES = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval.

    Args:
        value: the figure.
        low: lower end; NaN where one song or none leaves no interval.
        high: upper end.
    """

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float | None]:
        """For JSON, which knows no NaN."""
        return {name: value if np.isfinite(value) else None for name, value in vars(self).items()}


def mean_of(values: Sequence[float] | np.ndarray, seed: int = 0) -> Estimate:
    """Mean over songs [S] with the percentile interval of its bootstrap (Efron and Tibshirani 1993, chapter 13).

    Songs whose value is NaN (nothing to measure) are left out.
    """
    found = np.asarray(values, dtype=np.float64)
    found = found[np.isfinite(found)]
    if not len(found):
        return Estimate(float("nan"), float("nan"), float("nan"))
    drawn = np.random.default_rng(seed).integers(len(found), size=(RESAMPLES, len(found)))
    return interval(float(found.mean()), found[drawn].mean(axis=1) if len(found) > 1 else np.zeros(0))


def statistic_of(songs: int, statistic: Callable[[np.ndarray], float], seed: int = 0) -> Estimate:
    """Any statistic of a set of songs, given their numbers [S], some of them more than once.

    A draw repeats songs and lacks others, which moves statistics of a whole set, such as perplexity, to one side. That shift is
    no uncertainty, so the interval is the bootstrap's spread around the figure itself.
    """
    rng = np.random.default_rng(seed)
    value = statistic(np.arange(songs))
    drawn = np.array([statistic(rng.integers(songs, size=songs)) for _ in range(RESAMPLES if songs > 1 else 0)])
    return interval(value, drawn, centred=True)


def interval(value: float, drawn: np.ndarray, centred: bool = False) -> Estimate:
    """The middle 95 % of bootstrapped values [R]; `centred` moves their mean to the figure itself."""
    if not len(drawn):
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    shift = value - float(drawn.mean()) if centred else 0.0
    return Estimate(value, float(low) + shift, float(high) + shift)


def by_song(values: np.ndarray, songs: np.ndarray) -> np.ndarray:
    """Means of the values of each song's clips: values [clips], song of each clip [clips] -> [S]."""
    return np.array([np.mean(values[songs == song]) for song in np.unique(songs)])


def plain(value: Any) -> Any:
    """What JSON can hold of a figure, an estimate or a word."""
    if isinstance(value, Estimate):
        return value.as_dict()
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.integer) else value


def difference_of(first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray, seed: int = 0) -> Estimate:
    """Mean of the first songs [S] minus that of other songs [S'], each set redrawn on its own."""
    a, b = (np.asarray(v, dtype=np.float64)[np.isfinite(v)] for v in (first, second))
    if min(len(a), len(b)) < 1:
        return Estimate(float("nan"), float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    drawn = [v[rng.integers(len(v), size=(RESAMPLES, len(v)))].mean(axis=1) for v in (a, b)]
    return interval(float(a.mean() - b.mean()), drawn[0] - drawn[1] if min(len(a), len(b)) > 1 else np.zeros(0))
