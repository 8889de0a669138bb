"""SNAC's residual quantiser with the vectors before and after each codebook, which its own forward does not give.
Letters: B batch, D codebook dimensions, C latent channels, T finest codes, T_level codes of one level.
"""

from dataclasses import dataclass, field

import torch
from snac.vq import ResidualVectorQuantize, VectorQuantize
from torch import Tensor
from torch.nn import functional


@dataclass
class Quantised:
    """The result of one pass through the codebooks; without codebooks `chosen` are the vectors themselves."""

    z_q: Tensor  # [B, C, T] sum of all levels, the decoder's input
    vectors: list[Tensor] = field(default_factory=list)  # [B, D, T_level] a level: the encoder's side, `on_sphere`
    chosen: list[Tensor] = field(default_factory=list)  # [B, D, T_level] a level: the code vectors chosen
    codes: list[Tensor] = field(default_factory=list)  # [B, T_level] a level, empty without codebooks


def quantise(
    quantizer: ResidualVectorQuantize, z: Tensor, noise: float | None = None, kept: Tensor | None = None, keep_lengths: bool = False
) -> Quantised:
    """SNAC's residual quantiser over z [B, C, T]; gradients pass the codebooks straight through.

    Args:
        noise: standard deviation of noise in place of the codebooks (vectors have 1); None quantises.
        kept: [B] number of levels, coarsest first, that each example is decoded from; all by default.
        keep_lengths: give each vector the length of the code it chose: for codebooks whose code vectors differ in length.
    """
    out = Quantised(torch.zeros_like(z))
    residual = z
    for index, level in enumerate(quantizer.quantizers):
        vectors = on_sphere(level.in_proj(pool(level, residual)))
        if noise is None:
            chosen, codes = level.decode_latents(vectors)
            if keep_lengths:
                vectors = functional.normalize(vectors, dim=1) * chosen.detach().norm(dim=1, keepdim=True)
            passed = vectors + (chosen - vectors).detach()
            out.codes.append(codes)
        else:
            chosen = vectors
            passed = vectors + noise * torch.randn_like(vectors)
        z_q = unpool(level, passed)
        residual = residual - z_q
        out.z_q = out.z_q + (z_q if kept is None else z_q * (kept > index)[:, None, None])
        out.vectors.append(vectors)
        out.chosen.append(chosen)
    return out


def on_sphere(vectors: Tensor) -> Tensor:
    """Vectors [B, D, T] scaled to length sqrt(D).

    SNAC compares directions. If lengths passed straight through, the decoder could not use them, and the encoder's vectors would
    outgrow the codebooks.
    """
    return functional.normalize(vectors, dim=1) * vectors.shape[1] ** 0.5


def pool(level: VectorQuantize, residual: Tensor) -> Tensor:
    """Latents [B, C, T] averaged to the rate of a level [B, C, T_level]."""
    return functional.avg_pool1d(residual, level.stride, level.stride) if level.stride > 1 else residual


def unpool(level: VectorQuantize, vectors: Tensor) -> Tensor:
    """Code vectors [B, D, T_level] of a level to the decoder's input [B, C, T]."""
    return level.out_proj(vectors).repeat_interleave(level.stride, dim=-1)
