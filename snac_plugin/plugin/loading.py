"""From a config or a checkpoint to a model that can generate."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from snac_plugin.checkpoints.places import weaker_in
from snac_plugin.checkpoints.reading import Checkpoint, load_weights, read_checkpoint
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.plugin import builders
from snac_plugin.plugin.registry import register


def load_model(
    path: str | Path | Checkpoint,
    model_config: Mapping[str, Any] | str | Path | None = None,
    device: torch.device | str | None = None,
    lora: Sequence[str | Path | tuple[str | Path, float]] = (),
    autoguidance: str | Path | tuple[str | Path, float] | None = None,
) -> SnacDiffusion:
    """Load a trained model, with the averaged weights where there are any, and register the plugin.

    stable-audio-tools' functions then sample it level by level.

    Args:
        path: a training checkpoint, or an unwrapped one (.ckpt or .safetensors), the folder of either, the folder of a run, a
            shipped model's name, a hub id, or what `read_checkpoint` gave.
        model_config: the config as a mapping or a JSON file, for a checkpoint without one inside.
        device: where to put it; the CPU by default.
        lora: low-rank adapters: see `SnacDiffusion.lora`.
        autoguidance: checkpoint of a weaker model with a scale behind a colon or in a pair, "runs/mine/early.ckpt:1.5": see
            `SnacDiffusion.autoguide`.

    Returns:
        The model in evaluation mode, without gradients.

    Raises:
        CheckpointError: the file cannot be read, has no config, or does not fit it.
    """
    register()
    checkpoint = path if isinstance(path, Checkpoint) else read_checkpoint(path)
    model = builders.model(checkpoint.config_for(model_config))
    load_weights(model, checkpoint)
    model = model.to("cpu" if device is None else device).eval().requires_grad_(False)
    if autoguidance is not None:
        place, scale = autoguidance if isinstance(autoguidance, tuple) else weaker_in(autoguidance)
        model.autoguide(load_model(place, device=device), scale, str(place))
    return model.lora(*lora) if lora else model
