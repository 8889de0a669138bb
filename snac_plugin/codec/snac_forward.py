"""SNAC's forward pass with what its own keeps to itself: the vectors before and after each codebook, the decoder's noise.

The modules and weights are SNAC's own; only the way through them is written here. Codec training needs the projections of
each level, a way round the codebooks (warm-up), and on a CPU two faster paths that a compiler can fuse; decoding needs noise
that depends on nothing but a seed and the place in the file. Tests hold all of it equal to SNAC's forward.

Letters: B batch, N audio samples, D codebook dimensions, C latent channels, T codes of one level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from snac.layers import Decoder, DecoderBlock, Encoder, EncoderBlock, NoiseBlock, ResidualUnit, Snake1d
from snac.vq import VectorQuantize
from torch import Tensor, nn
from torch.nn import functional


def run_module(module: nn.Module, x: Tensor) -> Tensor:
    """What `module(x)` computes, with snakes and depthwise convolutions written out so that torch.compile fuses them."""
    if isinstance(module, (EncoderBlock, DecoderBlock, Encoder)):
        return run_module(module.block, x)
    if isinstance(module, Decoder):
        return run_module(module.model, x)
    if isinstance(module, ResidualUnit):
        return x + run_module(module.block, x)
    if isinstance(module, nn.Sequential):
        for part in module:
            x = run_module(part, x)
        return x
    if isinstance(module, Snake1d):
        return x + (module.alpha + 1e-9).reciprocal() * torch.sin(module.alpha * x).square()
    if isinstance(module, nn.Conv1d) and module.groups == module.in_channels > 1 and module.stride == (1,):
        return _depthwise(module, x)
    return module(x)


def _depthwise(conv: nn.Conv1d, x: Tensor) -> Tensor:
    """A depthwise convolution as a sum of shifted inputs: PyTorch has no fast kernel for its gradient on a CPU."""
    weight, spread, length = conv.weight, conv.dilation[0], x.shape[-1]
    padding = spread * (conv.kernel_size[0] - 1) // 2
    padded = functional.pad(x, (padding, padding))
    assert conv.bias is not None
    y = conv.bias[None, :, None]
    for tap in range(conv.kernel_size[0]):
        y = y + weight[:, 0, tap][None, :, None] * padded[..., tap * spread : tap * spread + length]
    return y


@dataclass
class Quantised:
    """What one pass through the codebooks gives.

    Args:
        z_q: [B, C, T] sum of all levels, what the decoder hears.
        vectors: [B, D, T_level] a level: the encoder's side of each codebook, `on_sphere`.
        chosen: [B, D, T_level] a level: the code vectors chosen (the vectors themselves without codebooks).
        codes: [B, T_level] a level, empty without codebooks.
    """

    z_q: Tensor
    vectors: list[Tensor]
    chosen: list[Tensor]
    codes: list[Tensor]


class HasQuantizer(Protocol):
    """A SNAC model, or whatever else holds its `quantizer`."""

    quantizer: Any


def quantise(
    model: HasQuantizer, z: Tensor, noise: float | None = None, kept: Tensor | None = None, keep_lengths: bool = False
) -> Quantised:
    """SNAC's residual quantiser over z [B, C, T].

    Args:
        model: whose codebooks.
        z: the encoder's output.
        noise: None quantises; a number goes round the codebooks and adds noise of this standard deviation (vectors have 1) instead.
        kept: [B] how many levels, coarsest first, the decoder hears of each example; all by default.
        keep_lengths: give each vector the length of the code it chose, not all the same: for codebooks with lengths of their own.
    """
    out = Quantised(torch.zeros_like(z), [], [], [])
    residual = z
    for index, level in enumerate(model.quantizer.quantizers):
        pooled = functional.avg_pool1d(residual, level.stride, level.stride) if level.stride > 1 else residual
        vectors = on_sphere(level.in_proj(pooled))
        if noise is None:
            chosen, codes = level.decode_latents(vectors)
            if keep_lengths:
                vectors = functional.normalize(vectors, dim=1) * chosen.detach().norm(dim=1, keepdim=True)
            passed = vectors + (chosen - vectors).detach()
            out.codes.append(codes)
        else:
            chosen = vectors
            passed = vectors + noise * torch.randn_like(vectors)
        z_q = _project(level, passed)
        residual = residual - z_q
        out.z_q = out.z_q + (z_q if kept is None else z_q * (kept > index)[:, None, None])
        out.vectors.append(vectors)
        out.chosen.append(chosen)
    return out


def on_sphere(vectors: Tensor) -> Tensor:
    """Vectors [B, D, T] scaled to length sqrt(D).

    SNAC compares directions, so lengths are lost to the codes. Were they passed straight through in training, the decoder
    could not answer them, and encoders that try harder and harder outgrow their codebooks.
    """
    return functional.normalize(vectors, dim=1) * vectors.shape[1] ** 0.5


def _project(level: VectorQuantize, vectors: Tensor) -> Tensor:
    """Code vectors [B, D, T_level] to the decoder's channels and the finest level's grid [B, C, T]."""
    z_q = level.out_proj(vectors)
    return z_q.repeat_interleave(level.stride, dim=-1) if level.stride > 1 else z_q


def commitment(quantised: Quantised) -> Tensor:
    """Mean over levels of ||z_e - sg(z_q)||^2 / ||sg(z_q)||^2: relative, so that shrinking every vector gains nothing."""
    terms = [
        (vectors - chosen.detach()).square().mean() / chosen.detach().square().mean().clamp_min(1e-8)
        for vectors, chosen in zip(quantised.vectors, quantised.chosen, strict=True)
    ]
    return torch.stack(terms).mean()


def centring(quantised: Quantised) -> Tensor:
    """Mean over levels of ||mean z_e||^2 / mean ||z_e||^2: keeps the vectors' directions from drifting to one side."""
    flat = [vectors.transpose(1, 2).flatten(0, 1) for vectors in quantised.vectors]
    return torch.stack([v.mean(0).square().sum() / v.square().sum(1).mean().clamp_min(1e-8) for v in flat]).mean()


NoiseOf = Callable[[int, Tensor], Tensor]
"""Noise of the decoder: called with the number of the noise block, from 0, and its input [B, C, T]; gives [B, 1, T]."""


def decode_with_noise(decoder: Decoder, z_q: Tensor, noise: NoiseOf) -> Tensor:
    """What `decoder(z_q)` computes, with the noise of its noise blocks from elsewhere than the global generator.

    Args:
        decoder: SNAC's.
        z_q: [B, C, T] at the finest level's rate.
        noise: where it comes from.

    Returns:
        Audio [B, 1, N].
    """
    x, block_number = z_q, 0
    for layer in decoder.model:
        for part in layer.block if isinstance(layer, DecoderBlock) else (layer,):
            if isinstance(part, NoiseBlock):
                x = x + noise(block_number, x) * part.linear(x)
                block_number += 1
            else:
                x = part(x)
    return x
