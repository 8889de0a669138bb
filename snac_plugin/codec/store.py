"""Writing a codec as a folder in the hub's format: config.json, model.safetensors, README.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from snac import SNAC


def save_codec(folder: Path, model: SNAC, config: dict[str, Any], card: str, dtype: torch.dtype = torch.float16) -> Path:
    """Write a codec into a folder, which is made if need be.

    Args:
        folder: where to.
        model: the weights, under the names of SNAC's own state dict.
        config: the contents of config.json, SNAC's constructor arguments.
        card: the text of README.md.
        dtype: how floating-point weights are stored; half precision halves the file and costs nothing that can be heard.

    Returns:
        The folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous().clone()
        for name, tensor in model.state_dict().items()
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    weights = folder / "model.safetensors"
    save_file(tensors, weights, metadata={"format": "pt"})
    weights.chmod(0o644)  # safetensors leaves it to the owner alone, and an installed package belongs to somebody else
    (folder / "README.md").write_text(card)
    return folder
