"""A network whose activations and weights keep their magnitude, by EDM2's mathematics (Karras et al. 2024, arXiv:2312.02696).

Weights are unit vectors, one for each output, and every sum is weighed so that what has unit magnitude keeps it: the root of the
mean square over a token's channels is 1. Letters: B batch, N tokens, S segments, D width, H heads, E dimensions of a head.
"""

import math
from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn

from snac_plugin.config import NetworkConfig
from snac_plugin.model.adaptive_layer_norm import scale_and_shift
from snac_plugin.model.attention import attention, rotate, usable_mask
from snac_plugin.model.blocks import Attend, Tokens
from snac_plugin.model.conditions import Conditions
from snac_plugin.model.network import TIME_FEATURES, SnacDiT
from snac_plugin.model.visibility import Segment

SMALLEST = 1e-4
BRANCH = 0.3
"""Share of a block's branch in its sum with the main path, as in the paper's residual and attention blocks."""


def unit(x: Tensor) -> Tensor:
    """x [..., D] of unit magnitude, or of zeros where it is zero: pixel normalisation."""
    root = x.shape[-1] ** 0.5
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32))
    return x * (root / norm.clamp(min=SMALLEST * root)).to(x.dtype)


def mp_sum(a: Tensor, b: Tensor, share: float) -> Tensor:
    """((1 - share) a + share b) / sqrt((1 - share)^2 + share^2): eq. 88."""
    whole = math.hypot(1 - share, share)
    return torch.add(a * ((1 - share) / whole), b.to(a.dtype), alpha=share / whole)


def mp_silu(x: Tensor) -> Tensor:
    """silu(x) / 0.596, the root of its mean square for Gaussian x: eq. 81."""
    return nn.functional.silu(x) / 0.596


class MPLinear(nn.Module):
    """W x / |W_row| for each row: eq. 47, with rows of unit norm in place of unit variance, so that usual learning rates hold.

    With `one` there is a channel of ones beside the input, the only bias that EDM2 has.
    """

    def __init__(self, width: int, out: int, one: bool = False) -> None:
        super().__init__()
        self.one = one
        self.weight = nn.Parameter(torch.randn(out, width + one))
        self.normalise()

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x, torch.ones_like(x[..., :1])], dim=-1) if self.one else x
        return nn.functional.linear(x, self._unit_rows())

    def _unit_rows(self) -> Tensor:
        return self.weight / self.weight.norm(dim=1, keepdim=True).clamp(min=SMALLEST)

    @torch.no_grad()
    def normalise(self) -> None:
        """Forced weight normalisation, eq. 66: or weights grow, and with them the steps lose effect."""
        self.weight.copy_(self._unit_rows())


class Gain(nn.Module):
    """x * gain, zero at the start; the factor lets a single number learn at the pace of a row of D weights."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gain, self.factor = nn.Parameter(torch.zeros(())), dim**0.5

    def forward(self, x: Tensor) -> Tensor:
        return x * (self.factor * self.gain).to(x.dtype)


class MPModulation(nn.Module):
    """1 + gain * W c for attention and feed-forward of each block, without shifts (figure 2, config G)."""

    def __init__(self, dim: int, depth: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(nn.Sequential(MPLinear(dim, 2 * dim), Gain(dim)) for _ in range(depth))

    def forward(self, embedding: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Segment embeddings [B, S, D] -> two scales [B, S, D] a block, less 1."""
        return [(first, second) for first, second in (one(embedding).chunk(2, dim=-1) for one in self.projections)]


