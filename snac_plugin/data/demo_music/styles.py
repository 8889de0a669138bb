"""Styles of demo music, read from styles.json: tempo, chords, instruments and patterns of each.

Patterns are strings with one character a step, a sixteenth note; a bar has 16 steps, in a waltz 12.

* drum patterns: `X` accent, `x` stroke, `o` ghost stroke, `.` nothing.
* note patterns (bass, chords): a digit plays that tone of the chord (0 root, 1 third, 2 fifth, ...; past the last tone, an octave
  higher), `8` the root an octave up, `C` the whole chord accented, `c` the whole chord, `a` a step towards the next chord's root;
  each lasts until the next character that is not `.`; `-` is a rest.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ...errors import ConfigError
from .instruments import KITS, VOICES
from .theory import MODES


@dataclass(frozen=True)
class Style:
    __pydantic_config__ = ConfigDict(extra="forbid")  # a misspelt key is an error

    name: str
    mood: tuple[str, ...]  # adjectives for the prompt
    tempo: tuple[int, int]  # beats per minute
    modes: tuple[str, ...]
    loops: tuple[tuple[int, ...], ...]  # chord loops: a scale degree each bar, 0 is the tonic
    lead: tuple[int, ...]  # General MIDI programs, one is drawn for each song
    chords: tuple[int, ...]
    bass: tuple[int, ...]
    pad: tuple[int, ...]
    chord_patterns: tuple[str, ...]
    bass_patterns: tuple[str, ...]
    grooves: tuple[dict[str, str], ...] = ()  # each a drum pattern by the name of its drum
    kits: tuple[str, ...] = ("standard",)
    beats: int = 4  # beats in a bar
    swing: float = 0.5  # where the second eighth note of a beat falls: 0.5 straight, 0.66 triplets
    chord_size: int = 3
    density: float = 0.5  # of the melody: 0 long notes, 1 sixteenth notes
    strum: float = 0.0  # seconds between the notes of a chord
    loose: float = 0.006  # standard deviation of note onsets, seconds
    reverb: float = 0.15  # loudness of the reverberation next to the dry sound
    lead_centre: int = 74
    staccato: float = 0.92  # share of its step that a note of the melody sounds

    def __post_init__(self) -> None:
        steps = 4 * self.beats
        drums = [pattern for groove in self.grooves for pattern in groove.values()]
        for patterns, characters in ((self.chord_patterns + self.bass_patterns, "012345678Cca-."), (drums, "Xxo.")):
            for pattern in patterns:
                if len(pattern) != steps or set(pattern) - set(characters):
                    raise ValueError(f"{self.name}: pattern {pattern!r} is not {steps} characters of {characters}")
        drum_names = [name for groove in self.grooves for name in groove]
        for names, known in ((self.modes, list(MODES)), (self.kits, list(KITS)), (drum_names, list(VOICES))):
            if unknown := [name for name in names if name not in known]:
                raise ValueError(f"{self.name}: {unknown[0]!r} is none of {', '.join(known)}")


def read_styles(path: Path) -> tuple[Style, ...]:
    """The styles of a file, in its order; names among a style's loops stand for the `chord_loops` of that name."""
    content = json.loads(path.read_text(encoding="utf-8"))
    groups = content["chord_loops"]
    for style in content["styles"]:
        style["loops"] = [loop for entry in style["loops"] for loop in (groups[entry] if isinstance(entry, str) else [entry])]
    try:
        return TypeAdapter(tuple[Style, ...]).validate_python(content["styles"])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["styles", *map(str, first["loc"])])
        raise ConfigError(f"{path.name}: {where}", repr(first["input"])[:80], first["msg"]) from None


STYLES = read_styles(Path(__file__).with_suffix(".json"))
