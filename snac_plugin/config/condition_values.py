"""Values of the conditions that this package adds, as people write them; text is what `--condition NAME=VALUE` holds."""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from snac_plugin.config.conditioner_keys import QUALITIES
from snac_plugin.config.validation import show
from snac_plugin.errors import UsageError, did_you_mean


def class_weights(value: Any, names: Sequence[str], where: str = "conditioning") -> dict[str, float]:
    """Weights by class that sum to 1; {} for no class.

    Args:
        value: a name, {name: weight}, the text "house:0.7,jazz:0.3", or "" or None for no class.
        names: of the classes; upper and lower case are the same.
        where: the condition, for messages.

    Raises:
        UsageError: an unknown class, a weight that is negative or no number, or weights that are all zero.
    """
    known = {name.casefold(): name for name in names}
    if value is None or value == "":
        return {}
    if isinstance(value, str) and value.casefold() in known:
        return {known[value.casefold()]: 1.0}
    weights = _parts(value) if isinstance(value, str) else value
    if not isinstance(weights, Mapping):
        raise UsageError(where, show(value), f"a class, or classes with weights, as house:0.7,jazz:0.3; of {', '.join(names)}")
    found: dict[str, float] = {}
    for name, given in weights.items():
        if not isinstance(name, str) or name.casefold() not in known:
            raise UsageError(where, show(name), f"one of {', '.join(names)}", did_you_mean(name, names))
        weight = number_in(given)
        if weight is None or weight < 0:
            raise UsageError(where, f"weight {show(given)} of {name}", "a finite number from 0 up")
        found[known[name.casefold()]] = found.get(known[name.casefold()], 0.0) + weight
    total = sum(found.values())
    if not 0 < total < math.inf:
        raise UsageError(
            where, f"weights that sum to {total:g}", "a weight above 0 for one class at least, or an empty text for none"
        )
    return {name: weight / total for name, weight in found.items()}


def quality_weights(value: Any, thresholds: Sequence[float], where: str = "conditioning") -> dict[str, float]:
    """The same of the five classes of `quality`; a number is a score, which begins a class at its threshold."""
    score = None if value == "" else number_in(value)
    if score is None:
        return class_weights(value, QUALITIES, where)
    return {QUALITIES[bisect_right(thresholds, score)]: 1.0}


class Position(NamedTuple):
    """Where in its piece the first of some chunks lies; real numbers, since a crop may begin within a chunk."""

    index: float  # type: ignore[assignment]  # not the method of a tuple
    total: float
    chunks: int = 1  # how many, one after the other
    starts: tuple[float, ...] = ()  # of other chunks, each with those before it: where they begin, counted from `index`


def position_in(value: Any, most: float, where: str = "conditioning") -> tuple[float, float]:
    """Index of a chunk in its piece and length of the piece, in chunks: from {"index": 3, "total": 10}, [3, 10] or "3/10".

    Raises:
        UsageError: not 0 <= index < total <= `most`.
    """
    parts: Any = [value.get("index"), value.get("total")] if isinstance(value, Mapping) else value
    parts = value.split("/") if isinstance(value, str) else parts
    numbers = [number_in(part) for part in parts] if isinstance(parts, list | tuple) else []
    index, total = numbers if len(numbers) == 2 else (None, None)
    if index is None or total is None or not 0 <= index < total <= most:
        raise UsageError(
            where, show(value), f'an index below a total of at most {most:g} chunks, as {{"index": 3, "total": 10}} or 3/10'
        )
    return index, total


def single(value: Any) -> Any:
    """A value, or that in a list of one, as stable-audio-tools reads it."""
    return value[0] if isinstance(value, list | tuple) and len(value) == 1 else value


def number_in(value: Any) -> float | None:
    """A finite number, or text that says one; None for anything else."""
    try:
        number = None if isinstance(value, bool) or value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number is not None and math.isfinite(number) else None


def _parts(text: str) -> dict[str, Any]:
    """Classes and weights in "house:0.7,jazz:0.3"; a class without a weight has 1."""
    pairs = [part.partition(":") for part in text.split(",")]
    return {name.strip(): weight.strip() if colon else 1.0 for name, colon, weight in pairs}
