"""One global noise level for callers that know nothing of levels: each stage (one level of one chunk) owns a window of it.

Stages follow each other from global time 1 down to 0. Inside its window a stage runs from its own noise level 1 to 0, outside it
stands still, so an Euler step inside a window is an Euler step of that stage. Letters: B batch, N tokens of a level.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from snac_plugin.diffusion.objectives import Gaussian
from snac_plugin.diffusion.samplers import LOG_SNR_FIRST, LOG_SNR_LAST

# Below this t the nearest code is certain, so a velocity there may be too small without harm.
CERTAIN_T = 0.15
# From here sample_rf goes to 0 in its last step, whatever the number of steps.
LAST_T = 1 / (1 + math.exp(LOG_SNR_LAST))


@dataclass(frozen=True)
class Window:
    """The span (begin, end] of global time in which one stage is denoised."""

    chunk: int
    level: int
    begin: float
    end: float

    @property
    def width(self) -> float:
        return self.end - self.begin

    def local(self, t: Tensor) -> Tensor:
        """The stage's own noise level at global time t, in [0, 1]."""
        return ((t - self.begin) / self.width).clamp(0, 1)


@lru_cache(maxsize=64)
def windows(chunks: int, weights: tuple[float, ...]) -> tuple[Window, ...]:
    """The windows of all stages in the order of generation; `weights` are the shares of a chunk's steps that the levels take.

    Callers use two schedules: sample_discrete_euler's, even in t, and sample_rf's, even in the log signal-to-noise ratio down to
    LAST_T and from there to 0 in one step. No division gives every stage its share under both schedules; this one gives the
    worst-served stage as much of its share as possible.
    """
    shares = [weight / sum(weights) / chunks for _ in range(chunks) for weight in weights]
    feasible, too_much = 0.0, 1.0
    for _ in range(40):
        part = (feasible + too_much) / 2
        feasible, too_much = (part, too_much) if _edges(shares, part)[-1] >= LAST_T else (feasible, part)
    edges = [*_edges(shares, feasible)[:-1], 0.0]
    stages = [(chunk, level) for chunk in range(chunks) for level in range(len(weights))]
    return tuple(Window(*stage, begin, end) for stage, end, begin in zip(stages, edges[:-1], edges[1:], strict=True))


def _edges(shares: Sequence[float], part: float) -> list[float]:
    """Global times from 1 down between which each stage gets `part` of its share of the steps of both schedules."""
    edges = [1.0]
    for share in shares:
        above = max(LOG_SNR_FIRST, -math.log(edges[-1] / (1 - edges[-1]))) if 0 < edges[-1] < 1 else LOG_SNR_FIRST
        in_t = edges[-1] - part * share * (1 - LAST_T)
        in_log_snr = 1 / (1 + math.exp(above + part * share * (LOG_SNR_LAST - LOG_SNR_FIRST)))
        edges.append(min(in_t, in_log_snr))
        if edges[-1] <= 0:
            break
    return edges


def active(spans: Sequence[Window], t: float, rounding: float = 1e-6) -> int:
    """Index of the window of global time t; an edge, `rounding` included, belongs to the window below, which a step enters."""
    for index, span in enumerate(spans):
        if t > span.begin + rounding:
            return index
    return len(spans) - 1


def noise_left(sampler: Callable[..., Tensor], spans: Sequence[Window]) -> float:
    """The largest share of its noise that a sampler of global time leaves to any stage, where every estimate is the data itself.

    `sampler` maps (model, noise [1, C, 1]) to what it makes of it. Too few steps leap over a window, or far out of it.
    """

    def velocity(x: Tensor, t: Tensor, **_: object) -> Tensor:
        stage = active(spans, float(t[0]))
        result, span = torch.zeros_like(x), spans[stage]
        result[:, stage] = x[:, stage] / span.local(t[0]).clamp(min=CERTAIN_T) / span.width
        return result

    return float(sampler(velocity, torch.ones(1, len(spans), 1)).abs().max())


def flow_velocity(objective: Gaussian, output: Callable[[Tensor, Tensor], Tensor], x: Tensor, t: Tensor) -> Tensor:
    """dx / dt [B, N, 8] on the straight path from x, (1 - t) data + t noise, to the prediction of a denoiser of any objective.

    `output` maps x [B, N, 8] and t [B] to the objective's output [B, N, 8].
    """
    scale, local_t = objective.from_flow(t[:, None, None])
    scaled_x = x * scale
    denoised = objective.denoised(scaled_x, output(scaled_x, local_t.flatten()), local_t)
    return (x - denoised) / t[:, None, None].clamp(min=CERTAIN_T)
