"""Long files in overlapping pieces whose results equal those of the whole file: how much context a piece needs.

Letters: T frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from snac import SNAC
from snac.attention import LocalMHA
from snac.layers import DecoderBlock, EncoderBlock, ResidualUnit
from torch import nn

from snac_plugin.levels import Levels


@dataclass(frozen=True)
class Piece:
    """Frames [start, stop) of a file, computed from frames [first, last) of it."""

    first: int
    start: int
    stop: int
    last: int


def pieces(frames: int, keep: int, margin: int) -> Iterator[Piece]:
    """Cut a file into pieces of `keep` frames with up to `margin` frames of context at each side.

    Args:
        frames: of the whole file, a multiple of the grid.
        keep: frames that each piece contributes, a multiple of the grid.
        margin: frames of context, a multiple of the grid, so that attention windows fall as in the whole file.
    """
    for start in range(0, frames, keep):
        stop = min(start + keep, frames)
        yield Piece(max(0, start - margin), start, stop, min(frames, stop + margin))


def margin_frames(model: SNAC, levels: Levels) -> int:
    """Frames of context after which encoder and decoder no longer notice where a piece was cut, on the grid of frames.

    Both reach a little over one attention window: convolutions on both sides of it, and any code of the window itself.
    """
    encoder = _reach(model.encoder.block, samples_per_step=1.0)
    decoder = _reach(model.decoder.model, samples_per_step=float(levels.hop))
    grid = levels.frame_samples * levels.grid_frames
    return math.ceil(max(encoder, decoder) / grid) * levels.grid_frames


def _reach(layers: nn.Module, samples_per_step: float) -> float:
    """Audio samples to either side that one output of a stack of SNAC's layers depends on, at most."""
    reach, step = 0.0, samples_per_step
    for layer in _flat(layers):
        if isinstance(layer, LocalMHA):
            reach += step * layer.window_size
        elif isinstance(layer, nn.ConvTranspose1d):
            reach += step * 2  # a kernel of two strides spreads one input over its neighbours' outputs
            step /= layer.stride[0]
        elif isinstance(layer, nn.Conv1d):
            spread = layer.dilation[0] * (layer.kernel_size[0] - 1)
            reach += step * (spread / 2 if layer.stride[0] == 1 else spread)
            step *= layer.stride[0]
    return reach


def _flat(module: nn.Module) -> Iterator[nn.Module]:
    """Layers in the order in which the signal passes them."""
    if isinstance(module, (EncoderBlock, DecoderBlock, ResidualUnit)):
        module = module.block
    if isinstance(module, nn.Sequential):
        for part in module:
            yield from _flat(part)
    else:
        yield module
