"""The inputs of a model's conditions: what they look like, what their values ask for, and the way back from settings."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from snac_plugin.config.condition_checks import ConditionInput
from snac_plugin.config.condition_values import class_weights, number_in
from snac_plugin.generation.option import json_object

TEXT_TYPES = ("t5", "clap_text", "phoneme", "lut")
LEFT = "left to the model"
LATER = ("mixture", "quality", "lut")
"""Kinds and types that were given as JSON once: their inputs come last, so that the order of the others stays."""


@dataclass(frozen=True)
class ConditionControl:
    """The inputs of one conditioner: one, or for a mixture a slider of each class."""

    reads: ConditionInput
    parameters: tuple[str, ...]  # of the page's endpoint
    is_text: bool = False  # whether a number is typed

    def value(self, values: Mapping[str, Any]) -> Any:
        """What the inputs' values ask for: metadata of this conditioner, or that it is left to the model."""
        if self.is_text:
            text = str(values[self.parameters[0]]).strip()
            number = number_in(text)
            return number if number is not None else text or LEFT
        if self.reads.kind != "mixture":
            return values[self.parameters[0]]
        weights = zip(self.reads.names, (values[name] for name in self.parameters), strict=True)
        return {name: float(weight) for name, weight in weights if weight} or ""

    def holds(self, value: Any) -> dict[str, Any] | None:
        """Values of the inputs that ask for this metadata; None if they cannot."""
        if self.reads.kind == "mixture":
            weights = class_weights(value, self.reads.names, self.reads.name)
            found = {p: weights.get(name, 0.0) for p, name in zip(self.parameters, self.reads.names, strict=True)}
            return found if not weights or class_weights(self.value(found), self.reads.names) == weights else None
        if self.reads.kind == "quality" and value not in ("", *self.reads.names):
            return None
        number = number_in(value) if self.reads.low is not None else None
        shown = value if number is None or number == value else number
        return {self.parameters[0]: str(shown) if self.is_text else shown}


def told(controls: Iterable[ConditionControl], values: Mapping[str, Any]) -> dict[str, Any]:
    """What the inputs' values ask for, by the conditioners' names; nothing for what is left to the model."""
    asked = {one.reads.name: one.value(values) for one in controls}
    return {name: value for name, value in asked.items() if value != LEFT}


def has_input(reads: ConditionInput) -> bool:
    return reads.type in TEXT_TYPES or reads.kind in ("number", "whole number", "class", "mixture", "quality")


def is_later(reads: ConditionInput) -> bool:
    return reads.kind in LATER or reads.type in LATER


def add_inputs(
    reads: ConditionInput, free: Callable[[str], str], add: Callable[..., None], left_out: bool = False
) -> ConditionControl:
    """Make the inputs of a conditioner that has some.

    Args:
        free: the endpoint's parameter for a name that may be taken.
        add: makes a component, as `add(parameter, kind, *arguments, **options)`.
        left_out: whether a sample may lack it: then a number is typed, and numbers, classes and mixtures begin without a value.
    """
    name, label = free(reads.name), reads.name.replace("_", " ").capitalize()
    if reads.kind == "mixture":
        shares = {} if left_out else class_weights(reads.default, reads.names, reads.name)
        parameters = []
        for one in reads.names:
            parameters.append(free(f"{reads.name}_{one}"))
            look: dict[str, Any] = {"label": one, "min_width": 150, "elem_classes": "snac-share"}
            add(parameters[-1], gr.Slider, 0, 1, shares.get(one, 0.0), step=0.01, **look)
        return ConditionControl(reads, tuple(parameters))
    if reads.low is not None and reads.high is not None and left_out:
        # A text: browsers show an empty gr.Number as 0.
        add(name, gr.Textbox, "", label=label, info=f"{reads.low:g} to {reads.high:g}; empty: {LEFT}", lines=1, min_width=150)
    elif reads.low is not None and reads.high is not None:
        fine = reads.kind == "number" and reads.high - reads.low < 20
        middle = (reads.low + reads.high) / 2 if fine else (reads.low + reads.high) // 2
        add(name, gr.Slider, reads.low, reads.high, middle, step=(reads.high - reads.low) / 100 if fine else 1, label=label)
    elif reads.kind in ("class", "quality"):
        value = "" if reads.kind == "class" else reads.default if reads.default in reads.names else "high"
        choices = [("none", ""), *((one, one) for one in reads.names)]
        if left_out and reads.kind == "class":  # whose "none" may have no weights that were trained
            value, choices = LEFT, [(LEFT, LEFT), *choices]
        add(name, gr.Dropdown, choices, value=value, label=label)
    else:
        add(name, gr.Textbox, "", label=label, lines=2, placeholder="What it should sound like")
    return ConditionControl(reads, (name,), is_text=left_out and reads.low is not None)


def mixed(name: str, names: tuple[str, ...], *weights: float | None) -> str:
    """A mixture in words: its shares sum to 100 %."""
    total = sum(weight or 0.0 for weight in weights)
    if not total:
        return f"{name}: none"
    parts = (f"{round(100 * weight / total)} % {one}" for one, weight in zip(names, weights, strict=True) if weight)
    return f"{name}: {', '.join(parts)}"


def json_in(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What a field of JSON says."""
    return json_object(values.get(name) or "{}")
