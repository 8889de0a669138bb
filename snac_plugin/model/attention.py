"""Attention over segments: dense calls over the keys each run of queries sees, instead of one masked call.

Letters: B batch, H heads, N tokens, E dimensions of a head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention as fused_attention

from snac_plugin.model.segments import Layout, Segment, Visibility, attention_calls


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions on the two halves of a head: x [B, H, N, E], cos and sin [N, E / 2] (Su et al. 2021, eq. 34)."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


LARGEST_SCORES = 2**25
"""Scores of one plain product; training keeps them all, 64 MiB in bfloat16."""


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention of queries [B, H, N, E] to M keys and values [B, H, M, E] where a mask [B, 1, 1, M] is true: [B, H, N, E].

    PyTorch's own, except for bfloat16 on a CPU: there two plain products are three times as fast as its fused kernel, as long as
    the scores are not too many to be kept.
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
    """Key mask [B, N] as [B, 1, 1, N]. Where no key is visible all are: nobody reads those outputs, but they must not be NaN."""
    if mask is None:
        return None
    return (mask | ~mask.any(dim=-1, keepdim=True))[:, None, None, :]


class SequenceAttention:
    """Attention among the tokens of one sequence, as in training.

    Args:
        layout: the segments of the sequence and its attention calls.
        key_mask: [B, N] bool, False where a token is padding and must not be seen; None when there is none.
    """

    def __init__(self, layout: Layout, key_mask: Tensor | None = None) -> None:
        self.layout = layout
        masks = None if key_mask is None else key_mask.split(layout.lengths, dim=1)
        self.masks = [None if masks is None else usable_mask(torch.cat([masks[i] for i in c.keys], dim=1)) for c in layout.calls]

    def __call__(self, block: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v [B, H, N, E] -> [B, H, N, E]."""
        # Split once and join per call: the gradient of a join is a set of views, that of many slices many full tensors.
        qs, ks, vs = (x.split(self.layout.lengths, dim=2) for x in (q, k, v))
        outputs = []
        for call, mask in zip(self.layout.calls, self.masks, strict=True):
            query = torch.cat([qs[i] for i in call.queries], dim=2)
            key = torch.cat([ks[i] for i in call.keys], dim=2)
            value = torch.cat([vs[i] for i in call.keys], dim=2)
            outputs.append(attention(query, key, value, mask))
        return torch.cat(outputs, dim=2)


class KeyValueCache:
    """Keys and values of finished segments, a dictionary a block: finished tokens never change, so neither do these."""

    def __init__(self, depth: int) -> None:
        self.blocks: list[dict[Segment, tuple[Tensor, Tensor]]] = [{} for _ in range(depth)]
        self.masks: dict[Segment, Tensor | None] = {}

    @property
    def segments(self) -> tuple[Segment, ...]:
        return tuple(self.masks)


class FinishingAttention:
    """Attention of newly finished segments among themselves and to the cache, which remembers their keys and values.

    Args:
        cache: what is finished so far; grows by `segments`.
        segments: the segments of the sequence, in order.
        visibility: who sees whom.
        masks: per segment a key mask [B, N] or None.
    """

    def __init__(
        self, cache: KeyValueCache, segments: Sequence[Segment], visibility: Visibility, masks: Sequence[Tensor | None]
    ) -> None:
        self.cache, self.segments = cache, tuple(segments)
        cache.masks.update(zip(segments, masks, strict=True))
        self.keys = cache.segments
        self.calls = attention_calls(self.segments, self.keys, visibility)
        self.lengths = [segment.length for segment in segments]

    def __call__(self, block: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v [B, H, N, E] -> [B, H, N, E]."""
        store = self.cache.blocks[block]
        pieces = zip(k.split(self.lengths, dim=2), v.split(self.lengths, dim=2), strict=True)
        store.update(zip(self.segments, pieces, strict=True))
        qs = q.split(self.lengths, dim=2)
        outputs = []
        for call in self.calls:
            keys = [self.keys[i] for i in call.keys]
            key, value = (torch.cat([store[s][i] for s in keys], dim=2) for i in (0, 1))
            mask = usable_mask(joined_mask(self.cache, keys, q.shape[0], q.device))
            outputs.append(attention(torch.cat([qs[i] for i in call.queries], dim=2), key, value, mask))
        return torch.cat(outputs, dim=2)


class StageAttention:
    """Attention of one noised segment to itself and to the cache, over the many steps of a stage.

    The cached part of the keys is laid out once a stage; a step writes only its own keys behind it.
    """

    def __init__(self, cache: KeyValueCache, segment: Segment, visibility: Visibility) -> None:
        self.cache, self.length = cache, segment.length
        self.visible = [key for key in cache.segments if visibility.sees(segment, key)]
        self.buffers: dict[int, tuple[Tensor, Tensor]] = {}
        self.mask: Tensor | None = None

    def __call__(self, block: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v [B, H, N, E] -> [B, H, N, E]."""
        if not self.visible:
            return attention(q, k, v)
        if block not in self.buffers:
            self._lay_out(block, k)
        key, value = self.buffers[block]
        key[:, :, -self.length :] = k
        value[:, :, -self.length :] = v
        return attention(q, key, value, self.mask)

    def _lay_out(self, block: int, own: Tensor) -> None:
        stored = [self.cache.blocks[block][segment] for segment in self.visible]
        key, value = (torch.cat([*(pair[i] for pair in stored), own], dim=2) for i in (0, 1))
        self.buffers[block] = key, value
        if self.mask is None:
            past = joined_mask(self.cache, self.visible, own.shape[0], own.device)
            if past is not None:
                self.mask = torch.cat([past, past.new_ones(own.shape[0], self.length)], dim=1)[:, None, None, :]


def joined_mask(cache: KeyValueCache, segments: Sequence[Segment], batch: int, device: torch.device) -> Tensor | None:
    """Key mask [B, N] over these segments of the cache; None when nothing is hidden."""
    masks = [cache.masks[segment] for segment in segments]
    if all(mask is None for mask in masks):
        return None
    full = [
        torch.ones(batch, segment.length, dtype=torch.bool, device=device) if mask is None else mask
        for segment, mask in zip(segments, masks, strict=True)
    ]
    return torch.cat(full, dim=1)
