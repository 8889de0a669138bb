"""Chords, bass, pads and drums: patterns from styles.py played through the bars of a section."""

import random

from .instruments import VOICE_LOUDNESS, VOICES
from .song import Part, Section, Song
from .theory import near

_STROKES = {"X": 1.0, "x": 0.75, "o": 0.4}
_FILL_VOICES = ("snare", "high tom", "mid tom", "low tom")


def play_pattern(song: Song, section: Section, part: Part, pattern: str, centre: int, dice: random.Random) -> None:
    """Play a note pattern through the chords of a section; pitches stay around `centre`."""
    events = [step for step, letter in enumerate(pattern) if letter != "."]
    for bar in range(section.first_bar, section.first_bar + section.bars):
        for step, end in zip(events, [*events[1:], len(pattern)], strict=True):
            letter = pattern[step]
            loudness = section.energy * (1.0 if step % 8 == 0 or letter == "C" else 0.8)
            for index, pitch in enumerate(_pitches(song, bar, letter, part.role == "bass", centre)):
                beat = step / 4 + index * song.style.strum * song.tempo / 60
                song.add(part, bar, beat, (end - step) / 4 * 0.96, pitch, loudness, dice)


def _pitches(song: Song, bar: int, letter: str, is_bass: bool, centre: int) -> list[int]:
    """What one character of a note pattern means over the chord of a bar."""
    chord, following = song.chords[bar], song.chords[min(bar + 1, len(song.chords) - 1)]
    tones, root = chord.voicing(centre), near(chord.root, centre)
    if letter == "-":
        return []
    if letter in "Cc":
        return tones
    if letter == "a":
        target = near(following.root, centre)
        return [target + (2 if (target + 2) % 12 in song.key.pitch_classes and root > target else -1)]
    if letter == "8":
        return [root + 12 if is_bass else tones[0] + 12]
    if is_bass:  # the root stays below the other chord tones
        above = sorted((tone - root) % 12 for tone in tones)
        return [root + above[int(letter) % len(above)]]
    octave, index = divmod(int(letter), len(tones))
    return [tones[index] + 12 * octave]


def play_drums(song: Song, section: Section, part: Part, groove: dict[str, str], dice: random.Random) -> None:
    """Play a groove through a section; most sections begin with a crash and end with a fill."""
    if not groove:
        return
    last = section.first_bar + section.bars - 1
    if section.name in ("verse", "chorus"):
        song.add(part, section.first_bar, 0, 4, VOICES["crash"], 0.8 * section.energy, dice)
    for bar in range(section.first_bar, last + 1):
        fill = bar == last and dice.random() < 0.8
        for voice, pattern in groove.items():
            beats = 0.5 if voice == "open hat" else 2.0  # a hat closes again, other drums ring
            for step, letter in enumerate(pattern[:-4] if fill else pattern):
                if letter != ".":
                    loudness = _STROKES[letter] * VOICE_LOUDNESS.get(voice, 0.9) * section.energy
                    song.add(part, bar, step / 4, beats, VOICES[voice], loudness, dice)
        for index in range(4 if fill else 0):
            loudness = (0.6 + 0.1 * index) * section.energy
            song.add(part, bar, song.style.beats - 1 + index / 4, 2, VOICES[dice.choice(_FILL_VOICES)], loudness, dice)
