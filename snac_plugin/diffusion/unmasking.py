"""A stage of masked codes solved: step by step all masked codes are drawn, and some are kept.

Letters: B batch, N codes of a stage, K codes of a codebook.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from snac_plugin.diffusion.objectives import is_masked
from snac_plugin.diffusion.sampler_names import BY_CONFIDENCE, CONFIDENCE_NOISE, EVENLY, REMASK
from snac_plugin.diffusion.samplers import codes_at, likely

# (x [B, N, 8], zero where a code is masked, share of masked codes t [B]) -> log-probabilities of the codes [B, N, K]
LogProbabilities = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Unmasking:
    """How the codes of a stage are unmasked."""

    sampler: str  # of `MASKED_SAMPLERS`
    steps: int
    shift: float = 1.0  # above 1 leaves more codes masked in the middle of the steps
    temperature: float = 1.0  # what logits are divided by
    confidence_noise: float = CONFIDENCE_NOISE  # of `BY_CONFIDENCE`: how far chance counts in the order, at the first step
    remask: float = REMASK  # largest share of the drawn codes that are masked again in a step
    top_p: float = 1.0  # codes are drawn from the likeliest ones that together reach this probability


def masked_counts(total: int, steps: int, shift: float = 1.0) -> list[int]:
    """How many of `total` codes are masked before the first step and after each: [steps + 1] numbers from `total` to 0.

    MaskGIT's cosine schedule, floor(total cos(pi r / 2)) after the share r of the steps (Chang et al. 2022, section 3.3), and at
    least one code less in each step while there are any. `shift` s takes 1 - r to s (1 - r) / (1 + (s - 1) (1 - r)).
    """
    left = [total]
    for step in range(1, steps + 1):
        t = 1 - step / steps
        share = math.sin(math.pi / 2 * shift * t / (1 + (shift - 1) * t))
        left.append(max(0, min(math.floor(total * share + 1e-9), left[-1] - 1)))
    return left


def halton_order(count: int) -> Tensor:
    """Places of codes in van der Corput's sequence, Halton's of one dimension [count]: any first few lie evenly spread in time."""
    bits = max(1, (count - 1).bit_length())
    reversed_bits = torch.tensor([int(f"{place:0{bits}b}"[::-1], 2) for place in range(count)])
    return reversed_bits.argsort().argsort()


def unmask(
    log_probabilities: LogProbabilities,
    codebook: Tensor,
    x: Tensor,
    order: Tensor,
    generators: Sequence[torch.Generator],
    how: Unmasking,
    callback: Callable[[dict[str, Any]], None] | None = None,
) -> Tensor:
    """Vectors of all codes [B, N, 8] from those with masked ones, which are zero.

    In each step every masked code is drawn. Those that come first are kept, as many in each item as `masked_counts` says, and stay
    what they are unless they are masked again. First come, by sampler:

    * `BY_CONFIDENCE`: the likeliest draws, log p + noise * (share of steps that remain) * Gumbel noise (MaskGIT, section 3.2);
    * `AT_RANDOM`: as in training; `EVENLY`: in van der Corput's order, from a random place on.

    With `remask` eta a step masks again min(eta c, codes left masked) of the c codes that it finds drawn, at random, and keeps as
    many more of the others: ReMDM's sigma = min(eta, (1 - alpha_s) / alpha_t), in exact numbers (Wang et al. 2025, section 4.1).

    Args:
        codebook: vectors of the codes [K, 8].
        order: [B, N], where each code comes in a random order; `AT_RANDOM` keeps to it.
        generators: of each item, on the CPU, so that an item does not depend on its batch.
        callback: called after each step with a dictionary (i, t, denoised [B, N, 8]).
    """
    masked, wide = is_masked(x), torch.float32 if x.device.type == "mps" else torch.float64
    ours, counts = masked.clone(), [masked_counts(int(row.sum()), how.steps, how.shift) for row in masked]
    priority = _priority(how.sampler, order, generators).to(x.device)
    for step in range(how.steps):
        if not any(row[step] for row in counts):
            break
        before, after = (torch.tensor([row[i] for row in counts], device=x.device) for i in (step, step + 1))
        uniform = torch.stack([torch.rand(3, x.shape[1], generator=g, dtype=torch.float64) for g in generators]).to(x.device, wide)
        scores = log_probabilities(x, masked.float().mean(dim=1).to(x)).to(wide)
        codes = codes_at(uniform[:, 0], likely(scores / how.temperature, how.top_p))
        if how.sampler == BY_CONFIDENCE:
            drawn = scores.log_softmax(dim=-1).gather(-1, codes[..., None])[..., 0]
            chance = how.confidence_noise * (1 - (step + 1) / how.steps)
            priority = drawn - chance * torch.log(-torch.log(uniform[:, 1].clamp(1e-12, 1 - 1e-12)))
        again = torch.minimum((how.remask * (ours & ~masked).sum(dim=1)).round().long(), after)
        kept = first_of(priority, masked, before - after + again)
        hidden = first_of(uniform[:, 2], ours & ~masked, again)
        vectors = codebook[codes].to(x)
        estimate = torch.where(masked[..., None], vectors, x)
        x = torch.where(kept[..., None], vectors, x).masked_fill(hidden[..., None], 0)
        masked = (masked & ~kept) | hidden
        if callback is not None:
            callback({"i": step, "t": before / x.shape[1], "denoised": estimate})
    return x


def _priority(sampler: str, order: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """The order that does not depend on what is drawn, the largest first [B, N]."""
    if sampler != EVENLY:
        return -order
    places = halton_order(order.shape[1])
    return torch.stack([-1.0 * places.roll(int(torch.randint(len(places), (), generator=g))) for g in generators])


def first_of(priority: Tensor, among: Tensor, counts: Tensor) -> Tensor:
    """Where the so many largest priorities [B, N] of those `among` lie [B, N]; counts [B]."""
    lowest = torch.finfo(priority.dtype).min
    places = priority.clamp(min=lowest / 2).masked_fill(~among, lowest).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return among & (places < counts[:, None])
