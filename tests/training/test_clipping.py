"""Clipping by running statistics against the same statistics summed by hand."""

import math

import pytest
import torch

from snac_plugin.training import clipping
from snac_plugin.training.clipping import FOLLOWS_DEVIATION, FOLLOWS_MEAN, RunningNorm


def norms(count: int) -> list[float]:
    return (2 + torch.randn(count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).abs().tolist()


def test_mean_and_deviation_are_the_weighted_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bias towards the zeros that averages start from would clip all that comes early."""
    monkeypatch.setattr(clipping, "FIRST_NORMS", math.inf)
    running, seen, apart = RunningNorm(3.0), norms(40), []
    for count, norm in enumerate(seen):
        if count:
            apart.append((norm - running.mean) ** 2)
        running.add(norm)
        shares = [FOLLOWS_MEAN ** (count - i) for i in range(count + 1)]
        mean = sum(share * norm for share, norm in zip(shares, seen, strict=False)) / sum(shares)
        assert running.mean == pytest.approx(mean, rel=1e-12)
    shares = [FOLLOWS_DEVIATION ** (len(apart) - 1 - i) for i in range(len(apart))]
    variance = sum(share * square for share, square in zip(shares, apart, strict=True)) / sum(shares)
    assert running.variance == pytest.approx(variance, rel=1e-12)


def test_the_first_norms_are_free_and_outliers_do_not_raise_their_own_limit() -> None:
    running = RunningNorm(4.0)
    for norm in norms(clipping.FIRST_NORMS):
        assert running.limit == math.inf
        running.add(norm)
    limit = running.limit
    assert limit == pytest.approx(running.mean + 4 * math.sqrt(running.variance))
    for outlier in (1e9, math.inf, math.nan):
        running.add(outlier)
    assert running.limit < 1.2 * limit
    for _ in range(1000):  # but norms that stay large are followed
        running.add(100.0)
    assert running.limit > 50


def test_a_restored_one_goes_on_as_if_it_had_not_stopped() -> None:
    whole, first, second = RunningNorm(3.0), RunningNorm(3.0), RunningNorm(3.0)
    for norm in norms(300):
        whole.add(norm)
    for norm in norms(300)[:150]:
        first.add(norm)
    second.restore(first.state())
    for norm in norms(300)[150:]:
        second.add(norm)
    assert second.state() == whole.state()
