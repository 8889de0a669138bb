"""What each conditioner reads, and whether a value of metadata is such: one check for generation, training data and configs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from snac_plugin.config.condition_values import Position, class_weights, number_in, position_in, quality_weights, single
from snac_plugin.config.conditioner_keys import FILLED_IN, KINDS, NUMBER_TYPES, QUALITIES, check_conditioner
from snac_plugin.config.model_keys import ConditionerSection, ConditioningSection, SnacModelConfig
from snac_plugin.config.validation import show
from snac_plugin.errors import UsageError, did_you_mean


@dataclass(frozen=True)
class ConditionInput:
    """One conditioner as its user sees it."""

    name: str  # its key in the metadata, and in `guidance`
    type: str  # as in the config: "class_mixture"
    kind: str  # number, whole number, class, mixture, quality, position, text, audio, sources, context; "" for other types
    low: float | None = None  # range of numbers
    high: float | None = None
    names: tuple[str, ...] = ()  # of classes
    default: Any = None  # a value to begin with: that of the config's first demo, or the middle, or the first name
    needed: bool = True  # whether a sample's metadata must have it


def condition_input(conditioner: ConditionerSection, demo: Mapping[str, Any] | None = None) -> ConditionInput:
    """What one conditioner of a checked config reads; `demo` is metadata to take its default from."""
    kind, options = KINDS.get(conditioner.type, ""), conditioner.config
    low = high = default = None
    names: tuple[str, ...] = ()
    if conditioner.type in NUMBER_TYPES:
        low, high = (options.get(k, v) for k, v in zip(("min_val", "max_val"), NUMBER_TYPES[conditioner.type], strict=True))
        default = (low + high) // 2 if kind == "whole number" else (low + high) / 2
    elif kind in ("class", "mixture"):
        names = tuple(options["classes" if kind == "mixture" else "options"])
        default = names[0] if names else ""
    elif kind == "quality":
        names, default = QUALITIES, "high"
    elif kind == "text":
        default = ""
    default = (demo or {}).get(conditioner.id, default)
    return ConditionInput(conditioner.id, conditioner.type, kind, low, high, names, default, conditioner.type not in FILLED_IN)


def dropped_alone(config: SnacModelConfig) -> list[str]:
    """Ids of the conditioners that training drops alone in some samples, so that data, demos and samples may lack them."""
    section, training = config.model.conditioning, config.training
    if section is None or training is None:
        return []
    shares = training.condition_dropouts(config.model.diffusion.read_ids)
    given = (*section.pre_encoded_keys, *(c.id for c in section.configs if KINDS.get(c.type, "") in ("", "audio", "sources")))
    return [name for name in section.needed if shares.get(name) and name not in given]


def with_numbers(metadata: Mapping[str, Any], section: ConditioningSection | None) -> dict[str, Any]:
    """Metadata in which conditioners of numbers have numbers, whole ones where they count: flags say "124", JSON 124 or 124.0."""
    found = dict(metadata)
    for conditioner in section.configs if section else ():
        assert section is not None
        key = conditioner.id if conditioner.id in metadata else section.default_keys.get(conditioner.id)
        if key is None or key not in metadata or conditioner.type not in NUMBER_TYPES or conditioner.id in section.pre_encoded_keys:
            continue
        if (number := number_in(metadata[key])) is not None:
            found[key] = round(number) if KINDS[conditioner.type] == "whole number" else number
    return found


class Replaced(UsageError):
    """A value that stable-audio-tools replaces without a word: by the nearest number, or by no class."""


def value_errors(metadata: Mapping[str, Any], section: ConditioningSection | None, where: str = "") -> Iterator[UsageError]:
    """The errors of `check_values`, one for each wrong value; they begin with `where` and the key."""
    for conditioner in section.configs if section else ():
        assert section is not None
        key = conditioner.id if conditioner.id in metadata else section.default_keys.get(conditioner.id)
        if key is None or key not in metadata or conditioner.id in section.pre_encoded_keys:
            continue
        value, reads = single(metadata[key]), condition_input(conditioner)
        try:
            _check_value(value, reads, conditioner.config, f"{where}{key}")
        except UsageError as error:
            yield error


def _check_value(value: Any, reads: ConditionInput, config: Mapping[str, Any], where: str) -> None:
    if reads.low is not None and reads.high is not None:
        number, whole = number_in(value), reads.kind == "whole number"
        if number is None or not reads.low <= number <= reads.high or (whole and number != round(number)):
            kind = reads.kind if number is not None and number != round(number) else "number"
            expected = f"a {kind} from {reads.low} to {reads.high}, the range that the model was built for"
            raise (UsageError if number is None else Replaced)(where, show(value), expected)
    elif reads.kind == "class" and value and value not in reads.names:
        raise Replaced(where, show(value), f"one of {', '.join(reads.names)}", did_you_mean(value, reads.names))
    elif reads.kind == "mixture":
        class_weights(value, reads.names, where)
    elif reads.kind == "quality":
        quality_weights(value, config["thresholds"], where)
    elif reads.kind == "position" and not isinstance(value, Position):
        position_in(value, check_conditioner(reads.type, config).most_chunks, where)
