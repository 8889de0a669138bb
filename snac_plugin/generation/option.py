"""One option of a request: how it is read from text, checked and shown. Imports nothing heavy."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from snac_plugin.diffusion.sampler_names import MOST_STEPS
from snac_plugin.errors import UsageError
from snac_plugin.levels import level_names

Steps = int | Sequence[int] | Mapping[str, int]
Strength = float | Mapping[str, float]
Metadata = Mapping[str, Any]
PerSample = Metadata | Sequence[Metadata]  # for all samples, or for each


def steps_in(text: str) -> Steps:
    """Steps written as "48", "6,8,10,24" or "A=6,B=8,C=10,D=24"."""

    def counts(text: str) -> Steps:
        found = [int(part) for part in text.split(",")]
        return found[0] if len(found) == 1 else found

    return _by_level_in(text, int, "steps", "48, or A=6,B=8,C=10,D=24", counts)


def strength_in(text: str) -> Strength:
    """A strength written as "0.4" or "A=0,B=0.3,C=0.5,D=0.7"."""
    return _by_level_in(text, float, "strength", "0.4, or A=0,B=0.3,C=0.5,D=0.7", float)


def _by_level_in(text: str, number: Callable[[str], Any], name: str, example: str, without_levels: Callable[[str], Any]) -> Any:
    """Numbers by level, each level once; text that names no level is read as a whole."""
    try:
        if "=" not in text:
            return without_levels(text)
        pairs = [part.split("=") for part in text.split(",")]
        by_level = {level.strip().upper(): number(value) for level, value in pairs}
        if len(by_level) < len(pairs):
            raise ValueError
    except ValueError:
        raise UsageError(name, repr(text), f"{example} with one entry a level") from None
    return by_level


def spans_in(text: str) -> tuple[tuple[float, float], ...]:
    """Spans of seconds written as "3.2:5.1" or "3.2:5.1,8:9.5"."""
    try:
        spans = [tuple(float(second) for second in part.split(":")) for part in text.split(",")]
        if any(len(span) != 2 for span in spans):
            raise ValueError
    except ValueError:
        raise UsageError("repaint", repr(text), "seconds from and to: 3.2:5.1, or several: 3.2:5.1,8:9.5") from None
    return tuple((first, last) for first, last in spans)


def are_steps(value: Any) -> bool:
    """Whether these are counts of steps: one in all, or one a level."""
    counts = [value] if isinstance(value, int) else [*(value.values() if isinstance(value, Mapping) else value)]
    return bool(counts) and all(
        isinstance(count, int) and not isinstance(count, bool) and 0 < count <= MOST_STEPS for count in counts
    )


def as_written(value: Any, within: bool = False) -> str:
    """A value for a message, as its flag takes it: 5:3 for a span of seconds, A=0,X=0.2 for numbers by level."""
    if isinstance(value, Mapping):
        return ",".join(f"{key}={as_written(one, True)}" for key, one in value.items()) or "nothing"
    if isinstance(value, list | tuple):
        return (":" if within else ",").join(as_written(one, True) for one in value) or "nothing"
    if isinstance(value, float) and within:
        return f"{value:g}"
    if isinstance(value, str | int | float):
        return str(value) or "nothing"
    return f"{value!r}"[:80]


def on_or_off(text: str) -> bool:
    """True for "on", False for "off"."""
    if text not in ("on", "off"):
        raise UsageError("switch", repr(text), "on or off")
    return text == "on"


def scales_in(text: str) -> dict[str, float]:
    """Scales written as "style=3" or "context=2,style=3"."""
    try:
        pairs = [part.rpartition("=") for part in text.split(",")]
        if not all(name.strip() for name, _, _ in pairs):
            raise ValueError
        return {name.strip(): float(value) for name, _, value in pairs}
    except ValueError:
        raise UsageError("guidance", repr(text), "a condition and its scale: style=3, or context=2,style=3") from None


def condition_in(text: str) -> dict[str, str]:
    """One condition, written as "style=house:0.7,jazz:0.3" or "tempo=120"; its conditioner reads the value."""
    name, equals, value = text.partition("=")
    if not name.strip() or not equals:
        raise UsageError("condition", repr(text), "a condition and its value: tempo=120, or style=house:0.7,jazz:0.3")
    return {name.strip(): value.strip()}


def json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError("conditioning", repr(text), f"a JSON object ({error})") from None
    if not isinstance(value, dict):
        raise UsageError("conditioning", repr(text), "a JSON object")
    return value


@dataclass(frozen=True)
class Slider:
    """A number's input on the page."""

    label: str
    low: float  # a default outside the range widens it
    high: float
    step: float
    info: str = ""  # one line under the label
    needs: str = ""  # what a model must have for it to be shown: "guidance" (conditioners or context) or "drawn codes"


@dataclass(frozen=True)
class Option:
    """How one field of a request is read, checked and shown: its flag and its input on the page follow."""

    help: str = ""  # of its flag; "" for a field without one
    parse: Callable[[str], Any] = float
    metavar: str | tuple[str, str] = "X"  # two for a pair of values; "" for one that is on or off
    fits: Callable[[Any], bool] = lambda value: True  # with any model
    expected: str = ""  # what fits, in words
    sampling: bool = False  # it says how the levels are solved; its default is the config's `sampling` key of the same name
    sliders: tuple[Slider, ...] = ()  # one, or one for each value of a pair, whose names end in _low and _high
    flag: str = ""  # by default the field's name
    choices: tuple[str, ...] = ()  # the only texts that it may have
    repeated: bool = False  # the flag may come several times, each with some of an object's keys
    single: str = ""  # a flag beside it that takes one key and value of the object, and may come several times

    def flag_of(self, name: str) -> str:
        """The flag of the field `name`."""
        return f"--{self.flag or name.replace('_', '-')}"

    def check(self, name: str, value: Any) -> None:
        try:
            fits = self.fits(value)
        except (TypeError, ValueError, AttributeError, KeyError, OverflowError):  # a text among numbers, say
            fits = False
        if not fits:
            raise UsageError(name, as_written(value), self.expected)

    def read(self, name: str, text: str) -> Any:
        """The value in a text, as the option's flag takes it; UsageError, at `name`, for another."""
        try:
            return self.parse(text)
        except ValueError as error:
            raise UsageError(name, repr(text), "a number") from error


def one_of(names: tuple[str, ...]) -> dict[str, Any]:
    """What an option has that takes one of some names."""
    return {"choices": names, "fits": lambda value: value in names, "expected": f"one of {', '.join(names)}"}


COARSEST: dict[str, Any] = {
    "metavar": "LEVELS",
    "fits": lambda value: isinstance(value, str) and value != "" and value.upper() == level_names(len(value)),
    "expected": "levels from the coarsest on, as one word: A, AB, ABC and so on",
}
"""What an option has that takes levels, as far as can be said without a codec."""


CONDITIONS: dict[str, Any] = {
    "parse": json_object,
    "metavar": "JSON",
    "fits": lambda value: all(isinstance(one, Mapping) for one in (value if isinstance(value, list | tuple) else [value])),
    "expected": "an object with a value for each condition, or a list with one for each sample",
}
"""What an option has that takes metadata."""


def said_by_level(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """What settings say of each level; under "" of all."""
    said = settings.get(name)
    return said if isinstance(said, Mapping) else {} if said is None else {"": said}


def shared(by_level: Mapping[str, Any]) -> Any:
    """The value that all levels have, or None."""
    found = {*by_level.values()}
    return found.pop() if len(found) == 1 else None
