"""Turn a composed song into mono audio: place its notes, balance the parts, add reverberation, set the loudness."""

import numpy as np
from scipy.ndimage import minimum_filter1d, uniform_filter1d
from scipy.signal import butter, fftconvolve, lfilter, sosfilt

from .sampler import Sampler
from .song import Part, Song
from .variation import Variation, vary

RMS_DBFS = -18.0
PEAK_DBFS = -1.0

_BALANCE_DB = {"lead": 0.0, "counter": -6.0, "chords": -5.0, "pad": -9.0, "bass": -2.0, "drums": 0.0}
_BRIGHTNESSES = 6  # loudness levels that differ in timbre


def render_song(song: Song, sampler: Sampler, variation: Variation | None = None) -> np.ndarray:
    """[seconds * sample_rate] mono float32; without a variation the RMS is about -18 dBFS, the peak at most -1 dBFS."""
    rate = sampler.sample_rate
    mix = np.zeros(round(song.seconds * rate), dtype=np.float64)
    for part in song.parts:
        gain = 10 ** (variation.parts_db[part.role] / 20) if variation else 1.0
        mix += gain * _render_part(part, len(mix), sampler)
    if song.style.reverb:
        mix += song.style.reverb * _reverberate(mix, rate, song.style.reverb)
    fade = min(len(mix), rate)
    mix[-fade:] *= np.linspace(1, 0, fade) ** 0.5
    mastered = master(mix, rate)
    return (vary(mastered, rate, variation) if variation else mastered).astype(np.float32)


def _render_part(part: Part, samples: int, sampler: Sampler) -> np.ndarray:
    """[samples] of one part, scaled so that its loudness while it plays follows `_BALANCE_DB`."""
    track = np.zeros(samples)
    sounds: dict[tuple[int, float, int], np.ndarray] = {}
    for note in part.notes:
        start = round(note.start * sampler.sample_rate)
        if start >= samples:
            continue
        brightness = max(1, round(note.loudness * _BRIGHTNESSES))
        key = (note.pitch, round(note.seconds, 2), brightness)
        if key not in sounds:
            sounds[key] = sampler.note(part.program, part.is_drums, note.pitch, key[1], brightness / _BRIGHTNESSES)
        sound = sounds[key][: samples - start]
        track[start : start + len(sound)] += note.loudness**1.5 * sound
    active = np.abs(track) > 1e-4
    level = np.sqrt(np.mean(track[active] ** 2)) if active.any() else 1.0
    return track * (10 ** (_BALANCE_DB[part.role] / 20) / level)


def _reverberate(mix: np.ndarray, rate: int, amount: float) -> np.ndarray:
    seconds = 0.4 + 4 * amount
    time = np.arange(round(seconds * rate)) / rate
    response = np.random.default_rng(1).standard_normal(len(time)) * 10 ** (-3 * time / seconds)
    response = lfilter([0.4], [1, -0.6], response)  # the high end dies in the air
    response[: round(0.012 * rate)] = 0
    wet = fftconvolve(mix, response)[: len(mix)]
    return wet * np.sqrt(np.mean(mix**2) / max(np.mean(wet**2), 1e-12))


def master(mix: np.ndarray, rate: int) -> np.ndarray:
    """Remove what lies below 25 Hz, brighten, even out the loudness a little, set the RMS, then limit peaks without clipping."""
    mix = sosfilt(butter(2, 25, "highpass", fs=rate, output="sos"), mix)
    mix = mix + 0.6 * sosfilt(butter(1, 3000, "highpass", fs=rate, output="sos"), mix)  # the SoundFont's recordings are dull
    mix = mix * _levelling_gain(mix, rate)
    mix = mix * (10 ** (RMS_DBFS / 20) / max(np.sqrt(np.mean(mix**2)), 1e-9))
    ceiling, window = 10 ** (PEAK_DBFS / 20), 2 * round(0.005 * rate) + 1  # the gain begins to fall 10 ms ahead of a peak
    gain = np.minimum(1.0, ceiling / np.maximum(np.abs(mix), 1e-9))
    return mix * np.minimum(uniform_filter1d(minimum_filter1d(gain, window), window), gain)


def _levelling_gain(mix: np.ndarray, rate: int) -> np.ndarray:
    """Gain that halves, in decibels, the difference of loudness between four seconds and the whole."""
    mean = max(np.mean(mix**2), 1e-12)
    local = uniform_filter1d(mix**2, 4 * rate, mode="nearest")
    return np.clip(mean / np.maximum(local, 1e-12), 0.1, 100) ** 0.25
