"""Music composed and played by another program than the demo music: to see what a codec makes of sounds it was not trained on.

    python benchmarks/other_music.py other_music --songs 16 --seconds 26

Additive tones, plucked strings (Karplus and Strong 1983) and drums of noise; no SoundFont, no code of the demo music. The same
arguments give the same files. Letters: N audio samples.
"""

import argparse
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import lfilter

RATE = 32000
SCALES = ((0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 5, 7, 9, 11), (0, 2, 4, 7, 9), (0, 1, 5, 7, 8))
RMS = 0.12


def song(seed: int, seconds: float, rate: int = RATE) -> np.ndarray:
    """[N] float32 of one song: tempo, scale, parts and timbres are drawn from the seed. RMS 0.12, peak at most 0.98."""
    dice = np.random.default_rng([20, seed])
    step = 60 / dice.uniform(75, 165) / 4  # a sixteenth note in seconds
    scale, root = SCALES[dice.integers(len(SCALES))], dice.uniform(98, 196)
    mix = np.zeros(round(seconds * rate))
    bars = int(seconds / (16 * step)) + 1
    roots = dice.integers(0, len(scale), size=4)
    for part, gain in ((_pad, 0.6), (_plucks, 1.0), (_bass, 0.9), (_drums, 0.9)):
        track = np.zeros_like(mix)
        for bar in range(bars):
            chord = [_pitch(scale, root, int(roots[bar % 4]) + third) for third in (0, 2, 4, 6)]
            part(track, bar * 16 * step, step, chord, dice, rate)
        mix += gain * track / max(np.sqrt(np.mean(track**2)), 1e-9)
    mix *= RMS / np.sqrt(np.mean(mix**2))
    return (np.tanh(1.2 * mix) / 1.2).astype(np.float32)


def _pitch(scale: tuple[int, ...], root: float, degree: int) -> float:
    """Hz of a degree of a scale, counted from 0 on over its octaves."""
    octave, place = divmod(degree, len(scale))
    return float(root * 2 ** (octave + scale[place] / 12))


def _add(track: np.ndarray, start: float, sound: np.ndarray, rate: int) -> None:
    first = round(start * rate)
    if first < len(track):
        track[first : first + len(sound)] += sound[: len(track) - first]


def _pad(track: np.ndarray, start: float, step: float, chord: list[float], dice: np.random.Generator, rate: int) -> None:
    """Each tone a bar long, of partials that fall off and are slightly stretched."""
    time = np.arange(round(16 * step * rate)) / rate
    shape = np.minimum(1, np.minimum(time / 0.08, (time[-1] - time) / 0.2))
    falloff, stretch = dice.uniform(0.8, 1.8), dice.uniform(0, 3e-4)
    for pitch in chord[:3]:
        for partial in range(1, 13):
            frequency = pitch * partial * (1 + stretch * partial**2)
            if frequency < 0.45 * rate:
                _add(track, start, shape * partial**-falloff * np.sin(2 * np.pi * (frequency * time + dice.random())), rate)


def _plucks(track: np.ndarray, start: float, step: float, chord: list[float], dice: np.random.Generator, rate: int) -> None:
    """An arpeggio over the chord, an octave up."""
    every = int(dice.integers(1, 4))
    for place in range(0, 16, every):
        pitch = 2 * chord[int(dice.integers(len(chord)))]
        _add(track, start + place * step, dice.uniform(0.5, 1) * pluck(pitch, 0.9, dice, rate), rate)


def pluck(pitch: float, seconds: float, dice: np.random.Generator, rate: int = RATE) -> np.ndarray:
    """A plucked string [N] of the pitch nearest to `pitch` in Hz that a whole number of samples and a half gives."""
    period = max(2, round(rate / pitch - 0.5))
    burst = np.zeros(round(seconds * rate))
    burst[:period] = dice.standard_normal(period)
    loop = np.zeros(period + 2)
    loop[0], loop[period], loop[period + 1] = 1, -0.498, -0.498
    return lfilter([1.0], loop, burst)


def _bass(track: np.ndarray, start: float, step: float, chord: list[float], dice: np.random.Generator, rate: int) -> None:
    time = np.arange(round(3 * step * rate)) / rate
    for place in (0, 6, 8, 14):
        tone = sum(np.sin(2 * np.pi * chord[0] / 2 * n * time) / n for n in (1, 2, 3, 5))
        _add(track, start + place * step, tone * np.exp(-4 * time) * np.minimum(1, time / 0.005), rate)


def _drums(track: np.ndarray, start: float, step: float, chord: list[float], dice: np.random.Generator, rate: int) -> None:
    time = np.arange(round(0.25 * rate)) / rate
    kick = np.sin(2 * np.pi * (45 * time + 3.5 * (1 - np.exp(-30 * time)))) * np.exp(-14 * time)
    noise = dice.standard_normal(len(time))
    snare = 0.5 * noise * np.exp(-18 * time) + 0.4 * np.sin(2 * np.pi * 190 * time) * np.exp(-25 * time)
    hat = 0.3 * np.diff(noise, prepend=0.0) * np.exp(-60 * time)
    for sound, places in ((kick, (0, 8, 10)), (snare, (4, 12)), (hat, range(0, 16, 2))):
        for place in places:
            _add(track, start + place * step, sound, rate)


def main() -> None:
    """Write the songs as 16-bit FLAC."""
    parser = argparse.ArgumentParser("other_music", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--songs", type=int, default=16, help="how many (%(default)s)")
    parser.add_argument("--seconds", type=float, default=26.0, help="length of each (%(default)s)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for seed in range(args.songs):
        soundfile.write(args.out / f"other_{seed:03d}.flac", song(seed, args.seconds), RATE, subtype="PCM_16")


if __name__ == "__main__":
    main()
