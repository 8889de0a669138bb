"""From a request to samples on disk: what the command line and the page both do."""

import importlib.metadata
import math
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import snac_plugin
from snac_plugin.checkpoints.weights import fingerprint
from snac_plugin.data.audio import read_audio
from snac_plugin.errors import AudioError, UnwritableFile
from snac_plugin.files import fitting_name
from snac_plugin.generation.chunks import StepCallback, chunks_for
from snac_plugin.generation.editing import Edit, cut_at, edit_of
from snac_plugin.generation.joining import Continuation
from snac_plugin.generation.request import Request, sample_seeds
from snac_plugin.generation.settings import check_request
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.levels import Levels
from snac_plugin.output.sample_files import SampleFiles, SampleWriter

BEFORE_JOIN_SECONDS = 20  # of a recording, in the picture of its continuation


@dataclass(frozen=True)
class Recording:
    """A recording [C, N], and its file."""

    path: Path
    rate: int
    audio: Tensor

    @classmethod
    def read(cls, path: str | Path, levels: Levels) -> "Recording":
        """Read a file; AudioError if it cannot be read, or is shorter than one frame of the codec."""
        rate, audio = read_audio(path, levels.sample_rate)
        seconds, shortest = audio.shape[-1] / rate, levels.frame_samples / levels.sample_rate
        if seconds < shortest:
            raise AudioError(str(path), f"{seconds:.3f} s of audio", f"at least one frame of the codec: {shortest:.3f} s")
        return cls(Path(path), rate, audio)

    def until(self, second: float | None) -> "Recording":
        """Its beginning."""
        if second is None:
            return self
        return replace(self, audio=cut_at((self.rate, self.audio), second, self.rate)[1])


def read_recordings(request: Request, levels: Levels) -> Request:
    """A request whose recordings are audio, not files any more; raises as `Recording.read`."""

    def read(value: Any) -> Any:
        if not isinstance(value, str | Path):
            return value
        recording = Recording.read(value, levels)
        return recording.rate, recording.audio

    bridge = request.bridge and (read(request.bridge[0]), read(request.bridge[1]))
    return replace(request, edit=read(request.edit), before=read(request.before), bridge=bridge)


@dataclass(frozen=True)
class Sample:
    """A sample that was written."""

    seed: int
    seconds: float  # how much of it is new
    first_audio_after: float  # seconds from the beginning of its batch until its first new audio was on disk
    settings: dict[str, Any]  # everything that made it, as its JSON file holds it
    files: SampleFiles


def make_samples(
    model: SnacDiffusion,
    request: Request,
    folder: str | Path,
    *,
    seed: int = -1,
    count: int = 1,
    batch_size: int | None = None,
    recording: Recording | None = None,
    checkpoint: str | None = None,
    progress: bool = True,
    callback: StepCallback | None = None,
) -> Iterator[Sample]:
    """Generate samples, batch after batch, and write each as `seed_N.wav`, `.png` and `.json`, chunk by chunk as they come.

    Stopped by Ctrl-C or an error, it finishes the files with what they hold.

    Args:
        seed: of the first sample, the next one's is one more; -1 draws one.
        count: number of samples.
        batch_size: how many are generated at once; all by default.
        recording: what each sample continues: it begins with the recording's own samples, at its rate and with its channels.
            Recordings that `request` names are files or audio; a sample has the rate and the channels of theirs.
        checkpoint: where the model came from, for the JSON files.
        callback: called with (chunk, level, step) after each denoising step.

    Raises:
        SnacPluginError: the request does not fit the model.
    """
    settings = check_request(request, model.config, model.levels.names).as_dict(model.levels.names)
    about = {"conditioning": request.conditioning, "negative_conditioning": request.negative_conditioning}
    about |= _about(model, checkpoint, recording) | _files_of(request)
    name, request = _name_of(request, recording), read_recordings(request, model.levels)
    if recording is not None:
        recording, request = recording.until(request.from_second), replace(request, from_second=None)
    context = None if recording is None else (recording.rate, recording.audio)
    edit = edit_of(request, model.chunk_samples, model.sample_rate)
    asked = request if edit is None else replace(request, only_new=None)
    seeds, size = sample_seeds(seed, count), batch_size or count
    for start in range(0, count, size):
        batch = seeds[start : start + size]
        samples: list[_SampleInProgress] = []
        options: Any = {"batch_size": len(batch), "seed": batch[0], "progress": progress, "callback": callback}
        failure: BaseException | None = None
        try:
            try:
                for one in batch:
                    samples.append(_SampleInProgress(Path(folder), f"{name}seed_{one}", one, model, request, recording, edit))
                for chunk in model.stream(asked, context=context, **options):
                    for sample, audio, codes in zip(samples, chunk.audio, chunk.codes, strict=True):
                        sample.add(audio[0], codes)
            except BaseException as error:  # a full disk or Ctrl-C must not take the minutes that are there
                failure = error
            noted = {"batch_size": len(batch), **settings, **about}
            finished = []
            for sample in (one for one in samples if one.codes):
                try:
                    finished.append(sample.finish({"seed": sample.seed, **noted}))
                except UnwritableFile as error:  # of one sample that has no room, the others may have
                    failure = failure or error
            yield from finished
            if failure is not None:
                raise failure
        finally:
            for sample in samples:
                sample.writer.discard()


