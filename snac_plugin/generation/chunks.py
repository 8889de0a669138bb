"""Generation: chunk after chunk, level after level, each stage solved by stable-audio-tools' samplers.

Letters: B batch, R rows, T frames, N tokens of a level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from snac_plugin.diffusion.sampler_names import CODE_SAMPLER
from snac_plugin.diffusion.samplers import codes_at, solve, solve_by_codes
from snac_plugin.diffusion.seeds import code_draw_seed, stage_noise, stage_seed
from snac_plugin.errors import Mismatch
from snac_plugin.generation.settings import Settings
from snac_plugin.levels import Levels
from snac_plugin.model.chunk_in_progress import ChunkInProgress
from snac_plugin.model.conditions import Conditions, Prompt
from snac_plugin.model.diffusion_model import SnacDiffusionModel

# Called after each denoising step with (chunk, level, step), all from 0.
StepCallback = Callable[[int, int, int], None]


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
            latents = None if past is None else model.space.from_codes(past)
            told = conditions.fitted(frames * chunks).of_frames(frames * index, frames)
            other = None if negative is None else negative.fitted(frames * chunks).of_frames(frames * index, frames)
            chunk = model.start_chunk(Prompt(told, other, latents, mask), len(seeds), settings.guidance)
            codes = _one_chunk(model, chunk, seeds, settings, index, chunks, bar, callback)
            yield codes
            context = codes if past is None else torch.cat([past, codes], dim=-1)
            if mask is not None:
                context_mask = torch.cat([mask, mask.new_ones(mask.shape[0], codes.shape[-1])], dim=-1)


def _one_chunk(
    model: SnacDiffusionModel,
    chunk: ChunkInProgress,
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
        codes = model.space.nearest(level, solved.transpose(1, 2))
        finished.append(codes)
        if level + 1 < len(levels):
            chunk.append(level, model.space.level_latents(level, codes))
    return levels.pack(finished)


def _solve_stage(
    model: SnacDiffusionModel,
    chunk: ChunkInProgress,
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
        draws = [code_draw_seed(seed, index, level, len(model.levels)) for seed in seeds]
        return _solve_by_codes(model, chunk, level, noise, settings, draws, step_done)
    velocity = chunk.denoiser(level, model.velocity)
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
    chunk: ChunkInProgress,
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
    log_probabilities, temperature = chunk.denoiser(level, model.log_probabilities), settings.temperatures[level]

    def draw(x: Tensor, t: Tensor) -> Tensor:
        quantiles = torch.stack([torch.rand(noise.shape[-1], generator=g) for g in generators]).to(noise.device)
        codes = codes_at(quantiles, log_probabilities(x.transpose(1, 2), t) / temperature)
        return model.space.level_latents(level, codes).transpose(1, 2)

    def renoise() -> Tensor:
        return torch.stack([torch.randn(noise.shape[1:], generator=g) for g in generators]).to(noise)

    return solve_by_codes(draw, noise, renoise, steps=settings.steps[level], shift=settings.shifts[level], callback=step_done)


def chunks_for(levels: Levels, chunk_frames: int, samples: int) -> int:
    """Chunks that cover so many audio samples."""
    return max(1, math.ceil(samples / (chunk_frames * levels.frame_samples)))