class MPBlock(nn.Module):
    """Cosine attention, optional cross-attention and a gated feed-forward, each joined by `mp_sum`."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        dim, inner, cross = config.dim, round(config.dim * config.ff_mult), config.cond_token_dim > 0
        self.num_heads = config.num_heads
        self.to_qkv, self.to_out = MPLinear(dim, 3 * dim), MPLinear(dim, dim)
        self.to_cross_q, self.to_cross_kv = (MPLinear(dim, n * dim) if cross else None for n in (1, 2))
        self.to_cross_out = nn.Sequential(MPLinear(dim, dim), Gain(dim)) if cross else None
        self.ff_in, self.ff_out = MPLinear(dim, 2 * inner), MPLinear(inner, dim)

    def forward(self, x: Tensor, index: int, tokens: Tokens, modulation: tuple[Tensor, Tensor], attend: Attend) -> Tensor:
        """x [B, N, D] -> [B, N, D]."""
        x = unit(x)
        q, k, v = (unit(one) for one in self._heads(self.to_qkv(_scaled(x, tokens.lengths, modulation[0])), 3))
        q, k = (rotate(one, tokens.cos, tokens.sin).to(v.dtype) for one in (q, k))
        x = mp_sum(x, self.to_out(rearrange(attend(index, q, k, v), "b h n e -> b n (h e)")), BRANCH)
        if self.to_cross_q is not None and self.to_cross_kv is not None and tokens.cross is not None:
            assert self.to_cross_out is not None
            (q,), (k, v) = self._heads(self.to_cross_q(unit(x)), 1), self._heads(self.to_cross_kv(unit(tokens.cross)), 2)
            seen = attention(unit(q), unit(k), unit(v), usable_mask(tokens.cross_mask))
            x = x + self.to_cross_out(rearrange(seen, "b h n e -> b n (h e)"))  # its gain is zero at first: no sum of equals
        x = unit(x)  # attention gives averages of values, which are smaller
        gate, value = self.ff_in(_scaled(x, tokens.lengths, modulation[1])).chunk(2, dim=-1)
        return mp_sum(x, self.ff_out(mp_silu(gate) * value), BRANCH)

    def _heads(self, x: Tensor, count: int) -> Tensor:
        return rearrange(x, "b n (c h e) -> c b h n e", c=count, h=self.num_heads)


class MagnitudePreservingDiT(SnacDiT):
    """The same tokens, levels and visibility around blocks that keep magnitudes."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        config, levels, dim = self.config, self.levels, self.config.dim
        self.to_tokens = nn.ModuleList(MPLinear(patch * levels.codebook_dim, dim, one=True) for patch in self.patches)
        self.embed_time = nn.Sequential(MPLinear(TIME_FEATURES, dim))
        for name in ("embed_cross", "embed_global", "embed_prepended"):
            if (made := getattr(self, name)) is not None:
                setattr(self, name, nn.Sequential(MPLinear(made[0].in_features, dim, one=True)))
        self.modulate_out = nn.Sequential(MPLinear(dim, dim), Gain(dim))  # type: ignore[assignment]
        width = levels.codebook_dim if config.head == "velocity" else levels.codebook_size
        self.heads = nn.ModuleList(nn.Sequential(Gain(dim), MPLinear(dim, width)) for _ in self.heads)  # of D, not of all codes
        if config.read_out == "code" or max(self.patches) > 1:
            self.to_codes = nn.ModuleList(MPLinear(dim, patch * dim) for patch in self.patches)
        self.own_vector = nn.ModuleList(MPLinear(levels.codebook_dim, dim, one=True) for _ in self.own_vector)
        for table in (self.token_embedding, self.segment_embedding, *self.mask_vectors):
            nn.init.normal_(table)

    def _build_trunk(self) -> None:
        config = self.config
        self.blocks = nn.ModuleList(MPBlock(config) for _ in range(config.depth))
        self.modulation, self.skips = MPModulation(config.dim, config.depth), nn.ModuleList()

    def normalise_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, MPLinear):
                module.normalise()

    def embed_segments(self, segments: Sequence[Segment], t: Tensor, conditions: Conditions) -> Tensor:
        which = torch.tensor([segment.level for segment in segments], device=t.device)
        features = 2**0.5 * self.fourier(t[..., None])  # cosines and sines: eq. 75
        embedding = mp_sum(self.embed_time(features), unit(self.segment_embedding[which]), 0.5)
        if conditions.embedding is not None and self.embed_global is not None:
            vectors = unit(self.embed_global(conditions.embedding))
            each = [segment.chunk + 1 for segment in segments]
            embedding = mp_sum(embedding, vectors[:, None] if vectors.ndim == 2 else vectors[:, each], 0.5)
        return mp_silu(embedding)

    def read_out(self, level: int, hidden: Tensor, lengths: Sequence[int], embedding: Tensor, noised: Tensor) -> Tensor:
        read = self.to_codes[level](_scaled(unit(hidden), lengths, self.modulate_out(embedding)))
        codes = rearrange(read, "b n (p d) -> b (n p) d", p=self.patches[level])
        if len(self.own_vector):
            codes = mp_silu(mp_sum(codes, unit(self.own_vector[level](noised)), 0.5))
        return self.heads[level](codes)


def _scaled(x: Tensor, lengths: Sequence[int], scale: Tensor) -> Tensor:
    """x [B, N, D] times 1 + scale [B, S, D] of its segment."""
    return scale_and_shift(x, lengths, torch.zeros_like(scale), scale)
