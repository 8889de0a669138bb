"""Optimizers and schedulers: the keys of a config that name them, the names it may give, and errors when they are built."""

import contextlib
import importlib.util
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from snac_plugin.config.section import Section
from snac_plugin.config.validation import Problem, not_one_of
from snac_plugin.errors import ConfigError, SnacPluginError

# fmt: off
OPTIMIZERS = (
    "ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "FusedAdam", "LBFGS", "NAdam", "RAdam", "RMSprop",
    "Rprop", "SGD", "SparseAdam",
)
SCHEDULERS = (
    "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR", "InverseLR",
    "LambdaLR", "LinearLR", "MultiStepLR", "MultiplicativeLR", "OneCycleLR", "PolynomialLR", "ReduceLROnPlateau", "SequentialLR",
    "StepLR",
)
# fmt: on
"""Names of classes that stable-audio-tools finds: torch's own, FusedAdam (DeepSpeed) and its InverseLR."""


class OptimizerPart(Section):
    """An optimizer or a scheduler: its class and the arguments of its constructor."""

    type: str = Field(description="name of the class in torch.optim or torch.optim.lr_scheduler")
    config: dict[str, Any] = Field(description="arguments of its constructor")


class OptimizerEntry(Section):
    optimizer: OptimizerPart = Field(description="the optimizer")
    scheduler: OptimizerPart | None = Field(default=None, description="the learning-rate scheduler, stepped every training step")


def optimizer_problems(learning_rate: float | None, configs: Section | None) -> Iterator[Problem]:
    """What stable-audio-tools would not find in `training.optimizer_configs`, or in `training.learning_rate` in its place."""
    if configs is None and learning_rate is None:
        yield Problem("training", "neither learning_rate nor optimizer_configs", "one of them")
    for name, entry in configs or ():
        where = f"training.optimizer_configs.{name}"
        if entry is not None and entry.optimizer.type not in OPTIMIZERS:
            yield not_one_of(f"{where}.optimizer.type", entry.optimizer.type, "an optimizer of torch.optim", OPTIMIZERS)
        if entry is not None and entry.scheduler is not None and entry.scheduler.type not in SCHEDULERS:
            yield not_one_of(f"{where}.scheduler.type", entry.scheduler.type, "a scheduler of torch, or InverseLR", SCHEDULERS)


def check_installed(configs: Section | None) -> None:
    """ConfigError for an optimizer whose package is missing; only training needs it, so the check of a config does not ask."""
    for name, entry in configs or ():
        if entry is not None and entry.optimizer.type == "FusedAdam" and importlib.util.find_spec("deepspeed") is None:
            where, found = f"training.optimizer_configs.{name}.optimizer.type", '"FusedAdam" of DeepSpeed, which is not installed'
            raise ConfigError(where, found, '"AdamW"', "It takes the same arguments. Or: pip install deepspeed.")


@contextlib.contextmanager
def failures_named(where: str, advice: str) -> Iterator[None]:
    """Turn whatever fails while arguments from a section of a config are tried into a ConfigError that names the section."""
    try:
        yield
    except SnacPluginError:
        raise
    except Exception as error:  # torch and others raise all kinds
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ConfigError(where, f"what fails with: {reason}", "arguments that fit together", advice) from error


def optimizer_configs_named() -> contextlib.AbstractContextManager[None]:
    """Turn what fails while optimizers are built into a ConfigError that names their section."""
    return failures_named("training.optimizer_configs", "Its parts are classes of torch.optim and their arguments.")


def try_optimizers(configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Two steps of each optimizer and scheduler on a weight of their own: some arguments fail only then. Raises ConfigError."""
    import torch
    from stable_audio_tools.training.utils import create_optimizer_from_config, create_scheduler_from_config

    for config in configs.values():
        if config["optimizer"]["type"] == "FusedAdam":  # needs a GPU
            continue
        with optimizer_configs_named():
            weight = torch.nn.Parameter(torch.ones(2, 2))
            optimizer = create_optimizer_from_config(config["optimizer"], [weight])
            scheduler = create_scheduler_from_config(config["scheduler"], optimizer) if config.get("scheduler") else None
            for _ in range(2):
                weight.grad = torch.ones_like(weight)
                optimizer.step(lambda weight=weight: weight.sum())
                if scheduler is not None:
                    scheduler.step()
