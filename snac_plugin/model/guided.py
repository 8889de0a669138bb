"""Classifier-free guidance inside a chunk: both branches in one batch, over one cache.

Letters: B batch, R rows, T frames, N tokens of a level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from snac_plugin.diffusion.guidance import Guidance
from snac_plugin.model.conditions import Conditions
from snac_plugin.model.network import SnacDiT
from snac_plugin.model.stages import ChunkInProgress

# (x [B, N, 8], t [B]) -> velocity [B, N, 8]
LevelVelocity = Callable[[Tensor, Tensor], Tensor]
# (level, network output, x [B, N, 8], t [B]) -> velocity [B, N, 8]
ToVelocity = Callable[[int, Tensor, Tensor, Tensor], Tensor]


class GuidedChunk:
    """A chunk in progress whose conditioned and unconditioned branches run as one batch.

    Args:
        network: the network.
        to_velocity: (level, output, x, t) -> velocity, for the network's head.
        conditions: conditioning inputs of B samples.
        batch: B.
        guidance: how to combine the branches.
        negative: conditioning inputs of the other branch; nothing by default.
        context: packed latents of the chunks before [B, R * 8, T], or None; the other branch never sees it.
        context_mask: [B, T] bool, False where a context frame is hidden.
        frames: frames of the chunk.
    """

    def __init__(
        self,
        network: SnacDiT,
        to_velocity: ToVelocity,
        conditions: Conditions,
        batch: int,
        guidance: Guidance,
        negative: Conditions | None = None,
        context: Tensor | None = None,
        context_mask: Tensor | None = None,
        frames: int | None = None,
    ) -> None:
        conditioned = context is not None or negative is not None or conditions.can_be_dropped
        self.to_velocity, self.guidance, self.copies = to_velocity, guidance, 1
        self.unconditioned: Tensor | None = None  # velocity of that branch at the last call, for samplers that ask
        if guidance.acts and conditioned:
            self.copies = 2
            nothing = conditions.dropped(torch.zeros(batch, dtype=torch.bool, device=next(network.parameters()).device))
            if negative is not None:  # what it does not say is as in the other branch, or not there
                told = {name: value for name, value in vars(negative).items() if value is not None}
                told |= {f"{name}_mask": vars(negative)[f"{name}_mask"] for name in ("cross", "prepended") if name in told}
                nothing = replace(nothing, **told)
            conditions = Conditions.joined(conditions, nothing)
            if context is not None:
                shown = context.new_ones(batch, context.shape[-1], dtype=torch.bool) if context_mask is None else context_mask
                context, context_mask = torch.cat([context, context]), torch.cat([shown, torch.zeros_like(shown)])
        self.chunk = ChunkInProgress(network, conditions, batch * self.copies, context, context_mask, frames)

    def finish(self, level: int, latents: Tensor) -> None:
        """Take the finished latents of a level [B, N, 8]."""
        self.chunk.finish(level, latents.repeat(self.copies, 1, 1))

    def velocity(self, level: int) -> LevelVelocity:
        """The guided denoiser of a level."""
        return self.guided(level, self.to_velocity)

    def guided(self, level: int, read: ToVelocity) -> LevelVelocity:
        """The guided denoiser of a level; `read` turns outputs into what guidance combines: velocities, or log-probabilities."""
        stage = self.chunk.stage(level)

        def guided(x: Tensor, t: Tensor) -> Tensor:
            both_x, both_t = x.repeat(self.copies, 1, 1), t.repeat(self.copies)
            velocity = read(level, stage(both_x, both_t), both_x, both_t)
            if self.copies == 1:
                return velocity
            conditioned, self.unconditioned = velocity.chunk(2)
            return self.guidance.combine(conditioned, self.unconditioned, t)

        return guided
