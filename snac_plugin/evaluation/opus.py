"""Opus at 6 kbit/s, its lowest rate, to compare a codec with: by the libopus that soundfile brings."""

import inspect
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

KBITS = 6
OPUS_RATE = 48000
LARGEST_LAG = 64  # samples


class RoundTrip(NamedTuple):
    """Audio [N] that went through Opus, and the kbit/s that its file took."""

    audio: np.ndarray
    kbits: float


def have_opus() -> bool:
    """Whether soundfile writes Opus at a chosen rate: its wheels do from 0.13 on."""
    return "OPUS" in soundfile.available_subtypes("OGG") and "compression_level" in inspect.signature(soundfile.write).parameters


def round_trip(audio: np.ndarray, rate: int) -> RoundTrip:
    """Mono audio [N], float in [-1, 1], through Opus and back, as long as it was."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "clip.opus"
        # libsndfile spreads 256 to 6 kbit/s a channel over compression levels 0 to 1.
        at_48 = soxr.resample(audio.astype(np.float32), rate, OPUS_RATE)
        soundfile.write(file, at_48, OPUS_RATE, format="OGG", subtype="OPUS", compression_level=1.0)
        decoded = soxr.resample(soundfile.read(file, dtype="float32")[0], OPUS_RATE, rate)
        kbits = file.stat().st_size * 8 / 1000 / (len(audio) / rate)
    whole = np.pad(decoded, (0, max(0, len(audio) - len(decoded))))[: len(audio)]
    # Opus's inner resamplers delay by a few samples, which should not count against it.
    lag = int(np.argmax([np.dot(np.roll(whole, -lag), audio) for lag in range(LARGEST_LAG + 1)]))
    return RoundTrip(np.pad(whole[lag:], (0, lag)), kbits)
