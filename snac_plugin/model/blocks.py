"""The transformer block. It knows nothing of segments but their lengths; who sees whom is the `attend` it is given.

Letters: B batch, N tokens, M conditioning tokens, S segments, D width, H heads, E dimensions of a head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from x_transformers.x_transformers import FeedForward

from snac_plugin.model.attention import attention, rotate, usable_mask
from snac_plugin.model.modulation import Modulation, gated_sum, scale_and_shift

# (block index, q, k, v), each [B, H, N, E] -> [B, H, N, E]
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Tokens:
    """What all blocks need to know about the tokens of a sequence.

    Args:
        lengths: tokens of each segment, in order.
        levels: level of each segment, for the per-level adapters; -1 for prepended tokens.
        cos, sin: rotary tables [N, E / 2].
        cross: conditioning tokens for cross-attention [B, M, D], or None.
        cross_mask: [B, M] bool, False where a conditioning token is padding, or None.
    """

    lengths: tuple[int, ...]
    levels: tuple[int, ...]
    cos: Tensor
    sin: Tensor
    cross: Tensor | None = None
    cross_mask: Tensor | None = None


class SelfAttention(nn.Module):
    """Projections, query/key norm and rotary positions around an attention that is given from outside."""

    def __init__(self, dim: int, num_heads: int, qk_norm: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.to_qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.norm_q = nn.LayerNorm(dim // num_heads, bias=False) if qk_norm else nn.Identity()
        self.norm_k = nn.LayerNorm(dim // num_heads, bias=False) if qk_norm else nn.Identity()
        self.to_out = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor, index: int, tokens: Tokens, attend: Attend) -> Tensor:
        q, k, v = rearrange(self.to_qkv(x), "b n (three h e) -> three b h n e", three=3, h=self.num_heads)
        q = rotate(self.norm_q(q), tokens.cos, tokens.sin).to(v.dtype)
        k = rotate(self.norm_k(k), tokens.cos, tokens.sin).to(v.dtype)
        return self.to_out(rearrange(attend(index, q, k, v), "b h n e -> b n (h e)"))


class CrossAttention(nn.Module):
    """Attention to the tokens of `cross_attention_cond_ids`."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_kv = nn.Linear(dim, 2 * dim, bias=False)
        self.to_out = nn.Linear(dim, dim, bias=False)
        nn.init.zeros_(self.to_out.weight)

    def forward(self, x: Tensor, cond: Tensor, mask: Tensor | None) -> Tensor:
        q = rearrange(self.to_q(x), "b n (h e) -> b h n e", h=self.num_heads)
        k, v = rearrange(self.to_kv(cond), "b m (two h e) -> two b h m e", two=2, h=self.num_heads)
        attended = attention(q, k, v, usable_mask(mask))
        return self.to_out(rearrange(attended, "b h n e -> b n (h e)"))


class LevelAdapter(nn.Module):
    """A low-rank correction of its own for each level: shared weights are the default, this is the opt-in."""

    def __init__(self, dim: int, levels: int, rank: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(nn.Linear(dim, rank, bias=False) for _ in range(levels))
        ups = [nn.Linear(rank, dim, bias=False) for _ in range(levels)]
        for up in ups:
            nn.init.zeros_(up.weight)
        self.up = nn.ModuleList(ups)

    def forward(self, x: Tensor, tokens: Tokens) -> Tensor:
        pieces = zip(x.split(list(tokens.lengths), dim=1), tokens.levels, strict=True)
        return torch.cat([p if level < 0 else p + self.up[level](self.down[level](p)) for p, level in pieces], dim=1)


class Block(nn.Module):
    """Self-attention, optional cross-attention, feed-forward; each normed, modulated and gated per segment."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        ff_mult: float,
        *,
        qk_norm: bool = True,
        dropout: float = 0.0,
        cross_attention: bool = False,
        levels: int = 0,
        adapter_rank: int = 0,
    ) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(dim, elementwise_affine=False)
        self.attention = SelfAttention(dim, num_heads, qk_norm)
        self.norm_cross = nn.LayerNorm(dim) if cross_attention else None
        self.cross = CrossAttention(dim, num_heads) if cross_attention else None
        self.norm_ff = nn.LayerNorm(dim, elementwise_affine=False)
        self.ff = FeedForward(dim, mult=ff_mult, glu=True, dropout=dropout, no_bias=True)
        self.adapter = LevelAdapter(dim, levels, adapter_rank) if adapter_rank else None

    def forward(self, x: Tensor, index: int, tokens: Tokens, modulation: Modulation, attend: Attend) -> Tensor:
        """x [B, N, D] -> [B, N, D]."""
        lengths: Sequence[int] = tokens.lengths
        h = scale_and_shift(self.norm_attention(x), lengths, modulation.shift_attention, modulation.scale_attention)
        x = gated_sum(x, lengths, modulation.gate_attention, self.attention(h, index, tokens, attend))
        if self.cross is not None and self.norm_cross is not None and tokens.cross is not None:
            x = x + self.cross(self.norm_cross(x), tokens.cross, tokens.cross_mask)
        h = scale_and_shift(self.norm_ff(x), lengths, modulation.shift_ff, modulation.scale_ff)
        branch = self.ff(h)
        if self.adapter is not None:
            branch = self.adapter(branch, tokens)
        return gated_sum(x, lengths, modulation.gate_ff, branch)
