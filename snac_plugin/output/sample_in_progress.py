"""A sample while it is written to disk, and the recording that it may continue."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from snac_plugin.data.audio import read_audio
from snac_plugin.errors import AudioError
from snac_plugin.generation.chunks import chunks_for
from snac_plugin.generation.joining import Continuation
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.output.growing_wav import GrowingWav
from snac_plugin.output.sample_files import SampleFiles, finish_sample

BEFORE_JOIN_SECONDS = 20  # of a recording, in the picture of its continuation


@dataclass(frozen=True)
class Recording:
    """A recording to continue.

    Args:
        path: its file.
        rate: its sample rate.
        audio: [C, N].
    """

    path: Path
    rate: int
    audio: Tensor

    @classmethod
    def read(cls, path: str | Path, model: SnacDiffusion) -> Recording:
        """Read a file.

        Raises:
            AudioError: it cannot be read, or is shorter than one frame of the codec.
        """
        rate, audio = read_audio(path)
        shortest = model.levels.frame_samples / model.sample_rate
        if audio.shape[-1] < shortest * rate:
            raise AudioError(
                str(path), f"{audio.shape[-1] / rate:.3f} s of audio", f"at least one frame of the codec: {shortest:.3f} s"
            )
        return cls(Path(path), rate, audio)

    def about(self) -> dict[str, Any]:
        """For the JSON file beside the audio."""
        return {"file": self.path.name, "sample_rate": self.rate, "seconds": round(self.audio.shape[-1] / self.rate, 6)}


@dataclass(frozen=True)
class Sample:
    """A sample that was written.

    Args:
        seed: its own seed; the same seed and settings give the same audio.
        seconds: how much of it is new.
        heard_after: seconds from the beginning of its batch until its first new audio was on disk.
        settings: everything that made it, as its JSON file holds it.
        files: where it lies.
    """

    seed: int
    seconds: float
    heard_after: float
    settings: dict[str, Any]
    files: SampleFiles


class Take:
    """A sample while it is written.

    Args:
        folder: where it will lie.
        seed: its seed.
        model: the model that makes it.
        recording: what it continues, whose samples are written first.
        length: of what is new, in samples at the model's rate.
    """

    def __init__(self, folder: Path, seed: int, model: SnacDiffusion, recording: Recording | None, length: int) -> None:
        rate, channels = (model.sample_rate, 1) if recording is None else (recording.rate, len(recording.audio))
        self.seed, self.model, self.recording = seed, model, recording
        self.name = f"seed_{seed}" if recording is None else f"{recording.path.stem}_seed_{seed}"
        whole = math.ceil(length * rate / model.sample_rate) + (0 if recording is None else recording.audio.shape[-1])
        self.wav = GrowingWav(folder, self.name, rate, channels, whole)
        self.codes: list[Tensor] = []
        self.started, self.heard_after = time.perf_counter(), 0.0
        self.continuation = None
        if recording is not None:
            self.wav.write(recording.audio)
            self.continuation = Continuation(recording.audio, rate, model.sample_rate)

    def add(self, audio: Tensor, codes: Tensor) -> None:
        """Append new audio [N] at the model's rate, and remember its codes [R, T]."""
        self.heard_after = self.heard_after or time.perf_counter() - self.started
        self.wav.write(audio[None] if self.continuation is None else self.continuation.push(audio))
        self.codes.append(codes.short())

    def finish(self, noted: dict[str, Any]) -> Sample:
        """Complete the files."""
        if self.continuation is not None and self.codes:
            self.wav.write(self.continuation.finish())
        rate, before = self.wav.sample_rate, 0 if self.recording is None else self.recording.audio.shape[-1]
        seconds, own = self.wav.samples / rate, before / rate
        new = (self.wav.samples - before) * self.model.sample_rate // rate  # in samples of the model, whole ones
        chunks = chunks_for(self.model.levels, self.model.model.network.config.chunk_frames, new)
        settings = {"seconds": round(seconds, 6), "chunks": chunks, **noted}
        files = finish_sample(
            self.wav,
            self.name,
            codes=torch.cat(self.codes, dim=-1).long() if self.codes and self.recording is None else None,
            levels=self.model.levels,
            settings=settings,
            title=f"seed {self.seed}" if self.recording is None else f"{self.recording.path.name}, continued from {own:.1f} s",
            shown_from=max(0, round((own - BEFORE_JOIN_SECONDS) * self.wav.sample_rate)),
        )
        return Sample(self.seed, seconds - own, self.heard_after, settings, files)
