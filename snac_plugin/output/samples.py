"""From a request to samples on disk: what the command line and the page both do."""

from __future__ import annotations

import difflib
import importlib.metadata
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import snac_plugin
from snac_plugin.checkpoints.weights import fingerprint
from snac_plugin.diffusion.sampler_names import SAMPLERS
from snac_plugin.errors import ConfigError, Mismatch
from snac_plugin.generation.chunks import StepCallback
from snac_plugin.generation.settings import Settings, settings_from
from snac_plugin.generation.snac_diffusion import SnacDiffusion, sample_seeds
from snac_plugin.output.sample_in_progress import Recording, Sample, Take

__all__ = ["Recording", "Request", "Sample", "check_conditioning", "make_samples"]


@dataclass(frozen=True)
class Request:
    """What is to be generated; None takes the model config's value.

    Args:
        seconds: length of the audio; a chunk by default.
        chunks: length in chunks, in place of seconds.
        steps: denoising steps of a chunk in all, one a level in order, or by level name.
        sampler: stable-audio-tools' name of the sampler.
        temperature: below 1 the sampler pingpong-codes draws likely codes more often.
        cfg_scale, cfg_rescale, cfg_interval: classifier-free guidance.
        conditioning: metadata of every sample.
        negative_conditioning: metadata that guidance leads away from.
    """

    seconds: float | None = None
    chunks: int | None = None
    steps: int | Sequence[int] | Mapping[str, int] | None = None
    sampler: str | None = None
    temperature: float | None = None
    cfg_scale: float | None = None
    cfg_rescale: float | None = None
    cfg_interval: tuple[float, float] | None = None
    conditioning: Mapping[str, Any] | None = None
    negative_conditioning: Mapping[str, Any] | None = None

    def settings(self, model: SnacDiffusion) -> Settings:
        """How the stages are solved, checked against the model.

        Raises:
            ConfigError: a sampler that the model's objective does not have.
            Mismatch: steps that do not fit its levels.
        """
        objective = model.model.objective.name
        if self.sampler is not None and self.sampler not in SAMPLERS[objective]:
            nearest = difflib.get_close_matches(self.sampler, SAMPLERS[objective], 1)
            hint = f"Did you mean {nearest[0]!r}?" if nearest else ""
            raise ConfigError("sampler", repr(self.sampler), f"one of {', '.join(SAMPLERS[objective])} for {objective}", hint)
        if isinstance(self.steps, Mapping) and (unknown := [name for name in self.steps if name not in tuple(model.levels.names)]):
            raise Mismatch("steps", f"level {unknown[0]!r}", f"the levels of the codec: {', '.join(model.levels.names)}")
        return settings_from(
            model.config.model.diffusion.config.sampling,
            model.levels.names,
            steps=self.steps,
            sampler=self.sampler,
            temperature=self.temperature,
            cfg_scale=self.cfg_scale,
            cfg_rescale=self.cfg_rescale,
            cfg_interval=self.cfg_interval,
        )


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
        model: the model.
        request: what is to be generated.
        folder: where to; made if need be.
        seed: of the first sample, the next one's is one more; -1 draws one.
        count: number of samples.
        batch_size: how many are generated at once; all by default.
        recording: what each sample continues: it begins with the recording's own samples, at its rate and with its channels.
        checkpoint: where the model came from, for the JSON files.
        progress: show a bar that names chunk and level.
        callback: told (chunk, level, step) after each denoising step.

    Raises:
        SnacPluginError: the request does not fit the model.
    """
    settings = request.settings(model)
    for metadata in (request.conditioning or {}, request.negative_conditioning):
        if metadata is not None:
            check_conditioning(model, metadata)
    about = {"conditioning": request.conditioning, "negative_conditioning": request.negative_conditioning}
    about |= describe(model, checkpoint) | ({} if recording is None else {"continues": recording.about()})
    seeds = sample_seeds(seed, count)
    size = batch_size or count
    for start in range(0, count, size):
        batch = seeds[start : start + size]
        length = model.length(request.chunks, request.seconds)
        takes = [Take(Path(folder), own, model, recording, length) for own in batch]
        failure: BaseException | None = None
        try:
            _fill(takes, model, request, batch, recording, progress, callback)
        except BaseException as error:  # a full disk or Ctrl-C must not take the minutes that are there
            failure = error
        for take in takes:
            if not take.codes:  # not one chunk was finished
                take.wav.discard()
                continue
            noted = {"seed": take.seed, "batch_size": len(batch), **settings.as_dict(model.levels.names), **about}
            yield take.finish(noted)
        if failure is not None:
            raise failure


def _fill(
    takes: Sequence[Take],
    model: SnacDiffusion,
    request: Request,
    seeds: list[int],
    recording: Recording | None,
    progress: bool,
    callback: StepCallback | None,
) -> None:
    """Write pieces to disk as they are generated."""
    stream = model.stream(
        **{name: value for name, value in vars(request).items() if value is not None},
        context=None if recording is None else (recording.rate, recording.audio),
        batch_size=len(seeds),
        seed=seeds[0],
        progress=progress,
        callback=callback,
    )
    for piece in stream:
        for take, audio, codes in zip(takes, piece.audio, piece.codes, strict=True):
            take.add(audio[0], codes)


def describe(model: SnacDiffusion, checkpoint: str | None = None) -> dict[str, Any]:
    """What a sample depends on besides the request: model, codec, device, versions."""
    diffusion = model.config.model.diffusion
    return {
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


def check_conditioning(model: SnacDiffusion, metadata: Mapping[str, Any]) -> None:
    """Raise unless metadata has what the model's conditioners read, and nothing that none of them would.

    Raises:
        ConfigError: naming the keys.
    """
    conditioners, aliases = list(model.conditioner.conditioners), model.conditioner.default_keys
    known = sorted({*conditioners, *(aliases[name] for name in conditioners if name in aliases)})
    unknown = [key for key in metadata if key not in known]
    if unknown:
        expected = f"only {', '.join(known)}" if known else "nothing: this model was trained without conditioning"
        raise ConfigError("conditioning", f"the key {unknown[0]!r}", expected)
    needed = [name for name, conditioner in model.conditioner.conditioners.items() if not getattr(conditioner, "optional", False)]
    missing = [name for name in needed if name not in metadata and aliases.get(name) not in metadata]
    if missing:
        raise ConfigError("conditioning", f"nothing for {', '.join(missing)}", f"values for {', '.join(known)}")
