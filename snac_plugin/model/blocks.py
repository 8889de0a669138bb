"""The transformer block. Letters: B batch, N tokens, M conditioning tokens, S segments, D width, H heads, E its dimensions."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from x_transformers.x_transformers import FeedForward

from snac_plugin.config import NetworkConfig
from snac_plugin.model.adaptive_layer_norm import Modulation, gated_sum, scale_and_shift, zeroed
from snac_plugin.model.attention import attention, rotate, usable_mask

# (block index, q, k, v), each [B, H, N, E] -> [B, H, N, E]
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Tokens:
    """Tokens of a sequence as all blocks need them."""

    lengths: tuple[int, ...]  # of each segment, in order
    levels: tuple[int, ...]  # of each segment, -1 for prepended tokens
    cos: Tensor  # rotary tables [N, E / 2]
    sin: Tensor
    cross: Tensor | None = None  # conditioning tokens [B, M, D]
    cross_mask: Tensor | None = None  # [B, M] bool, False where a conditioning token is padding


class SelfAttention(nn.Module):
    """Projections, query/key norm and rotary positions around `attend`."""

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
        self.to_out = zeroed(nn.Linear(dim, dim, bias=False))

    def forward(self, x: Tensor, cond: Tensor, mask: Tensor | None) -> Tensor:
        q = rearrange(self.to_q(x), "b n (h e) -> b h n e", h=self.num_heads)
        k, v = rearrange(self.to_kv(cond), "b m (two h e) -> two b h m e", two=2, h=self.num_heads)
        attended = attention(q, k, v, usable_mask(mask))
        return self.to_out(rearrange(attended, "b h n e -> b n (h e)"))


class LevelAdapter(nn.Module):
    """A low-rank correction for each level; optional, since levels share all weights otherwise."""

    def __init__(self, dim: int, levels: int, rank: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(nn.Linear(dim, rank, bias=False) for _ in range(levels))
        self.up = nn.ModuleList(zeroed(nn.Linear(rank, dim, bias=False)) for _ in range(levels))

    def forward(self, x: Tensor, tokens: Tokens) -> Tensor:
        pieces = zip(x.split(list(tokens.lengths), dim=1), tokens.levels, strict=True)
        return torch.cat([p if level < 0 else p + self.up[level](self.down[level](p)) for p, level in pieces], dim=1)


class Block(nn.Module):
    """Self-attention, optional cross-attention, feed-forward; each normed, modulated and gated per segment."""

    def __init__(self, config: NetworkConfig, levels: int) -> None:
        super().__init__()
        dim, cross = config.dim, config.cond_token_dim > 0
        self.norm_attention = nn.LayerNorm(dim, elementwise_affine=False)
        self.attention = SelfAttention(dim, config.num_heads, config.qk_norm)
        self.norm_cross = nn.LayerNorm(dim) if cross else None
        self.cross = CrossAttention(dim, config.num_heads) if cross else None
        self.norm_ff = nn.LayerNorm(dim, elementwise_affine=False)
        self.ff = FeedForward(dim, mult=config.ff_mult, glu=True, dropout=config.dropout, no_bias=True)
        self.adapter = LevelAdapter(dim, levels, config.level_adapter_rank) if config.level_adapter_rank else None

    def forward(self, x: Tensor, index: int, tokens: Tokens, modulation: Modulation, attend: Attend) -> Tensor:
        """x [B, N, D] -> [B, N, D]."""
        lengths = tokens.lengths
        h = scale_and_shift(self.norm_attention(x), lengths, modulation.shift_attention, modulation.scale_attention)
        x = gated_sum(x, lengths, modulation.gate_attention, self.attention(h, index, tokens, attend))
        if self.cross is not None and self.norm_cross is not None and tokens.cross is not None:
            x = x + self.cross(self.norm_cross(x), tokens.cross, tokens.cross_mask)
        h = scale_and_shift(self.norm_ff(x), lengths, modulation.shift_ff, modulation.scale_ff)
        h = self.ff(h) if self.adapter is None else self.adapter(self.ff(h), tokens)
        return gated_sum(x, lengths, modulation.gate_ff, h)
