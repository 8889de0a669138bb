"""Adaptive layer norm: shifts, scales and gates of each block. Letters: B batch, S segments, N tokens, D width of the network."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Modulation(NamedTuple):
    """Six tensors [B, S, D] for one block."""

    shift_attention: Tensor
    scale_attention: Tensor
    gate_attention: Tensor
    shift_ff: Tensor
    scale_ff: Tensor
    gate_ff: Tensor


class AdaLNZero(nn.Module):
    """m = W_i SiLU(c), one projection a block, zero at the start (Peebles and Xie 2023, section 3.2)."""

    def __init__(self, dim: int, depth: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(zeroed(nn.Linear(dim, 6 * dim)) for _ in range(depth))

    def forward(self, embedding: Tensor) -> list[Modulation]:
        """Segment embeddings [B, S, D] -> one Modulation a block."""
        activated = nn.functional.silu(embedding)
        return [Modulation(*projection(activated).chunk(6, dim=-1)) for projection in self.projections]


class AdaLNSola(nn.Module):
    """m_i = W s + (a / r) B_i A_i s + T_i with s = SiLU(c) and a = r; W, B, T zero at the start (Hai et al. 2024, EzAudio, 3.2)."""

    def __init__(self, dim: int, depth: int, rank: int) -> None:
        super().__init__()
        self.shared = zeroed(nn.Linear(dim, 6 * dim, bias=False))
        downs = [nn.Linear(dim, 6 * rank, bias=False) for _ in range(depth)]
        self.down = nn.ModuleList(downs)
        self.up = nn.ModuleList(zeroed(nn.Linear(6 * rank, 6 * dim, bias=False)) for _ in range(depth))
        self.table = nn.Parameter(torch.zeros(depth, 6 * dim))
        for down in downs:  # drawn a second time, so that a seed goes on giving the same weights
            nn.init.kaiming_uniform_(down.weight, a=5**0.5)

    def forward(self, embedding: Tensor) -> list[Modulation]:
        activated = nn.functional.silu(embedding)
        shared = self.shared(activated)
        blocks = zip(self.down, self.up, self.table, strict=True)
        return [Modulation(*(shared + up(down(activated)) + row).chunk(6, dim=-1)) for down, up, row in blocks]


def zeroed(layer: nn.Linear) -> nn.Linear:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def scale_and_shift(x: Tensor, lengths: Sequence[int], shift: Tensor, scale: Tensor) -> Tensor:
    """x * (1 + scale) + shift with one scale and shift a segment: x [B, N, D], the others [B, S, D]."""
    scale = 1 + scale
    pieces = x.split(list(lengths), dim=1)
    return torch.cat([torch.addcmul(shift[:, i : i + 1], p, scale[:, i : i + 1]) for i, p in enumerate(pieces)], dim=1)


def gated_sum(x: Tensor, lengths: Sequence[int], gate: Tensor, branch: Tensor) -> Tensor:
    """x + gate * branch with one gate a segment: x and branch [B, N, D], gate [B, S, D]."""
    sizes = list(lengths)
    pairs = zip(x.split(sizes, dim=1), branch.split(sizes, dim=1), strict=True)
    return torch.cat([torch.addcmul(p, gate[:, i : i + 1], b) for i, (p, b) in enumerate(pairs)], dim=1)
