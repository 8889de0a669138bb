"""The model config in a checkpoint, as it was written, and the note beside it: the version of the defaults that it leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snac_plugin.config.migration import CONFIG_VERSION, FIRST_VERSION, with_former_defaults

CONFIG = "model_config"
KEY = "snac_config_version"


def put_config(checkpoint: dict[str, Any], config: dict[str, Any]) -> None:
    """Put a model config into a checkpoint that is about to be saved, and note the current version."""
    checkpoint |= {CONFIG: config, KEY: CONFIG_VERSION}


def noted_version(content: Mapping[str, Any]) -> int:
    """The version of the defaults under which a checkpoint was written."""
    return int(content.get(KEY, FIRST_VERSION))


def saved_config(content: Mapping[str, Any]) -> dict[str, Any] | None:
    """The model config that a checkpoint was trained with, if it holds one, with the former defaults of its version filled in."""
    config = content.get(CONFIG)
    return None if config is None else with_former_defaults(config, noted_version(content))
