"""Long files in overlapping pieces whose results equal those of the whole file: how much context a piece needs."""

import math
from collections.abc import Callable

import torch
from snac import SNAC
from snac.attention import LocalMHA
from torch import Tensor, nn

from snac_plugin.levels import Levels


def run_in_pieces(
    x: Tensor, run: Callable[[Tensor, int], Tensor], keep: int, margin: int, before: int = 1, after: int = 1
) -> Tensor:
    """Run over the last axis of a file x in pieces: `run` takes a part of x and the number of its first frame.

    A frame is `before` steps of x and `after` steps of the result. A piece is `keep` frames with `margin` frames of context at each
    side, both whole attention windows.
    """
    done = []
    for start in range(0, x.shape[-1] // before, keep):
        first, stop = max(0, start - margin), start + keep
        out = run(x[..., first * before : (stop + margin) * before], first)
        done.append(out[..., (start - first) * after : (stop - first) * after])
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
