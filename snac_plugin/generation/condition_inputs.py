"""What a model's conditioners read: for checks, for the page, and for whoever wants to know what to ask for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from snac_plugin.config import SnacModelConfig
from snac_plugin.config.conditioner_keys import FILLED_IN, KINDS, NUMBER_TYPES, QUALITIES
from snac_plugin.config.model_keys import ConditionerSection, is_context
from snac_plugin.diffusion.guidance import CONTEXT


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


def condition_inputs(config: SnacModelConfig) -> tuple[ConditionInput, ...]:
    """A model's conditions in the order of its config; () without any."""
    section, demos = config.model.conditioning, () if config.training is None else config.training.demo.demo_cond
    first = demos[0] if demos else {}
    return tuple(condition_input(c, first) for c in (section.configs if section else ()))


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


def guided_names(config: SnacModelConfig) -> tuple[str, ...]:
    """The names that `guidance` takes a scale for: of each condition that the network reads, and "context" if it sees any."""
    read = config.model.diffusion.read_ids
    named = [one.name for one in condition_inputs(config) if not is_context(one.type) and one.name in read]
    context = [CONTEXT] if config.model.diffusion.config.context_chunks and CONTEXT not in named else []
    return (*named, *context)
