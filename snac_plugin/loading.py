"""From a config or a checkpoint to a model that can generate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from snac_plugin import builders
from snac_plugin.checkpoints import load_weights, read_checkpoint
from snac_plugin.config import load_json
from snac_plugin.errors import CheckpointError
from snac_plugin.snac_diffusion import SnacDiffusion


def load_model(
    path: str | Path,
    model_config: Mapping[str, Any] | str | Path | None = None,
    device: torch.device | str | None = None,
    ema: bool = True,
) -> SnacDiffusion:
    """Load a trained model.

    Args:
        path: a training checkpoint, or an unwrapped one (.ckpt or .safetensors).
        model_config: the config as a mapping or a JSON file, for a checkpoint without one inside.
        device: where to put it; the CPU by default.
        ema: take the averaged weights where there are any.

    Returns:
        The model in evaluation mode, without gradients.

    Raises:
        CheckpointError: the file cannot be read, has no config, or does not fit it.
    """
    if isinstance(model_config, str | Path):
        model_config = load_json(model_config)
    if model_config is None:
        model_config = read_checkpoint(path).model_config
    if model_config is None:
        raise CheckpointError(str(path), "no model config inside", "a training checkpoint", "Give the config it was trained with.")
    model = builders.model(model_config)
    load_weights(model, path, ema)
    return model.to("cpu" if device is None else device).eval().requires_grad_(False)
