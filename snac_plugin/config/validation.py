"""Check a model config before anything is built from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError

from snac_plugin.config.error_messages import config_error, problems_of
from snac_plugin.config.model_keys import PretransformSection, SnacModelConfig
from snac_plugin.config.model_rules import model_problems
from snac_plugin.config.section import Section


class AnyPretransform(PretransformSection):
    """`model.pretransform` of a model of any type: stable-audio-tools' models may train it."""

    enable_grad: bool = Field(default=False, description="let gradients through, and train the codec")


class _Model(Section):
    pretransform: AnyPretransform


class _Around(Section):
    """Just so much of a model config that paths are right."""

    model: _Model


def check_model_config(config: Mapping[str, Any], source: str = "model config") -> SnacModelConfig:
    """A model config of type `diffusion_snac_dit`, checked as far as that goes without its codec.

    Args:
        config: what the JSON holds.
        source: where it was read from, for the message.

    Raises:
        ConfigError: with every problem: JSON path, what was found, what was expected, the nearest known key.
    """
    data = dict(config)
    try:
        checked = SnacModelConfig.model_validate(data)
    except ValidationError as error:
        raise config_error(problems_of(error, SnacModelConfig, data), source) from None
    if problems := list(model_problems(checked)):
        raise config_error(problems, source)
    return checked


def check_pretransform_config(section: Mapping[str, Any], source: str = "model config") -> AnyPretransform:
    """The `model.pretransform` of a model of any type, if its type is `snac_hierarchical`.

    Args:
        section: what the JSON holds at `model.pretransform`.
        source: where it was read from, for the message.

    Raises:
        ConfigError: with every problem.
    """
    data = {"model": {"pretransform": dict(section)}}
    try:
        return _Around.model_validate(data).model.pretransform
    except ValidationError as error:
        raise config_error(problems_of(error, _Around, data), source) from None
