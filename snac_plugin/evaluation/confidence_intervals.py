"""95 % confidence intervals by bootstrap over songs: clips of one song are alike, so songs are what is resampled.

Letters: P clips, S songs, R resamples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import bootstrap

RESAMPLES, LEVEL = 1000, 0.95
BRACKETS = "In brackets the middle 95 % of a bootstrap over songs."


@dataclass(frozen=True)
class Estimate:
    """A figure and the ends of its 95 % interval; NaN where there are too few songs for one."""

    value: float
    low: float = float("nan")
    high: float = float("nan")

    def text(self, digits: int, sign: str = "") -> str:
        """ "1.20 (0.90 to 1.50)"; with the sign "+" also in front of positive values."""
        value, low, high = (f"{number:{sign},.{digits}f}" for number in (self.value, self.low, self.high))
        return f"{value} ({low} to {high})" if np.isfinite(self.low) else value

    def as_dict(self) -> dict[str, float | None]:
        """For JSON, which has no NaN."""
        return {name: value if np.isfinite(value) else None for name, value in vars(self).items()}


def mean_of(values: Sequence[float] | np.ndarray, seed: int = 0) -> Estimate:
    """Mean over songs [S] that are not NaN with its percentile interval (Efron and Tibshirani 1993, chapter 13)."""
    return _percentile_interval(lambda a, axis: a.mean(axis), [values], seed)


def difference_of(first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray, seed: int = 0) -> Estimate:
    """Mean of the first songs [S] minus that of other songs [S'], each set resampled on its own."""
    return _percentile_interval(lambda a, b, axis: a.mean(axis) - b.mean(axis), [first, second], seed)


def statistic_of(statistic: Callable[[np.ndarray], float], songs: int, seed: int = 0) -> Estimate:
    """A statistic of the numbers [S] of songs, some of them more than once, with its interval (see `spread_around`)."""
    numbers = np.arange(songs)
    value = statistic(numbers)
    return spread_around(value, _bootstrap([numbers], statistic, seed).bootstrap_distribution) if songs > 1 else Estimate(value)


def spread_around(value: float, resampled: np.ndarray) -> Estimate:
    """A figure with the middle 95 % of its resampled values [R], moved so that their mean is the figure.

    Resamples lack some songs, which shifts statistics of a whole set, such as perplexity: that shift is no uncertainty.
    """
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) + value - resampled.mean()
    return Estimate(value, float(low), float(high))


def by_song(values: np.ndarray, songs: np.ndarray) -> np.ndarray:
    """Means of the values of each song's clips: values [P], the song of each clip [P] -> [S]."""
    return np.array([np.mean(values[songs == song]) for song in np.unique(songs)])


def _percentile_interval(statistic: Callable[..., Any], samples: Sequence[Any], seed: int) -> Estimate:
    """A statistic of the finite values of samples [S]; it takes an `axis`."""
    finite = [np.asarray(values, dtype=np.float64)[np.isfinite(values)] for values in samples]
    fewest = min(map(len, finite))
    value = float(statistic(*finite, axis=-1)) if fewest else float("nan")
    if fewest < 2:
        return Estimate(value)
    low, high = _bootstrap(finite, statistic, seed).confidence_interval
    return Estimate(value, float(low), float(high))


def _bootstrap(samples: Sequence[np.ndarray], statistic: Callable[..., Any], seed: int) -> Any:
    random = np.random.default_rng(seed)
    return bootstrap(samples, statistic, n_resamples=RESAMPLES, confidence_level=LEVEL, method="percentile", random_state=random)
