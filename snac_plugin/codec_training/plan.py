"""What shapes the training of a codec: the shipped codec's config, and a plan of events, losses and learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

TINY_32KHZ: dict[str, Any] = {
    "sampling_rate": 32000,
    "encoder_dim": 16,
    "encoder_rates": [2, 3, 8, 8],
    "decoder_dim": 256,
    "decoder_rates": [8, 8, 3, 2],
    "attn_window_size": 32,
    "codebook_size": 4096,
    "codebook_dim": 8,
    "vq_strides": [8, 4, 2, 1],
    "noise": True,
    "depthwise": True,
}
"""The config of the shipped codec: the grid of snac_32khz at about a twentieth of its weights."""


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that shapes a training beside the data.

    Args:
        minutes: length by the clock, summed over resumed parts; None counts steps instead.
        steps: length in steps if `minutes` is None.
        batch: crops a step.
        crop: samples of a crop, a multiple of what SNAC encodes without padding.
        peak: highest learning rate, reached `ramp` steps after each start; it falls along a cosine to `last` times itself.
        encoder: learning rate of the encoder once there are codebooks, which must be able to follow it, as a part of the decoder's.
        projections: learning rate of the projections to and from code vectors, as a part of the others'.
        ramp: steps of rising learning rate.
        last: learning rate at the end as a part of the highest.
        starts: fractions of the training at which codebooks start from data; none before the first, afresh at each later one,
            because the encoder moves fast once codebooks are there.
        settle: fraction from which the decoder alone is trained; 0 from the start, on a finished codec.
        noise: noise on the code vectors during warm-up, as a part of their length.
        drop: probability that an example is decoded from its first one, two, … levels only, so that coarse levels carry much.
        start_crops: crops that codebooks start from.
        visits: average visits that a code remembers (see `RunningCodebook`), at the beginning and at the end.
        mel, convergence, waveform, lines, commit, centre: weights of the losses.
        quietest_db: crops are scaled by a random gain between this and 0 decibels.
        clip: largest norm of the gradient.
        compiled: fuse encoder and decoder with torch.compile (needs a C++ compiler; 1.7 times as fast on a CPU).
        seed: of weights, crops and noise.
    """

    minutes: float | None = None
    steps: int = 10_000
    batch: int = 4
    crop: int = 24_576
    peak: float = 8e-4
    encoder: float = 0.3
    projections: float = 0.1
    ramp: int = 100
    last: float = 0.02
    starts: tuple[float, ...] = (0.2, 0.25)
    settle: float = 0.75
    noise: float = 0.35
    drop: float = 0.1
    start_crops: int = 1000
    visits: tuple[float, float] = (2.0, 8.0)
    mel: float = 1.0
    convergence: float = 2.0
    waveform: float = 2.0
    lines: float = 0.0
    commit: float = 1.0
    centre: float = 0.1
    quietest_db: float = -9.0
    clip: float = 5.0
    compiled: bool = False
    seed: int = 0

    def learning_rate(self, since_start: int, progress: float) -> float:
        """The learning rate so many steps after a start, `progress` of the way (0 .. 1) through the training."""
        fall = self.last + (1 - self.last) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        return self.peak * fall * min(1.0, (since_start + 1) / self.ramp)
