"""Generation: chunk after chunk, level after level, each stage solved by stable-audio-tools' samplers.

Letters: B batch, R rows, T frames, N tokens of a level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from snac_plugin.config import SamplingConfig
from snac_plugin.config.network import CODE_SAMPLER
from snac_plugin.diffusion.guidance import Guidance
from snac_plugin.diffusion.samplers import solve, solve_by_codes
from snac_plugin.errors import Mismatch
from snac_plugin.levels import Levels
from snac_plugin.model.conditions import Conditions
from snac_plugin.model.diffusion_model import SnacDiffusionModel
from snac_plugin.model.guided import GuidedChunk

# Called after each denoising step with (chunk, level, step), all from 0.
StepCallback = Callable[[int, int, int], None]


@dataclass(frozen=True)
class Settings:
    """How the stages of a chunk are solved; one entry a level, coarsest first.

    Args:
        steps: denoising steps.
        samplers: stable-audio-tools' names.
        shifts: above 1 spends more steps near noise.
        temperatures: what logits are divided by where codes are drawn from them; other samplers have none.
        guidance: classifier-free guidance of all levels.
    """

    steps: tuple[int, ...]
    samplers: tuple[str, ...]
    shifts: tuple[float, ...]
    temperatures: tuple[float, ...]
    guidance: Guidance

    def as_dict(self, names: str) -> dict[str, Any]:
        """For a file beside the audio."""
        return {
            "steps": dict(zip(names, self.steps, strict=True)),
            "sampler": dict(zip(names, self.samplers, strict=True)),
            "shift": dict(zip(names, self.shifts, strict=True)),
            "temperature": dict(zip(names, self.temperatures, strict=True)),
            "cfg_scale": self.guidance.scale,
            "cfg_rescale": self.guidance.rescale,
            "cfg_interval": list(self.guidance.interval),
        }


def settings_from(
    sampling: SamplingConfig,
    names: str,
    *,
    steps: int | Sequence[int] | Mapping[str, int] | None = None,
    sampler: str | None = None,
    temperature: float | None = None,
    cfg_scale: float | None = None,
    cfg_rescale: float | None = None,
    cfg_interval: tuple[float, float] | None = None,
) -> Settings:
    """The config's sampling section with what a caller overrides.

    Args:
        sampling: the section.
        names: the codec's level names.
        steps: in all (split by the section's weights), one a level in order, or by level name.
        sampler: for all levels.
        temperature: for all levels.
        cfg_scale, cfg_rescale, cfg_interval: see `Guidance`.
    """
    samplers = sampling.samplers(names) if sampler is None else (sampler,) * len(names)
    return Settings(
        steps=_steps(sampling, names, steps),
        samplers=samplers,
        shifts=sampling.shifts(names),
        temperatures=_temperatures(sampling.temperatures(names), temperature, samplers),
        guidance=_guidance(
            sampling.cfg_scale if cfg_scale is None else cfg_scale,
            sampling.cfg_rescale if cfg_rescale is None else cfg_rescale,
            sampling.cfg_interval if cfg_interval is None else cfg_interval,
        ),
    )


def _steps(sampling: SamplingConfig, names: str, steps: int | Sequence[int] | Mapping[str, int] | None) -> tuple[int, ...]:
    expected = f"one number, or at least 1 step for each of the levels {', '.join(names)}"
    if steps is None or isinstance(steps, int):
        if steps is not None and steps < len(names):
            raise Mismatch("steps", steps, f"at least {len(names)} in all, one for each of the levels {', '.join(names)}")
        return sampling.steps_per_level(names, steps)
    if isinstance(steps, Mapping):
        if set(steps) != set(names):
            raise Mismatch("steps", dict(steps), expected)
        steps = [steps[name] for name in names]
    if len(steps) != len(names) or any(not isinstance(n, int) or n < 1 for n in steps):
        raise Mismatch("steps", steps, expected)
    return tuple(steps)


def _temperatures(own: tuple[float, ...], given: float | None, samplers: Sequence[str]) -> tuple[float, ...]:
    """What is given for all levels, or their own; 1 where no codes are drawn."""
    if given is not None and not 0 < given < math.inf:
        raise Mismatch("temperature", given, "a finite number above 0")
    if given not in (None, 1) and CODE_SAMPLER not in samplers:
        raise Mismatch("temperature", given, f"the sampler {CODE_SAMPLER} beside it: {samplers[0]} draws no codes")
    wanted = own if given is None else (given,) * len(own)
    return tuple(value if name == CODE_SAMPLER else 1.0 for value, name in zip(wanted, samplers, strict=True))


def _guidance(scale: float, rescale: float, interval: tuple[float, float]) -> Guidance:
    if not 0 <= scale < math.inf:
        raise Mismatch("cfg_scale", scale, "a number from 0 up")
    if not 0 <= rescale <= 1:
        raise Mismatch("cfg_rescale", rescale, "a share between 0 and 1")
    low, high = interval
    if not 0 <= low < high <= 1:
        raise Mismatch("cfg_interval", tuple(interval), "two noise levels between 0 and 1, the smaller first")
    return Guidance(scale, rescale, (low, high))


def stage_seed(seed: int, chunk: int, level: int) -> int:
    """A seed of its own for each stage of each sample, so that neither batch size nor length changes what a seed gives."""
    return int(np.random.SeedSequence([seed, chunk, level]).generate_state(1, np.uint64)[0]) >> 1


def stage_noise(seeds: Sequence[int], chunk: int, level: int, shape: tuple[int, int], like: Tensor) -> Tensor:
    """Unit Gaussian noise [B, *shape], each sample from its own seed, drawn on the CPU: the same on every device."""
    generators = [torch.Generator().manual_seed(stage_seed(seed, chunk, level)) for seed in seeds]
    return torch.stack([torch.randn(shape, generator=g) for g in generators]).to(like)


def generate_chunks(
    model: SnacDiffusionModel,
    conditions: Conditions,
    seeds: Sequence[int],
    settings: Settings,
    chunks: int,
    *,
    negative: Conditions | None = None,
    context: Tensor | None = None,
    context_mask: Tensor | None = None,
    progress: bool = True,
    callback: StepCallback | None = None,
) -> Iterator[Tensor]:
    """Generate chunk after chunk; each becomes context of the next.

    A seed gives the same codes in any batch; only samplers that renoise (pingpong, SDE and ancestral ones) draw for a batch as
    a whole, and need the same batch again.

    Args:
        model: the model, in evaluation mode.
        conditions: conditioning inputs of B samples.
        seeds: the seed of each sample.
        settings: how stages are solved.
        chunks: how many chunks.
        negative: conditioning inputs that guidance leads away from.
        context: packed codes of the audio before [B, R, T], whole chunks.
        context_mask: [B, T] bool, False where a context frame is padding.
        progress: show a bar that names chunk and level.
        callback: told about each step.

    Yields:
        Packed codes of a chunk [B, R, chunk frames].
    """
    frames = model.network.config.chunk_frames
    window = model.network.config.context_chunks * frames
    total = sum(settings.steps) * chunks
    with tqdm(total=total, unit="step", disable=not progress, dynamic_ncols=True) as bar:
        for index in range(chunks):
            past = None if context is None or not window else context[..., -window:]
            mask = None if context_mask is None or past is None else context_mask[:, -past.shape[-1] :]
            mask = None if mask is not None and bool(mask.all()) else mask  # attention is faster without one
            latents = None if past is None else model.packed_latents(past)
            told = conditions.fitted(frames * chunks).of_frames(frames * index, frames)
            other = None if negative is None else negative.fitted(frames * chunks).of_frames(frames * index, frames)
            chunk = model.start_chunk(told, len(seeds), settings.guidance, other, latents, mask)
            codes = _one_chunk(model, chunk, seeds, settings, index, chunks, bar, callback)
            yield codes
            context = codes if past is None else torch.cat([past, codes], dim=-1)
            if mask is not None:
                context_mask = torch.cat([mask, mask.new_ones(mask.shape[0], codes.shape[-1])], dim=-1)


def _one_chunk(
    model: SnacDiffusionModel,
    chunk: GuidedChunk,
    seeds: Sequence[int],
    settings: Settings,
    index: int,
    chunks: int,
    bar: tqdm,
    callback: StepCallback | None,
) -> Tensor:
    levels = model.levels
    frames, like = model.network.config.chunk_frames, next(model.parameters())
    finished = []
    for level, name in enumerate(levels.names):
        bar.set_description(f"chunk {index + 1}/{chunks} level {name}" if chunks > 1 else f"level {name}")
        noise = stage_noise(seeds, index, level, (levels.codebook_dim, frames * levels.per_frame[level]), like)
        solved = _solve_stage(model, chunk, level, noise, settings, seeds, index, bar, callback)
        codes = model.nearest(level, solved.transpose(1, 2))
        finished.append(codes)
        if level + 1 < len(levels):
            chunk.finish(level, model.latents_of(level, codes))
    return levels.pack(finished)


def _solve_stage(
    model: SnacDiffusionModel,
    chunk: GuidedChunk,
    level: int,
    noise: Tensor,
    settings: Settings,
    seeds: Sequence[int],
    index: int,
    bar: tqdm,
    callback: StepCallback | None,
) -> Tensor:
    """One level of one chunk: noise [B, 8, N] -> latents [B, 8, N]."""
    steps = iter(range(settings.steps[level]))

    def step_done(_: dict[str, Any]) -> None:
        step = next(steps, None)
        if step is not None:  # some samplers call more often than once a step
            bar.update(1)
            if callback is not None:
                callback(index, level, step)

    if settings.samplers[level] == CODE_SAMPLER:
        return _solve_by_codes(
            model, chunk, level, noise, settings, [stage_seed(seed, index, len(model.levels) + level) for seed in seeds], step_done
        )
    velocity = chunk.velocity(level)
    devices = range(torch.cuda.device_count())
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(stage_seed(seeds[0], index, level))  # samplers that renoise draw from the global generator
        solved = solve(
            model.objective.name,
            lambda x, t: velocity(x.transpose(1, 2), t).transpose(1, 2),
            noise,
            steps=settings.steps[level],
            sampler=settings.samplers[level],
            shift=settings.shifts[level],
            callback=step_done,
            unconditioned=lambda: None if chunk.unconditioned is None else chunk.unconditioned.transpose(1, 2),
        )
    for _ in steps:
        bar.update(1)
    return solved


def _solve_by_codes(
    model: SnacDiffusionModel,
    chunk: GuidedChunk,
    level: int,
    noise: Tensor,
    settings: Settings,
    seeds: Sequence[int],
    step_done: Callable[[dict[str, Any]], None],
) -> Tensor:
    """The same by drawn codes. What is random in it comes from each sample's own seed, drawn on the CPU."""
    if model.network.config.head == "velocity":
        raise Mismatch("sampler", CODE_SAMPLER, "another one: this model predicts velocities, and it draws from logits of codes")
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    log_probabilities, temperature = chunk.guided(level, model.log_probabilities), settings.temperatures[level]

    def draw(x: Tensor, t: Tensor) -> Tensor:
        quantiles = torch.stack([torch.rand(noise.shape[-1], generator=g) for g in generators]).to(noise.device)
        return model.drawn(level, log_probabilities(x.transpose(1, 2), t) / temperature, quantiles).transpose(1, 2)

    def renoise() -> Tensor:
        return torch.stack([torch.randn(noise.shape[1:], generator=g) for g in generators]).to(noise)

    return solve_by_codes(draw, noise, renoise, steps=settings.steps[level], shift=settings.shifts[level], callback=step_done)


def chunks_for(levels: Levels, chunk_frames: int, samples: int) -> int:
    """Chunks that cover so many audio samples."""
    return max(1, math.ceil(samples / (chunk_frames * levels.frame_samples)))
