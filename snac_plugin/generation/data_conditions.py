"""What training data say of themselves, against what the model's conditioners read."""

import logging
from typing import Any

from snac_plugin.config.condition_checks import ConditionInput, Replaced, condition_input, dropped_alone, value_errors
from snac_plugin.config.conditioner_keys import FILLED_IN
from snac_plugin.config.model_keys import ConditioningSection, SnacModelConfig, conditions_missing
from snac_plugin.errors import UsageError
from snac_plugin.generation.option import Metadata

log = logging.getLogger(__name__)
MEASURED = ("seconds_start", "seconds_total")  # of the file, not said of it
LACKING = "%s: nothing is said of %s: it trains without, as others do by training.condition_dropout; this is said once for each.%s"
NOTHING = "No condition is said of it: JSON files are read by the dataset config's custom_metadata_module (docs/conditioning.md)."
REPLACED = "%s: found %s, expected %s. It trains as the nearest number, or as no class; this is said once for each."


class DataConditions:
    """Checks what is said of each file, as generation checks it.

    Two things are warnings, once for each condition: what stable-audio-tools replaces in training, numbers out of range and unknown
    names of a `list`; and a condition that a file does not say and that training drops alone in some.

    Args:
        config: of the model, with or without conditions.
        advice: what to do about an error.
    """

    def __init__(self, config: SnacModelConfig, advice: str) -> None:
        self.section, self.left_out, self.advice = config.model.conditioning, dropped_alone(config), advice
        self._warned: set[tuple[str, str]] = set()

    def check(self, file: Any, metadata: Metadata) -> None:
        """UsageError that names file and condition for one that is missing or cannot be trained on."""
        section = self.section
        if section is None:
            return
        for conditioner in section.configs:
            reads, name = condition_input(conditioner), conditioner.id
            given = conditioner.type in FILLED_IN or name in section.pre_encoded_keys or reads.kind in ("audio", "sources")
            if not given and conditions_missing(metadata, [name], section.default_keys):
                hint = f" {NOTHING}" if _says_nothing(metadata, section) else ""
                if name not in self.left_out:
                    raise UsageError(f"{file}: {name}", "nothing", _expected(reads), f"{self.advice}{hint}")
                self._warn(name, LACKING, file, name, hint)
        placed = [c.id for c in section.configs if c.type in FILLED_IN]  # pieces may be of any length
        for error in value_errors({key: value for key, value in metadata.items() if key not in placed}, section):
            name = error.where
            if not isinstance(error, Replaced):
                raise UsageError(f"{file}: {name}", error.found, error.expected, f"{error.advice} {self.advice}".lstrip())
            if name not in MEASURED:
                self._warn(name, REPLACED, f"{file}: {name}", error.found, error.expected)

    def _warn(self, name: str, message: str, *values: Any) -> None:
        if (name, message) not in self._warned:
            self._warned.add((name, message))
            log.warning(message, *values)


def _says_nothing(metadata: Metadata, section: ConditioningSection) -> bool:
    asked = [name for name in section.needed if name not in MEASURED]
    return conditions_missing(metadata, asked, section.default_keys) == asked


def _expected(reads: ConditionInput) -> str:
    if reads.low is not None:
        return f"a {reads.kind} from {reads.low} to {reads.high}"
    return f"one of {', '.join(reads.names)}" if reads.names else f"a {reads.kind or 'value'}"
