"""What the sections say about their keys: tables for docs/config.md, and JSON schemas for editors.

With `"$schema"` in a config VS Code and others complete and check its keys.
"""

import json
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter
from pydantic_core import PydanticUndefined

from snac_plugin.config.codec_training_keys import CodecModelConfig
from snac_plugin.config.conditioner_keys import OUR_CONDITIONERS
from snac_plugin.config.dataset_config import DatasetConfig
from snac_plugin.config.model_keys import ConditionerSection, SnacModelConfig
from snac_plugin.config.validation import EDITOR_KEY, sections_in

SCHEMAS: dict[str, Any] = {
    "model_configs/schema/snac_dit.json": SnacModelConfig,
    "model_configs/schema/snac_codec.json": CodecModelConfig,
    "dataset_configs/schema/dataset.json": Annotated[DatasetConfig, Field(discriminator="dataset_type")],
}
"""Where each schema lies in the repository, and the kind of config that it describes."""


def editor_schema(kind: Any) -> str:
    """The text of the JSON schema of one kind of config."""
    schema = TypeAdapter(kind).json_schema()
    kinds = [schema["$defs"][option["$ref"].rpartition("/")[2]] for option in schema.get("oneOf", ())]  # of datasets
    for top in kinds or [schema]:
        top["properties"] = {EDITOR_KEY: {"type": "string", "description": "path of the JSON schema"}, **top["properties"]}
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(dialect | _plain(schema), indent=1) + "\n"


def _plain(schema: Any) -> Any:
    """A schema without what editors would show for nothing: names of classes, sections' defaults, pydantic's discriminators."""
    if isinstance(schema, list):
        return [_plain(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    dropped = {"discriminator", "properties", "title"}
    if "$ref" in schema:
        dropped.add("default")
    if "properties" in schema:
        dropped.add("description")  # that of the class: the key has one of its own
    renamed = {"oneOf": "anyOf"}  # {} is no options for all levels, and none by level
    plain = {renamed.get(key, key): _plain(value) for key, value in schema.items() if key not in dropped}
    if "properties" in schema:
        plain["properties"] = {name: _plain(value) for name, value in schema["properties"].items()}
    return plain


def reference_table(config: type[BaseModel] = SnacModelConfig) -> str:
    """A Markdown table of a model config: JSON path, default, what it is."""
    return "\n".join(["| key | default | what it is |", "|---|---|---|", *_rows(config, "")])


def _rows(section: type[BaseModel], path: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        inner = next(sections_in(field.annotation), None)
        if inner is not None:
            several = "[]" if "tuple[" in str(field.annotation) else ""
            yield from _rows(inner, f"{path}{name}{several}.")
            if inner is ConditionerSection:
                for kind, section in OUR_CONDITIONERS.items():
                    yield from _rows(section, f"{path}{name}[{kind}].config.")
        else:
            default = "needed" if field.default is PydanticUndefined else f"`{json.dumps(field.default)}`"
            yield f"| `{path}{name}` | {default} | {field.description} |"
