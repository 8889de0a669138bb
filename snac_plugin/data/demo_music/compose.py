"""Compose songs by program: key, tempo, chord loops, motifs, instruments and sections. Everything follows from a seed."""

import random

from .accompaniment import play_drums, play_pattern
from .instruments import KITS, PROGRAMS, UNFIT_FOR_MELODY
from .melody import make_motif, play_melody
from .song import SONG_FORM, Part, Section, Song
from .styles import STYLES, Style
from .theory import Chord, Key

_SURPRISE = 0.25  # share of parts whose instrument comes from all of General MIDI instead of the style's own
_SURPRISES = tuple(program for program in range(len(PROGRAMS)) if program not in UNFIT_FOR_MELODY)


def compose(seed: str, seconds: float, style: Style | None = None, tempo: int | None = None, key: Key | None = None) -> Song:
    """A song of at least `seconds`; the same arguments give the same one. Tempo and key are drawn from the style's by default."""
    dice = random.Random(seed)
    style = style or dice.choice(STYLES)
    drawn_key, drawn_tempo = Key(dice.randrange(12), dice.choice(style.modes)), dice.randint(*style.tempo)
    key, tempo = key or drawn_key, tempo or drawn_tempo
    sections = _lay_out_sections(dice, int(seconds * tempo / 60 / style.beats) + 1)
    loops = dice.sample(style.loops, 2) if len(style.loops) > 1 else [style.loops[0]] * 2
    if dice.random() < 0.35:
        loops[1] = loops[0]
    chords = [
        Chord(key, loops[section.variant][bar % len(loops[section.variant])], style.chord_size)
        for section in sections
        for bar in range(section.bars)
    ]
    song = Song(style, seed, seconds, key, tempo, dice.choice(style.mood), sections, chords, [])
    parts = _choose_parts(style, dice)
    _play(song, parts, dice)
    song.parts = [part for part in parts if any(note.start < seconds for note in part.notes)]
    return song


def _lay_out_sections(dice: random.Random, bars: int) -> list[Section]:
    sections = [Section("intro", 0, 4 if bars > 20 else 2, 0.65, dice.choice(SONG_FORM["intros"]), 0)]
    offset = dice.randrange(2)
    while (end := sections[-1].first_bar + sections[-1].bars) < bars:
        section = SONG_FORM["sections"][(len(sections) - 1 + offset) % len(SONG_FORM["sections"])]
        sections.append(Section(first_bar=end, **section))
    return sections


def _choose_parts(style: Style, dice: random.Random) -> list[Part]:
    def choose(programs: tuple[int, ...]) -> int:
        return dice.choice(_SURPRISES) if dice.random() < _SURPRISE and len(set(programs)) > 1 else dice.choice(programs)

    lead = choose(style.lead)
    parts = [Part("lead", lead), Part("counter", choose(tuple(program for program in style.lead if program != lead) or (lead,)))]
    parts += [Part("chords", choose(style.chords)), Part("bass", dice.choice(style.bass))]
    if style.pad:
        parts.append(Part("pad", choose(style.pad)))
    if style.grooves:
        parts.append(Part("drums", KITS[dice.choice(style.kits)]))
    likelihoods = [arrangement["likelihood"] for arrangement in SONG_FORM["arrangements"]]
    left_out = dice.choices(SONG_FORM["arrangements"], likelihoods)[0]["left_out"]
    return [part for part in parts if part.role not in left_out]


def _play(song: Song, parts: list[Part], dice: random.Random) -> None:
    style = song.style
    motifs = [make_motif(dice, style) for _ in range(2)]
    patterns = {
        "chords": [dice.choice(style.chord_patterns) for _ in range(2)],
        "bass": [dice.choice(style.bass_patterns) for _ in range(2)],
        "pad": ["C" + "." * (4 * style.beats - 1)] * 2,
    }
    centres = {"chords": dice.randint(57, 64), "bass": dice.randint(36, 41), "pad": dice.randint(60, 67)}
    grooves = [dice.choice(style.grooves), style.grooves[-1]] if style.grooves else [{}, {}]
    for section in song.sections:
        for part in (part for part in parts if part.role in section.roles):
            if part.is_drums:
                play_drums(song, section, part, grooves[section.variant], dice)
            elif part.role == "lead":
                play_melody(song, section, part, motifs[section.variant], dice, style.lead_centre)
            elif part.role == "counter":
                play_melody(song, section, part, motifs[section.variant], dice, style.lead_centre - 5, shift=-2, loudness=0.7)
            else:
                play_pattern(song, section, part, patterns[part.role][section.variant], centres[part.role], dice)
