"""Check a model config before anything is built from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from snac_plugin.config.messages import config_error, problems_of
from snac_plugin.config.model import SnacModelConfig
from snac_plugin.config.rules import model_problems


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
