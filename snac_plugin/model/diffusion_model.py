"""The network as a conditioned diffusion model of stable-audio-tools. Letters: B batch, R rows, T frames, N tokens, K codes."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from stable_audio_tools.models.diffusion import ConditionedDiffusionModel
from torch import Tensor

from snac_plugin.diffusion.global_time import CERTAIN_T, Window, active, flow_velocity, windows
from snac_plugin.diffusion.guidance import WEAKER, Guidance
from snac_plugin.diffusion.objectives import OBJECTIVES, Gaussian, is_masked, log_likelihood
from snac_plugin.errors import ConfigError, UsageError
from snac_plugin.latents import LatentSpace
from snac_plugin.levels import chunk_sizes, pick_frames
from snac_plugin.model.autoguided_chunk import AutoguidedChunk, weaker_prompt
from snac_plugin.model.chunk_in_progress import ChunkInProgress, ReadOutput
from snac_plugin.model.conditions import Conditions, Prompt
from snac_plugin.model.network import SnacDiT
from snac_plugin.model.training_pass import unknown_frames


class SnacDiffusionModel(ConditionedDiffusionModel):
    """A SnacDiT, its objective and the space of its latents.

    Args:
        objective: its name among `OBJECTIVES`.
        space: the codec's latents. They are copied, since they take the model's precision.
        step_weights: share of global time that each level takes under callers that know one t, coarsest first.
    """

    def __init__(self, network: SnacDiT, objective: str, space: LatentSpace, step_weights: Sequence[float]) -> None:
        super().__init__(
            supports_cross_attention=True, supports_input_concat=True, supports_global_cond=True, supports_prepend_cond=True
        )
        self.network, self.levels, self.space = network, network.levels, copy.deepcopy(space)
        self.objective = OBJECTIVES[objective]
        assert len(network.mask_vectors) == self.objective.masks * len(network.levels), "a network for another objective"
        if self.objective.masks and bool((at_zero := is_masked(self.space.codebooks)).any()):
            level, code = at_zero.nonzero()[0].tolist()
            found = f"code {code} of level {self.levels.names[level]} at the mean of its codebook"
            raise ConfigError("model.pretransform.config.codec", found, "another codec: this vector stands for a masked code")
        self.step_weights = tuple(step_weights)
        self.weaker: tuple[SnacDiffusionModel, float] | None = None  # and its scale; a tuple, as it is no part of this model

    @property
    def path(self) -> Gaussian:
        """The objective, if it moves vectors between data and noise; UsageError for one that masks codes."""
        if isinstance(self.objective, Gaussian):
            return self.objective
        expected = "a rectified flow or v: masked codes have no velocity"
        advice = "Call generate_diffusion_cond, or model.generate: they draw codes level by level."
        raise UsageError("diffusion_objective", repr(self.objective.name), expected, advice)

    def logits(self, level: int, output: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Logits of each token's code [B, N, K] from the network's output [B, N, K]; t [B, N], or [B, 1] for one a sample.

        With the head "posterior" the output is log p(code | other tokens), and Bayes' rule adds log p(x_t | code) of the token's
        own noised point, which is known exactly and need not be learnt.
        """
        if self.network.config.head == "logits":
            return output
        return output + log_likelihood(self.path, x, self.space.codebooks[level], t)

    def log_probabilities(self, level: int, output: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Log-probability of each code [B, N, K], float32 at least; x [B, N, 8], t [B]."""
        wide = torch.promote_types(output.dtype, torch.float32)
        return self.logits(level, output, x, t[:, None]).to(wide).log_softmax(dim=-1)

    def velocity(self, level: int, output: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """The objective's output [B, N, 8] from the output of any head; x [B, N, 8], t [B]."""
        if self.network.config.head == "velocity":
            return output
        wide = torch.promote_types(output.dtype, torch.float32)
        with torch.autocast(output.device.type, enabled=False):  # it would round both sides of the product
            shares = self.logits(level, output, x, t[:, None]).to(wide).softmax(dim=-1)
            expected = shares @ self.space.codebooks[level].to(wide)
        return self.path.output_of(x, expected.to(x.dtype), t[:, None, None])

    def start_chunk(
        self, prompt: Prompt, batch: int, guidance: Guidance | None = None, frames: int | None = None
    ) -> ChunkInProgress:
        if self.weaker is None:
            return ChunkInProgress(self.network, prompt, batch, guidance, frames)
        other, scale = self.weaker
        guidance = guidance or Guidance()
        guidance = replace(guidance, by_condition={**guidance.by_condition, WEAKER: scale})
        reads: dict[ReadOutput, ReadOutput] = {self.velocity: other.velocity, self.log_probabilities: other.log_probabilities}
        weaker = other.start_chunk(weaker_prompt(prompt, other.network.reads_conditions), batch, None, frames)
        return AutoguidedChunk(self.network, prompt, batch, guidance, frames).beside(weaker, reads)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        *,
        cfg_scale: float = 1.0,
        scale_phi: float = 0.0,
        cfg_interval: tuple[float, float] = (0.0, 1.0),
        context: Tensor | None = None,
        context_mask: Tensor | None = None,
        known: Tensor | None = None,
        known_mask: Tensor | None = None,
        **inputs: Any,
    ) -> Tensor:
        """Velocity of the whole tensor at one global time, for samplers that know nothing of levels: best Euler's.

        Callers see a rectified flow, of v-models too. Samplers that renoise (ping-pong) would undo finished levels.

        Args:
            x: packed latents of one or more chunks [B, R * 8, T], each stage at its own noise level of global time t.
            t: global time [B]; see `diffusion.global_time`.
            cfg_scale, scale_phi, cfg_interval: scale, rescale and interval of `Guidance`.
            context: packed latents of the chunks before x [B, R * 8, T'], or None.
            context_mask: [B, T'] bool, False where a frame of the context is hidden.
            known: packed latents of x's known frames [B, R * 8, T], whatever it holds in the others.
            known_mask: [B, T], 1 where a frame is known, the same in the whole batch.
            inputs: stable-audio-tools' conditioning inputs (`cross_attn_cond`, `negative_cross_attn_cond`, ...); options of its
                other models (batch_cfg, rescale_cfg, cfg_dropout_prob, ...) are ignored.

        Returns:
            [B, R * 8, T]: the active stage's velocity over its window's width, zero for all others.

        Raises:
            UsageError: a model of masked codes, which has none.
        """
        if inputs.get("guidance"):
            raise UsageError("guidance", inputs["guidance"], "cfg_scale alone from stable-audio-tools' calls", "Or model.generate.")
        negative, mask = Conditions.of(inputs, "negative_"), None if context_mask is None else context_mask.bool()
        blank = Conditions.of(inputs, "dropped_")
        frames = () if known_mask is None else tuple((known_mask[0] > 0.5).nonzero().flatten().tolist())
        unwanted, nothing = (None if one.empty else one for one in (negative, blank))
        prompt = Prompt(Conditions.of(inputs), unwanted, context, mask, known, frames, blank=nothing)
        guidance = Guidance(cfg_scale, scale_phi, cfg_interval, schedule=self.network.config.sampling.cfg_schedule)
        spans = windows(len(chunk_sizes(x.shape[-1], self.network.config.chunk_frames)), self.step_weights)
        rounding = max(1e-6, torch.finfo(t.dtype).eps / 2)  # callers compute t in the precision of x
        stage_of_sample = torch.tensor([active(spans, float(time), rounding) for time in t], device=x.device)
        result = torch.zeros_like(x)
        for stage in stage_of_sample.unique().tolist():
            at_stage = stage_of_sample == stage
            result[at_stage] = self._stage_velocity(x[at_stage], t[at_stage], spans[stage], prompt.of_samples(at_stage), guidance)
        return result

    def _stage_velocity(self, x: Tensor, t: Tensor, span: Window, prompt: Prompt, guidance: Guidance) -> Tensor:
        """The same for samples that stand at one stage."""
        size, level = self.network.config.chunk_frames, span.level
        first = span.chunk * size
        latents = x[..., first : first + size]
        context, mask = self._context(x[..., :first], prompt.context, prompt.context_mask)
        ahead = tuple(frame - first for frame in prompt.known_frames if first <= frame < first + 2 * size)
        chunk_prompt = replace(prompt, context=context, context_mask=mask)
        chunk_prompt = chunk_prompt.of_frames(first, max([size, *(f + 1 for f in ahead)]), x.shape[-1])
        before = 0 if context is None else context.shape[-1] // size
        chunk_prompt = chunk_prompt.of_chunks(self.network.config.context_chunks + span.chunk - before, before + 1)
        if prompt.known is not None:
            chunk_prompt = chunk_prompt.with_known(prompt.known[..., [first + frame for frame in ahead]], ahead)
        by_level = self.levels.unpack_latents(latents)
        velocities = [torch.zeros_like(z) for z in by_level]
        unknown, count = [*unknown_frames(latents.shape[-1], ahead)], self.levels.per_frame[level]
        if ahead and prompt.known is not None:  # known frames go straight to their codes
            data = self.levels.unpack_latents(prompt.known[..., first : first + size].to(x))[level]
            velocities[level] = (by_level[level] - data) / span.local(t)[:, None, None].clamp(min=CERTAIN_T) / span.width
            by_level = [pick_frames(z, unknown, k) for z, k in zip(by_level, self.levels.per_frame, strict=True)]
        if unknown:
            chunk = self.start_chunk(chunk_prompt, x.shape[0], guidance, latents.shape[-1])
            for finished in range(level):
                chunk.append(finished, self.space.level_latents(finished, self.space.nearest(finished, by_level[finished])))
            denoiser = chunk.denoiser(level, self.velocity)
            velocity = flow_velocity(self.path, denoiser, by_level[level], span.local(t)) / span.width
            velocities[level].unflatten(1, (-1, count))[:, unknown] = velocity.unflatten(1, (-1, count))
        result = torch.zeros_like(x)
        result[..., first : first + size] = self.levels.pack_latents(velocities)
        return result

    def _context(self, finished: Tensor, context: Tensor | None, mask: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """The given context and the finished chunks of x, snapped to codes; only the last `context_chunks` chunks."""
        parts = [] if context is None else [context.to(finished.dtype)]
        if finished.shape[-1]:
            parts.append(self.space.snap(finished))
        if not parts:
            return None, None
        joined = torch.cat(parts, dim=-1)
        if mask is not None:
            mask = torch.cat([mask, mask.new_ones(mask.shape[0], finished.shape[-1])], dim=-1)
        keep = self.network.config.context_chunks * self.network.config.chunk_frames
        start = max(joined.shape[-1] - keep, 0)
        return joined[..., start:], None if mask is None else mask[:, start:]
