"""Steps that draw a share of their noise anew: Euler's and ping-pong's at the ends, unit noise and a known correlation between."""

import itertools

import pytest
import torch
from torch import Tensor

from snac_plugin.diffusion.samplers import flow_times, solve, solve_by_codes


def estimate(x: Tensor, t: Tensor) -> Tensor:
    return torch.tanh(x) * (1 - t[:, None, None])


def noises(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(2, 8, 5, generator=generator, dtype=torch.float64) for _ in range(count)]


def test_nothing_added_is_eulers_method() -> None:
    (noise,) = noises(1)

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        return (x - estimate(x, t)) / t[:, None, None]

    expected = solve("rectified_flow", velocity, noise, steps=7, sampler="euler", shift=1.5)
    found = solve_by_codes(estimate, noise, lambda: 1e3 * torch.ones_like(noise), steps=7, shift=1.5, added=0.0)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_all_of_it_added_is_ping_pong() -> None:
    noise, *drawn = noises(7)
    x, given = noise, iter(drawn)
    for t, after in itertools.pairwise(flow_times(6).double()):
        denoised = estimate(x, t.expand(2))
        x = denoised if after == 0 else (1 - after) * denoised + after * next(given)
    given = iter(drawn)
    assert torch.equal(solve_by_codes(estimate, noise, lambda: next(given), steps=6), x)
    given = iter(drawn)
    nearly = solve_by_codes(estimate, noise, lambda: next(given), steps=6, added=1 - 1e-9)
    torch.testing.assert_close(nearly, x, rtol=0, atol=1e-3)


@pytest.mark.parametrize("added", [0.0, 0.25, 0.6, 1.0])
def test_the_noise_keeps_its_level_and_its_own_share(added: float) -> None:
    """Where the estimate is the data, what is left is noise of deviation t, correlated with the step before by 1 - added."""
    data, generator = torch.linspace(-2, 2, 8)[:, None].double(), torch.Generator().manual_seed(0)
    noise, seen = torch.randn(1, 8, 20_000, generator=generator, dtype=torch.float64), []

    def knows(x: Tensor, t: Tensor) -> Tensor:
        seen.append((x - (1 - t[:, None, None]) * data) / t[:, None, None])
        return data.expand_as(x)

    def renoise() -> Tensor:
        return torch.randn(noise.shape, generator=generator, dtype=torch.float64)

    found = solve_by_codes(knows, noise, renoise, steps=5, added=added)
    assert torch.equal(found, data.expand_as(found))
    for before, after in itertools.pairwise(seen):
        assert float(after.std()) == pytest.approx(1, abs=0.01)
        assert float((before * after).mean()) == pytest.approx(1 - added, abs=0.01)
