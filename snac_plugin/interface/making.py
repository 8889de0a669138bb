"""From the values of a page's inputs to samples in the history of its browser."""

import contextlib
import tempfile
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import soundfile
import torch
from torch import Tensor

from snac_plugin.data.audio_file import audio_header
from snac_plugin.errors import SnacPluginError
from snac_plugin.generation.chunks import chunks_for
from snac_plugin.generation.context import mono
from snac_plugin.generation.editing import chunk_places, edit_of
from snac_plugin.generation.request import Request
from snac_plugin.generation.settings import Settings, check_request
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.generation.stages import Stopped
from snac_plugin.interface.cards import file_url
from snac_plugin.interface.controls import Controls
from snac_plugin.interface.history import History
from snac_plugin.interface.limits import check_count, check_length
from snac_plugin.interface.pace import Pace, Reporter
from snac_plugin.interface.results import Serve, Shown
from snac_plugin.interface.runs import Progress, Run
from snac_plugin.interface.wording import short
from snac_plugin.output.make_samples import make_samples
from snac_plugin.output.recordings import Recording

Values = Mapping[str, Any]
FILES = ("recording", "edit_edit", "edit_before", "edit_bridge_first", "edit_bridge_second")
"""Parameters whose values are recordings."""
CODEC_SECONDS = 30
"""Longest part of a recording that is sent through the codec."""


@dataclass(frozen=True)
class PageGenerator:
    """Makes what the inputs of a page ask for."""

    model: SnacDiffusion
    controls: Controls
    out: Path  # of clients without a history
    serve: Serve
    checkpoint: str | None = None  # where the model came from, for the samples' settings
    paces: dict[Hashable, Pace] = field(default_factory=dict)  # as they were measured, by what the time of a step depends on

    def amount(self, values: Values) -> float:
        """Steps of chunks that a run computes, roughly: as much as its time depends on. 1 where the values are no request."""
        try:
            request = self.controls.request(values)
            steps = solved(check_request(request, self.model.config, self.model.levels.names))
            return float(sum(steps) * self.chunks(request) * max(1, int(values.get("batch_size") or 1)))
        except (SnacPluginError, TypeError, ValueError):  # which `make` says
            return 1.0

    def chunks(self, request: Request) -> int:
        """Chunks that a request computes, as far as headers say; AudioError, UsageError for a recording that does not fit."""
        size, codec = self.model.model.network.config.chunk_frames, self.model.pretransform
        if request.edit is not None:
            header = audio_header(request.edit, counted=False)
            silence = header.rate, torch.zeros(1, 1).expand(1, header.samples)  # as long, without its memory
            edit = edit_of(replace(request, edit=silence), self.model.chunk_samples, codec.sample_rate)
            return 1 if edit is None else len(chunk_places(edit, codec, size))
        samples = request.samples(self.model.chunk_samples, codec.sample_rate)
        if request.loop:  # whole frames, and the seam
            return chunks_for(round(samples / codec.downsampling_ratio), size) + 1
        return chunks_for(samples, self.model.chunk_samples)

    def make(self, values: Values, history: History | None, run: Run) -> list[Shown]:
        """Generate what the inputs ask for, into the history's folder or `out`; stopped, what is finished of it.

        What cannot be made leaves no copy of a recording behind; errors name recordings without their folders.
        """
        values = self.controls.filled(values)
        given = {name: Path(values[name]) for name in FILES if values.get(name)}
        kept: dict[str, Path] = {}
        try:
            check_count(values["batch_size"])
            for path in given.values():
                check_length(path)
            if history is not None:
                for name, path in given.items():
                    kept[name] = history.keep(path)
            values |= {name: str(path) for name, path in (given | kept).items()}
            request = self.controls.request(values)
            settings = check_request(request, self.model.config, self.model.levels.names)
            return self._made(values, request, settings, history, run)
        except SnacPluginError as error:
            raise short(error, *given.values(), *kept.values()) from None
        finally:
            if history is not None:
                history.let_go(kept.values())

    def _made(self, values: Values, request: Request, settings: Settings, history: History | None, run: Run) -> list[Shown]:
        mode, levels = self.controls.mode(values), self.model.levels
        continued = values.get("recording") if mode in ("", "Continue") else None
        recording = Recording.read(continued, levels) if continued else None
        options: Any = {"seed": int(values["seed"]), "count": int(values["batch_size"]), "recording": recording, "progress": False}
        kind = mode, bool(continued), options["count"], settings.guidance.scale
        pace, context = self.paces.setdefault(kind, Pace()), self.model.model.network.config.context_chunks
        report = Reporter(run.tell, levels.names, solved(settings), self.chunks(request), context, pace)
        options |= {"callback": report, "checkpoint": self.checkpoint, "computed": lambda: _computed(run, report), "paths": False}
        used = [str(one) for one in (continued, *request.recordings) if one]
        begins = f"Reading and encoding {' and '.join(Path(one).name for one in used)}" if used else "The first chunk begins"
        samples = []
        with self._heard(run) as heard, contextlib.suppress(Stopped):  # what is finished is kept
            run.tell(Progress(0.0, begins))
            for sample in make_samples(
                self.model, request, self.out if history is None else history.folder, heard=heard, **options
            ):
                samples.append(sample)
            report.written()
        if history is not None and samples:
            named = mode or "Edit"
            sources = [Path(one) for one in dict.fromkeys(used)]
            history.add(samples, named if used or mode != "Continue" else "From nothing", sources)
        source = used[0] if used else ""
        return [Shown(str(s.files.wav), str(s.files.picture), s.seed, s.settings, source) for s in samples]

    @contextlib.contextmanager
    def _heard(self, run: Run) -> Iterator[Callable[[Tensor, int], None]]:
        """What takes new audio [C, N] of the first sample, and its rate, so that the page can play it at once."""
        with tempfile.TemporaryDirectory() as folder:

            def heard(audio: Tensor, rate: int) -> None:
                piece = Path(folder) / f"{len(run.heard)}.wav"
                if audio.shape[-1] and not run.stopped:
                    soundfile.write(piece, audio.detach().float().cpu().T.numpy(), rate, subtype="FLOAT")
                    run.heard.append(file_url(self.serve(piece)))

            yield heard

    def through_codec(self, path: str, run: Run) -> str:
        """A recording as the codec gives it back, mono and no longer than `CODEC_SECONDS`: a wav that the page serves."""
        check_length(path)
        recording, codec = Recording.read(path, self.model.levels), self.model.pretransform
        run.tell(Progress(0.0, "Through the codec"))
        part = recording.part(0, CODEC_SECONDS * recording.rate)
        audio = mono(part, recording.rate, codec.sample_rate)[None, None].to(self.model.device)  # as a generation hears it
        coded = codec.decode_tokens(codec.tokenize(audio), audio.shape[-1])[0, 0].cpu()
        with tempfile.TemporaryDirectory() as folder:
            wav = Path(folder) / f"{Path(path).stem}_through_codec.wav"
            soundfile.write(wav, coded.numpy(), codec.sample_rate, subtype="FLOAT")
            return self.serve(wav)


def solved(settings: Settings) -> list[int]:
    """Steps of a chunk by level, as many as are computed: none where a level is kept."""
    return [count if settings.strength(level) > 0 else 0 for level, count in enumerate(settings.steps)]


def _computed(run: Run, report: Reporter) -> None:
    with contextlib.suppress(Stopped):  # its files are written all the same
        report.finished()
    run.computed()
