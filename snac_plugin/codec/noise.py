"""Noise for SNAC's decoder that depends on a seed and the place in the file, and on nothing else.

SNAC draws it from the global generator. Drawn here by place, the same seed gives the same wav, pieces of a file join without
a seam, and nobody else's random numbers change.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

TILE_FRAMES = 16


def noise_at(seed: int, block: int, first: int, count: int, per_frame: int) -> Tensor:
    """Standard normal noise [count] of one noise block.

    Args:
        seed: of the whole file.
        block: number of the noise block in the decoder.
        first: place of the first value from the start of the file.
        count: how many values.
        per_frame: values of this block in one frame.
    """
    size = TILE_FRAMES * per_frame
    tiles = range(first // size, -(-(first + count) // size))
    joined = torch.cat([_tile(seed, block, tile, size) for tile in tiles])
    offset = first - tiles.start * size
    return joined[offset : offset + count]


def _tile(seed: int, block: int, tile: int, size: int) -> Tensor:
    mixed = np.random.SeedSequence([seed % 2**64, block, tile]).generate_state(2, np.uint32)
    generator = torch.Generator().manual_seed(int(mixed[0]) << 32 >> 1 | int(mixed[1]))
    return torch.randn(size, generator=generator, dtype=torch.float32)  # whatever the default: the same noise


class PlacedNoise:
    """The noise of frames that begin at `first_frame` of their files.

    Args:
        seeds: one an example of the batch.
        first_frame: of what is decoded.
        frames: how many are decoded.
    """

    def __init__(self, seeds: Sequence[int], first_frame: int, frames: int) -> None:
        self.seeds, self.first_frame, self.frames = seeds, first_frame, frames

    def __call__(self, block: int, x: Tensor) -> Tensor:
        """Noise [B, 1, T] for the input [B, C, T] of a noise block."""
        per_frame = x.shape[-1] // self.frames
        first = self.first_frame * per_frame
        rows = [noise_at(seed, block, first, x.shape[-1], per_frame) for seed in self.seeds]
        return torch.stack(rows)[:, None].to(x.device, x.dtype)
