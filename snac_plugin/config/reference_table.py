"""The config reference in the README, written from the schema itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from snac_plugin.config.model_keys import SnacModelConfig


def reference_table(config: type[BaseModel] = SnacModelConfig) -> str:
    """A Markdown table of a model config: JSON path, default, what it is."""
    rows = [f"| `{path}` | {default} | {text} |" for path, default, text in _rows(config, "")]
    return "\n".join(["| key | default | what it is |", "|---|---|---|", *rows])


def _rows(section: type[BaseModel], path: str) -> Iterator[tuple[str, str, str]]:
    for name, field in section.model_fields.items():
        inner, many = _section_in(field.annotation)
        where = f"{path}{name}" + ("[]" if many else "")
        if inner is None:
            yield where, _default(field), str(field.description)
        else:
            yield from _rows(inner, f"{where}.")


def _section_in(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The section that a field holds, and whether it holds several."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    for argument in get_args(annotation):
        inner, many = _section_in(argument)
        if inner is not None:
            return inner, many or getattr(annotation, "__origin__", None) is tuple
    return None, False


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "needed"
    return "its own" if isinstance(field.default, BaseModel) else f"`{json.dumps(field.default)}`"
