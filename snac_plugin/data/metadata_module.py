"""The `custom_metadata_module` of a dataset config: a user's Python file that adds to what is known of a track."""

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from snac_plugin.errors import ConfigError

GetMetadata = Callable[[dict[str, Any], Tensor], Mapping[str, Any]]


def load_get_metadata(module: str | None) -> GetMetadata | None:
    """The function `get_custom_metadata` of a Python file, None without one; ConfigError: it cannot be run or has none."""
    if module is None:
        return None
    spec = importlib.util.spec_from_file_location("metadata_module", module)
    if spec is None or spec.loader is None:
        raise ConfigError("custom_metadata_module", repr(module), "a Python file")
    loaded = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(loaded)
        return loaded.get_custom_metadata
    except Exception as error:  # whatever a user's file raises
        found = f"{module}, which fails with {type(error).__name__}: {error}"
        raise ConfigError("custom_metadata_module", found, "a Python file with get_custom_metadata(info, audio)") from error
