"""From a config or a checkpoint to a model that can generate."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from snac_plugin.checkpoints.reading import Checkpoint, load_weights, read_checkpoint
from snac_plugin.config import load_json
from snac_plugin.errors import CheckpointError
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.plugin import builders


def load_model(
    path: str | Path | Checkpoint,
    model_config: Mapping[str, Any] | str | Path | None = None,
    device: torch.device | str | None = None,
    ema: bool = True,
) -> SnacDiffusion:
    """Load a trained model.

    Args:
        path: a training checkpoint, or an unwrapped one (.ckpt or .safetensors), or what `read_checkpoint` gave.
        model_config: the config as a mapping or a JSON file, for a checkpoint without one inside.
        device: where to put it; the CPU by default.
        ema: take the averaged weights of a file where there are any.

    Returns:
        The model in evaluation mode, without gradients.

    Raises:
        CheckpointError: the file cannot be read, has no config, or does not fit it.
    """
    if isinstance(model_config, str | Path):
        model_config = load_json(model_config)
    checkpoint = path if isinstance(path, Checkpoint) else read_checkpoint(path, ema)
    model_config = checkpoint.model_config if model_config is None else checkpoint.config_beside(model_config)
    if model_config is None:
        where = str(checkpoint.path)
        raise CheckpointError(where, "no model config inside", "a training checkpoint", "Give the config it was trained with.")
    model = builders.model(model_config)
    load_weights(model, checkpoint)
    return model.to("cpu" if device is None else device).eval().requires_grad_(False)
