"""Builders of the training wrapper and the demo callback of a `diffusion_snac_dit` model."""

import os
from collections.abc import Mapping
from typing import Any

from snac_plugin.config import check_training_config
from snac_plugin.config.optimizers import check_installed
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.training.demo import SnacDemoCallback
from snac_plugin.training.lora import LoraTrainingWrapper
from snac_plugin.training.wrapper import SnacDiffusionTrainingWrapper


def training_wrapper(config: Mapping[str, Any], model: SnacDiffusion) -> SnacDiffusionTrainingWrapper:
    """The Lightning module that trains a model of this whole config, seeded by Lightning's `seed_everything`."""
    seed = int(os.environ.get("PL_GLOBAL_SEED", "0"))
    _, training = check_training_config(dict(config))
    check_installed(training.optimizer_configs)
    if training.lora is not None:
        return LoraTrainingWrapper(model, training, dict(config), seed=seed)
    return SnacDiffusionTrainingWrapper(model, training, dict(config), seed=seed)


def demo_callback(config: Mapping[str, Any], **_: Any) -> SnacDemoCallback:
    return SnacDemoCallback(check_training_config(dict(config))[1].demo)
