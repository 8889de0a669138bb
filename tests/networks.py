"""Small float64 networks over the grids of SNAC's published codecs."""

import torch

from snac_plugin.config import NetworkConfig
from snac_plugin.levels import Levels
from snac_plugin.model.backbones import network_of
from snac_plugin.model.network import SnacDiT

FOUR_LEVELS = Levels(strides=(8, 4, 2, 1), hop=384, attn_window=32, sample_rate=32000)
THREE_LEVELS = Levels(strides=(4, 2, 1), hop=512, attn_window=None, sample_rate=24000)

TOKENS: dict[str, dict] = {
    "a token for each code": {},
    "patches": {"patch": {"C": 2}},
    "patches, read by code": {"patch": {"B": 2, "C": 4}, "read_out": "code"},
    "a token for each frame and level, read by code": {"patch": "frame", "read_out": "code"},
    "a token for each frame and level, codes mixed": {"patch": "frame", "read_out": "mixed"},
}
"""Ways to make tokens of codes and to read codes out of tokens."""


def make_network(levels: Levels, masks: bool = False, **options: object) -> SnacDiT:
    """A small float64 network whose every weight matters: what starts at zero is drawn at random."""
    torch.manual_seed(0)
    small = {"dim": 32, "depth": 2, "num_heads": 2, "head": "velocity", "modulation_rank": 4, "chunk_frames": 3}
    config = NetworkConfig(**small | options)
    network = network_of(config, levels, masks).double()
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    return network.eval()
