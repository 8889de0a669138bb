"""How noise levels are drawn in training: stable-audio-tools' distributions by name, stratified over the batch."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.distributions import Normal

from snac_plugin.diffusion.sampler_names import LEARNT

UNIT_NORMAL = Normal(torch.tensor(0.0, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64))


def stratified(count: int, generator: torch.Generator) -> Tensor:
    """Quantiles (i + U) / n in random order [n], float64: every part of [0, 1] is drawn from (Kingma et al. 2021, app. I.1)."""
    offset = torch.rand(count, generator=generator, dtype=torch.float64)
    order = torch.randperm(count, generator=generator)
    return ((torch.arange(count) + offset) / count)[order]


EDGE_T = 1e-3
BINS = 128
WARM_UP, FLOOR = 5000, 0.1
"""Defaults of the options `warmup`, in steps, and `floor` of the distributions that are learnt."""


def log_odds(t: Tensor) -> Tensor:
    """ln(t / (1 - t)), which is ln(sigma) of a rectified flow, for t in [EDGE_T, 1 - EDGE_T]; beyond it stays as at these."""
    return torch.logit(t.clamp(EDGE_T, 1 - EDGE_T))


def bin_edges() -> Tensor:
    """Noise levels [BINS + 1], float64, that lie evenly in log-odds."""
    edge = torch.logit(torch.tensor(EDGE_T, dtype=torch.float64))
    return torch.sigmoid(torch.linspace(float(edge), -float(edge), BINS + 1, dtype=torch.float64))


def learnt_masses(sampler: str, options: Mapping[str, float], u: Tensor, step: int) -> Tensor:
    """Probability of each bin [BINS] under a distribution of `LEARNT`, from u [BINS + 1], the log of the loss at the edges.

    "adaptive" (dualdiffusion) goes where the loss is low, so where there is something to predict, as the mean squared error
    of velocities is 1 at both ends:  p_k ~ exp(-w scale u_k).
    "time_warp" (CDCD: Dieleman et al. 2022, arXiv:2211.15089, section 4) goes where the cross-entropy rises, so where noise
    takes information away:  p_k ~ (1 - w) (t_k+1 - t_k) + w (L_k+1 - L_k), where L is the rising function nearest to exp u.

    w rises to 1 over the first `warmup` steps. A share `floor` is spread over t uniformly, so that no noise level is left out.
    """
    w = min(1.0, step / max(options.get("warmup", WARM_UP), 1))
    plain = bin_edges().diff()
    if sampler == "adaptive":
        masses = (-w * options.get("scale", 1.0) * (u[:-1] + u[1:]) / 2).softmax(dim=0)
    else:
        rises = rising(u.exp(), torch.cat([plain, plain[-1:]])).diff()
        masses = (1 - w) * plain / plain.sum() + w * rises / rises.sum().clamp(min=1e-12)
    floor = options.get("floor", FLOOR)
    masses = (1 - floor) * masses + floor * plain / plain.sum()
    return masses / masses.sum()


def rising(values: Tensor, weights: Tensor) -> Tensor:
    """What never falls and is nearest to values [N] in weighted squares (isotonic regression, by its min-max formula):

    the largest over j <= i of the smallest over k >= i of the weighted mean of values j to k.
    """
    sums, whole = (torch.cat([x.new_zeros(1), x.cumsum(dim=0)]) for x in (values * weights, weights))
    means = (sums[1:] - sums[:-1, None]) / (whole[1:] - whole[:-1, None])  # [j, k]
    means = means.masked_fill(torch.ones_like(means, dtype=torch.bool).tril(-1), torch.inf)
    least = means.flip(1).cummin(dim=1).values.flip(1)
    return least.masked_fill(torch.ones_like(least, dtype=torch.bool).tril(-1), -torch.inf).amax(dim=0)


def noise_levels_at(quantiles: Tensor, sampler: str, options: Mapping[str, float], masses: Tensor | None = None) -> Tensor:
    """Noise levels t in [0, 1] at quantiles in (0, 1) of a distribution; the option `shift`, above 1, moves t towards noise.

    `masses` [BINS] are those of a distribution of `LEARNT`; without them it is as before the first step.
    """
    if sampler in LEARNT:
        t = _in_bins(quantiles, learnt_masses(sampler, options, quantiles.new_zeros(BINS + 1), 0) if masses is None else masses)
    elif sampler == "uniform":
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


def _in_bins(q: Tensor, masses: Tensor) -> Tensor:
    """Inverse of the distribution function of bins, straight in log-odds within each."""
    sums, edges = torch.cat([masses.new_zeros(1), masses.cumsum(dim=0)]), torch.logit(bin_edges())
    at = (torch.searchsorted(sums, q, right=True) - 1).clamp(0, BINS - 1)
    within = ((q - sums[at]) / masses[at].clamp(min=1e-300)).clamp(0, 1)
    return torch.sigmoid(torch.lerp(edges[at], edges[at + 1], within))


def _trunc_logit_normal(q: Tensor, options: Mapping[str, float]) -> Tensor:
    """A logit-normal cut off at `left_trunc`, stretched back to [0, 1] and turned around, so that it leans towards noise."""
    left, right = options.get("left_trunc", 0.075), options.get("right_trunc", 1.0)
    low, high = (UNIT_NORMAL.cdf(torch.logit(torch.tensor(edge, dtype=torch.float64))) for edge in (left, right))
    cut = torch.sigmoid(UNIT_NORMAL.icdf(low + (high - low) * q))
    return 1 - (cut - left) / (right - left)
