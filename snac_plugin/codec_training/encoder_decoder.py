"""SNAC's encoder and decoder as parts of stable-audio-tools' autoencoders, and the SNAC model of such an autoencoder.
Letters: B batch, N audio samples, C latent channels, T finest codes.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from snac import SNAC
from snac.layers import Decoder, DecoderBlock, Encoder, EncoderBlock, ResidualUnit, Snake1d
from torch import Tensor, nn
from torch.nn import functional


class SnacEncoder(Encoder):
    """SNAC's encoder, audio [B, 1, N] to [B, C, T], with the arguments of SNAC's config.json.

    It pads audio with silence to a multiple of `pad_to` samples, by default to whole attention windows.
    """

    def __init__(
        self,
        encoder_dim: int,
        encoder_rates: Sequence[int],
        attn_window_size: int | None = 32,
        depthwise: bool = True,
        pad_to: int | None = None,
    ) -> None:
        super().__init__(encoder_dim, list(encoder_rates), depthwise=depthwise, attn_window_size=attn_window_size)
        self.pad_to = pad_to or math.prod(encoder_rates) * (attn_window_size or 1)
        self.fast: Callable[[Tensor], Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        x = functional.pad(x, (0, -x.shape[-1] % self.pad_to))
        return self.fast(x) if self.fast is not None and torch.is_grad_enabled() else self.block(x)


class SnacDecoder(Decoder):
    """SNAC's decoder, [B, C, T] to audio [B, 1, N], with the arguments of SNAC's config.json; noise by the global generator."""

    def __init__(
        self,
        latent_dim: int,
        decoder_dim: int,
        decoder_rates: Sequence[int],
        attn_window_size: int | None = 32,
        noise: bool = True,
        depthwise: bool = True,
    ) -> None:
        super().__init__(latent_dim, decoder_dim, list(decoder_rates), noise, depthwise, attn_window_size)
        self.fast: Callable[[Tensor], Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        return self.fast(x) if self.fast is not None and torch.is_grad_enabled() else self.model(x)


def compile_parts(autoencoder: Any) -> None:
    """Compile encoder and decoder for training; it needs a C++ compiler on a CPU."""
    encoder, decoder = autoencoder.encoder, autoencoder.decoder
    encoder.fast = torch.compile(functools.partial(run_fused, encoder.block))
    decoder.fast = torch.compile(functools.partial(run_fused, decoder.model))


def run_fused(module: nn.Module, x: Tensor) -> Tensor:
    """The output of `module(x)`, with snakes and depthwise convolutions written out so that torch.compile fuses them."""
    if isinstance(module, (EncoderBlock, DecoderBlock)):
        return run_fused(module.block, x)
    if isinstance(module, ResidualUnit):
        return x + run_fused(module.block, x)
    if isinstance(module, nn.Sequential):
        for part in module:
            x = run_fused(part, x)
        return x
    if isinstance(module, Snake1d):
        return x + (module.alpha + 1e-9).reciprocal() * torch.sin(module.alpha * x).square()
    if isinstance(module, nn.Conv1d) and module.groups == module.in_channels > 1 and module.stride == (1,):
        return _depthwise(module, x)
    return module(x)


def _depthwise(conv: nn.Conv1d, x: Tensor) -> Tensor:
    """A depthwise convolution as a sum of shifted inputs: PyTorch has no fast kernel for its gradient on a CPU."""
    weight, dilation, length = conv.weight, conv.dilation[0], x.shape[-1]
    padding = dilation * (conv.kernel_size[0] - 1) // 2
    padded = functional.pad(x, (padding, padding))
    assert conv.bias is not None
    y = conv.bias[None, :, None]
    for tap in range(conv.kernel_size[0]):
        y = y + weight[:, 0, tap][None, :, None] * padded[..., tap * dilation : tap * dilation + length]
    return y


def snac_of(autoencoder: Any) -> SNAC:
    """The SNAC model of an autoencoder of `snac` and `snac_rvq` parts, whose weights it shares."""
    with torch.device("meta"):
        model = SNAC(**autoencoder.snac_config)
    model.encoder, model.decoder = autoencoder.encoder, autoencoder.decoder
    model.quantizer = autoencoder.bottleneck.quantizer
    return model
