"""Starting weights from data: outputs at unit variance, projections along principal axes, codebooks by k-means. With SNAC's
default weights the signal fades layer by layer, and training needs thousands of steps to recover.
Letters: B batch, C channels, N audio samples, D codebook dimensions.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from einops import rearrange
from snac import SNAC
from snac.layers import NoiseBlock, ResidualUnit
from snac.vq import VectorQuantize
from torch import Tensor, nn
from torch.nn.utils import parametrize

from snac_plugin.codec.quantise import on_sphere, pool, unpool
from snac_plugin.codec_training.codebooks import RunningCodebook, nearest_direction

log = logging.getLogger(__name__)

K_MEANS_STEPS = 8
BRANCH, NOISE, AUDIO = 0.5, 0.1, 0.1
"""Standard deviations at the end of a residual branch, of a noise block's gain, and of the decoded audio."""


@torch.no_grad()
def initialise_from_data(model: SNAC, audio: Tensor) -> None:
    """Rescale a new model's random weights so that audio [B, 1, N] passes it at unit variance."""
    wanted = {module: 1.0 for module in model.modules() if isinstance(module, (nn.Conv1d, nn.ConvTranspose1d))}
    for module in model.modules():
        if isinstance(module, ResidualUnit):
            wanted[module.block[-1]] = BRANCH
        elif isinstance(module, NoiseBlock):
            wanted[module.linear] = NOISE
    wanted[model.decoder.model[-2]] = AUDIO
    for level in model.quantizer.quantizers:
        del wanted[level.in_proj], wanted[level.out_proj]
    handles = [module.register_forward_hook(_rescale(scale)) for module, scale in wanted.items()]
    residual = model.encoder(model.preprocess(audio))
    z_q = torch.zeros_like(residual)
    for level in model.quantizer.quantizers:
        pooled = pool(level, residual)
        _project_on_principal_axes(level, pooled)
        step = unpool(level, level.in_proj(pooled))
        residual, z_q = residual - step, z_q + step
    model.decoder(z_q)
    for handle in handles:
        handle.remove()


def _rescale(scale: float) -> Callable[[nn.Conv1d | nn.ConvTranspose1d, tuple[Tensor, ...], Tensor], Tensor]:
    """A forward hook that gives a convolution's output mean 0 and the wanted standard deviation, channel by channel."""

    def hook(module: nn.Conv1d | nn.ConvTranspose1d, _: tuple[Tensor, ...], out: Tensor) -> Tensor:
        transposed = isinstance(module, nn.ConvTranspose1d)  # its weight norm runs over input channels: one factor for all
        axes = (0, 1, 2) if transposed else (0, 2)
        std = out.std(dim=axes, keepdim=True)
        factor = scale / std.clamp_min(0.05 * float(std.mean()) + 1e-8)
        _write(module, module.weight * (factor if transposed else factor.view(-1, 1, 1)))
        if module.bias is None:
            return out * factor
        mean = out.mean(dim=(0, 2))
        module.bias.copy_((module.bias - mean) * factor.flatten())
        return (out - mean[None, :, None]) * factor

    return hook


def _write(module: nn.Module, weight: Tensor) -> None:
    """Set a weight in place: assigning to one under weight norm would replace its parameters, and DDP would keep the old ones."""
    if not parametrize.is_parametrized(module, "weight"):
        cast(Tensor, module.weight).copy_(weight)
        return
    norm = cast(Any, module.parametrizations).weight
    for original, value in zip((norm.original0, norm.original1), norm[0].right_inverse(weight), strict=True):
        original.copy_(value)


def _project_on_principal_axes(level: VectorQuantize, pooled: Tensor) -> None:
    """Project one level's input [B, C, T] on its first D principal axes, to unit variance, and back again."""
    flat = pooled.transpose(1, 2).flatten(0, 1)
    mean = flat.mean(0)
    values, axes = torch.linalg.eigh((flat - mean).T.double().cov())
    size = values[-level.codebook_dim :].clamp_min(1e-6 * float(values[-1])).sqrt()
    axes = axes[:, -level.codebook_dim :]
    down, up = (axes / size).T.float(), (axes * size).float()
    _write(level.in_proj, down[..., None])
    _write(level.out_proj, up[..., None])
    level.in_proj.bias.copy_(-down @ mean)
    level.out_proj.bias.copy_(mean)


@torch.no_grad()
def start_codebooks(levels: Iterable[tuple[VectorQuantize, RunningCodebook]], z: Tensor, generator: torch.Generator) -> None:
    """Start each codebook by k-means, coarsest first, on what the levels before it leave of the encoder's output z [B, C, T].

    `generator`, on the CPU, draws the first code vectors.
    """
    residual = z
    for level, book in levels:
        vectors = rearrange(on_sphere(level.in_proj(pool(level, residual))), "b d t -> (b t) d")
        weight = level.codebook.weight.data
        book.start(weight, vectors, K_MEANS_STEPS, generator)
        codes = nearest_direction(vectors, weight)
        residual = residual - unpool(level, rearrange(weight[codes], "(b t) d -> b d t", b=len(z)))
        error = float((vectors - weight[codes]).square().mean() / vectors.square().mean())
        log.info("codebook, stride %d: starts with %d codes, error %.3f", level.stride, len(codes.unique()), error)
