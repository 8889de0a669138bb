"""Opus at 6 kbit/s, its lowest rate, to compare a codec with: by ffmpeg, or by the libopus that soundfile brings."""

from __future__ import annotations

import inspect
import subprocess
import tempfile
from contextlib import suppress
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


def opus_encoder() -> str | None:
    """What encodes here: "ffmpeg", "libsndfile", or None."""
    with suppress(OSError, subprocess.SubprocessError):  # there is no ffmpeg, or it does not run
        listed = subprocess.run(["ffmpeg", "-v", "error", "-encoders"], capture_output=True, text=True, timeout=60, check=True)
        if "libopus" in listed.stdout:
            return "ffmpeg"
    known = "OPUS" in soundfile.available_subtypes("OGG") and "compression_level" in inspect.signature(soundfile.write).parameters
    return "libsndfile" if known else None


def round_trip(audio: np.ndarray, rate: int, encoder: str) -> RoundTrip:
    """Mono audio [N], float in [-1, 1], through Opus and back, as long as it was."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "clip.opus"
        decoded = (_by_ffmpeg if encoder == "ffmpeg" else _by_libsndfile)(audio, rate, file)
        kbits = file.stat().st_size * 8 / 1000 / (len(audio) / rate)
    whole = np.pad(decoded, (0, max(0, len(audio) - len(decoded))))[: len(audio)]
    # Opus's inner resamplers delay by a few samples, which should not count against it.
    lag = int(np.argmax([np.dot(np.roll(whole, -lag), audio) for lag in range(LARGEST_LAG + 1)]))
    return RoundTrip(np.pad(whole[lag:], (0, lag)), kbits)


def _by_ffmpeg(audio: np.ndarray, rate: int, file: Path) -> np.ndarray:
    raw = ["-f", "f32le", "-ar", str(rate), "-ac", "1"]
    encode = ["ffmpeg", "-v", "error", *raw, "-i", "-", "-c:a", "libopus", "-b:a", f"{KBITS}k", "-y", str(file)]
    subprocess.run(encode, input=audio.astype("<f4").tobytes(), check=True, capture_output=True)
    decoded = subprocess.run(["ffmpeg", "-v", "error", "-i", str(file), *raw, "-"], check=True, capture_output=True)
    return np.frombuffer(decoded.stdout, dtype="<f4").astype(np.float32)


def _by_libsndfile(audio: np.ndarray, rate: int, file: Path) -> np.ndarray:
    at_48 = soxr.resample(audio.astype(np.float32), rate, OPUS_RATE)
    # libsndfile spreads 256 to 6 kbit/s a channel over compression levels 0 to 1.
    soundfile.write(file, at_48, OPUS_RATE, format="OGG", subtype="OPUS", compression_level=1.0)
    decoded, _ = soundfile.read(file, dtype="float32")
    return soxr.resample(decoded, OPUS_RATE, rate)
