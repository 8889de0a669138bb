"""Writing a trained codec as a folder in the hub's format: config.json, pytorch_model.bin, README.md."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from snac import SNAC
from torch import Tensor

from snac_plugin.checkpoints.weights import check_weights
from snac_plugin.checkpoints.writing import write_torch
from snac_plugin.files import make_folder, write_whole

PARTS = {"encoder.": "encoder.", "decoder.": "decoder.", "bottleneck.quantizer.": "quantizer."}
"""The prefixes of the weights' names in an autoencoder of `snac` parts, and in SNAC."""


def snac_from_autoencoder(state: Mapping[str, Tensor], config: dict[str, Any], where: str) -> SNAC:
    """The SNAC model of an autoencoder's state dict; a CheckpointError, which names the file `where`, if weights do not fit."""
    weights = {
        renamed + name.removeprefix(prefix): value
        for prefix, renamed in PARTS.items()
        for name, value in state.items()
        if name.startswith(prefix)
    }
    model = SNAC(**config)
    check_weights(weights, model.state_dict(), where, "a codec of this model config", "Use the config that it was trained with.")
    model.load_state_dict(weights)
    return model.eval().requires_grad_(False)


def save_codec(folder: Path, model: SNAC, config: dict[str, Any], card: str, decoder_dtype: torch.dtype = torch.float16) -> Path:
    """Write a codec into a folder, made if need be; each file appears whole, the weights first.

    Args:
        config: the contents of config.json, SNAC's constructor arguments.
        card: the text of README.md.
        decoder_dtype: of the decoder's stored weights; half precision changes nothing audible. All others stay as they are: rounded
            ones would give other codes, which mean nothing to a model that was trained on the first.
    """
    make_folder("folder", folder)
    weights = {name: w.to(decoder_dtype) if name.startswith("decoder.") else w for name, w in model.state_dict().items()}
    write_torch(folder / "pytorch_model.bin", weights)
    write_whole(folder / "config.json", lambda part: part.write_text(json.dumps(config, indent=2) + "\n"))
    (folder / "model.safetensors").unlink(missing_ok=True)  # with both files, programs would differ in which they read
    write_whole(folder / "README.md", card)
    return folder
