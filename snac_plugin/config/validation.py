"""Check configs: keys and values first, then whether they fit together; all problems in one error, each with path and advice."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from snac_plugin.config.foreign_keys import FOREIGN_KEYS, without_idle
from snac_plugin.config.section import Section
from snac_plugin.errors import ConfigError, did_you_mean

S = TypeVar("S", bound=Section)

Location = tuple[str | int, ...]

EDITOR_KEY = "$schema"
"""Where editors read the path of a config's JSON schema."""

EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "an object",
    "model_type": "an object",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "a number greater than {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "less_than": "a number less than {lt}",
    "less_than_equal": "a number of at most {le}",
    "literal_error": "{expected}",
    "string_too_short": "some text",
    "string_type": "a string",
    "too_long": "at most {max_length} entries",
    "too_short": "at least {min_length} entries",
    "tuple_type": "a list",
}
"""What a pydantic error type stands for; braces are filled from the error's context."""


class Problem(NamedTuple):
    """One thing in a config that a user has to mend; the fields are those of ConfigError."""

    where: str
    found: str
    expected: str
    advice: str = ""


def validated(
    section: type[S],
    data: Mapping[str, Any],
    source: str,
    rules: Callable[[S], Iterable[Problem]] = lambda _: (),
    within: Location = (),
) -> S:
    """A config, or the part of one that lies at `within`, as ("model", "pretransform"), after all checks.

    `rules` yields what does not fit together; `source` says where the config was read from.

    Raises:
        ConfigError: with every problem: JSON path, what was found, what was expected, the nearest known key.
    """
    data = {key: value for key, value in data.items() if key != EDITOR_KEY}
    for path, foreign in FOREIGN_KEYS.items():
        *parents, key = path.removeprefix("".join(f"{part}." for part in within)).split(".")
        if key not in _fields(section, tuple(parents)):
            data = without_idle(data, ".".join((*parents, key)), foreign.idle)
    problems: list[Problem] = []
    try:
        checked = section.model_validate(data)
    except ValidationError as error:
        problems = [_problem(detail, section, data, within) for detail in error.errors(include_url=False)]
    raise_problems(problems, source)
    raise_problems(rules(checked), source)
    return checked


def raise_problems(problems: Iterable[Problem], source: str) -> None:
    """Raise all problems, if any, as one ConfigError whose `where` is that of the first."""
    problems = list(problems)
    if not problems:
        return
    first, others = problems[0], problems[1:]
    lines = [f"{first.advice} (In {source}.)".lstrip()]
    if others:
        lines.append(f"{len(others)} more:")
        lines += [f"  {p.where}: found {p.found}, expected {p.expected}. {p.advice}".rstrip() for p in others]
    raise ConfigError(first.where, first.found, first.expected, "\n".join(lines))


def not_one_of(where: str, value: Any, what: str, known: Iterable[str]) -> Problem:
    """A name that is not among the known ones."""
    names = tuple(known)
    return Problem(where, show(value), f"{what}: {', '.join(names)}", did_you_mean(value, names))


def show(value: Any) -> str:
    """A value as JSON, short enough for a message."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _problem(detail: Any, section: type[BaseModel], data: Any, within: Location) -> Problem:
    location = _in_data(detail["loc"], data, missing=detail["type"] == "missing")
    where = _path((*within, *location))
    if detail["type"] == "extra_forbidden":
        return _unknown_key(location, section, within)
    if detail["type"] == "missing":
        field = _fields(section, location[:-1]).get(str(location[-1]))
        return Problem(where, "nothing", f"this key ({field.description})" if field and field.description else "a value")
    template = EXPECTED.get(detail["type"])
    expected = template.format(**detail.get("ctx", {})) if template else detail["msg"]
    choices = re.findall(r"'([^']+)'", expected) if detail["type"] == "literal_error" else []
    return Problem(where, show(detail["input"]), expected, did_you_mean(detail["input"], choices))


def _in_data(location: Location, data: Any, missing: bool) -> Location:
    """The part of a pydantic location that a user can find: pydantic adds steps for the members of a union."""
    path: list[str | int] = []
    for part in location:
        is_index = isinstance(data, list | tuple) and isinstance(part, int) and part < len(data)
        if is_index or (isinstance(data, dict) and part in data):
            path.append(part)
            data = data[part]
    return (*path, location[-1]) if missing else tuple(path)


def _unknown_key(location: Location, root: type[BaseModel], within: Location) -> Problem:
    key, known = str(location[-1]), sorted(_fields(root, location[:-1]))
    homes = [_path((*within, *path)) for path in _paths_of(key, root)]
    where = _path((*within, *location))
    if where in FOREIGN_KEYS:
        return Problem(where, f"the key {show(key)} of stable-audio-tools", "none, it is not used here", FOREIGN_KEYS[where].advice)
    advice = did_you_mean(key, known)
    if homes and not advice:
        advice = f"It belongs at {' or '.join(homes)}."
    expected = f"a key of {_path((*within, *location[:-1]))}" if advice else f"one of: {', '.join(known)}"
    return Problem(where, f"an unknown key {show(key)}", expected, advice)


def _path(location: Location) -> str:
    """("training", "curriculum", 0, "name") as training.curriculum[0].name."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return path.removeprefix(".") or "the whole config"


def _fields(root: type[BaseModel], location: Location) -> dict[str, FieldInfo]:
    """The keys of the section at a location; none where there is no section."""
    fields = root.model_fields
    for part in location:
        if isinstance(part, str):
            section = next(sections_in(fields[part].annotation), None) if part in fields else None
            fields = section.model_fields if section else {}
    return fields


def _paths_of(key: str, section: type[BaseModel], path: Location = ()) -> Iterator[Location]:
    """Every place below a section at which a key of that name belongs."""
    for name, field in section.model_fields.items():
        if name == key:
            yield (*path, name)
        for inner in sections_in(field.annotation):
            yield from _paths_of(key, inner, (*path, name))


def sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections that a field of this type may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from sections_in(inner)
