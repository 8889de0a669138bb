"""How one demo song can sound other than the next: balance of its parts, tilt of its spectrum, noise, loudness."""

import random
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from .song import ROLES


class Variation(NamedTuple):
    """What is done to the mix of one song."""

    parts_db: Mapping[str, float]  # gain of each role
    tilt_db: float  # gain of each octave above 1 kHz, loss of each below, up to four octaves
    noise_dbfs: float | None  # RMS of white noise before the gain; None adds none
    gain_db: float  # of the whole
    seed: int  # of the noise


def draw_variation(seed: str) -> Variation:
    """The variation of the song with this seed; half of the songs get noise, half stay as loud as they are."""
    dice = random.Random(f"variation/{seed}")
    parts, tilt = {role: dice.uniform(-6.0, 6.0) for role in ROLES}, dice.uniform(-1.5, 1.5)
    noise = dice.uniform(-80.0, -45.0) if dice.random() < 0.5 else None
    gain = dice.uniform(-24.0, 0.0) if dice.random() < 0.5 else 0.0
    return Variation(parts, tilt, noise, gain, dice.getrandbits(32))


def vary(audio: np.ndarray, rate: int, variation: Variation) -> np.ndarray:
    """Mastered audio [N] with the variation's tilt, gain and noise; a tilt leaves the RMS unless peaks would clip."""
    octaves = np.log2(np.maximum(np.fft.rfftfreq(len(audio), 1 / rate), 1.0) / 1000).clip(-4, 4)
    tilted = np.fft.irfft(np.fft.rfft(audio) * 10 ** (variation.tilt_db * octaves / 20), len(audio))
    loudness = np.sqrt(np.mean(audio**2) / max(np.mean(tilted**2), 1e-18))
    varied = tilted * min(loudness, 0.98 / max(np.abs(tilted).max(), 1e-9)) * 10 ** (variation.gain_db / 20)
    if variation.noise_dbfs is not None:
        noise = np.random.default_rng(variation.seed).standard_normal(len(audio))
        varied = varied + 10 ** ((variation.noise_dbfs + variation.gain_db) / 20) * noise
    return np.clip(varied, -1, 1)
