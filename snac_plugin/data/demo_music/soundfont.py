"""Read instruments from a SoundFont 2 file (SoundFont Technical Specification 2.01): RIFF chunks -> zones of samples.

Only what an instrument says is read; a SoundFont's own modulators and a preset's offsets to its instrument are not.
"""

import json
import struct
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import AudioError

GENERATORS: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("soundfont_generators.json").read_text("utf-8"))
"""Numbers, default values and units of the generators (specification, 8.1.2) that say something about sound, by name."""

_KEY_RANGE, _INSTRUMENT, _SAMPLE = 43, 41, 53
_COARSE_OFFSETS = {4: "start_offset", 45: "loop_start_offset", 50: "loop_end_offset"}  # in units of 32,768 points


@dataclass(frozen=True)
class SoundFontSample:
    index: int
    start: int
    end: int
    loop_start: int
    loop_end: int
    rate: int
    root_key: int
    correction: int  # cents


@dataclass(frozen=True)
class Zone:
    """One sample over a range of keys, with its generators by name (see `GENERATORS`)."""

    low_key: int
    high_key: int
    sample: SoundFontSample
    values: dict[str, int] = field(hash=False)


class SoundFont:
    """The presets of an .sf2 file; another kind of file is an AudioError."""

    def __init__(self, path: str | Path) -> None:
        content = Path(path).read_bytes()
        if content[:4] != b"RIFF" or content[8:12] != b"sfbk":
            raise AudioError(str(path), "another kind of file", "a SoundFont 2 file (.sf2)")
        tables = _read_tables(content)
        self.points = np.frombuffer(tables["smpl"], dtype="<i2")  # [samples], int16
        self._generators = list(struct.iter_unpack("<Hh", tables["igen"]))
        self._preset_generators = list(struct.iter_unpack("<Hh", tables["pgen"]))
        self._zone_starts = [first for first, _ in struct.iter_unpack("<HH", tables["ibag"])]
        self._preset_zone_starts = [first for first, _ in struct.iter_unpack("<HH", tables["pbag"])]
        self._instruments = [first for _, first in struct.iter_unpack("<20sH", tables["inst"])]
        headers = list(struct.iter_unpack("<20sHHHIII", tables["phdr"]))
        self._presets = {(now[2], now[1]): (now[3], after[3]) for now, after in pairwise(headers)}
        rows = enumerate(struct.iter_unpack("<20sIIIIIBbHH", tables["shdr"]))
        self._samples = [SoundFontSample(index, *row[1:8]) for index, row in rows]

    def zones(self, bank: int, program: int) -> list[Zone]:
        """The zones of a preset; bank 128 holds the drum kits. A missing preset gives none."""
        first, last = self._presets.get((bank, program), (0, 0))
        zones: list[Zone] = []
        for start, end in pairwise(self._preset_zone_starts[first : last + 1]):
            for kind, value in self._preset_generators[start:end]:
                if kind == _INSTRUMENT:
                    zones.extend(self._instrument_zones(value))
        return zones

    def _instrument_zones(self, instrument: int) -> list[Zone]:
        shared: dict[int, int] = {}  # the first zone may hold no sample: its generators are defaults for the others
        zones = []
        first, last = self._instruments[instrument : instrument + 2]
        for start, end in pairwise(self._zone_starts[first : last + 1]):
            generators = {**shared, **dict(self._generators[start:end])}
            if _SAMPLE not in generators:
                shared = generators
                continue
            keys = generators.get(_KEY_RANGE, 127 << 8)
            values = {name: generators.get(about["number"], about["default"]) for name, about in GENERATORS.items()}
            for number, name in _COARSE_OFFSETS.items():
                values[name] += 32768 * generators.get(number, 0)
            zones.append(Zone(keys & 255, keys >> 8 & 255, self._samples[generators[_SAMPLE]], values))
        return zones


def _read_tables(content: bytes) -> dict[str, bytes]:
    """The leaf chunks of a RIFF file by name; lists are opened."""
    tables: dict[str, bytes] = {}
    position = 12
    while position + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, position)
        position += 8
        if name == b"LIST":
            position += 4
            continue
        tables[name.decode("ascii")] = content[position : position + size]
        position += size + size % 2
    return tables
