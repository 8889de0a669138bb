"""Attention and rotary positions. Letters: B batch, H heads, N tokens, M keys, E dimensions of a head."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention as fused_attention

from snac_plugin.model.visibility import AttentionCall, Segment

LARGEST_SCORES = 2**25
"""Scores of one plain product; training keeps them all, 64 MiB in bfloat16."""


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions on the two halves of a head: x [B, H, N, E], cos and sin [N, E / 2] (Su et al. 2021, eq. 34)."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention of queries [B, H, N, E] to keys and values [B, H, M, E] where a mask [B, 1, 1, M] is true: [B, H, N, E].

    In bfloat16 on a CPU two plain products are three times as fast as PyTorch's kernel, as long as memory holds the scores.
    """
    scores_count = q.shape[0] * q.shape[1] * q.shape[2] * k.shape[2]
    if q.device.type != "cpu" or q.dtype != torch.bfloat16 or scores_count > LARGEST_SCORES:
        return fused_attention(q, k, v, attn_mask=mask)
    with torch.autocast("cpu", enabled=False):
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        return scores.softmax(dim=-1) @ v


def usable_mask(mask: Tensor | None) -> Tensor | None:
    """Key mask [B, M] as [B, 1, 1, M]. A sample without visible keys sees all: its outputs are not used, but must not be NaN."""
    if mask is None:
        return None
    return (mask | ~mask.any(dim=-1, keepdim=True))[:, None, None, :]


def joined_mask(segments: Sequence[Segment], masks: Sequence[Tensor | None]) -> Tensor | None:
    """Key mask [B, M] over several segments; None when nothing is hidden."""
    known = next((mask for mask in masks if mask is not None), None)
    if known is None:
        return None
    pairs = zip(segments, masks, strict=True)
    return torch.cat([known.new_ones(len(known), s.length) if mask is None else mask for s, mask in pairs], dim=1)


def attend_by_calls(
    calls: Sequence[AttentionCall], masks: Sequence[Tensor | None], q: Sequence[Tensor], k: Sequence[Tensor], v: Sequence[Tensor]
) -> Tensor:
    """Run calls, each with a mask [B, 1, 1, M] or None, over the segments' q, k and v [B, H, N, E] -> [B, H, all N, E]."""
    outputs = []
    for call, mask in zip(calls, masks, strict=True):
        query = torch.cat([q[i] for i in call.queries], dim=2)
        key, value = (torch.cat([x[i] for i in call.keys], dim=2) for x in (k, v))
        outputs.append(attention(query, key, value, mask))
    return torch.cat(outputs, dim=2)


class SequenceAttention:
    """Attention among the segments of one sequence, each with a key mask [B, N] or None, as in training."""

    def __init__(
        self, segments: Sequence[Segment], calls: Sequence[AttentionCall], masks: Sequence[Tensor | None] | None = None
    ) -> None:
        self.lengths, self.calls = [segment.length for segment in segments], calls
        masks = [None] * len(segments) if masks is None else masks
        self.masks = [usable_mask(joined_mask([segments[i] for i in c.keys], [masks[i] for i in c.keys])) for c in calls]

    def dense(self, device: torch.device) -> Tensor:
        """Which tokens see which [1 or B, 1, N, N] bool, for transformers that take a mask."""
        places = torch.arange(sum(self.lengths), device=device).split(self.lengths)
        rows = []
        for call, mask in zip(self.calls, self.masks, strict=True):
            row = torch.zeros(1 if mask is None else len(mask), 1, 1, sum(self.lengths), dtype=torch.bool, device=device)
            row[..., torch.cat([places[i] for i in call.keys])] = True if mask is None else mask
            rows.append(row.expand(-1, -1, sum(self.lengths[i] for i in call.queries), -1))
        batch = max(len(row) for row in rows)
        return torch.cat([row.expand(batch, -1, -1, -1) for row in rows], dim=2)

    def __call__(self, block: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        # Split once and join per call: the gradient of a join is a set of views, that of many slices many full tensors.
        return attend_by_calls(self.calls, self.masks, *(x.split(self.lengths, dim=2) for x in (q, k, v)))
