"""What a composed song is made of. Times in seconds, pitches as MIDI numbers, loudness from 0 to 1."""

import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .instruments import KITS, PROGRAMS
from .styles import Style
from .theory import Chord, Key

ROLES = ("lead", "counter", "chords", "pad", "bass", "drums")
SONG_FORM: dict[str, list[Any]] = json.loads(Path(__file__).with_name("song_form.json").read_text(encoding="utf-8"))
"""Roles of intros; sections, which are repeated until the song is long enough; likelihood of arrangements that leave roles out;
rhythms of melodies. Every section holds the chords, so that none is silent whatever is left out."""


@dataclass(frozen=True)
class Note:
    start: float
    seconds: float
    pitch: int
    loudness: float


@dataclass
class Part:
    role: str  # one of `ROLES`
    program: int  # General MIDI program, or the kit's program for drums
    notes: list[Note] = field(default_factory=list)

    @property
    def is_drums(self) -> bool:
        return self.role == "drums"

    @property
    def instrument(self) -> str:
        if self.is_drums:
            return next(f"{name} drum kit" for name, program in KITS.items() if program == self.program)
        return PROGRAMS[self.program]


@dataclass(frozen=True)
class Section:
    name: str
    first_bar: int
    bars: int
    energy: float  # 0 to 1: how loud
    roles: list[str]
    variant: int  # which loop, groove, patterns and motif: 0 for the verse, 1 for the chorus


@dataclass
class Song:
    style: Style
    seed: str
    seconds: float
    key: Key
    tempo: int  # beats a minute
    mood: str
    sections: list[Section]
    chords: list[Chord]  # one a bar
    parts: list[Part]

    @property
    def seconds_per_bar(self) -> float:
        return self.style.beats * 60 / self.tempo

    def add(self, part: Part, bar: int, beat: float, beats: float, pitch: int, loudness: float, dice: random.Random) -> None:
        """Append a note at `beat` of `bar`, with the style's swing and looseness."""
        whole, rest = divmod(beat, 1.0)
        swing = self.style.swing
        swung = rest * 2 * swing if rest < 0.5 else swing + (rest - 0.5) * 2 * (1 - swing)
        start = (bar * self.style.beats + whole + swung) * 60 / self.tempo + dice.gauss(0, self.style.loose)
        loudness = min(1.0, max(0.05, loudness * dice.uniform(0.9, 1.08)))
        part.notes.append(Note(max(0.0, start), max(0.05, beats * 60 / self.tempo), pitch, loudness))

    def describe(self) -> dict[str, object]:
        """What is known about the song, ready for JSON; `prompt` says it in words."""
        parts = sorted(self.parts, key=lambda part: ROLES.index(part.role))
        instruments = list(dict.fromkeys(part.instrument for part in parts))
        listed = " and ".join(filter(None, [", ".join(instruments[:-1]), instruments[-1]]))
        sections = [
            {"name": section.name, "start": round(section.first_bar * self.seconds_per_bar, 3), "bars": section.bars}
            for section in self.sections
            if section.first_bar * self.seconds_per_bar < self.seconds
        ]
        return {
            "prompt": f"{self.mood} {self.style.name} in {self.key.name} at {self.tempo} BPM with {listed}",
            "style": self.style.name,
            "mood": self.mood,
            "key": self.key.name,
            "scale": list(self.key.pitch_classes),
            "tempo": self.tempo,
            "beats_per_bar": self.style.beats,
            "instruments": instruments,
            "chords": [chord.name for chord in self.chords],
            "sections": sections,
            "seed": self.seed,
        }
