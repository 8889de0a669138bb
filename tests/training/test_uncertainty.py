"""The learned uncertainty: its loss by hand, what it converges to, and noise levels that follow it."""

import math

import pytest
import torch
from known import make_model, random_codes
from networks import FOUR_LEVELS

from snac_plugin.diffusion.noise_levels import BINS, FLOOR, bin_edges, learnt_masses, noise_levels_at, rising
from snac_plugin.model.conditions import Conditions
from snac_plugin.training.stage_losses import code_losses, draw_step
from snac_plugin.training.uncertainty import Uncertainty

KNOWN = ((0,), (1, 2))


def found(known: tuple[tuple[int, ...], ...] = (), context: int = 1):
    model = make_model(FOUR_LEVELS, context_chunks=1)
    codes, timesteps = random_codes(model.levels, 6), [("uniform", {})] * 4
    drawn = draw_step(codes, model.levels, 2, context, timesteps, [0.0] * 4, torch.Generator().manual_seed(0))
    drawn = drawn.__class__(drawn.t, drawn.noise, drawn.clean_codes, context, known)
    return drawn, code_losses(model, codes, drawn, Conditions(), None, stages=(1, 3))


def learnt(levels: int = 4) -> Uncertainty:
    module = Uncertainty(levels)
    torch.nn.init.normal_(module.weight, std=0.1, generator=torch.Generator().manual_seed(1))
    return module


@pytest.mark.parametrize(("known", "context"), [((), 1), ((), 0), (KNOWN, 1)])
def test_every_code_is_weighed_by_its_own_stage(known: tuple, context: int) -> None:
    """u of another chunk, level or sample would weigh losses by somebody else's noise level."""
    drawn, losses = found(known, context)
    module = learnt()
    weighed = module.weighed(losses).losses
    u = module(drawn.t)
    for place, level in enumerate((1, 3)):
        by_chunk = losses.losses[place].reshape(2, -1)  # samples, whether their chunks were made samples or not
        counts = [(3 - len(known[c] if known else ())) * FOUR_LEVELS.per_frame[level] for c in range(2)]
        expected = torch.cat(
            [
                part * torch.exp(-u[:, c, level])[:, None] + u[:, c, level][:, None]
                for c, part in enumerate(by_chunk.split(counts, 1))
            ],
            1,
        )
        torch.testing.assert_close(weighed[place].reshape(2, -1), expected)


def test_without_anything_learnt_the_loss_is_the_plain_one() -> None:
    _, losses = found()
    for mine, plain in zip(Uncertainty(4).weighed(losses).losses, losses.losses, strict=True):
        assert torch.equal(mine, plain)


def test_features_have_unit_variance_and_follow_the_log_odds() -> None:
    module = Uncertainty(1)
    torch.nn.init.ones_(module.weight)
    t = torch.tensor([0.2, 0.5])
    phases = 2 * math.pi * (module.frequencies * torch.logit(t)[:, None] / 4 + module.phases)
    torch.testing.assert_close(module(t[:, None])[:, 0], (2**0.5 * torch.cos(phases)).sum(1))
    assert module(torch.tensor([[0.0], [1.0]])).isfinite().all()


def test_it_learns_the_logarithm_of_the_loss() -> None:
    """The minimum of L / exp(u) + u: known losses of two levels, with noise around them."""
    module, generator = Uncertainty(2), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(module.parameters(), lr=5e-4)

    def loss(t: torch.Tensor) -> torch.Tensor:
        return torch.stack([0.3 + t[..., 0], 5 * t[..., 1] ** 2 + 0.1], dim=-1)

    for _ in range(1500):
        t = torch.rand(256, 2, generator=generator)
        noisy = loss(t) * (0.5 + torch.rand(256, 2, generator=generator))
        u = module(t)
        optimizer.zero_grad()
        (noisy * torch.exp(-u) + u).mean().backward()
        optimizer.step()
    at = torch.linspace(0.1, 0.9, 9)
    expected = loss(at[:, None].expand(-1, 2)).log().T
    torch.testing.assert_close(module.at(at.tolist()).float(), expected, rtol=0, atol=0.12)


QUANTILES = (torch.arange(20000, dtype=torch.float64) + 0.5) / 20000


@pytest.mark.parametrize("sampler", ["adaptive", "time_warp"])
def test_as_many_are_drawn_in_each_bin_as_its_mass_says(sampler: str) -> None:
    """An inverse distribution function that is off by a bin, or not monotonous, would draw another density."""
    u = torch.sin(3 * torch.logit(bin_edges()) / 4)
    masses = learnt_masses(sampler, {"warmup": 10}, u, 7)
    t = noise_levels_at(QUANTILES, sampler, {}, masses).double()
    assert torch.equal(t, t.sort().values)
    counts = torch.histogram(t.clamp(bin_edges()[0], bin_edges()[-1]), bin_edges()).hist / len(QUANTILES)
    torch.testing.assert_close(counts, masses, rtol=0, atol=2e-4)


def test_adaptive_goes_where_the_loss_is_low_as_the_formula_says() -> None:
    u = torch.randn(BINS + 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    masses = learnt_masses("adaptive", {"scale": 2.0, "warmup": 100, "floor": 0.0}, u, 50)
    by_hand = torch.tensor([math.exp(-0.5 * 2.0 * float(u[k] + u[k + 1]) / 2) for k in range(BINS)], dtype=torch.float64)
    torch.testing.assert_close(masses, by_hand / by_hand.sum())
    flat = learnt_masses("adaptive", {"floor": 0.0}, u, 0)
    torch.testing.assert_close(flat, torch.full_like(flat, 1 / BINS))


def test_time_warp_makes_the_loss_rise_evenly_with_the_quantile() -> None:
    """What CDCD asks for: the loss as a function of the quantile is a straight line."""
    u = (bin_edges() ** 3 + 0.01).log()
    masses = learnt_masses("time_warp", {"warmup": 0, "floor": 0.0}, u, 1)
    t = noise_levels_at(QUANTILES, "time_warp", {}, masses).double()
    low, high = bin_edges()[[0, -1]] ** 3
    torch.testing.assert_close((t**3 - low) / (high - low), QUANTILES, rtol=0, atol=2e-3)
    before = noise_levels_at(QUANTILES, "time_warp", {})
    torch.testing.assert_close(before.double(), QUANTILES, rtol=0, atol=4e-3)


def test_what_falls_is_smoothed_over_not_counted_again_where_it_rises() -> None:
    """Waves of an uncertainty that is not learnt yet would each draw noise levels: pooling neighbours that fall, one by one."""
    generator = torch.Generator().manual_seed(0)
    values, weights = (torch.rand(40, generator=generator, dtype=torch.float64) + 0.1 for _ in range(2))
    pools: list[list[float]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        pools.append([value, weight, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, of_a, count_a), (b, of_b, count_b) = pools[-2:]
            pools[-2:] = [[(a * of_a + b * of_b) / (of_a + of_b), of_a + of_b, count_a + count_b]]
    expected = [value for value, _, count in pools for _ in range(int(count))]
    torch.testing.assert_close(rising(values, weights), torch.tensor(expected, dtype=torch.float64))
    assert torch.equal(rising(values.sort().values, torch.ones_like(values)).argsort(), torch.arange(40))


def test_no_noise_level_is_left_out() -> None:
    u = torch.linspace(-50, 50, BINS + 1, dtype=torch.float64)
    for sampler in ("adaptive", "time_warp"):
        masses = learnt_masses(sampler, {}, u, 10**6)
        assert (masses >= 0.99 * FLOOR * bin_edges().diff()).all()
        assert float(masses.sum()) == pytest.approx(1)
