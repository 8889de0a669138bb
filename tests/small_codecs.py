"""Small randomly initialised codecs with SNAC's grids, and folders in the hub's format."""

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from snac import SNAC
from tiny import CODEC_24KHZ, CODEC_32KHZ

from snac_plugin.codec.load import CONFIG_KEYS, Codec, codes_fingerprint
from snac_plugin.codec_training.starting_weights import initialise_from_data
from snac_plugin.levels import Levels

SMALL: dict[str, dict[str, Any]] = {"32 kHz": CODEC_32KHZ, "24 kHz": CODEC_24KHZ}


def small_codec(name: str, seed: int = 0) -> Codec:
    """A codec of some ten thousand weights, scaled by noise so that its codes vary: a copy of its own for each call."""
    codec, random_state = _built(name, seed)
    torch.set_rng_state(random_state)
    return copy.deepcopy(codec)


@cache
def _built(name: str, seed: int) -> tuple[Codec, torch.Tensor]:
    """The codec, and the state of the generator after it was built."""
    config = CONFIG_KEYS | SMALL[name]
    torch.manual_seed(seed)
    model = SNAC(**config)
    initialise_from_data(model, 0.1 * torch.randn(2, 1, 2 * 12288))
    model.eval().requires_grad_(False)
    built = Codec(name, model, Levels.from_snac_config(config), config, codes_fingerprint(model.state_dict()))
    return built, torch.get_rng_state()


def write_hub_folder(folder: Path, config: dict[str, Any], seed: int = 0) -> SNAC:
    """A codec's folder as on the hub: config.json and pytorch_model.bin with random weights; returns the model."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model = SNAC(**config).eval()
    (folder / "config.json").write_text(json.dumps(config))
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return model
