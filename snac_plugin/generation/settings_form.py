"""What the settings of an earlier sample, its JSON file, must be, whatever the model. Imports nothing heavy."""

import math
from collections.abc import Mapping
from typing import Any

from snac_plugin.errors import UsageError
from snac_plugin.generation.option import Option, said_by_level
from snac_plugin.generation.request import OPTIONS

FORM = "the content of the JSON file beside a sample"
BY_LEVEL = ("sampler", "temperature", "top_p", "added_noise")
"""Settings that name a value for each level, where the option has one for all."""

_WHOLE = Option(fits=lambda value: type(value) is int, expected="a whole number")
_FILE = Option(fits=lambda value: isinstance(value, str), expected="the name of a file")
_BY_FILE = Option(fits=lambda value: all(map(math.isfinite, value.values())), expected="an object with a number for each file")
KINDS = OPTIONS | {
    **dict.fromkeys(("seed", "batch_seed", "batch_size"), _WHOLE),
    "new_seconds": OPTIONS["seconds"],
    "sampler": Option(fits=lambda value: isinstance(value, str), expected="the name of a sampler"),
    **dict.fromkeys(("edit", "before", "checkpoint"), _FILE),
    "bridge": Option(
        fits=lambda value: isinstance(value, list) and [*map(type, value)] == [str, str], expected="the names of two files"
    ),
    "continues": Option(fits=lambda value: isinstance(value["file"], str), expected='an object with the name of a "file"'),
    **dict.fromkeys(("lora", "autoguidance"), _BY_FILE),
    "digests": Option(fits=lambda value: isinstance(value, list), expected="a list"),
    "model": Option(fits=lambda value: isinstance(value, Mapping), expected="an object"),
}


def without_nulls(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without those that say nothing: null."""
    return {name: value for name, value in settings.items() if value is not None}


def check_kinds(settings: Mapping[str, Any], where: str = "") -> None:
    """UsageError for the first value of another kind, or outside the range of its key; it begins with `where` and the key."""
    said = without_nulls(settings)
    if "batch_seed" in said and "batch_size" not in said:
        raise UsageError(f"{where}batch_size", "nothing", "a whole number beside batch_seed")
    for name in (name for name in said if name in KINDS):
        for value in said_by_level(said, name).values() if name in BY_LEVEL else (said[name],):
            KINDS[name].check(f"{where}{name}", value)
