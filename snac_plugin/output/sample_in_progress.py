"""A sample while it is generated and written. Letters: C channels, N audio samples, R rows, T frames."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from snac_plugin.generation.chunks import chunks_for
from snac_plugin.generation.decoding import StreamedChunk
from snac_plugin.generation.editing import Edit, edit_of
from snac_plugin.generation.joining import Continuation
from snac_plugin.generation.request import Request
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.generation.times import samples_at
from snac_plugin.output.formats import BYTES, Format
from snac_plugin.output.pictures import DrawnCodes
from snac_plugin.output.recordings import Own, Recording, Sources, read_recordings
from snac_plugin.output.sample_files import SampleFiles, SampleWriter, finished

log = logging.getLogger(__name__)
Listener = Callable[[Tensor, int], None]
BEFORE_JOIN_SECONDS = 20  # of a recording, in the picture of what is new


@dataclass(frozen=True)
class Sample:
    """A sample that was written."""

    seed: int
    seconds: float  # how much of it is new
    first_audio_after: float  # seconds from the beginning of its batch until its first new audio was on disk
    settings: dict[str, Any]  # everything that made it, as its JSON file holds it
    files: SampleFiles
    skipped: bool = False  # it was there already


@dataclass(frozen=True)
class Plan:
    """What the samples of a request are made of."""

    model: SnacDiffusion
    request: Request  # its recordings are audio
    recording: Recording | None  # that they continue
    context: tuple[int, Tensor] | None  # rate and audio of its end
    edit: Edit | None
    sources: Sources | None  # files around what is new in the edit

    @classmethod
    def of(cls, request: Request, model: SnacDiffusion, recording: Recording | None) -> "Plan":
        """Read of the recordings what the model sees; raises as `read_recordings`."""
        if recording is not None:
            recording, request = recording.until(request.from_second), replace(request, from_second=None)
        request = replace(request, width=request.width or "keep")
        context = None if recording is None else recording.end(model)
        request, sources = read_recordings(request, model)
        edit = edit_of(request, model.chunk_samples, model.sample_rate)
        return cls(model, request, recording, context, edit, sources)

    @property
    def place(self) -> tuple[float, float] | None:
        """Second of the whole piece at which the context ends or the edit begins, and its length; None where all is given."""
        if self.recording is not None:
            past = self.recording.samples / self.recording.rate
            return past, past + self.request.samples(self.model.chunk_samples, self.model.sample_rate) / self.model.sample_rate
        if self.edit is None or self.sources is None:
            return None
        files = {id(file): file.samples for file in self.sources.files}
        new = sum(stop - start for start, stop in self.edit.spans) if self.sources.led_into else 0
        return self.sources.offset / self.edit.rate, (sum(files.values()) + new) / self.edit.rate

    def asked(self) -> Request:
        """The part of the request that the model follows."""
        return replace(self.request, only_new=None if self.edit is not None else self.request.only_new, format=None, width=None)

    def own(self) -> list[Own]:
        """What of the recordings stays: before what is new, or around each span of the edit."""
        if self.request.only_new:
            return []
        if self.recording is not None:
            return [self.recording.own()]
        return [] if self.edit is None or self.sources is None else self.sources.gaps(self.edit.spans)

    def form(self) -> Format:
        """How samples are written: those of a recording so that all their bits stay, where the format has as many."""
        recordings = [self.recording] if self.recording is not None else self.sources.files if self.sources is not None else []
        recorded = max((one.header.subtype for one in recordings), key=lambda subtype: BYTES.get(subtype, 0), default="")
        form = Format.of(self.request.format, recorded)
        if recordings and not self.request.only_new and (change := form.changes(recorded)):
            log.warning("%s", change)
        channels = 1 if not recordings else recordings[0].header.channels
        if channels > 2 or (channels == 2 and self.request.width == "mono"):
            why = "" if self.request.width == "mono" else "; width is kept of stereo recordings alone"
            log.warning("What is new is mono: the same in %d channels, but for 30 ms beside a join%s.", channels, why)
        return form

    def finished(self, folder: str | Path, name: str, form: Format, settings: dict[str, Any]) -> Sample | None:
        """The sample of these settings, if it is there with all that was to be new in it."""
        found = finished(folder, name, form.ending, settings)
        rate, frame = self.model.sample_rate, self.model.levels.frame_samples / self.model.sample_rate
        wanted = self.request.samples(self.model.chunk_samples, rate) / rate
        if self.edit is not None:
            wanted = sum(stop - start for start, stop in self.spans()) / self.edit.rate
        if found is None or found[1]["new_seconds"] < wanted - frame:  # one that was stopped; a loop has whole frames
            return None
        return Sample(settings["seed"], 0.0, 0.0, found[1], found[0], skipped=True)

    def new_samples(self, rate: int, beside_own: bool) -> int:
        """How many samples of the file are expected to be generated, or are written with them; `beside_own`: others are copied."""
        if self.edit is None:
            made = self.model.sample_rate
            return samples_at(self.request.samples(self.model.chunk_samples, made), made, rate)
        whole = not beside_own and not self.request.only_new
        return self.edit.audio.shape[-1] if whole else sum(stop - start for start, stop in self.edit.spans)

    def spans(self) -> list[tuple[int, int]]:
        """What is new in an edit, in samples of the file."""
        offset = 0 if self.sources is None else self.sources.offset
        return [] if self.edit is None else [(offset + start, offset + stop) for start, stop in self.edit.spans]


class SampleInProgress:
    """A sample while it is written; after the samples of the recording that it continues, or within those that it changes."""

    def __init__(self, folder: Path, name: str, seed: int, plan: Plan, form: Format, heard: Listener | None = None) -> None:
        self.seed, self.plan, self.own, self.heard = seed, plan, plan.own(), heard
        rate, channels, model = plan.model.sample_rate, 1, plan.model
        if plan.edit is not None:
            rate, channels = plan.edit.rate, len(plan.edit.audio)
        self.continuation = None
        if plan.recording is not None and plan.context is not None:
            rate, channels = plan.recording.rate, plan.recording.header.channels
            self.continuation = Continuation(plan.context[1], rate, model.sample_rate, plan.request.width == "keep")
        own = sum(part.stop - part.start for part in self.own)
        self.before = own if plan.edit is None else 0
        self.writer = SampleWriter(folder, name, rate, channels, own + plan.new_samples(rate, bool(self.own)), form)
        self.codes: list[Tensor] = []
        self.past: Tensor | None = None  # codes that they follow [R, S]
        self.kept, self.first = torch.empty(0), 0  # of an edit, as its chunk says
        self.made = 0  # new samples at the model's rate
        self.started, self.first_audio_after = time.perf_counter(), 0.0

    def add(self, chunk: StreamedChunk, row: int) -> None:
        """Append the new audio of a row of a chunk, at the model's rate, and remember its codes."""
        audio = chunk.audio[row, 0]
        self.first_audio_after = self.first_audio_after or time.perf_counter() - self.started
        self.made += len(audio)
        edit = self.plan.edit
        if edit is not None:
            self._add_edit(edit, edit.with_made(audio, self.plan.model.sample_rate))
        else:
            if not self.codes:
                self._copy(self.own)
            self._write_new(audio[None] if self.continuation is None else self.continuation.push(audio))
        self.codes.append(chunk.codes[row].short())
        self.past = self.past if chunk.past is None else chunk.past[row].short()
        if chunk.kept is not None:
            self.kept, self.first = chunk.kept, chunk.first

    def _write_new(self, audio: Tensor) -> None:
        self.writer.write(audio)
        if self.heard is not None:
            self.heard(audio, self.writer.sample_rate)

    def _add_edit(self, edit: Edit, whole: Tensor) -> None:
        """Write the spans of an edit [C, N], and around them the recordings' own samples as they are in the files."""
        if not self.own:
            self.writer.write(edit.new_part(whole) if self.plan.request.only_new else whole)
            return
        self._copy(self.own[:1])
        for (start, stop), behind in zip(edit.spans, self.own[1:], strict=True):
            self.writer.write(whole[:, start:stop])
            self._copy([behind])

    def _copy(self, parts: list[Own]) -> None:
        for part in parts:
            for block in part.blocks(self.writer.form.read_as):
                self.writer.write_samples(block)

    def _drawn(self) -> DrawnCodes | None:
        """The codes with those beside them, at their seconds of the file; None for what is new in several places alone."""
        made, plan, rate = torch.cat(self.codes, dim=-1).long(), self.plan, self.plan.model.sample_rate
        edit = plan.edit
        if edit is None:
            begin = self.before / self.writer.sample_rate
            if self.past is None or not self.before:
                return DrawnCodes(made, (begin,))
            begin -= self.past.shape[-1] * plan.model.levels.frame_samples / rate
            kept = torch.arange(self.past.shape[-1] + made.shape[-1]) < self.past.shape[-1]
            return DrawnCodes(torch.cat([self.past.long(), made], dim=-1), (begin,), kept.repeat(len(plan.model.levels), 1))
        begin = self.first / rate + (0 if plan.sources is None else plan.sources.offset / edit.rate)
        if plan.request.only_new:
            if len(edit.spans) > 1:
                return None
            begin -= plan.spans()[0][0] / edit.rate
        again = (begin + edit.audio.shape[-1] / edit.rate,) if edit.loop else ()
        return DrawnCodes(made, (begin, *again), self.kept)

    def finish(self, settings: dict[str, Any]) -> Sample:
        if self.continuation is not None:
            self._write_new(self.continuation.finish())
        rate, model, recording = self.writer.sample_rate, self.plan.model, self.plan.recording
        seconds, joined_at = self.writer.samples / rate, self.before / rate
        spans = self.plan.spans()
        written = sum(stop - start for start, stop in spans) if spans else self.writer.samples - self.before
        new = written * model.sample_rate // rate  # in samples of the model, whole ones
        request = self.plan.request  # the file's samples are rounded to its rate: settings hold what gives as many again
        asked = self.made if self.plan.edit is None else request.samples(model.chunk_samples, model.sample_rate)
        new_seconds = written / rate if request.edit is not None else asked / model.sample_rate
        lengths = {"seconds": round(seconds, 6), "new_seconds": round(new_seconds, 6)}
        settings = {**lengths, "chunks": chunks_for(new, model.chunk_samples), **settings}
        title = f"seed {self.seed}" if recording is None else f"{recording.path.name}, continued from {joined_at:.1f} s"
        if spans:
            places = ", ".join(f"{start / rate:.1f} to {stop / rate:.1f} s" for start, stop in spans)
            title = f"{self.writer.name}, new from {places}" if not request.only_new else f"what is new from {places}"
        marked = spans or ([(self.before, self.writer.samples)] if self.before else [])
        marked = [] if self.plan.request.only_new else marked
        shown: Any = {"new": marked, "shown_from": max(0, marked[0][0] - BEFORE_JOIN_SECONDS * rate) if marked else 0}
        files = self.writer.finish(settings, codes=self._drawn(), levels=model.levels, title=title, **shown)
        return Sample(self.seed, written / rate, self.first_audio_after, settings, files)
