"""How noise levels are drawn in training: stable-audio-tools' distributions by name, stratified over the batch."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.distributions import Normal

UNIT_NORMAL = Normal(torch.tensor(0.0, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64))


def stratified(count: int, generator: torch.Generator) -> Tensor:
    """Quantiles (i + U) / n in random order [n], float64: every part of [0, 1] is drawn from (Kingma et al. 2021, app. I.1)."""
    offset = torch.rand(count, generator=generator, dtype=torch.float64)
    order = torch.randperm(count, generator=generator)
    return ((torch.arange(count) + offset) / count)[order]


def noise_levels_at(quantiles: Tensor, sampler: str, options: Mapping[str, float]) -> Tensor:
    """Noise levels t in [0, 1] at quantiles in (0, 1) of a distribution; the option `shift`, above 1, moves t towards noise."""
    if sampler == "uniform":
        t = quantiles
    elif sampler == "cosine":  # MaskGIT's mask rates cos(pi (1 - q) / 2) (Chang et al. 2022, section 3.3)
        t = torch.sin(quantiles * math.pi / 2)
    elif sampler == "logit_normal":
        t = torch.sigmoid(options.get("mean", 0.0) + options.get("std", 1.0) * UNIT_NORMAL.icdf(quantiles))
    elif sampler == "log_snr":
        log_snr = options.get("mean_logsnr", -1.2) + options.get("std_logsnr", 2.0) * UNIT_NORMAL.icdf(quantiles)
        t = torch.sigmoid(-log_snr).clamp(1e-4, 1 - 1e-4)
    elif sampler == "trunc_logit_normal":
        t = _trunc_logit_normal(quantiles, options)
    else:
        raise KeyError(sampler)
    shift = options.get("shift", 1.0)
    return (shift * t / (1 + (shift - 1) * t)).float()


def _trunc_logit_normal(q: Tensor, options: Mapping[str, float]) -> Tensor:
    """A logit-normal cut off at `left_trunc`, stretched back to [0, 1] and turned around, so that it leans towards noise."""
    left, right = options.get("left_trunc", 0.075), options.get("right_trunc", 1.0)
    low, high = (UNIT_NORMAL.cdf(torch.logit(torch.tensor(edge, dtype=torch.float64))) for edge in (left, right))
    cut = torch.sigmoid(UNIT_NORMAL.icdf(low + (high - low) * q))
    return 1 - (cut - left) / (right - left)
