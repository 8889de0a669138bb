"""Noise for SNAC's decoder that depends on a seed and the place in the file alone, so that pieces of a file join without a seam.
Letters: B batch, N audio samples, C channels, T steps of a layer or finest codes.
"""

from collections.abc import Callable, Sequence

import torch
from snac.layers import Decoder, DecoderBlock, NoiseBlock
from torch import Tensor

from snac_plugin.diffusion.seeds import decoder_noise_seed

DRAWN_FRAMES = 16
"""Frames whose noise one generator draws."""


def decode_with_noise(decoder: Decoder, z_q: Tensor, noise: Callable[[int, Tensor], Tensor]) -> Tensor:
    """The audio [B, 1, N] that SNAC's decoder makes of z_q [B, C, T]; SNAC itself draws noise from the global generator.

    `noise` takes the number of the noise block, from 0, and the block's input [B, C, T], and returns [B, 1, T].
    """
    x, block = z_q, 0
    for layer in decoder.model:
        for part in layer.block if isinstance(layer, DecoderBlock) else (layer,):
            if isinstance(part, NoiseBlock):
                x = x + noise(block, x) * part.linear(x)
                block += 1
            else:
                x = part(x)
    return x


class PlacedNoise:
    """Noise for frames that begin at `first_frame` of their files; one seed an example of the batch."""

    def __init__(self, seeds: Sequence[int], first_frame: int, frames: int) -> None:
        self.seeds, self.first_frame, self.frames = seeds, first_frame, frames

    def __call__(self, block: int, x: Tensor) -> Tensor:
        """Noise [B, 1, T] for the input [B, C, T] of a noise block."""
        per_frame = x.shape[-1] // self.frames
        rows = [noise_at(seed, block, self.first_frame * per_frame, x.shape[-1], per_frame) for seed in self.seeds]
        return torch.stack(rows)[:, None].to(x.device, x.dtype)


def noise_at(seed: int, block: int, first: int, count: int, per_frame: int) -> Tensor:
    """Standard normal noise [count] of a noise block, from its value `first` of the file on; a frame has `per_frame` values."""
    size = DRAWN_FRAMES * per_frame
    draws = range(first // size, -(-(first + count) // size))
    generators = [torch.Generator().manual_seed(decoder_noise_seed(seed, block, number)) for number in draws]
    # The same noise whatever the default type.
    noise = torch.cat([torch.randn(size, generator=generator, dtype=torch.float32) for generator in generators])
    return noise[first - draws.start * size :][:count]
