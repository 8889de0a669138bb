"""Values in the settings of earlier samples that are of another kind than these have: which ones. Imports nothing heavy."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from snac_plugin.errors import UsageError

Read = TypeVar("Read")

FORM = "the content of the JSON file beside a sample"
WRONG = (TypeError, ValueError, KeyError, AttributeError, OverflowError)
"""What is raised where a value is of another kind than it should be."""


def naming_wrong_values(
    read: Callable[[Mapping[str, Any]], Read], settings: Mapping[str, Any], where: str = "settings", expected: str = FORM
) -> Read:
    """What `read` makes of settings; UsageError that names the first value which it cannot read alone, beside a seed."""
    try:
        return read(settings)
    except UsageError:
        raise
    except WRONG as error:
        missing = f"nothing under {error}" if isinstance(error, KeyError) else "values of other kinds"
        raise _wrong_value(read, settings, where, expected) or UsageError(where, missing, expected) from None


def _wrong_value(
    read: Callable[[Mapping[str, Any]], Any], settings: Mapping[str, Any], where: str, expected: str
) -> UsageError | None:
    for name, value in settings.items():
        try:
            read({"seed": 0, "batch_size": 1, "batch_seed": 0, name: value})
        except UsageError as error:
            return error
        except WRONG:
            text = json.dumps(value, default=str)
            return UsageError(where, f'"{name}": {text if len(text) < 60 else text[:60] + " …"}', expected)
    return None
