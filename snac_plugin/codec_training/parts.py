"""SNAC's encoder and decoder as stable-audio-tools' autoencoders take them, and the way back to a SNAC model.

Letters: B batch, N audio samples, C latent channels, T finest codes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from snac import SNAC
from snac.layers import Decoder, Encoder
from torch import Tensor
from torch.nn import functional

from snac_plugin.codec.snac_forward import run_module


class SnacEncoder(Encoder):
    """SNAC's encoder, audio [B, 1, N] to [B, C, T]; it pads audio with silence as SNAC does before it encodes.

    Args:
        encoder_dim: channels of the first layer; each rate doubles them.
        encoder_rates: strides.
        attn_window_size: finest codes in a window of local attention; None leaves attention out.
        depthwise: convolve each channel on its own.
        pad_to: audio is padded to a multiple of so many samples; by default to whole attention windows.
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
        hop = int(torch.tensor(list(encoder_rates)).prod())
        self.pad_to = pad_to or hop * (attn_window_size or 1)
        self.fast: Callable[[Tensor], Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        padding = -x.shape[-1] % self.pad_to
        x = functional.pad(x, (0, padding)) if padding else x
        return self.fast(x) if self.fast is not None and torch.is_grad_enabled() else self.block(x)


class SnacDecoder(Decoder):
    """SNAC's decoder, [B, C, T] to audio [B, 1, N]. Its noise comes from the global generator.

    Args:
        latent_dim: C.
        decoder_dim: channels of the first layer; each rate halves them.
        decoder_rates: strides.
        attn_window_size: finest codes in a window of local attention; None leaves attention out.
        noise: with noise blocks.
        depthwise: convolve each channel on its own.
    """

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
    """Let torch.compile fuse what encoder and decoder do in training; it needs a C++ compiler on a CPU."""
    encoder, decoder = autoencoder.encoder, autoencoder.decoder
    encoder.fast = torch.compile(functools.partial(run_module, encoder.block))
    decoder.fast = torch.compile(functools.partial(run_module, decoder.model))


def snac_of(autoencoder: Any) -> SNAC:
    """The SNAC model whose parts an autoencoder of `snac` and `snac_rvq` parts holds; it shares their weights.

    Args:
        autoencoder: as stable-audio-tools builds it from a config; `snac_config` is the contents of SNAC's config.json.
    """
    with torch.device("meta"):
        model = SNAC(**autoencoder.snac_config)
    model.encoder, model.decoder = autoencoder.encoder, autoencoder.decoder
    model.quantizer = autoencoder.bottleneck.quantizer
    return model
