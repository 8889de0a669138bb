"""Distributions of t against stable-audio-tools' own samplers, and their stratification."""

import pytest
import torch
from stable_audio_tools.inference.sampling import sample_timesteps_logsnr, truncated_logistic_normal_rescaled
from torch import Tensor

from snac_plugin.diffusion.noise_levels import noise_levels_at, stratified

MANY = 100_000

# What stable-audio-tools' training step draws for each `timestep_sampler`.
THEIRS = {
    "uniform": ({}, lambda: torch.rand(MANY)),
    "logit_normal": ({}, lambda: torch.sigmoid(torch.randn(MANY))),
    "trunc_logit_normal": ({}, lambda: 1 - truncated_logistic_normal_rescaled(MANY)),
    "trunc_logit_normal, both ends cut": (
        {"left_trunc": 0.2, "right_trunc": 0.9},
        lambda: 1 - truncated_logistic_normal_rescaled(MANY, 0.2, 0.9),
    ),
    "log_snr": ({}, lambda: sample_timesteps_logsnr(MANY)),
    "log_snr, other parameters": (
        {"mean_logsnr": 0.7, "std_logsnr": 0.5},
        lambda: sample_timesteps_logsnr(MANY, mean_logsnr=0.7, std_logsnr=0.5),
    ),
}


@pytest.mark.parametrize("which", THEIRS)
def test_distribution_is_stable_audio_tools_own(which: str) -> None:
    """The quantiles of a large sample of theirs: a cut at the wrong end or a missing flip is far outside the error."""
    torch.manual_seed(0)
    options, draw = THEIRS[which]
    theirs = draw().double().sort().values
    quantiles = (torch.arange(MANY, dtype=torch.float64) + 0.5) / MANY
    ours = noise_levels_at(quantiles, which.split(",")[0], options).double().sort().values
    # The largest distance of two distribution functions; above 0.0061 happens once in a thousand samples of this size.
    distance = (torch.searchsorted(ours, theirs) / MANY - quantiles).abs().max()
    assert distance < 0.0061
    torch.testing.assert_close(ours[MANY // 100 :: MANY // 20], theirs[MANY // 100 :: MANY // 20], rtol=0, atol=0.01)


@pytest.mark.parametrize("sampler", ["uniform", "logit_normal", "trunc_logit_normal", "log_snr"])
def test_levels_stay_between_data_and_noise(sampler: str) -> None:
    """At the very ends of a distribution no t may leave [0, 1] or be NaN."""
    ends = torch.tensor([0.0, 1e-300, 0.5, 1 - 2**-53], dtype=torch.float64)
    t = noise_levels_at(ends, sampler, {})
    assert ((t >= 0) & (t <= 1)).all()


def test_every_stratum_is_drawn_once_and_in_random_order() -> None:
    """Independent draws would leave parts of [0, 1] out of a small batch; sorted ones would tie t to the place in the batch."""
    draws = [stratified(16, torch.Generator().manual_seed(seed)) for seed in range(200)]
    for q in draws:
        assert (q * 16).long().sort().values.tolist() == list(range(16))
    first = torch.stack(draws)[:, 0]
    assert abs(float(first.mean()) - 0.5) < 0.08
    assert len({int(q[0] * 16) for q in draws}) == 16


def test_draws_follow_the_generator_alone() -> None:
    """Resumed training draws the same t only if the global generator has no part in it."""

    def draw(global_seed: int) -> Tensor:
        torch.manual_seed(global_seed)
        return stratified(8, torch.Generator().manual_seed(5))

    assert torch.equal(draw(0), draw(1))


def test_shift_moves_towards_noise_as_in_stable_diffusion_3() -> None:
    """t' = s t / (1 + (s - 1) t): odds of t times s, ends fixed."""
    q = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    plain, shifted = (noise_levels_at(q, "uniform", {"shift": s}).double() for s in (1.0, 3.0))
    torch.testing.assert_close(plain, q, rtol=0, atol=1e-7)
    torch.testing.assert_close(shifted / (1 - shifted), 3 * q / (1 - q), rtol=1e-5, atol=0)
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert noise_levels_at(ends, "uniform", {"shift": 3.0}).tolist() == [0, 1]
