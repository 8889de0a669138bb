"""Training wrapper and demo callback from a model config, as stable-audio-tools' factories ask for them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from snac_plugin.config import check_model_config
from snac_plugin.errors import ConfigError
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.training.demo import SnacDemoCallback
from snac_plugin.training.wrapper import SnacDiffusionTrainingWrapper


def create_training_wrapper(config: Mapping[str, Any], model: SnacDiffusion) -> SnacDiffusionTrainingWrapper:
    """The Lightning module that trains a model; `config` is the whole model config, kept for its checkpoints.

    What it draws follows the seed given to Lightning's `seed_everything`.
    """
    training = check_model_config(dict(config)).training
    if training is None:
        raise ConfigError("training", "nothing", "a training section", "See model_configs/snac_dit.json.")
    return SnacDiffusionTrainingWrapper(model, training, dict(config), seed=int(os.environ.get("PL_GLOBAL_SEED", "0")))


def create_demo_callback(config: Mapping[str, Any], demo_dl: Any = None, **_: Any) -> SnacDemoCallback:
    """The callback that makes demos in training; `demo_dl` gives the sample that the codec's round trip is made of."""
    checked = check_model_config(dict(config))
    if checked.training is None:
        raise ConfigError("training", "nothing", "a training section", "See model_configs/snac_dit.json.")
    return SnacDemoCallback(checked.training.demo)
