"""Recordings in memory, and random crops of them: the data of codec training.

Letters: B batch, N audio samples.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
import torchaudio
from torch import Tensor

from snac_plugin.errors import AudioError

logger = logging.getLogger(__name__)

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff")


def read_mono(path: Path, sample_rate: int) -> Tensor:
    """Read one file as [N] floats, its channels averaged, resampled to `sample_rate`.

    Raises:
        AudioError: the file cannot be read.
    """
    try:
        samples, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (RuntimeError, OSError) as error:
        raise AudioError(str(path), f"a file that cannot be read ({error})", "an audio file", "Remove or replace it.") from error
    mono = torch.from_numpy(samples.mean(axis=1))
    return mono if rate == sample_rate else torchaudio.functional.resample(mono, rate, sample_rate)


def audio_files(folder: Path) -> list[Path]:
    """All audio files under a folder, sorted.

    Raises:
        AudioError: there are none.
    """
    files = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    if not files:
        raise AudioError(str(folder), "no audio files", f"a folder with {', '.join(AUDIO_SUFFIXES)} files")
    return files


@dataclass
class Recordings:
    """Mono recordings held as int16, an hour at 32 kHz in 230 MB.

    Args:
        tracks: one int16 array [N] a file.
        sample_rate: of all of them.
    """

    tracks: list[np.ndarray]
    sample_rate: int

    @classmethod
    def load(cls, files: Sequence[Path], sample_rate: int, shortest: int = 1) -> Recordings:
        """Read files; those under `shortest` samples are padded with silence up to it."""
        tracks = []
        for path in files:
            mono = read_mono(path, sample_rate)
            mono = torch.nn.functional.pad(mono, (0, max(0, shortest - mono.shape[0])))
            tracks.append((mono.clamp(-1, 1) * 32767).round().to(torch.int16).numpy())
        logger.info("%d recordings, %.1f minutes", len(tracks), sum(map(len, tracks)) / sample_rate / 60)
        return cls(tracks, sample_rate)

    @property
    def seconds(self) -> float:
        return sum(map(len, self.tracks)) / self.sample_rate

    def crops(self, count: int, samples: int, rng: np.random.Generator, quietest_db: float = 0.0) -> Tensor:
        """Random crops [count, 1, samples], every moment of every recording equally likely.

        Args:
            count: how many.
            samples: length of each.
            rng: where the choice comes from.
            quietest_db: each crop is scaled by a random gain between this many decibels and 0.
        """
        lengths = np.array([len(track) - samples + 1 for track in self.tracks], dtype=np.float64)
        chosen = rng.choice(len(self.tracks), size=count, p=lengths / lengths.sum())
        starts = [int(rng.integers(0, len(self.tracks[i]) - samples + 1)) for i in chosen]
        cut = np.stack([self.tracks[i][start : start + samples] for i, start in zip(chosen, starts, strict=True)])
        gains = 10 ** (rng.uniform(quietest_db, 0.0, size=(count, 1)) / 20)
        return torch.from_numpy((cut * (gains / 32767)).astype(np.float32))[:, None]
