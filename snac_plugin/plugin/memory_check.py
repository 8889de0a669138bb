"""Whether a network's weights fit the memory of this machine, asked before they are built.

The system ends a program that fills the memory, without a word.
"""

import functools
from collections.abc import Callable

import psutil
import torch
from torch import nn

from snac_plugin.config import NetworkConfig
from snac_plugin.errors import ConfigError
from snac_plugin.levels import Levels
from snac_plugin.model.backbones import network_of

BYTES = 4  # of a weight: networks are built in float32 on the CPU, whatever device and precision come later


def network_weights(config: NetworkConfig, levels: Levels, masks: bool = False) -> int:
    """How many weights `network_of` would build, from two shallow networks: two blocks more, or a pair that a long skip joins, have
    the same number at any depth."""
    start = 2 - config.depth % 2
    shallow = (config.model_copy(update={"depth": depth}) for depth in (start, start + 2))
    fewer, more = (weights_of(functools.partial(network_of, network, levels, masks)) for network in shallow)
    return fewer + (config.depth - start) // 2 * (more - fewer)


def weights_of(build: Callable[[], nn.Module]) -> int:
    """How many weights the module has that `build` makes; it takes no memory."""
    with torch.device("meta"):
        return sum(weight.numel() for weight in build().parameters())


def check_memory(where: str, weights: int) -> None:
    """A ConfigError at the JSON path `where` if so many weights need more memory than is free here."""
    needed, free = (size / 2**30 for size in (BYTES * weights, psutil.virtual_memory().available))
    if needed > free:
        expected = f"at most the {free:,.1f} GiB of memory that are free here"
        advice = "Make the network narrower or shallower, or take a machine with more memory."
        raise ConfigError(where, f"{weights:,} weights, which take {needed:,.1f} GiB", expected, advice)
