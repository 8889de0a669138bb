"""Melodies: a motif that is repeated, moved to the chord at hand, and varied."""

import random
from dataclasses import dataclass

from .song import SONG_FORM, Part, Section, Song
from .styles import Style
from .theory import near


@dataclass(frozen=True)
class MotifNote:
    beat: float  # within the motif
    beats: float
    degree: int  # scale degrees away from the motif's first note


Motif = tuple[list[MotifNote], list[MotifNote]]
"""Two bars: a call, and the answer to it."""


def make_motif(dice: random.Random, style: Style) -> Motif:
    """Draw rhythm and contour; `style.density` says how busy."""
    return _make_bar(dice, style), _make_bar(dice, style)


def _make_bar(dice: random.Random, style: Style) -> list[MotifNote]:
    notes: list[MotifNote] = []
    beat, degree = 0.0, 0
    while beat < style.beats:
        fitting = [rhythm for rhythm in SONG_FORM["rhythms"] if sum(map(abs, rhythm["beats"])) <= style.beats - beat]
        weights = [2 ** (-6 * abs(rhythm["busy"] - style.density)) for rhythm in fitting]
        for length in dice.choices(fitting, weights)[0]["beats"]:
            if length > 0:  # a negative length is a rest
                notes.append(MotifNote(beat, length, degree))
                degree += dice.choice((-2, -1, -1, 0, 1, 1, 2, 2, -3, 4))
                degree = max(-4, min(6, degree))
            beat += abs(length)
    return notes


def play_melody(
    song: Song, section: Section, part: Part, motif: Motif, dice: random.Random, centre: int, shift: int = 0, loudness: float = 1.0
) -> None:
    """Play call, answer, call, varied answer around `centre`, moved by `shift` scale degrees.

    A solo varies every bar, a break and an intro keep to the beats.
    """
    for index in range(section.bars):
        bar = section.first_bar + index
        home = song.key.nearest_degree(near(song.chords[bar].root, centre))
        swell = 0.85 + 0.15 * (index % 4) / 3
        varied = section.name == "solo" or index % 4 == 3
        for note in motif[index % 2]:
            if section.name in ("break", "intro") and note.beat % 1:
                continue
            degree = home + note.degree + shift + (dice.choice((-1, 1)) if varied and note.beat >= 2 else 0)
            if note.beat % 2 == 0:  # to the nearest tone of the chord
                tones, near_by = song.chords[bar].pitch_classes, range(degree - 2, degree + 3)
                degree = min(near_by, key=lambda other: (song.key.pitch(other) % 12 not in tones, abs(other - degree)))
            accent = 1.0 if note.beat == 0 else 0.88 if note.beat % 1 == 0 else 0.76
            sounding = note.beats * song.style.staccato
            song.add(part, bar, note.beat, sounding, song.key.pitch(degree), accent * swell * section.energy * loudness, dice)
