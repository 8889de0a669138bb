"""A model that says it was trained with gaps, and a song to change."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tiny import tiny_model_config, write_tiny_codec

from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.plugin import builders

RATE = 44100


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with random weights that says it was trained with gaps."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    config = tiny_model_config(write_tiny_codec(folder / "codec"), head="logits", context_chunks=1)
    config["training"]["infill"] = {"share": 0.5}
    model = builders.model(config)
    for parameter in model.model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    torch.save({"state_dict": model.state_dict(), "model_config": config}, folder / "model.ckpt")
    return folder / "model.ckpt"


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> SnacDiffusion:
    import snac_plugin

    return snac_plugin.load_model(str(checkpoint), device="cpu")


@pytest.fixture
def song(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """Two seconds of stereo at another rate than the model's, in 32-bit float."""
    time = torch.arange(2 * RATE) / RATE
    own = torch.stack([0.4 * torch.sin(1400 * time), 0.4 * torch.sin(1400 * time + 1)]).numpy().T
    soundfile.write(tmp_path / "song.wav", own, RATE, subtype="FLOAT")
    return tmp_path / "song.wav", own
