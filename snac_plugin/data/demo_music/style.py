"""What a style of demo music is made of.

Patterns are strings with one character a step, a sixteenth note; a bar has 16 steps, in a waltz 12.

* drum patterns: `X` accent, `x` stroke, `o` ghost stroke, `.` nothing.
* note patterns (bass, chords): a digit plays that tone of the chord (0 root, 1 third, 2 fifth, ...; past the last tone, an octave
  higher), `8` the root an octave up, `C` the whole chord accented, `c` the whole chord, `a` a step towards the next chord's root;
  each lasts until the next character that is not `.`; `-` is a rest.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    name: str
    mood: tuple[str, ...]  # adjectives for the prompt
    tempo: tuple[int, int]  # beats per minute
    modes: tuple[str, ...]
    loops: tuple[tuple[int, ...], ...]  # chord loops: a scale degree each bar
    lead: tuple[int, ...]  # General MIDI programs, one is drawn for each song
    chords: tuple[int, ...]
    bass: tuple[int, ...]
    pad: tuple[int, ...]
    chord_patterns: tuple[str, ...]
    bass_patterns: tuple[str, ...]
    grooves: tuple[dict[str, str], ...] = ()
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


# chord loops: scale degrees, 0 is the tonic
POP = ((0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (3, 4, 0, 5))
MINOR = ((0, 5, 2, 6), (0, 3, 5, 6), (0, 6, 5, 6), (0, 2, 6, 3))
JAZZ = ((1, 4, 0, 0), (1, 4, 0, 5), (0, 5, 1, 4), (2, 5, 1, 4))
BLUES = ((0, 3, 0, 0, 3, 3, 0, 0, 4, 3, 0, 4), (0, 0, 3, 0, 4, 3, 0, 0))
VAMP = ((0, 3), (0, 0, 3, 3), (0, 6, 3, 0))
