"""The one way in which configs are checked: keys and values first, then whether they fit together; all problems in one error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from snac_plugin.config.error_messages import Location, Problem, problems_of, raise_problems
from snac_plugin.config.section import Section

S = TypeVar("S", bound=Section)

EDITOR_KEY = "$schema"
"""Where editors read the path of a config's JSON schema."""


def validated(
    section: type[S],
    data: Mapping[str, Any],
    source: str,
    rules: Callable[[S], Iterable[Problem]] = lambda _: (),
    within: Location = (),
) -> S:
    """A config, or the part of one that lies at `within`, as ("model", "pretransform"), after all checks.

    Args:
        section: the keys it may have.
        data: what the JSON holds.
        source: where it was read from, for the message.
        rules: yields what does not fit together.
        within: the part's place in its config.

    Raises:
        ConfigError: with every problem: JSON path, what was found, what was expected, the nearest known key.
    """
    data = {key: value for key, value in data.items() if key != EDITOR_KEY}
    problems: list[Problem] = []
    try:
        checked = section.model_validate(data)
    except ValidationError as error:
        problems = problems_of(error, section, data, within)
    raise_problems(problems, source)
    raise_problems(rules(checked), source)
    return checked
