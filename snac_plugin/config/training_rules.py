"""What a model config needs to be trained, besides being a model config."""

from collections.abc import Iterator, Mapping
from typing import Any

from snac_plugin.config.condition_checks import value_errors
from snac_plugin.config.model_keys import ConditioningSection, SnacModelConfig
from snac_plugin.config.model_rules import check_model_config
from snac_plugin.config.training_keys import DemoSection, TrainingSection
from snac_plugin.config.validation import Problem, raise_problems
from snac_plugin.errors import ConfigError


def check_training_config(config: Mapping[str, Any], source: str = "model config") -> tuple[SnacModelConfig, TrainingSection]:
    """`check_model_config` of one that is to be trained, and its section `training`: each demo asks for what conditioners take.

    A checkpoint whose demos failed for that is a checkpoint all the same, so `check_model_config` passes it.
    """
    checked = check_model_config(config, source)
    if checked.training is None:
        raise ConfigError("training", "nothing", "a training section", "See model_configs/snac_dit.json.")
    raise_problems(_demo_value_problems(checked.training.demo, checked.model.conditioning), source)
    return checked, checked.training


def _demo_value_problems(demo: DemoSection, conditioning: ConditioningSection | None) -> Iterator[Problem]:
    for index, entry in enumerate(() if demo.demo_cond_from_batch else demo.demo_cond):
        for error in value_errors(entry, conditioning, f"training.demo.demo_cond[{index}]."):
            yield Problem(error.where, str(error.found), error.expected, error.advice)
