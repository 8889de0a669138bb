"""The network behind stable-audio-tools' interface of a conditioned diffusion model.

Letters: B batch, R rows, T frames, N tokens of a level, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from stable_audio_tools.models.diffusion import ConditionedDiffusionModel
from torch import Tensor

from snac_plugin.diffusion.global_time import Window, active, flow_velocity, windows
from snac_plugin.diffusion.guidance import Guidance
from snac_plugin.diffusion.objectives import OBJECTIVES, log_likelihood
from snac_plugin.model.conditions import Conditions
from snac_plugin.model.guided import GuidedChunk
from snac_plugin.model.network import SnacDiT
from snac_plugin.model.training_pass import chunk_frames


class SnacDiffusionModel(ConditionedDiffusionModel):
    """A SnacDiT, its objective and the codebooks that its latents come from.

    Args:
        network: the transformer.
        objective: "rectified_flow" or "v".
        codebooks: the latents of all codes of each level, [codebook size, 8] each.
        step_weights: share of global time that each level takes under callers that know one t, coarsest first.
    """

    def __init__(self, network: SnacDiT, objective: str, codebooks: Sequence[Tensor], step_weights: Sequence[float]) -> None:
        super().__init__(
            supports_cross_attention=True, supports_input_concat=True, supports_global_cond=True, supports_prepend_cond=True
        )
        self.network, self.levels = network, network.levels
        self.objective = OBJECTIVES[objective]
        self.step_weights = tuple(step_weights)
        for level, codebook in enumerate(codebooks):
            # The codec's, not ours: a checkpoint does not need them.
            self.register_buffer(f"codebook_{level}", codebook.detach().clone().float(), persistent=False)

    def codebook(self, level: int) -> Tensor:
        """Latents of all codes of a level [K, 8]."""
        return self.get_buffer(f"codebook_{level}")

    def nearest(self, level: int, latents: Tensor) -> Tensor:
        """Nearest codes of latents of a level: [B, N, 8] -> [B, N]."""
        book = self.codebook(level).float().expand(latents.shape[0], -1, -1)
        # By differences: |x - c|^2 multiplied out loses small distances to rounding, and with them codes that lie close.
        with torch.autocast(latents.device.type, enabled=False):
            return torch.cdist(latents.float(), book, compute_mode="donot_use_mm_for_euclid_dist").argmin(dim=-1)

    def latents_of(self, level: int, codes: Tensor) -> Tensor:
        """Latents of codes of a level: [B, N] -> [B, N, 8]."""
        return self.codebook(level)[codes].to(next(self.parameters()).dtype)

    def packed_latents(self, codes: Tensor) -> Tensor:
        """Latents of packed codes: [B, R, T] -> [B, R * 8, T]."""
        return self.levels.pack_latents([self.latents_of(level, c) for level, c in enumerate(self.levels.unpack(codes))])

    def logits(self, level: int, output: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Logits of a token's code, given everything: [B, N, K].

        With the head "posterior" the output is what all other tokens say of the code, log p(code | others), and Bayes' rule adds
        what the token's own noised point says, log p(x_t | code), which is known exactly and need not be learnt.

        Args:
            level: the level.
            output: the network's output [B, N, K].
            x: latents under noise [B, N, 8].
            t: noise levels [B, N], or [B, 1] for one a sample.
        """
        if self.network.config.head == "logits":
            return output
        return output + log_likelihood(self.objective, x, self.codebook(level), t)

    def log_probabilities(self, level: int, output: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Log-probability of each code, float32 at least: [B, N, K]; arguments as of `velocity`."""
        wide = torch.promote_types(output.dtype, torch.float32)
        return self.logits(level, output, x, t[:, None]).to(wide).log_softmax(dim=-1)

    def drawn(self, level: int, logits: Tensor, quantiles: Tensor) -> Tensor:
        """Latents of the codes at quantiles [B, N] in [0, 1) of the distributions that logits [B, N, K] stand for: [B, N, 8]."""
        shares = logits.softmax(dim=-1).cumsum(dim=-1)
        codes = torch.searchsorted(shares, quantiles[..., None].to(shares) * shares[..., -1:], right=True)
        return self.latents_of(level, codes[..., 0].clamp(max=logits.shape[-1] - 1))

    def velocity(self, level: int, output: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """What the objective calls the output, from any head: [B, N, 8].

        Args:
            level: the level.
            output: the network's output, [B, N, 8] or logits [B, N, K].
            x: latents under noise [B, N, 8].
            t: noise levels [B].
        """
        if self.network.config.head == "velocity":
            return output
        wide = torch.promote_types(output.dtype, torch.float32)
        with torch.autocast(output.device.type, enabled=False):  # it would round both sides of the product
            expected = self.logits(level, output, x, t[:, None]).to(wide).softmax(dim=-1) @ self.codebook(level).to(wide)
        return self.objective.output_of(x, expected.to(x.dtype), t[:, None, None])

    def start_chunk(
        self,
        conditions: Conditions,
        batch: int,
        guidance: Guidance,
        negative: Conditions | None = None,
        context: Tensor | None = None,
        context_mask: Tensor | None = None,
        frames: int | None = None,
    ) -> GuidedChunk:
        """The next chunk after a context, to be finished level by level; arguments as of `GuidedChunk`."""
        return GuidedChunk(self.network, self.velocity, conditions, batch, guidance, negative, context, context_mask, frames)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        cross_attn_cond: Tensor | None = None,
        cross_attn_mask: Tensor | None = None,
        negative_cross_attn_cond: Tensor | None = None,
        negative_cross_attn_mask: Tensor | None = None,
        input_concat_cond: Tensor | None = None,
        negative_input_concat_cond: Tensor | None = None,
        global_cond: Tensor | None = None,
        negative_global_cond: Tensor | None = None,
        prepend_cond: Tensor | None = None,
        prepend_cond_mask: Tensor | None = None,
        cfg_scale: float = 1.0,
        scale_phi: float = 0.0,
        cfg_interval: tuple[float, float] = (0.0, 1.0),
        context: Tensor | None = None,
        context_mask: Tensor | None = None,
        **ignored: object,
    ) -> Tensor:
        """Velocity of the whole tensor at one global time, for samplers that know nothing of levels: best Euler's.

        Whatever the objective, callers see a rectified flow. Samplers that renoise (ping-pong) would undo finished levels.

        Args:
            x: packed latents of one or more chunks [B, R * 8, T], each stage at its own noise level of global time t.
            t: global time [B]; see `diffusion.global_time`.
            context: packed latents of the chunks before x [B, R * 8, T'], or None.
            context_mask: [B, T'] bool, False where a frame of the context is hidden.
            ignored: options of stable-audio-tools' other models (batch_cfg, rescale_cfg, cfg_dropout_prob, ...).
            The others: as in stable-audio-tools.

        Returns:
            [B, R * 8, T]: the active stage's velocity over its window's width, zero for all others.
        """
        given = Conditions(
            cross_attn_cond, _bool(cross_attn_mask), global_cond, prepend_cond, _bool(prepend_cond_mask), input_concat_cond
        ).fitted(x.shape[-1])
        negative = None
        if negative_cross_attn_cond is not None or negative_global_cond is not None or negative_input_concat_cond is not None:
            negative = Conditions(
                negative_cross_attn_cond,
                _bool(negative_cross_attn_mask),
                negative_global_cond,
                None,
                None,
                negative_input_concat_cond,
            ).fitted(x.shape[-1])
        guidance = Guidance(cfg_scale, scale_phi, cfg_interval)
        spans = windows(len(chunk_frames(x.shape[-1], self.network.config.chunk_frames)), self.step_weights)
        result = torch.zeros_like(x)
        rounding = max(1e-6, torch.finfo(t.dtype).eps / 2)  # callers compute t in the precision of x
        stage_of_sample = [active(spans, float(time), rounding) for time in t]
        for stage in set(stage_of_sample):
            mine = torch.tensor([s == stage for s in stage_of_sample], device=x.device)

            def pick(tensor: Tensor, mine: Tensor = mine) -> Tensor:
                return tensor[mine]

            result[mine] = self._stage_velocity(
                x[mine],
                t[mine],
                spans[stage],
                given.map(pick),
                guidance,
                None if negative is None else negative.map(pick),
                None if context is None else context[mine],
                None if context_mask is None else context_mask[mine].bool(),
            )
        return result

    def _stage_velocity(
        self,
        x: Tensor,
        t: Tensor,
        span: Window,
        given: Conditions,
        guidance: Guidance,
        negative: Conditions | None,
        context: Tensor | None,
        context_mask: Tensor | None,
    ) -> Tensor:
        size = self.network.config.chunk_frames
        here = slice(span.chunk * size, (span.chunk + 1) * size)
        past, past_mask = self._past(x[..., : span.chunk * size], context, context_mask)
        mine = x[..., here]
        local = span.local(t)
        given = given.of_frames(here.start, size)
        negative = None if negative is None else negative.of_frames(here.start, size)
        chunk = self.start_chunk(given, x.shape[0], guidance, negative, past, past_mask, mine.shape[-1])
        by_level = self.levels.unpack_latents(mine)
        for level in range(span.level):
            chunk.finish(level, self.latents_of(level, self.nearest(level, by_level[level])))
        velocities = [torch.zeros_like(z) for z in by_level]
        flow = flow_velocity(self.objective, chunk.velocity(span.level), by_level[span.level], local)
        velocities[span.level] = flow / span.width
        result = torch.zeros_like(x)
        result[..., here] = self.levels.pack_latents(velocities)
        return result

    def _past(self, before: Tensor, context: Tensor | None, mask: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Finished chunks of x, snapped to codes, behind the given context; only the last `context_chunks` chunks."""
        parts = [] if context is None else [context.to(before.dtype)]
        if before.shape[-1]:
            levels = enumerate(self.levels.unpack_latents(before))
            parts.append(self.levels.pack_latents([self.latents_of(level, self.nearest(level, z)) for level, z in levels]))
        if not parts:
            return None, None
        past = torch.cat(parts, dim=-1)
        if mask is not None:
            mask = torch.cat([mask, mask.new_ones(mask.shape[0], before.shape[-1])], dim=-1)
        keep = self.network.config.context_chunks * self.network.config.chunk_frames
        start = max(past.shape[-1] - keep, 0)
        return past[..., start:], None if mask is None else mask[:, start:]


def _bool(mask: Tensor | None) -> Tensor | None:
    """stable-audio-tools casts masks to the model's dtype on the way here."""
    return None if mask is None else mask.bool()
