"""Stages are solved by stable-audio-tools' own samplers, on its own schedule."""

import subprocess
import sys

import pytest
import torch
from known import GAUSSIAN
from stable_audio_tools.inference.sampling import sample_rf
from torch import Tensor

from snac_plugin.diffusion.sampler_names import CODE_SAMPLER, SAMPLERS
from snac_plugin.diffusion.samplers import flow_times, solve
from snac_plugin.errors import UsageError


@pytest.mark.parametrize("steps", [1, 2, 7, 48])
def test_times_without_shift_are_those_of_sample_rf(steps: int) -> None:
    """A drift from its schedule would make our samples differ from stable-audio-tools' at equal settings."""
    asked = []

    def record(x: Tensor, t: Tensor) -> Tensor:
        asked.append(t[0])
        return torch.zeros_like(x)

    sample_rf(record, torch.zeros(1, 1, 1), steps=steps, sampler_type="euler", device="cpu")
    times = flow_times(steps)
    assert torch.equal(times[:-1], torch.stack(asked))
    assert times[-1] == 0


def test_shift_above_one_moves_steps_towards_noise() -> None:
    plain, shifted = flow_times(10), flow_times(10, shift=3.0)
    assert shifted[0] == 1
    assert shifted[-1] == 0
    odds = plain[1:-1] / (1 - plain[1:-1])
    torch.testing.assert_close(shifted[1:-1] / (1 - shifted[1:-1]), 3 * odds, rtol=1e-4, atol=0)


@pytest.mark.parametrize(("objective", "sampler"), [("rectified_flow", "v-ddim"), ("v", "euler"), ("v", "dppm")])
def test_sampler_of_another_objective_is_an_error(objective: str, sampler: str) -> None:
    """stable-audio-tools returns None for a name it does not know, which fails far from here."""
    with pytest.raises(UsageError, match=f"sampler: found '{sampler}', expected one of"):
        solve(objective, lambda x, t: x, torch.zeros(1, 8, 4), steps=2, sampler=sampler)


@pytest.mark.parametrize(
    ("objective", "sampler"),
    [(o, s) for o in GAUSSIAN for s in SAMPLERS[o] if s not in ("rk4", "k-lms", CODE_SAMPLER)],
)
def test_one_step_ends_at_the_denoised_estimate(objective: str, sampler: str) -> None:
    """A level may get a single step; k-diffusion's multistep SDE solvers stumbled over it."""
    data = torch.linspace(-1, 1, 32).view(1, 8, 4)
    noise = torch.randn(1, 8, 4, generator=torch.Generator().manual_seed(0))

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        return GAUSSIAN[objective].output_of(x, data, t[:, None, None])

    torch.testing.assert_close(solve(objective, velocity, noise, steps=1, sampler=sampler), data, rtol=0, atol=0.12)


def test_inner_bars_stay_hidden_and_steps_are_told(capfd: pytest.CaptureFixture[str]) -> None:
    """Each sampler of stable-audio-tools draws a bar a stage, over ours."""
    told = []
    for sampler in ("euler", "rk4", "dpmpp", "pingpong"):
        solve("rectified_flow", lambda x, t: x, torch.ones(1, 8, 4), steps=3, sampler=sampler, callback=told.append)
    assert len(told) == 12
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_importing_changes_no_bar_of_other_packages() -> None:
    """Only solving hides them, and only its own."""
    code = (
        "from snac_plugin.diffusion import samplers\nfrom k_diffusion import sampling as k\n"
        "from stable_audio_tools.inference import sampling as s\n"
        "assert not any(hasattr(bar, '__wrapped__') for bar in (s.tqdm, s.trange, k.trange))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
