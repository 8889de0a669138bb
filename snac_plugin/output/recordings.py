"""The recordings in a sample: what the model sees of them is read, all else is copied. Letters: C channels, N audio samples."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from snac_plugin.data.audio import read_part
from snac_plugin.data.audio_file import AudioHeader, audio_header, blocks
from snac_plugin.errors import AudioError
from snac_plugin.files import NOTED_DIGITS, short_digest
from snac_plugin.generation.request import Request
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.generation.times import samples_until, spans_of
from snac_plugin.levels import Levels


@dataclass(frozen=True)
class Recording:
    """A file, and how much of it is used; its samples are read when they are needed."""

    path: Path
    header: AudioHeader

    @classmethod
    def read(cls, path: str | Path, levels: Levels) -> "Recording":
        """Read the header; AudioError if the file cannot be read, or is shorter than one frame of the codec."""
        header, shortest = audio_header(path, levels.sample_rate), levels.frame_samples / levels.sample_rate
        if header.seconds < shortest:
            raise AudioError(str(path), f"{header.seconds:.3f} s of audio", f"at least one frame of the codec: {shortest:.3f} s")
        return cls(Path(path), header)

    @property
    def rate(self) -> int:
        return self.header.rate

    @property
    def samples(self) -> int:
        return self.header.samples

    def until(self, second: float | None) -> "Recording":
        """Its beginning."""
        samples = self.samples if second is None else samples_until(second, self.rate, self.samples)
        return replace(self, header=self.header._replace(samples=samples))

    def part(self, start: int, stop: int) -> Tensor:
        """Its samples [start, stop), as far as there are such [C, N]."""
        return read_part(self.path, max(0, start), min(stop, self.samples))

    def end(self, model: SnacDiffusion) -> tuple[int, Tensor]:
        """Rate and audio of as much of its end as the model sees, from a whole second on: a resampler steps as in all of it."""
        seconds = (self.samples - model.reach * self.rate // model.sample_rate) // self.rate
        return self.rate, self.part(seconds * self.rate, self.samples)

    def beginning(self, model: SnacDiffusion) -> tuple[int, Tensor]:
        """The same of its beginning."""
        return self.rate, self.part(0, model.reach * self.rate // model.sample_rate)

    def own(self, start: int = 0, stop: int | None = None) -> "Own":
        return Own(self, start, self.samples if stop is None else stop)


class Own(NamedTuple):
    """Samples of a recording that a sample holds unchanged."""

    recording: Recording
    start: int
    stop: int

    def blocks(self, kind: str) -> Iterator[np.ndarray]:
        """Blocks of them [N, C] of a numpy type; whole numbers are read as floats where the recording holds floats."""
        whole = self.recording.header.subtype.startswith("PCM")
        yield from blocks(self.recording.path, self.start, self.stop, kind if whole or kind != "int32" else "float32")


@dataclass(frozen=True)
class Sources:
    """The files around what is new in an edit."""

    first: Recording
    last: Recording
    offset: int = 0  # sample of `first` at which the audio of the edit begins
    led_into: bool = False  # all of `last` follows what is new

    @property
    def files(self) -> list[Recording]:
        return [self.first, self.last]

    def gaps(self, spans: Sequence[tuple[int, int]]) -> list[Own]:
        """What lies before the first of an edit's spans, between them, and behind the last."""
        edges = [self.offset + edge for span in spans for edge in span]
        behind = self.last.own() if self.led_into else self.last.own(edges[-1])
        return [*map(self.first.own, [0, *edges[1:-1:2]], edges[::2]), behind]


def read_recordings(request: Request, model: SnacDiffusion) -> tuple[Request, Sources | None]:
    """A request whose recordings are audio, not files any more, and no more of each than the model sees; and these files.

    Recordings that are audio already have no files. Raises as `Recording.read`, UsageError for places outside of a recording.
    """
    given = (request.edit, request.before, *(request.bridge or ()))
    files = [Recording.read(file, model.levels) if isinstance(file, str | Path) else file for file in given]
    edit, before, *ends = files
    if not all(isinstance(file, Recording) for file in files if file is not None):  # files and audio: all is read
        edit, before, *ends = (_audio(file) for file in files)
        return replace(request, edit=edit, before=before, bridge=tuple(ends) or None), None
    if isinstance(edit, Recording):
        start, stop, repaint = 0, edit.samples, request.repaint
        if repaint is not None and not request.loop:
            spans, reach = spans_of(repaint, edit.rate, edit.samples), model.reach * edit.rate // model.sample_rate
            start = max(0, spans[0][0] - reach) // edit.rate * edit.rate  # as in `Recording.end`
            stop = spans[-1][1] + reach
            repaint = [(first - start / edit.rate, last - start / edit.rate) for first, last in repaint]
        part = (edit.rate, edit.part(start, stop))
        return replace(request, edit=part, repaint=repaint), Sources(edit, edit, start)
    if isinstance(before, Recording):
        return replace(request, before=before.beginning(model)), Sources(before, before, led_into=True)
    if ends:
        first, last = ends
        parts = first.end(model), last.beginning(model)
        sources = Sources(first, last, first.samples - parts[0][1].shape[-1], led_into=True)
        return replace(request, bridge=parts), sources
    return request, None


def digest_noted(recording: Any) -> str:
    """What tells a recording from others in settings: digits of the SHA-256 of its file, or of rate, shape and samples."""
    if isinstance(recording, str | Path | Recording):
        return short_digest(recording.path if isinstance(recording, Recording) else recording)
    rate, audio = recording if isinstance(recording, tuple) else ("", recording)
    samples = np.ascontiguousarray(audio.detach().cpu() if isinstance(audio, Tensor) else audio)
    return hashlib.sha256(f"{rate} {samples.dtype} {samples.shape} ".encode() + samples.tobytes()).hexdigest()[:NOTED_DIGITS]


def _audio(file: Any) -> Any:
    return (file.rate, file.part(0, file.samples)) if isinstance(file, Recording) else file
