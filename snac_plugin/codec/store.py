"""Writing a codec as a folder in the hub's format: config.json, weights, README.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from snac import SNAC

from snac_plugin.atomic import write_whole


def save_codec(
    folder: Path,
    model: SNAC,
    config: dict[str, Any],
    card: str,
    dtype: torch.dtype = torch.float16,
    weights: str = "model.safetensors",
) -> Path:
    """Write a codec into a folder, which is made if need be.

    Args:
        folder: where to.
        model: the weights, under the names of SNAC's own state dict.
        config: the contents of config.json, SNAC's constructor arguments.
        card: the text of README.md.
        dtype: how floating-point weights are stored; half precision halves the file and costs nothing that can be heard.
        weights: the file of the weights: "model.safetensors", or "pytorch_model.bin", the one that SNAC itself reads.

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
    if weights.endswith(".safetensors"):
        write_whole(folder / weights, lambda part: save_file(tensors, part, metadata={"format": "pt"}))
        (folder / "pytorch_model.bin").unlink(missing_ok=True)  # of two files, one program would read this, another that
    else:
        (folder / "model.safetensors").unlink(missing_ok=True)
        write_whole(folder / weights, lambda part: torch.save(tensors, part))
    (folder / weights).chmod(0o644)  # safetensors leaves it to the owner alone, and an installed package is somebody else's
    (folder / "README.md").write_text(card)
    return folder
