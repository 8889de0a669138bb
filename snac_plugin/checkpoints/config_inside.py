"""The model config in a checkpoint, read without torch: flags are checked with it before anything heavy is imported."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snac_plugin.checkpoints.places import locate
from snac_plugin.config import load_json
from snac_plugin.config.migration import FIRST_VERSION, with_former_defaults

CONFIG, CONFIG_VERSION_NOTE = "model_config", "snac_config_version"
LONGEST_HEADER = 100_000_000  # bytes, as safetensors has it


def config_at_once(path: str | Path, given: str | Path | None = None) -> dict[str, Any] | None:
    """The config that `read_checkpoint(path).config_for(given)` has, if a .safetensors file tells it without torch, else None.

    A file that cannot be read is None too: its reader says what is wrong with it.
    """
    file, beside = locate(path)
    notes = _notes(file) if file.suffix == ".safetensors" else None
    if notes is None:
        return None
    try:
        version = int(notes.get(CONFIG_VERSION_NOTE, FIRST_VERSION))
        inside = json.loads(notes[CONFIG]) if CONFIG in notes else None
    except (TypeError, ValueError):
        return None
    if given is not None or inside is None:
        place = given or beside
        return None if place is None else with_former_defaults(load_json(place), version)
    return with_former_defaults(inside, version) if isinstance(inside, dict) else None


def _notes(file: Path) -> Mapping[str, str] | None:
    """The metadata of a .safetensors file: the size of its header in 8 bytes, then the header, JSON."""
    try:
        with file.open("rb") as opened:
            size = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(size)) if size <= LONGEST_HEADER else None
    except (OSError, ValueError):
        return None
    found = header.get("__metadata__", {}) if isinstance(header, dict) else None
    return found if isinstance(found, dict) else None
