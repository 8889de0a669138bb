"""Keys and values of finished tokens, computed once in generation. Letters: B batch, H heads, N tokens, E dimensions of a head."""

from collections.abc import Sequence

import torch
from torch import Tensor

from snac_plugin.model.attention import attend_by_calls, attention, joined_mask, usable_mask
from snac_plugin.model.visibility import Segment, VisibilityRule, attention_calls


class KVCache:
    """Keys and values of finished segments, a dictionary for each block, and their key masks [B, N] or None."""

    def __init__(self, depth: int) -> None:
        self.blocks: list[dict[Segment, tuple[Tensor, Tensor]]] = [{} for _ in range(depth)]
        self.masks: dict[Segment, Tensor | None] = {}
        self.inputs: dict[Segment, tuple[Tensor, ...]] = {}  # of transformers that keep no keys and values

    def mask(self, segments: Sequence[Segment]) -> Tensor | None:
        return joined_mask(segments, [self.masks[segment] for segment in segments])


class PrefillAttention:
    """Attention of newly finished segments, `masks` [B, N] or None each, among themselves and to the cache, which keeps them."""

    def __init__(self, cache: KVCache, segments: Sequence[Segment], rule: VisibilityRule, masks: Sequence[Tensor | None]) -> None:
        self.cache, self.segments = cache, segments
        self.lengths = [segment.length for segment in segments]
        cache.masks.update(zip(segments, masks, strict=True))
        self.keys = list(cache.masks)
        self.calls = attention_calls(segments, self.keys, rule)
        self.masks = [usable_mask(cache.mask([self.keys[i] for i in call.keys])) for call in self.calls]

    def __call__(self, block: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        cached = self.cache.blocks[block]
        pairs = zip(k.split(self.lengths, dim=2), v.split(self.lengths, dim=2), strict=True)
        cached.update(zip(self.segments, pairs, strict=True))
        keys, values = ([cached[segment][i] for segment in self.keys] for i in (0, 1))
        return attend_by_calls(self.calls, self.masks, q.split(self.lengths, dim=2), keys, values)


class DenoisingAttention:
    """Attention of one noised segment to itself and to the cache, over the many steps of a stage.

    The cached keys are laid out once in a stage; a step writes only its own keys behind them.
    """

    def __init__(self, cache: KVCache, segment: Segment, rule: VisibilityRule) -> None:
        self.cache, self.segment, self.rule, self.length = cache, segment, rule, segment.length
        self.visible = [key for key in cache.masks if rule.sees(segment, key)]
        self.buffers: dict[int, tuple[Tensor, Tensor]] = {}
        mask = cache.mask(self.visible)
        self.mask = None if mask is None else torch.nn.functional.pad(mask, (0, self.length), value=True)[:, None, None, :]

    def __call__(self, block: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if not self.visible:
            return attention(q, k, v)
        if block not in self.buffers:
            cached = [self.cache.blocks[block][segment] for segment in self.visible]
            key, value = (torch.cat([*(pair[i] for pair in cached), new], dim=2) for i, new in enumerate((k, v)))
            self.buffers[block] = key, value
        key, value = self.buffers[block]
        key[:, :, -self.length :] = k
        value[:, :, -self.length :] = v
        return attention(q, key, value, self.mask)
