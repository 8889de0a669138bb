"""Writing a codec as a folder in the hub's format: config.json, weights, README.md; and finding one among trained weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from snac import SNAC
from torch import Tensor

from snac_plugin.errors import CheckpointError
from snac_plugin.files import write_whole


def save_codec(
    folder: Path,
    model: SNAC,
    config: dict[str, Any],
    card: str,
    dtype: torch.dtype = torch.float16,
    weights: str = "model.safetensors",
) -> Path:
    """Write a codec into a folder, which is made if need be. Each file appears whole, the weights first.

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
    safe = weights.endswith(".safetensors")
    write_whole(folder / weights, lambda part: _write_tensors(tensors, part, safe))
    write_whole(folder / "config.json", lambda part: part.write_text(json.dumps(config, indent=2) + "\n"))
    other = "pytorch_model.bin" if safe else "model.safetensors"
    (folder / other).unlink(missing_ok=True)  # of two files, one program would read this, another that
    (folder / "README.md").write_text(card)
    return folder


def _write_tensors(tensors: dict[str, Tensor], path: Path, safe: bool) -> None:
    if safe:
        save_file(tensors, path, metadata={"format": "pt"})
    else:
        torch.save(tensors, path)
    path.chmod(0o644)  # safetensors leaves it to the owner alone, and an installed package is somebody else's


PARTS = {"encoder.": "encoder.", "decoder.": "decoder.", "bottleneck.quantizer.": "quantizer."}
"""How the names of the parts' weights begin in an autoencoder of `snac` parts, and in SNAC."""


def snac_from_autoencoder(state: Mapping[str, Tensor], config: dict[str, Any], where: str) -> SNAC:
    """The SNAC model, in evaluation mode, whose weights an autoencoder's state dict holds.

    Args:
        state: weights by the autoencoder's own names.
        config: the contents of SNAC's config.json.
        where: what they were read from, for messages.

    Raises:
        CheckpointError: weights are missing, or of another shape.
    """
    given = {
        own + name.removeprefix(part): value
        for part, own in PARTS.items()
        for name, value in state.items()
        if name.startswith(part)
    }
    model = SNAC(**config)
    wanted = model.state_dict()
    missing = sorted(wanted.keys() - given.keys())
    reshaped = sorted(name for name in wanted.keys() & given.keys() if wanted[name].shape != given[name].shape)
    if missing or reshaped:
        found = f"{len(missing)} weights missing and {len(reshaped)} of another shape, first {(missing or reshaped)[0]}"
        raise CheckpointError(where, found, "a codec of this model config", "Use the config that it was trained with.")
    model.load_state_dict({name: given[name] for name in wanted})
    return model.eval().requires_grad_(False)
