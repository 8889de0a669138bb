"""What the network learns to predict: data under Gaussian noise, or masked codes. The noise level t is 0 for data, 1 for noise.

Letters: B batch, N codes of a stage, which is one level of one chunk, K codes of a codebook.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

# Below this t the division by sigma in `output_of` would amplify rounding, not signal.
SMALLEST_T = 1e-3


class Objective(ABC):
    """How data become noise, and how much each code's loss counts. Noise of a stage [B, N, 8] comes as unit Gaussian."""

    name: str
    masks: ClassVar[bool] = False  # codes are masked or not, by stage; else every vector moves on its own path

    @abstractmethod
    def noised(self, data: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t for data and own noise of one shape; t broadcasts against them."""

    def own_noise(self, noise: Tensor, span: int = 1) -> Tensor:
        """What `noised` takes, from unit Gaussian noise of a stage [B, N, 8]; `span` is for masks alone."""
        return noise

    def own_level(self, t: Tensor, codes: Tensor | int) -> Tensor:
        """The noise level, near t, that a stage of so many codes can have."""
        return t

    def weighed(self, losses: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Losses [B, N] of the codes whose noised vectors are x [B, N, 8], as much as each counts at t [B, N] or [B, 1]."""
        return losses

    @abstractmethod
    def from_flow(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(factor on x, noise level) that turn (1 - t) data + t noise into this objective's x at an equal ratio of the two."""


class Gaussian(Objective):
    """Paths x_t = alpha(t) * data + sigma(t) * noise."""

    @abstractmethod
    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]: ...

    @abstractmethod
    def target(self, data: Tensor, noise: Tensor, t: Tensor) -> Tensor: ...

    @abstractmethod
    def denoised(self, x: Tensor, output: Tensor, t: Tensor) -> Tensor: ...

    @abstractmethod
    def output_of(self, x: Tensor, denoised: Tensor, t: Tensor) -> Tensor: ...

    def noised(self, data: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = self.alpha_sigma(t)
        return alpha * data + sigma * noise


@dataclass(frozen=True)
class RectifiedFlow(Gaussian):
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
        return torch.ones_like(t), t


@dataclass(frozen=True)
class VPrediction(Gaussian):
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


@dataclass(frozen=True)
class Masked(Objective):
    """Absorbing diffusion over codes (Austin et al. 2021, app. A.2; MaskGIT, Chang et al. 2022): t is the share that is masked.

    A masked code's vector is zero, which no code has; the network puts a learned MASK vector in its place. The loss is MDLM's
    (Sahoo et al. 2024, arXiv:2406.07524, continuous time) with the schedule alpha = 1 - t:

        E_t (1 / t) sum_{i masked} -log p(code_i | x_t),

    the mean over the masked codes of a stage, since exactly t N of its N codes are. With t uniform it bounds the negative
    log-likelihood, as with any schedule; with t from the distribution "cosine" it is what MaskGIT and SoundStorm train.
    """

    name: str = "masked"
    masks: ClassVar[bool] = True

    def own_noise(self, noise: Tensor, span: int = 1) -> Tensor:
        """The order in which codes are masked, in (0, 1), for all dimensions alike.

        With a `span` above 1 neighbours are masked together (MAGNeT: Ziv et al. 2024, arXiv:2401.04577, section 3.1): spans of so
        many codes, that begin anywhere, come in random order, and each is masked from its first code on. So exactly t N codes are
        masked here too, and one span at most is masked in part.
        """
        order = noise[..., :1].argsort(dim=-2).argsort(dim=-2) if span == 1 else _in_spans(noise, span)
        return ((order + 0.5) / noise.shape[-2]).expand_as(noise)

    def noised(self, data: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        return data * (noise >= t)

    def own_level(self, t: Tensor, codes: Tensor | int) -> Tensor:
        """A whole number of codes, at least one."""
        return (t * codes - 1e-3).ceil().clamp(min=1) / codes  # less what rounding adds

    def weighed(self, losses: Tensor, x: Tensor, t: Tensor) -> Tensor:
        return losses * is_masked(x) / t

    def from_flow(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(t), t


def _in_spans(noise: Tensor, span: int) -> Tensor:
    """The order [B, N, 1] in which codes are masked by spans, which go on from the end at the beginning: no place is special."""
    codes = torch.arange(noise.shape[1], device=noise.device)
    offset = (torch.special.ndtr(noise[:, :1, 1]) * len(codes)).long().clamp(max=len(codes) - 1)  # where the first span begins
    first = (codes // span * span + offset) % len(codes)  # of the span of each code, counted from there
    order = noise[..., 0].gather(1, first).argsort(dim=1, stable=True).argsort(dim=1)
    return order.gather(1, (codes - offset) % len(codes))[..., None]


OBJECTIVES: dict[str, Objective] = {objective.name: objective for objective in (RectifiedFlow(), VPrediction(), Masked())}


def is_masked(x: Tensor) -> Tensor:
    """Which codes [B, N] are masked in x [B, N, 8] of the objective `Masked`."""
    return ~x.any(dim=-1)


def log_likelihood(objective: Gaussian, x: Tensor, points: Tensor, t: Tensor) -> Tensor:
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
