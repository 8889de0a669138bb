"""Generation of one chunk. Letters: B batch, N tokens of a level, K codes of a codebook."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from snac_plugin.diffusion.guidance import ALL, Guidance
from snac_plugin.levels import chunk_sizes
from snac_plugin.model.conditions import Prompt
from snac_plugin.model.kv_cache import DenoisingAttention, KVCache, PrefillAttention
from snac_plugin.model.network import SnacDiT
from snac_plugin.model.visibility import Role, Segment

# (latents under noise [B, N, 8], t [B]) -> velocity [B, N, 8] or logits [B, N, K]
Denoiser = Callable[[Tensor, Tensor], Tensor]
# (level, network output, x [B, N, 8], t [B]) -> what guidance combines: velocity [B, N, 8] or log-probabilities [B, N, K]
ReadOutput = Callable[[int, Tensor, Tensor, Tensor], Tensor]


class ChunkInProgress:
    """The chunk after a context: prefills the KV cache, then denoises and appends level by level.

    Keys and values of prepended tokens, context, known frames and finished levels are computed once. With guidance the
    conditioned samples and those that lack something run as one batch over one cache. Where frames are known, N counts the
    tokens of all others.
    """

    def __init__(
        self, network: SnacDiT, prompt: Prompt, batch: int, guidance: Guidance | None = None, frames: int | None = None
    ) -> None:
        self.network, self.guidance = network, guidance or Guidance()
        self.frames = network.config.chunk_frames if frames is None else frames
        drops = network.config.guided_global_cond
        self.others = prompt.other_branches(self.guidance, drops)
        self.branches = 1 + len(self.others)
        if self.others:
            prompt = prompt.with_branches(self.others, batch, next(network.parameters()).device, drops)
        self.batch, self.conditions = batch * self.branches, prompt.conditions
        self.after = max(0, *prompt.known_frames, self.frames - 1) + 1 - self.frames  # frames of the chunk after
        self.unconditioned: Tensor | None = None  # velocity of that branch at the last call, for samplers that ask
        self.cache = KVCache(len(network.blocks))
        self.chunk = 0
        front, mask = network.prepended_tokens(self.conditions), self.conditions.prepended_mask
        if front is not None:
            self._prefill([Segment(Role.PREPENDED, -1, -1, front.shape[1])], [front], [None if mask is None else mask.bool()])
        if prompt.context is not None and prompt.context.shape[-1]:
            self._prefill_context(prompt.context, prompt.context_mask)
        self.unknown: tuple[int, ...] | None = None  # numbers of the frames that are not known; None: all
        if prompt.known is not None and prompt.known_frames:
            self.unknown = tuple(frame for frame in range(self.frames) if frame not in prompt.known_frames)
            self._prefill_known(prompt.known, prompt.known_frames)

    def append(self, level: int, latents: Tensor) -> None:
        """Add the finished latents of a level [B, N, 8] to the cache. Levels come in order, coarsest first."""
        latents = latents.repeat(self.branches, 1, 1)
        self._prefill([self._segment(Role.CLEAN, level)], [self._embed(level, latents, Role.CLEAN, self.unknown)], [None])

    def denoiser(self, level: int, read: ReadOutput) -> Denoiser:
        """The guided denoiser of a level, given all that is in the cache; `read` turns outputs into what guidance combines."""
        estimates = self.estimates(level, read)

        def denoise(x: Tensor, t: Tensor) -> Tensor:
            conditioned, without = estimates(x, t)
            if not without:
                return conditioned
            self.unconditioned = without.pop(ALL, None)
            return self.guidance.combine(conditioned, self.unconditioned, t, without)

        return denoise

    def estimates(self, level: int, read: ReadOutput) -> Callable[[Tensor, Tensor], tuple[Tensor, dict[str, Tensor]]]:
        """From (x, t) to the conditioned estimate, and those of the other branches by name."""
        outputs = self.outputs(level)

        def estimate(x: Tensor, t: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            both_x, both_t = x.repeat(self.branches, 1, 1), t.repeat(self.branches)
            conditioned, *others = read(level, outputs(both_x, both_t), both_x, both_t).chunk(self.branches)
            return conditioned, dict(zip(self.others, others, strict=True))

        return estimate

    def outputs(self, level: int) -> Denoiser:
        """The network's own output for a level, of all branches."""
        segment, network = self._segment(Role.NOISED, level), self.network
        attend = DenoisingAttention(self.cache, segment, network.visibility)
        tokens = network.tokens([segment], self.conditions)

        def output(x: Tensor, t: Tensor) -> Tensor:
            embedding = network.embed_segments([segment], t[:, None], self.conditions)
            hidden = network.trunk(self._embed(level, x, Role.NOISED, self.unknown), tokens, embedding, attend)
            return network.read_out(level, hidden, [segment.length], embedding, x)

        return output

    def _segment(self, role: Role, level: int) -> Segment:
        frames = self.frames if self.unknown is None else len(self.unknown)
        return Segment(role, self.chunk, level, frames * self.network.tokens_per_frame[level], self.unknown)

    def _embed(self, level: int, latents: Tensor, role: Role, frames: Sequence[int] | None) -> Tensor:
        """Tokens of some frames of the chunk, or of all, with the concatenated channels of these frames."""
        concat = self.conditions.concat
        if concat is not None:
            concat = concat[..., concat.shape[-1] - self.frames - self.after :]
            concat = concat[..., : self.frames] if frames is None else concat[..., list(frames)]
        return self.network.embed_codes(level, latents, role, concat)

    def _prefill_known(self, known: Tensor, frames: tuple[int, ...]) -> None:
        segments, tokens = [], []
        for level, latents in enumerate(self.network.levels.unpack_latents(known)):
            length = len(frames) * self.network.tokens_per_frame[level]
            segments.append(Segment(Role.KNOWN, self.chunk, level, length, frames))
            tokens.append(self._embed(level, latents, Role.CLEAN, frames))
        self._prefill(segments, tokens, [None] * len(segments))

    def _prefill_context(self, context: Tensor, mask: Tensor | None) -> None:
        network, levels, size = self.network, self.network.levels, self.network.config.chunk_frames
        concat = self.conditions.concat
        if concat is not None:
            assert concat.shape[-1] == context.shape[-1] + self.frames + self.after, "channels of the context come first"
            concat = concat[..., : context.shape[-1]]
        by_level = [
            network.embed_codes(level, latents, Role.CLEAN, concat).split(size * network.tokens_per_frame[level], dim=1)
            for level, latents in enumerate(levels.unpack_latents(context))
        ]
        segments, tokens, masks = [], [], []
        for chunk, frames in enumerate(chunk_sizes(context.shape[-1], size)):
            frame_mask = None if mask is None else mask[:, chunk * size : chunk * size + frames]
            for level, count in enumerate(network.tokens_per_frame):
                segments.append(Segment(Role.CLEAN, chunk, level, frames * count))
                tokens.append(by_level[level][chunk])
                masks.append(None if frame_mask is None else frame_mask.repeat_interleave(count, dim=1))
            self.chunk = chunk + 1
        self._prefill(segments, tokens, masks)

    def _prefill(self, segments: Sequence[Segment], tokens: Sequence[Tensor], masks: Sequence[Tensor | None]) -> None:
        """Run finished tokens, [B, N, D] a segment, through the network."""
        network = self.network
        attend = PrefillAttention(self.cache, segments, network.visibility, masks)
        embedding = network.embed_segments(segments, tokens[0].new_zeros(self.batch, len(segments)), self.conditions)
        network.trunk(torch.cat(list(tokens), dim=1), network.tokens(segments, self.conditions), embedding, attend)
