"""Problems of a config in one form: JSON path, what was found, what was expected, the nearest known key."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError

from snac_plugin.errors import ConfigError

Location = tuple[str | int, ...]

EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "a number greater than {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "is_instance_of": "{class}",
    "less_than": "a number less than {lt}",
    "less_than_equal": "a number of at most {le}",
    "literal_error": "{expected}",
    "none_required": "null",
    "string_too_short": "some text",
    "string_type": "a string",
    "too_long": "at most {max_length} entries",
    "too_short": "at least {min_length} entries",
    "tuple_type": "a list",
}
"""What a pydantic error type stands for; the braces are its context."""


class Problem(NamedTuple):
    """One thing in a config that a user has to mend; the fields are those of ConfigError."""

    where: str
    found: str
    expected: str
    advice: str = ""


def config_error(problems: Sequence[Problem], source: str) -> ConfigError:
    """All problems as one error; its `where` is that of the first."""
    first, *others = problems
    lines = [f"{first.advice} (In {source}.)".lstrip()]
    if others:
        lines.append(f"{len(others)} more:")
        lines += [f"  {p.where}: found {p.found}, expected {p.expected}.{' ' if p.advice else ''}{p.advice}" for p in others]
    return ConfigError(first.where, first.found, first.expected, "\n".join(lines))


def problems_of(error: ValidationError, section: type[BaseModel], data: Any) -> list[Problem]:
    """What pydantic found wrong in `data`, as problems."""
    return [_problem(detail, section, data) for detail in error.errors(include_url=False)]


def show(value: Any) -> str:
    """A value as JSON, short enough for a message."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that looks most like `word`, or None."""
    by_fold = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), by_fold, n=1, cutoff=0.6)
    return by_fold[close[0]] if close else None


def did_you_mean(word: Any, known: Iterable[str]) -> str:
    """`Did you mean "depth"?`, or nothing."""
    match = nearest(word, known) if isinstance(word, str) else None
    return f"Did you mean {show(match)}?" if match else ""


def join_path(location: Iterable[str | int]) -> str:
    """("training", "curriculum", 0, "name") as training.curriculum[0].name."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path or "the whole config"


def _problem(detail: Any, section: type[BaseModel], data: Any) -> Problem:
    location = _in_data(detail["loc"], data, missing=detail["type"] == "missing")
    where = join_path(location)
    if detail["type"] == "extra_forbidden":
        return _unknown_key(location, section, where)
    if detail["type"] == "missing":
        return Problem(where, "nothing", _meaning(location, section))
    template = EXPECTED.get(detail["type"])
    expected = template.format(**detail.get("ctx", {})) if template else detail["msg"]
    choices = re.findall(r"'([^']+)'", expected) if detail["type"] == "literal_error" else []
    return Problem(where, show(detail["input"]), expected, did_you_mean(detail["input"], choices))


def _in_data(location: Location, data: Any, missing: bool) -> Location:
    """The part of a pydantic location that a user can find: pydantic adds steps for the members of a union."""
    path: list[str | int] = []
    for position, part in enumerate(location):
        absent = missing and position == len(location) - 1
        held = (
            part in data
            if isinstance(data, dict)
            else isinstance(data, list | tuple) and isinstance(part, int) and part < len(data)
        )
        if absent or held:
            path.append(part)
            data = None if absent else data[part]
    return tuple(path)


def _unknown_key(location: Location, root: type[BaseModel], where: str) -> Problem:
    key, section = str(location[-1]), _section_at(location[:-1], root)
    known = list(section.model_fields) if section else []
    homes = [join_path(path) for path in _paths_of(key, root)]
    advice = did_you_mean(key, known)
    if homes and not advice:
        advice = f"It belongs at {' or '.join(homes)}."
    expected = f"a key of {join_path(location[:-1])}" if advice else f"one of: {', '.join(sorted(known))}"
    return Problem(where, f"an unknown key {show(key)}", expected, advice)


def _meaning(location: Location, root: type[BaseModel]) -> str:
    """What a missing key stands for."""
    section = _section_at(location[:-1], root)
    field = section.model_fields.get(str(location[-1])) if section else None
    return f"this key ({field.description})" if field and field.description else "a value"


def _section_at(location: Location, root: type[BaseModel]) -> type[BaseModel] | None:
    section: type[BaseModel] | None = root
    for part in location:
        if isinstance(part, int):
            continue
        field = section.model_fields.get(part) if section else None
        section = next(_sections_in(field.annotation), None) if field else None
    return section


def _sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections_in(inner)


def _paths_of(key: str, section: type[BaseModel], path: Location = ()) -> Iterator[Location]:
    for name, field in section.model_fields.items():
        if name == key:
            yield (*path, name)
        for inner in _sections_in(field.annotation):
            yield from _paths_of(key, inner, (*path, name))
