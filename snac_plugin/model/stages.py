"""Generation of one chunk, level by level: keys and values of what is finished are computed once and reused.

Letters: B batch, T frames, N tokens of a level, K codes of a codebook.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from snac_plugin.model.attention import FinishingAttention, KeyValueCache, StageAttention
from snac_plugin.model.conditions import Conditions
from snac_plugin.model.network import SnacDiT
from snac_plugin.model.segments import Role, Segment
from snac_plugin.model.training_pass import chunk_frames

# (noised latents [B, N, 8], t [B]) -> velocity [B, N, 8] or logits [B, N, K]
Stage = Callable[[Tensor, Tensor], Tensor]


class ChunkInProgress:
    """The chunk after a context, finished level by level.

    Args:
        network: the network.
        conditions: conditioning inputs of a batch.
        batch: size of the batch.
        context: packed latents of the clean chunks before this one [B, R * 8, T], or None.
        context_mask: [B, T] bool, False where a context frame is padding or hidden from the sample.
        frames: frames of this chunk; the config's by default.
    """

    def __init__(
        self,
        network: SnacDiT,
        conditions: Conditions,
        batch: int,
        context: Tensor | None = None,
        context_mask: Tensor | None = None,
        frames: int | None = None,
    ) -> None:
        self.network, self.conditions, self.batch = network, conditions, batch
        self.frames = network.config.chunk_frames if frames is None else frames
        self.cache = KeyValueCache(len(network.blocks))
        self.chunk = 0
        if conditions.prepended is not None and network.embed_prepended is not None:
            segment = Segment(Role.PREPENDED, -1, -1, conditions.prepended.shape[1])
            mask = None if conditions.prepended_mask is None else conditions.prepended_mask.bool()
            self._finish([segment], [network.embed_prepended(conditions.prepended)], [mask])
        if context is not None and context.shape[-1]:
            self._add_context(context, context_mask)

    def finish(self, level: int, latents: Tensor) -> None:
        """Take the finished latents of a level [B, N, 8] into the cache. Levels come in order, coarsest first."""
        segment = self._segment(Role.CLEAN, level)
        self._finish([segment], [self._embed(level, latents, Role.CLEAN)], [None])

    def stage(self, level: int) -> Stage:
        """The denoiser of a level of this chunk, given everything that is finished."""
        segment, network = self._segment(Role.NOISED, level), self.network
        attend = StageAttention(self.cache, segment, network.visibility)
        tokens = network.tokens([segment], self.conditions)

        def denoise(x: Tensor, t: Tensor) -> Tensor:
            embedding = network.embed_segments([segment], t[:, None], self.conditions)
            hidden = network.trunk(self._embed(level, x, Role.NOISED), tokens, embedding, attend)
            return network.read_out(level, hidden, [segment.length], embedding)

        return denoise

    def _segment(self, role: Role, level: int) -> Segment:
        return Segment(role, self.chunk, level, self.frames * self.network.levels.per_frame[level])

    def _embed(self, level: int, latents: Tensor, role: Role) -> Tensor:
        concat = self.conditions.concat
        if concat is not None:
            concat = concat[..., -self.frames :]
        return self.network.embed_codes(level, latents, role, concat)

    def _add_context(self, context: Tensor, mask: Tensor | None) -> None:
        network = self.network
        levels, size = network.levels, network.config.chunk_frames
        sizes = chunk_frames(context.shape[-1], size)
        concat = self.conditions.concat
        if concat is not None:  # channels of the context's own frames, where the caller gave them too
            concat = concat[..., : context.shape[-1]] if concat.shape[-1] == context.shape[-1] + self.frames else None
        by_level = [
            network.embed_codes(level, z, Role.CLEAN, concat).split(size * levels.per_frame[level], dim=1)
            for level, z in enumerate(levels.unpack_latents(context))
        ]
        segments, tokens, masks = [], [], []
        for chunk, frames in enumerate(sizes):
            own = None if mask is None else mask[:, chunk * size : chunk * size + frames]
            for level, count in enumerate(levels.per_frame):
                segments.append(Segment(Role.CLEAN, chunk, level, frames * count))
                tokens.append(by_level[level][chunk])
                masks.append(None if own is None else own.repeat_interleave(count, dim=1))
        self._finish(segments, tokens, masks)
        self.chunk = len(sizes)

    def _finish(self, segments: list[Segment], tokens: list[Tensor], masks: list[Tensor | None]) -> None:
        network = self.network
        attend = FinishingAttention(self.cache, segments, network.visibility, masks)
        t = tokens[0].new_zeros(self.batch, len(segments))
        embedding = network.embed_segments(segments, t, self.conditions)
        network.trunk(torch.cat(tokens, dim=1), network.tokens(segments, self.conditions), embedding, attend)
