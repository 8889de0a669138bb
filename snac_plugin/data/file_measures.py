"""What one audio file holds, measured in one reading of its samples, block by block. Imports no torch.

Letters: N samples, C channels.
"""

import hashlib
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.signal import sosfilt

from snac_plugin.data.audio_file import BLOCK, NOT_FINITE, SILENCE, SILENT, UnreadableAudio, opened

WINDOW = 4096
"""Samples of a spectrum; `BLOCK` holds a whole number of them."""

BAND = 250.0
"""Hz of a band of the mean spectrum."""

CUT_DB, AUDIBLE_DB = 20.0, 80.0
"""What a band lies above the next but one where a spectrum is cut; how far below the loudest band the last one may lie."""

CUT_FROM, CUT_TO = 5000.0, 0.93
"""Hz above which, and share of half the rate below which, a cut is looked for: every converter cuts near half the rate."""


class Measures(NamedTuple):
    """Measures of a file."""

    rate: int
    channels: int
    subtype: str
    seconds: float
    peak: float  # largest absolute sample
    loudness: float | None  # LUFS, integrated as ITU-R BS.1770-4 says; None below 0.4 s or its threshold
    bandwidth: float  # Hz at which the mean spectrum ends
    cut: bool  # whether it ends abruptly there, as in MP3 files and in audio that once had a lower rate
    digest: str  # of rate and samples: the same for a wav file and for the FLAC file made of it
    bytes: int
    mtime_ns: int


def measure(path: Path) -> Measures:
    """Read a file once; UnreadableAudio: its samples cannot be read, are not finite, or silent."""
    about, peak, samples = os.stat(path), 0.0, 0
    with opened(path, None) as file:
        rate, channels, subtype = file.samplerate, file.channels, file.subtype
        digest, loudness = hashlib.sha256(b"%d %d" % (rate, channels)), _Loudness(rate, channels)
        power, windows = np.zeros(WINDOW // 2 + 1), 0
        while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
            if not np.isfinite(block).all():
                raise UnreadableAudio(path, NOT_FINITE)
            samples, peak = samples + len(block), max(peak, float(np.abs(block).max()))
            digest.update(block.tobytes())
            loudness.add(block)
            mono = block.mean(axis=1, dtype=np.float64)  # whose squares a float32 sample may be too large for
            mono = np.pad(mono, (0, -len(mono) % WINDOW)).reshape(-1, WINDOW)
            power += (np.abs(np.fft.rfft(mono * np.hanning(WINDOW))) ** 2).sum(axis=0)
            windows += len(mono)
    if peak < SILENCE:
        raise UnreadableAudio(path, SILENT)
    found = (rate, channels, subtype, samples / rate, peak, loudness.integrated(), *spectrum_end(power / windows, rate))
    return Measures(*found, digest.hexdigest(), about.st_size, about.st_mtime_ns)


def spectrum_end(power: np.ndarray, rate: int) -> tuple[float, bool]:
    """The frequency in Hz at which a mean power spectrum ends, and whether it ends abruptly."""
    per_band = max(1, round(BAND * (len(power) - 1) * 2 / rate))
    bands = power[: len(power) // per_band * per_band].reshape(-1, per_band).mean(axis=1)
    level, width = 10 * np.log10(bands + 1e-30), per_band * rate / ((len(power) - 1) * 2)
    edges = np.arange(1, len(level) + 1) * width  # upper ends
    drops = level[:-2] - level[2:]
    drops[(edges[:-2] < CUT_FROM) | (edges[:-2] > CUT_TO * rate / 2)] = 0.0
    place = int(drops.argmax()) if len(drops) else 0
    if len(drops) and drops[place] > CUT_DB and level[place + 2 :].max() < level[place] - CUT_DB / 2:
        return float(edges[place]), True
    return float(edges[np.flatnonzero(level > level.max() - AUDIBLE_DB)[-1]]), False


class _Loudness:
    """Integrated loudness of blocks that follow each other: K-weighted energy in steps of 100 ms, gated in the end."""

    def __init__(self, rate: int, channels: int) -> None:
        self.rate, self.filter = rate, k_weighting(rate)
        self.state = np.zeros((len(self.filter), 2, channels))
        surround = {5: [1, 1, 1, 1.41, 1.41], 6: [1, 1, 1, 0, 1.41, 1.41]}
        self.gains = np.array(surround.get(channels, [1] * channels), dtype=float)
        self.seen, self.energy = 0, np.zeros(0)

    def add(self, block: np.ndarray) -> None:
        """Take a block [N, C]."""
        weighted, self.state = sosfilt(self.filter, block.astype(np.float64), axis=0, zi=self.state)
        steps = ((self.seen + np.arange(len(block))) / (0.1 * self.rate)).astype(int)
        sums: Any = np.bincount(steps, weighted**2 @ self.gains, minlength=len(self.energy))
        sums[: len(self.energy)] += self.energy
        self.energy, self.seen = sums, self.seen + len(block)

    def integrated(self) -> float | None:
        """LUFS, of overlapping windows of 400 ms above -70 and above 10 below their own mean."""
        whole = self.energy[: int(self.seen / (0.1 * self.rate) + 1e-6)]
        if len(whole) < 4:
            return None
        power = np.convolve(whole, np.ones(4), "valid") / (0.4 * self.rate)
        for threshold in (-70.0, None):
            floor = threshold if threshold is not None else _lufs(power.mean()) - 10
            power = power[_lufs(power) > floor]
            if not len(power):
                return None
        return round(float(_lufs(power.mean())), 2)


def _lufs(power: np.ndarray) -> np.ndarray:
    return -0.691 + 10 * np.log10(np.maximum(power, 1e-30))


def k_weighting(rate: int) -> np.ndarray:
    """The two filters of BS.1770-4 as second-order sections [2, 6], for any rate (De Man, "Evaluation of implementations of the
    EBU R128 loudness measurement", 2018): a shelf of +4 dB above 1.5 kHz, and a high-pass at 38 Hz.
    """
    k, q, gain = np.tan(np.pi * min(1681.9744509555319 / rate, 0.49)), 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    band, norm = gain**0.4996667741545416, 1 + k / q + k * k
    shelf = [gain + band * k / q + k * k, 2 * (k * k - gain), gain - band * k / q + k * k, norm, 2 * (k * k - 1), 1 - k / q + k * k]
    low, q = np.tan(np.pi * 38.13547087602444 / rate), 0.5003270373238773
    pole = 1 + low / q + low * low
    high = [1.0, -2.0, 1.0, 1.0, 2 * (low * low - 1) / pole, (1 - low / q + low * low) / pole]
    return np.array([np.array(shelf) / norm, high])
