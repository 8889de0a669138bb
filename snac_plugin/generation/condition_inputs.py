"""What a model's conditioners read: for checks, for the page, and for whoever wants to know what to ask for."""

from typing import Any

from snac_plugin.config import SnacModelConfig
from snac_plugin.config.condition_checks import ConditionInput, condition_input, dropped_alone
from snac_plugin.config.model_keys import is_context
from snac_plugin.diffusion.guidance import CONTEXT


def condition_inputs(config: SnacModelConfig) -> tuple[ConditionInput, ...]:
    """A model's conditions in the order of its config; () without any."""
    section, demos = config.model.conditioning, () if config.training is None else config.training.demo.demo_cond
    first = demos[0] if demos else {}
    return tuple(condition_input(c, first) for c in (section.configs if section else ()))


def may_be_left_out(config: SnacModelConfig) -> dict[str, Any]:
    """Conditions that training dropped alone, so that a sample may lack them; each with a value for its conditioner to read."""
    names = dropped_alone(config)
    return {one.name: one.default for one in condition_inputs(config) if one.name in names and one.default is not None}


def guided_names(config: SnacModelConfig) -> tuple[str, ...]:
    """The names that `guidance` takes a scale for: of each condition that the network reads, and "context" if it sees any."""
    read = config.model.diffusion.read_ids
    named = [one.name for one in condition_inputs(config) if not is_context(one.type) and one.name in read]
    context = [CONTEXT] if config.model.diffusion.config.context_chunks and CONTEXT not in named else []
    return (*named, *context)
