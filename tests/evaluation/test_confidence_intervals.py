"""Intervals: they cover what they should, and songs are what is drawn."""

import json

import numpy as np
import pytest

from snac_plugin.evaluation.confidence_intervals import by_song, difference_of, mean_of, statistic_of
from snac_plugin.evaluation.report import json_value


def test_the_interval_covers_a_known_mean() -> None:
    """In about 95 of 100 experiments: an interval twice as narrow or wide would be seen."""
    rng = np.random.default_rng(0)
    found = [mean_of(rng.normal(3.0, 2.0, 30), seed) for seed in range(200)]
    assert 0.89 <= np.mean([e.low <= 3.0 <= e.high for e in found]) <= 0.985
    assert np.mean([e.high - e.low for e in found]) == pytest.approx(2 * 1.96 * 2 / 30**0.5, rel=0.1)


def test_a_difference_of_two_sets_is_wider_than_either() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(1.0, 1.0, 40), rng.normal(0.0, 1.0, 10)
    found = difference_of(a, b)
    assert found.value == pytest.approx(a.mean() - b.mean())
    expected = 2 * 1.96 * (a.var() / 40 + b.var() / 10) ** 0.5
    assert found.high - found.low == pytest.approx(expected, rel=0.1)


def test_windows_of_one_song_count_once() -> None:
    """Many windows of two songs must not look like many songs."""
    values, songs = np.repeat([0.0, 1.0], 500), np.repeat([0, 1], 500)
    found = mean_of(by_song(values, songs))
    assert (found.low, found.high) == (0.0, 1.0)
    assert by_song(np.array([1.0, 3.0, 7.0]), np.array([0, 0, 1])).tolist() == [2.0, 7.0]


def test_one_song_has_no_interval_and_what_is_not_measured_is_left_out() -> None:
    alone = mean_of([2.0, float("nan")])
    assert alone.value == 2.0
    assert np.isnan(alone.low)
    assert np.isnan(mean_of([float("nan")]).value)
    assert json.dumps(json_value(alone), allow_nan=False) == '{"value": 2.0, "low": null, "high": null}'


def test_the_bias_of_repeated_songs_does_not_move_the_interval() -> None:
    """Distinct songs in a draw are always fewer; the interval must hold the figure itself all the same."""
    found = statistic_of(lambda songs: float(len(set(songs.tolist()))), 50)
    assert found.value == 50
    assert found.low < 50 < found.high


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).normal(size=9)
    assert mean_of(values, 3) == mean_of(values, 3)
    assert mean_of(values, 3) != mean_of(values, 4)