class _SampleInProgress:
    """A sample while it is written; after the samples of the recording that it continues, or within those that it changes."""

    def __init__(
        self,
        folder: Path,
        name: str,
        seed: int,
        model: SnacDiffusion,
        request: Request,
        recording: Recording | None,
        edit: Edit | None,
    ) -> None:
        self.seed, self.model, self.recording, self.edit = seed, model, recording, edit
        self.only_new, self.continuation = bool(request.only_new), None
        rate, channels, self.before = (model.sample_rate, 1, 0)
        if edit is not None:
            rate, channels = edit.rate, len(edit.audio)
        if recording is not None:
            rate, (channels, self.before) = recording.rate, recording.audio.shape
            self.before = 0 if self.only_new else self.before
            self.continuation = Continuation(recording.audio, rate, model.sample_rate)
        new = request.samples(model.chunk_samples, model.sample_rate)
        self.writer = SampleWriter(folder, name, rate, channels, self.before + math.ceil(new * rate / model.sample_rate))
        self.codes: list[Tensor] = []
        self.started, self.first_audio_after = time.perf_counter(), 0.0

    def add(self, audio: Tensor, codes: Tensor) -> None:
        """Append new audio [N] at the model's rate, and remember its codes [R, T]."""
        self.first_audio_after = self.first_audio_after or time.perf_counter() - self.started
        if self.recording is not None and not self.codes and not self.only_new:
            self.writer.write(self.recording.audio)
        if self.edit is not None:
            whole = self.edit.with_made(audio, self.model.sample_rate)
            self.writer.write(self.edit.new_part(whole) if self.only_new else whole)
        else:
            self.writer.write(audio[None] if self.continuation is None else self.continuation.push(audio))
        self.codes.append(codes.short())

    def finish(self, settings: dict[str, Any]) -> Sample:
        if self.continuation is not None:
            self.writer.write(self.continuation.finish())
        rate, levels = self.writer.sample_rate, self.model.levels
        seconds, joined_at = self.writer.samples / rate, self.before / rate
        written = self.writer.samples - self.before
        if self.edit is not None:
            written = sum(stop - start for start, stop in self.edit.spans)
        new = written * self.model.sample_rate // rate  # in samples of the model, whole ones
        lengths = {"seconds": round(seconds, 6), "new_seconds": round(written / rate, 6)}
        settings = {**lengths, "chunks": chunks_for(new, self.model.chunk_samples), **settings}
        recording = self.recording
        title = f"seed {self.seed}" if recording is None else f"{recording.path.name}, continued from {joined_at:.1f} s"
        if self.edit is not None:
            spans = (f"{start / rate:.1f} to {stop / rate:.1f} s" for start, stop in self.edit.spans)
            title = f"{self.writer.name}, new from {', '.join(spans)}"
        codes = torch.cat(self.codes, dim=-1).long() if recording is None and self.edit is None else None
        shown_from = max(0, round((joined_at - BEFORE_JOIN_SECONDS) * rate))
        files = self.writer.finish(settings, codes=codes, levels=levels, title=title, shown_from=shown_from)
        return Sample(self.seed, written / rate, self.first_audio_after, settings, files)


def _files_of(request: Request) -> dict[str, Any]:
    """The editing that is asked for, recordings by their files."""

    def name(value: Any) -> Any:
        return str(value) if isinstance(value, str | Path) else "audio"

    asked = request.as_dict()
    asked |= {key: name(asked[key]) for key in ("edit", "before") if key in asked}
    return asked | ({"bridge": [name(one) for one in asked["bridge"]]} if "bridge" in asked else {})


def _name_of(request: Request, recording: Recording | None) -> str:
    """What a sample's name begins with: the recordings that are in it."""
    named = (None if recording is None else recording.path, request.edit, request.before, *(request.bridge or ()))
    stems = "_".join(Path(file).stem for file in named if isinstance(file, str | Path))
    return f"{fitting_name(stems, 40)}_" if stems else ""


def _about(model: SnacDiffusion, checkpoint: str | None, recording: Recording | None) -> dict[str, Any]:
    """What a sample depends on besides the request: model, codec, device, versions, recording."""
    diffusion = model.config.model.diffusion
    about: dict[str, Any] = {
        "checkpoint": checkpoint,
        "model": {
            "type": model.config.model_type,
            "objective": diffusion.diffusion_objective,
            "head": diffusion.config.head,
            "weights": sum(p.numel() for p in model.model.parameters()),
            "fingerprint": fingerprint({**model.model.state_dict(), **model.conditioner.state_dict()}),
        },
        "codec": {"name": model.pretransform.codec_name, "fingerprint": model.pretransform.fingerprint},
        "device": model.device.type,
        "versions": {
            "snac_plugin": snac_plugin.__version__,
            "stable-audio-tools": importlib.metadata.version("stable-audio-tools"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
    if recording is not None:
        seconds = round(recording.audio.shape[-1] / recording.rate, 6)
        about["continues"] = {"file": recording.path.name, "sample_rate": recording.rate, "seconds": seconds}
    return about
