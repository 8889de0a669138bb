"""One forward that trains every stage. Letters: B batch, T frames, N tokens, S segments, C chunks, L levels, D width."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from snac_plugin.levels import chunk_sizes, pick_frames
from snac_plugin.model.attention import SequenceAttention
from snac_plugin.model.conditions import Conditions
from snac_plugin.model.network import SnacDiT
from snac_plugin.model.visibility import AttentionCall, Role, Segment, VisibilityRule, attention_calls

# For each denoised chunk, the numbers of its known frames from its start, in order; they may run into the chunk after.
KnownFrames = tuple[tuple[int, ...], ...]


@lru_cache(maxsize=64)
def training_layout(
    chunk_lengths: tuple[tuple[int, ...], ...],
    rule: VisibilityRule,
    prepended: int = 0,
    context: int = 0,
    stages: tuple[int, ...] | None = None,
    known: KnownFrames = (),
) -> tuple[tuple[Segment, ...], tuple[AttentionCall, ...]]:
    """The segments of a sequence and the attention calls over them: prepended tokens, clean segments, a noised segment a stage.

    A chunk with known frames has clean segments of its own for them and for its finished levels; later chunks see none of these.

    Clean segments that no stage depends on (the finest level of the last chunk, for one) are left out. `chunk_lengths` has the
    number of tokens of each level for each chunk; the first `context` chunks are not denoised, and only the levels `stages`.
    """
    clean = [Segment(Role.CLEAN, c, level, n) for c, row in enumerate(chunk_lengths) for level, n in enumerate(row)]
    known = known or ((),) * (len(chunk_lengths) - context)
    denoised = []
    for chunk, known_here in enumerate(known, context):
        frames = unknown_frames(chunk_lengths[chunk][0], known_here)
        for level, count in enumerate(chunk_lengths[chunk]):
            per_frame = count // chunk_lengths[chunk][0]
            unknown_part = Segment(Role.CLEAN, chunk, level, per_frame * len(frames), frames if known_here else None)
            if stages is None or level in stages:
                denoised.append(unknown_part)
            if known_here:
                clean += [Segment(Role.KNOWN, chunk, level, per_frame * len(known_here), known_here), unknown_part]
    noised = [replace(s, role=Role.NOISED) for s in denoised]
    needed, frontier = set(), list(noised)
    while frontier:
        query = frontier.pop()
        seen = {key for key in clean if key not in needed and rule.sees(query, key)}
        needed |= seen
        frontier.extend(seen)
    front = [Segment(Role.PREPENDED, -1, -1, prepended)] if prepended else []
    segments = (*front, *(s for s in clean if s in needed), *noised)
    return segments, attention_calls(segments, segments, rule)


def unknown_frames(frames: int, known: Sequence[int]) -> tuple[int, ...]:
    """Of the frames of a chunk those that are not known."""
    return tuple(sorted({*range(frames)} - {*known}))


def all_stages(
    network: SnacDiT,
    clean: Tensor,
    noised: Tensor,
    t: Tensor,
    conditions: Conditions,
    *,
    frame_mask: Tensor | None = None,
    context_chunks: int | None = None,
    chunks_before: int = 0,
    stages: Sequence[int] | None = None,
    known: KnownFrames = (),
) -> list[Tensor]:
    """The network's output for every stage, each exactly as a pass of its own would give it.

    Args:
        clean: packed latents of the clean tokens [B, R * 8, T].
        noised: packed latents under noise [B, R * 8, T], of the chunks after `chunks_before`.
        t: noise level of each chunk and level [B, C, L], of the chunks after `chunks_before`.
        conditions: conditioning inputs; `concat` of the chunks after `chunks_before`.
        frame_mask: [B, T] bool, False where a frame is padding.
        context_chunks: how many earlier chunks are visible; the config's by default.
        chunks_before: first chunks of `clean` that are context and not trained.
        stages: levels whose outputs are wanted, all by default; of the others only what these see is computed.
        known: frames that are known in every sample of the batch, with their clean latents; none by default.

    Returns:
        A tensor for each of `stages` [B, codes of the noised chunks, 8 or codebook size], known frames left out.
    """
    levels, rule = network.levels, network.visibility
    sizes = chunk_sizes(clean.shape[-1], network.config.chunk_frames)
    chunk_lengths = tuple(tuple(frames * count for count in network.tokens_per_frame) for frames in sizes)
    rule = rule if context_chunks is None else replace(rule, context_chunks=context_chunks)
    prepended = network.prepended_tokens(conditions)
    wanted = tuple(range(len(levels)) if stages is None else stages)
    front = 0 if prepended is None else prepended.shape[1]
    segments, calls = training_layout(chunk_lengths, rule, front, chunks_before, wanted, known)
    lengths = [s.length for s in segments]

    x = torch.cat(_segment_tokens(network, segments, clean, noised, prepended, conditions.concat), dim=1)
    no_noise = t.new_zeros(t.shape[0])
    noise_levels = [t[:, s.chunk - chunks_before, s.level] if s.role is Role.NOISED else no_noise for s in segments]
    embedding = network.embed_segments(segments, torch.stack(noise_levels, dim=1), conditions)
    attend = SequenceAttention(segments, calls, _key_masks(network, segments, frame_mask, conditions.prepended_mask))
    hidden = network.trunk(x, network.tokens(segments, conditions), embedding, attend).split(lengths, dim=1)

    if known:  # of these frames there are no noised tokens
        chunks = enumerate(zip(sizes[chunks_before:], known, strict=True))
        noised = noised[..., [c * sizes[0] + frame for c, pair in chunks for frame in unknown_frames(*pair)]]
    outputs, points = [], levels.unpack_latents(noised)
    for level in wanted:
        parts = [i for i, s in enumerate(segments) if s.role is Role.NOISED and s.level == level]
        tokens = torch.cat([hidden[i] for i in parts], dim=1)
        outputs.append(network.read_out(level, tokens, [lengths[i] for i in parts], embedding[:, parts], points[level]))
    return outputs


def _segment_tokens(
    network: SnacDiT, segments: Sequence[Segment], clean: Tensor, noised: Tensor, prepended: Tensor | None, concat: Tensor | None
) -> list[Tensor]:
    """Tokens of each segment [B, N, D]."""
    levels, chunk = network.levels, network.config.chunk_frames
    chunks_before = (clean.shape[-1] - noised.shape[-1]) // chunk
    clean_concat = concat
    if concat is not None and chunks_before:  # there are channels for the noised chunks alone
        clean_concat = torch.nn.functional.pad(concat, (clean.shape[-1] - concat.shape[-1], 0))
    tokens = {} if prepended is None else {segments[0]: prepended}
    for role, packed, channels, first in ((Role.CLEAN, clean, clean_concat, 0), (Role.NOISED, noised, concat, chunks_before)):
        for level, latents in enumerate(levels.unpack_latents(packed)):
            roles = (Role.NOISED,) if role is Role.NOISED else (Role.CLEAN, Role.KNOWN)
            of_level = [s for s in segments if s.level == level and s.role in roles]
            if not of_level:
                continue
            embedded, count = network.embed_codes(level, latents, role, channels), network.tokens_per_frame[level]
            pieces = embedded.split(chunk * count, dim=1)
            for s in of_level:
                start = (s.chunk - first) * chunk
                frames = None if s.frames is None else [start + frame for frame in s.frames]
                tokens[s] = pieces[s.chunk - first] if frames is None else pick_frames(embedded, frames, count)
    return [tokens[s] for s in segments]


def _key_masks(
    network: SnacDiT, segments: Sequence[Segment], frame_mask: Tensor | None, prepended_mask: Tensor | None
) -> list[Tensor] | None:
    """[B, N] bool for each segment, or None when nothing is hidden."""
    mask_like = frame_mask if frame_mask is not None else prepended_mask
    if mask_like is None:
        return None
    chunk, masks = network.config.chunk_frames, []
    for s in segments:
        mask = prepended_mask
        if s.role is not Role.PREPENDED:
            start = s.chunk * chunk
            frames = slice(start, start + chunk) if s.frames is None else [start + frame for frame in s.frames]
            mask = None if frame_mask is None else frame_mask[:, frames].repeat_interleave(network.tokens_per_frame[s.level], dim=1)
        masks.append(mask_like.new_ones(len(mask_like), s.length, dtype=torch.bool) if mask is None else mask.bool())
    return masks
