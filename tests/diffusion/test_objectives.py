"""Noising and targets against numeric derivatives of the path from data to noise."""

import math

import pytest
import torch
from known import GAUSSIAN
from torch import Tensor

from snac_plugin.diffusion.objectives import Gaussian, log_likelihood

NOISE_LEVELS = torch.tensor([0.01, 0.15, 0.5, 0.85, 0.99], dtype=torch.float64)[:, None, None]


@pytest.fixture(params=GAUSSIAN.values(), ids=GAUSSIAN)
def objective(request: pytest.FixtureRequest) -> Gaussian:
    return request.param


def data_and_noise() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    data, noise = torch.randn(2, 5, 4, 8, generator=generator, dtype=torch.float64)
    return data, noise


def test_path_runs_from_data_to_noise(objective: Gaussian) -> None:
    """A path turned around would train the model on noise as if it were data."""
    data, noise = data_and_noise()
    ends = [objective.noised(data, noise, torch.full_like(NOISE_LEVELS, t)) for t in (0.0, 1.0)]
    torch.testing.assert_close(ends[0], data, rtol=0, atol=1e-12)
    torch.testing.assert_close(ends[1], noise, rtol=0, atol=1e-12)


def test_target_is_the_derivative_of_the_path(objective: Gaussian) -> None:
    """d x_t / dt for rectified flow, d x / d phi at the angle phi = pi t / 2 for v, by central differences."""
    data, noise = data_and_noise()
    step = 1e-6
    ahead, behind = (objective.noised(data, noise, NOISE_LEVELS + sign * step) for sign in (1, -1))
    per_t = (ahead - behind) / (2 * step)
    expected = per_t if objective.name == "rectified_flow" else per_t / (math.pi / 2)
    torch.testing.assert_close(objective.target(data, noise, NOISE_LEVELS), expected, rtol=0, atol=1e-8)


def test_the_right_output_gives_the_data_back(objective: Gaussian) -> None:
    """A wrong sign in `denoised` shows as a wrong sample at the first step, and in training not at all."""
    data, noise = data_and_noise()
    x = objective.noised(data, noise, NOISE_LEVELS)
    target = objective.target(data, noise, NOISE_LEVELS)
    torch.testing.assert_close(objective.denoised(x, target, NOISE_LEVELS), data, rtol=0, atol=1e-12)


def test_output_of_a_denoised_estimate_means_that_estimate(objective: Gaussian) -> None:
    """The logits head goes from an estimate to an output, a sampler goes back: nothing may be lost on the way."""
    estimate, noise = data_and_noise()
    x = torch.randn_like(noise)
    output = objective.output_of(x, estimate, NOISE_LEVELS)
    torch.testing.assert_close(objective.denoised(x, output, NOISE_LEVELS), estimate, rtol=0, atol=1e-10)


def test_output_is_finite_at_the_end_of_the_path(objective: Gaussian) -> None:
    """Some samplers ask at t = 0, where the division by sigma would give NaN."""
    estimate, noise = data_and_noise()
    assert objective.output_of(noise, estimate, torch.zeros(5, 1, 1, dtype=torch.float64)).isfinite().all()


@pytest.mark.parametrize("per_token", [False, True])
def test_likelihood_is_that_of_gaussian_noise(objective: Gaussian, per_token: bool) -> None:
    """Against torch's own density; a constant of all points may be missing."""
    generator = torch.Generator().manual_seed(1)
    x, points = torch.randn(2, 5, 8, generator=generator).double(), torch.randn(7, 8, generator=generator).double()
    t = torch.rand(2, 5 if per_token else 1, generator=generator, dtype=torch.float64)
    found = log_likelihood(objective, x, points, t)
    alpha, sigma = (value[..., None, None].expand(2, 5, 1, 1) for value in objective.alpha_sigma(t.expand(2, 5)))
    expected = torch.distributions.Normal(alpha * points, sigma).log_prob(x[:, :, None]).sum(-1)
    torch.testing.assert_close(found.log_softmax(-1), expected.log_softmax(-1), rtol=1e-8, atol=1e-8)


def test_likelihood_of_data_without_noise_names_the_point(objective: Gaussian) -> None:
    points = torch.randn(50, 8, generator=torch.Generator().manual_seed(2))
    found = log_likelihood(objective, points[None], points, torch.zeros(1, 1))
    assert found.isfinite().all()
    assert torch.equal(found.argmax(-1)[0], torch.arange(50))
