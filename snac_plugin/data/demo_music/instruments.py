"""General MIDI: names of the programs, drum kits and drum voices, read from instruments.json."""

import json
from pathlib import Path

_TABLES = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))

PROGRAMS: list[str] = _TABLES["programs"]  # their names, in the order of their numbers
UNFIT_FOR_MELODY: list[int] = _TABLES["unfit_for_melody"]  # percussion, effects, basses, programs that sound at another pitch
KITS: dict[str, int] = _TABLES["drum_kits"]  # programs of the drum kits
VOICES: dict[str, int] = _TABLES["drum_voices"]  # MIDI keys of the drums
VOICE_LOUDNESS: dict[str, float] = _TABLES["drum_loudness"]  # 0.9 for any other drum
