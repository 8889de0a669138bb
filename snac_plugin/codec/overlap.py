"""Long files in overlapping tiles whose results equal those of the whole file: how much context a tile needs."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from snac import SNAC
from snac.attention import LocalMHA
from torch import Tensor, nn

from snac_plugin.levels import Levels


class Tile(NamedTuple):
    """Frames [start, stop) of a file, computed from its frames [first, last)."""

    first: int
    start: int
    stop: int
    last: int


def tiles(frames: int, keep: int, margin: int) -> Iterator[Tile]:
    """Cut a file into tiles of `keep` frames with `margin` frames of context at each side, both whole attention windows."""
    for start in range(0, frames, keep):
        stop = min(start + keep, frames)
        yield Tile(max(0, start - margin), start, stop, min(frames, stop + margin))


def run_in_tiles(
    x: Tensor, run: Callable[[Tensor, int], Tensor], keep: int, margin: int, before: int = 1, after: int = 1
) -> Tensor:
    """Run over the last axis of a file x tile by tile: `run` takes a part of x and the number of its first frame.

    A frame is `before` steps of x and `after` steps of the result. See `tiles` for `keep` and `margin`.
    """
    done = []
    for tile in tiles(x.shape[-1] // before, keep, margin):
        out = run(x[..., tile.first * before : tile.last * before], tile.first)
        done.append(out[..., (tile.start - tile.first) * after : (tile.stop - tile.first) * after])
    return torch.cat(done, dim=-1)


def margin_frames(model: SNAC, levels: Levels) -> int:
    """Frames of context beyond which nothing reaches the outputs of encoder and decoder, a multiple of the grid."""
    encoder = _reach(model.encoder.block, samples_per_step=1.0)
    decoder = _reach(model.decoder.model, samples_per_step=float(levels.hop))
    grid = levels.frame_samples * levels.grid_frames
    return math.ceil(max(encoder, decoder) / grid) * levels.grid_frames


def _reach(layers: nn.Module, samples_per_step: float) -> float:
    """Audio samples to either side that one output of a stack of SNAC's layers depends on, at most."""
    reach, step = 0.0, samples_per_step
    for layer in layers.modules():  # in the order in which the signal passes them
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
