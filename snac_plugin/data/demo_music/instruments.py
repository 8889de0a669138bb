"""General MIDI: names of the programs, drum kits and drum voices, read from instruments.json."""

from __future__ import annotations

import json
from pathlib import Path

_TABLES = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))

PROGRAMS: tuple[str, ...] = tuple(_TABLES["programs"])
"""Names of programs 0 to 127."""

UNFIT_FOR_MELODY: frozenset[int] = frozenset(_TABLES["unfit_for_melody"])
"""Percussion, sound effects, basses, and programs that (also) sound at another pitch than the one written."""

KITS: dict[str, int] = _TABLES["drum_kits"]
"""Programs of the drum kits by name."""

VOICES: dict[str, int] = _TABLES["drum_voices"]
"""MIDI keys of the drums by name."""
