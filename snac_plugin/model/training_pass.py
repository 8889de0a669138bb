"""One forward that trains every stage: clean tokens and the noised tokens of all stages in one sequence.

Letters: B batch, T frames, N tokens, C chunks, L levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from snac_plugin.model.attention import SequenceAttention
from snac_plugin.model.conditions import Conditions
from snac_plugin.model.network import SnacDiT
from snac_plugin.model.segments import Layout, Role, training_layout


def chunk_frames(frames: int, chunk: int) -> list[int]:
    """Frames of each chunk; the last may be shorter."""
    return [min(chunk, frames - start) for start in range(0, frames, chunk)]


def all_stages(
    network: SnacDiT,
    clean: Tensor,
    noised: Tensor,
    t: Tensor,
    conditions: Conditions,
    *,
    frame_mask: Tensor | None = None,
    context_chunks: int | None = None,
    given_chunks: int = 0,
    stages: Sequence[int] | None = None,
) -> list[Tensor]:
    """The network's output for every stage, each exactly as a pass of its own would give it.

    Args:
        network: the network.
        clean: packed latents of the clean tokens [B, R * 8, T].
        noised: packed latents under noise [B, R * 8, T], of the chunks after `given_chunks`.
        t: noise level of each chunk and level [B, C, L], of the chunks after `given_chunks`.
        conditions: conditioning inputs; `concat` of the chunks after `given_chunks`.
        frame_mask: [B, T] bool, False where a frame is padding.
        context_chunks: how many earlier chunks are visible; the config's by default.
        given_chunks: first chunks of `clean` that are context and not trained.
        stages: levels whose outputs are wanted, all by default; of the others only what these see is computed.

    Returns:
        A tensor for each of `stages` [B, N of the noised chunks, 8 or codebook size].
    """
    levels = network.levels
    sizes = chunk_frames(clean.shape[-1], network.config.chunk_frames)
    visibility = network.visibility if context_chunks is None else replace(network.visibility, context_chunks=context_chunks)
    lengths = tuple(tuple(frames * count for count in levels.per_frame) for frames in sizes)
    prepended = 0 if conditions.prepended is None or network.embed_prepended is None else conditions.prepended.shape[1]
    wanted = tuple(range(len(levels)) if stages is None else stages)
    layout = training_layout(lengths, visibility, prepended, given_chunks, wanted)

    x = _sequence(network, layout, clean, noised, conditions, given_chunks)
    noise_levels = _segment_noise_levels(layout, t, given_chunks)
    embedding = network.embed_segments(layout.segments, noise_levels, conditions)
    attend = SequenceAttention(layout, _key_mask(network, layout, frame_mask, conditions))
    hidden = network.trunk(x, network.tokens(layout.segments, conditions), embedding, attend)

    pieces = hidden.split(layout.lengths, dim=1)
    outputs = []
    for level in wanted:
        mine = [i for i in layout.indices(Role.NOISED) if layout.segments[i].level == level]
        joined = torch.cat([pieces[i] for i in mine], dim=1)
        outputs.append(network.read_out(level, joined, [layout.segments[i].length for i in mine], embedding[:, mine]))
    return outputs


def _sequence(network: SnacDiT, layout: Layout, clean: Tensor, noised: Tensor, conditions: Conditions, given: int) -> Tensor:
    """Tokens of all segments in the order of the layout [B, N, D]."""
    levels, chunk = network.levels, network.config.chunk_frames
    late = concat = conditions.concat
    if concat is not None and given:  # channels are given for the noised chunks alone
        concat = torch.cat([concat.new_zeros(*concat.shape[:2], clean.shape[-1] - concat.shape[-1]), concat], dim=-1)
    tokens, present = {}, {(s.role, s.level) for s in layout.segments}
    sources = ((Role.CLEAN, clean, concat, 0), (Role.NOISED, noised, late, given))
    for role, packed, channels, first in sources:
        for level, latents in enumerate(levels.unpack_latents(packed)):
            if (role, level) not in present:
                continue
            embedded = network.embed_codes(level, latents, role, channels)
            for c, piece in enumerate(embedded.split(chunk * levels.per_frame[level], dim=1)):
                tokens[role, c + first, level] = piece
    if conditions.prepended is not None and network.embed_prepended is not None:
        tokens[Role.PREPENDED, -1, -1] = network.embed_prepended(conditions.prepended)
    return torch.cat([tokens[s.role, s.chunk, s.level] for s in layout.segments], dim=1)


def _segment_noise_levels(layout: Layout, t: Tensor, given: int) -> Tensor:
    """t of each segment [B, S]: zero for clean ones."""
    clean = t.new_zeros(t.shape[0])
    columns = [t[:, s.chunk - given, s.level] if s.role is Role.NOISED else clean for s in layout.segments]
    return torch.stack(columns, dim=1)


def _key_mask(network: SnacDiT, layout: Layout, frame_mask: Tensor | None, conditions: Conditions) -> Tensor | None:
    """[B, N] bool over the sequence, or None when nothing is hidden."""
    if frame_mask is None and conditions.prepended_mask is None:
        return None
    chunk, per_frame = network.config.chunk_frames, network.levels.per_frame
    some = frame_mask if frame_mask is not None else conditions.prepended_mask
    assert some is not None
    columns = []
    for s in layout.segments:
        if s.role is Role.PREPENDED:
            mask = conditions.prepended_mask
        elif frame_mask is not None:
            mask = frame_mask[:, s.chunk * chunk : (s.chunk + 1) * chunk].repeat_interleave(per_frame[s.level], dim=1)
        else:
            mask = None
        columns.append(some.new_ones(some.shape[0], s.length, dtype=torch.bool) if mask is None else mask.bool())
    return torch.cat(columns, dim=1)
