"""A tiny model and its config, which the tests of its checkpoints share."""

from typing import Any

import pytest
import torch
from tiny import tiny_model_config, write_tiny_codec

from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.plugin import builders


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return tiny_model_config(write_tiny_codec(tmp_path_factory.mktemp("codec")))


@pytest.fixture(scope="module")
def model(config: dict[str, Any]) -> SnacDiffusion:
    torch.manual_seed(0)
    return builders.model(config)
