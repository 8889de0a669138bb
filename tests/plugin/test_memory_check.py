"""Networks that this machine's memory does not hold are refused before they are built: the system ended the program."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from networks import FOUR_LEVELS, TOKENS
from stable_audio_tools.models.factory import create_model_from_config

from snac_plugin.config import NetworkConfig, load_json
from snac_plugin.config.network_keys import BACKBONES
from snac_plugin.errors import ConfigError
from snac_plugin.model.backbones import network_of
from snac_plugin.plugin.memory_check import check_memory, network_weights

SMALL: dict[str, Any] = {"dim": 64, "num_heads": 2, "head": "logits", "chunk_frames": 3}
CONFIGS = Path(__file__).parents[2] / "model_configs"


def changed(name: str, path: str, value: Any) -> dict[str, Any]:
    """A shipped config with another value at a path."""
    config = load_json(CONFIGS / name)
    *sections, key = path.split(".")
    inner = config
    for section in sections:
        inner = inner[section]
    inner[key] = value
    return config


@pytest.mark.parametrize("depth", [4, 5])
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("tokens", TOKENS)
def test_weights_are_counted_as_they_are_built(backbone: str, tokens: str, depth: int) -> None:
    if backbone == "magnitude-preserving" and TOKENS[tokens].get("read_out") == "mixed":
        pytest.skip("no such network")
    check_count(NetworkConfig(depth=depth, backbone=backbone, **SMALL, **TOKENS[tokens]))


@pytest.mark.parametrize("depth", [1, 2, 7, 8])
def test_long_skips_and_vectors_of_masks_are_counted(depth: int) -> None:
    """Long skips were counted for each block, and every second one has none: networks that fit were refused."""
    check_count(NetworkConfig(depth=depth, long_skips=True, **SMALL), masks=True)


def check_count(config: NetworkConfig, masks: bool = False) -> None:
    generator = torch.get_rng_state()
    counted = network_weights(config, FOUR_LEVELS, masks)
    assert torch.equal(torch.get_rng_state(), generator), "counting draws no random numbers: the wav of a seed stays"
    assert counted == sum(weight.numel() for weight in network_of(config, FOUR_LEVELS, masks).parameters())


@pytest.mark.parametrize(
    ("name", "path", "value", "where"),
    [
        ("snac_dit.json", "model.diffusion.config.dim", 32_000, r"model\.diffusion\.config"),
        ("snac_dit.json", "model.diffusion.config.depth", 30_000, r"model\.diffusion\.config"),
        ("snac_codec_tiny.json", "model.decoder.config.decoder_dim", 96_000, "model"),
    ],
)
def test_a_network_that_memory_does_not_hold_is_refused(
    name: str, path: str, value: int, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=20 * 2**30))
    message = rf"{where}: found [\d,]+ weights, which take [\d,.]+ GiB, expected at most the 20\.0 GiB of memory that are free here"
    with pytest.raises(ConfigError, match=message):
        create_model_from_config(changed(name, path, value))


def test_weights_that_just_fit_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=4000))
    check_memory("model", 1000)
    with pytest.raises(ConfigError, match="1,001 weights"):
        check_memory("model", 1001)
