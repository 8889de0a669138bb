"""Keys, scales and chords as MIDI pitches. Middle C is 60; scale degrees count from 0, the tonic."""

from dataclasses import dataclass

NOTE_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")

MODES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
}

_QUALITIES = {
    (4, 7): "",
    (3, 7): "m",
    (3, 6): "dim",
    (4, 7, 11): "maj7",
    (4, 7, 10): "7",
    (3, 7, 10): "m7",
    (3, 6, 10): "m7b5",
    (7,): "5",
}


@dataclass(frozen=True)
class Key:
    """A tonic (pitch class 0 to 11, 0 is C) and the name of a mode."""

    tonic: int
    mode: str

    @property
    def name(self) -> str:
        return f"{NOTE_NAMES[self.tonic]} {self.mode}"

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """The seven pitch classes of the scale, tonic first."""
        return tuple((self.tonic + step) % 12 for step in MODES[self.mode])

    def pitch(self, degree: int) -> int:
        """The MIDI pitch of a scale degree; degree 0 lies between 60 and 71, other octaves are 7 degrees away."""
        octave, step = divmod(degree, 7)
        return 60 + self.tonic + 12 * octave + MODES[self.mode][step]

    def nearest_degree(self, pitch: int) -> int:
        return min(range(-35, 36), key=lambda degree: abs(self.pitch(degree) - pitch))


KEYS = {key.name: key for key in (Key(tonic, mode) for mode in MODES for tonic in range(12))}


@dataclass(frozen=True)
class Chord:
    """A chord of the key, built in thirds on a scale degree (power chords: root and fifth)."""

    key: Key
    degree: int
    size: int = 3  # 2 power chord, 3 triad, 4 seventh chord, 5 ninth chord

    @property
    def intervals(self) -> tuple[int, ...]:
        """Semitones above the root, without the root."""
        steps = (4,) if self.size == 2 else tuple(range(2, 2 * self.size, 2))
        root = self.key.pitch(self.degree)
        return tuple(self.key.pitch(self.degree + step) - root for step in steps)

    @property
    def root(self) -> int:
        return self.key.pitch(self.degree) % 12

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        return tuple((self.root + interval) % 12 for interval in (0, *self.intervals))

    @property
    def name(self) -> str:
        intervals = tuple(interval for interval in self.intervals if interval < 12)
        return NOTE_NAMES[self.root] + _QUALITIES.get(intervals, "") + ("add9" if self.size == 5 else "")

    def voicing(self, centre: int) -> list[int]:
        """One pitch for each chord tone, all within an octave around `centre`, ascending: smooth from chord to chord."""
        return sorted(near(pitch_class, centre) for pitch_class in self.pitch_classes)


def near(pitch_class: int, centre: int) -> int:
    """The pitch of `pitch_class` in [centre - 6, centre + 5]."""
    return centre - 6 + (pitch_class - centre + 6) % 12
