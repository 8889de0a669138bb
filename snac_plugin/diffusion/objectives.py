"""What the network learns to predict. x_t = alpha(t) * data + sigma(t) * noise; the noise level t is 0 for data, 1 for noise."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# Below this t the division by sigma in `output_of` would amplify rounding, not signal.
SMALLEST_T = 1e-3


@dataclass(frozen=True)
class RectifiedFlow:
    """Straight paths: x_t = (1 - t) data + t noise, output = noise - data (Liu et al. 2022, eq. 1)."""

    name: str = "rectified_flow"

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - t, t

    def target(self, data: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        return noise - data

    def denoised(self, x: Tensor, output: Tensor, t: Tensor) -> Tensor:
        return x - t * output

    def output_of(self, x: Tensor, denoised: Tensor, t: Tensor) -> Tensor:
        return (x - denoised) / t.clamp(min=SMALLEST_T)

    def from_flow(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(factor on x, noise level) that turn (1 - t) data + t noise into this objective's x at an equal ratio of the two."""
        return torch.ones_like(t), t


@dataclass(frozen=True)
class VPrediction:
    """Variance preserving paths: alpha = cos(pi t / 2), sigma = sin(pi t / 2) (Salimans and Ho 2022, app. D)."""

    name: str = "v"

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.cos(t * math.pi / 2), torch.sin(t * math.pi / 2)

    def target(self, data: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = self.alpha_sigma(t)
        return alpha * noise - sigma * data

    def denoised(self, x: Tensor, output: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = self.alpha_sigma(t)
        return alpha * x - sigma * output

    def output_of(self, x: Tensor, denoised: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = self.alpha_sigma(t.clamp(min=SMALLEST_T))
        return (alpha * x - denoised) / sigma

    def from_flow(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.rsqrt((1 - t).square() + t.square()), torch.atan2(t, 1 - t) / (math.pi / 2)


Objective = RectifiedFlow | VPrediction

OBJECTIVES: dict[str, Objective] = {objective.name: objective for objective in (RectifiedFlow(), VPrediction())}


def add_noise(objective: Objective, data: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """x_t for data and noise of one shape; t broadcasts against them."""
    alpha, sigma = objective.alpha_sigma(t)
    return alpha * data + sigma * noise


def log_likelihood(objective: Objective, x: Tensor, points: Tensor, t: Tensor) -> Tensor:
    """log p(x_t | data = point) up to a constant, -|x_t - alpha point|^2 / (2 sigma^2), float32 at least: [B, N, K].

    x_t is [B, N, 8], the points [K, 8], t [B, N] or [B, 1] for one a sample.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    alpha, sigma = objective.alpha_sigma(t.to(wide).clamp(min=SMALLEST_T)[..., None])
    with torch.autocast(x.device.type, enabled=False):
        x, points = x.to(wide), points.to(wide)
        # Multiplied out, less |x|^2, which all points share: a matrix product in place of all pairs of differences.
        cross = (alpha / sigma.square()) * x @ points.T
        return cross - (alpha / sigma).square() * (points.square().sum(dim=-1) / 2)
