"""Chunk after chunk, level after level. Letters: B batch, R rows, T frames, N tokens of a level."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from snac_plugin.diffusion.sampler_names import CODE_SAMPLER
from snac_plugin.diffusion.samplers import codes_at, solve, solve_by_codes
from snac_plugin.diffusion.seeds import code_draw_seed, stage_noise, stage_seed
from snac_plugin.generation.settings import Settings
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
    """Generate chunk after chunk, packed codes [B, R, chunk frames]; each becomes context of the next.

    A seed gives the same codes in any batch, except with samplers that add noise for the whole batch at once (pingpong, SDE
    and ancestral ones): those need the same batch again.

    Args:
        context: packed codes of the audio before [B, R, T], whole chunks.
        context_mask: [B, T] bool, False where a context frame is padding.
    """
    frames = model.network.config.chunk_frames
    window = model.network.config.context_chunks * frames
    with tqdm(total=sum(settings.steps) * chunks, unit="step", disable=not progress, dynamic_ncols=True) as bar:
        for index in range(chunks):
            past = None if context is None or not window else context[..., -window:]
            mask = None if context_mask is None or past is None else context_mask[:, -past.shape[-1] :]
            mask = None if mask is not None and bool(mask.all()) else mask  # attention is faster without one
            latents = None if past is None else model.space.from_codes(past)
            prompt = Prompt(conditions, negative, latents, mask).of_frames(frames * index, frames, frames * chunks)
            chunk = model.start_chunk(prompt, len(seeds), settings.guidance)
            title = f"chunk {index + 1}/{chunks} " if chunks > 1 else ""
            codes = _ChunkSolver(model, chunk, seeds, settings, index, bar, title, callback).solve()
            yield codes
            context = codes if past is None else torch.cat([past, codes], dim=-1)
            if mask is not None:
                context_mask = torch.cat([mask, mask.new_ones(mask.shape[0], codes.shape[-1])], dim=-1)


@dataclass(frozen=True)
class _ChunkSolver:
    """What the stages of one chunk (`index`, from 0) share; `title` stands before the level on the progress bar."""

    model: SnacDiffusionModel
    chunk: ChunkInProgress
    seeds: Sequence[int]
    settings: Settings
    index: int
    bar: tqdm
    title: str
    callback: StepCallback | None

    def solve(self) -> Tensor:
        """All levels in order, each snapped to its nearest codes: packed codes [B, R, T]."""
        model, levels = self.model, self.model.levels
        frames, like = model.network.config.chunk_frames, next(model.parameters())
        finished = []
        for level, name in enumerate(levels.names):
            self.bar.set_description(f"{self.title}level {name}")
            noise = stage_noise(self.seeds, self.index, level, (levels.codebook_dim, frames * levels.per_frame[level]), like)
            by_codes = self.settings.samplers[level] == CODE_SAMPLER
            latents = self._solve_by_codes(level, noise) if by_codes else self._solve_by_velocity(level, noise)
            finished.append(model.space.nearest(level, latents.transpose(1, 2)))
            if level + 1 < len(levels):
                self.chunk.append(level, model.space.level_latents(level, finished[-1]))
        return levels.pack(finished)

    def _solve_by_velocity(self, level: int, noise: Tensor) -> Tensor:
        """One level by a sampler of stable-audio-tools: noise [B, 8, N] -> latents [B, 8, N]."""
        chunk, steps = self.chunk, iter(range(self.settings.steps[level]))
        velocity = chunk.denoiser(level, self.model.velocity)
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(stage_seed(self.seeds[0], self.index, level))  # samplers that add noise use the global generator
            latents = solve(
                self.model.objective.name,
                lambda x, t: velocity(x.transpose(1, 2), t).transpose(1, 2),
                noise,
                steps=self.settings.steps[level],
                sampler=self.settings.samplers[level],
                shift=self.settings.shifts[level],
                callback=self._step_done(level, steps),
                unconditioned=lambda: None if chunk.unconditioned is None else chunk.unconditioned.transpose(1, 2),
            )
        self.bar.update(len(list(steps)))  # steps that the sampler did not report
        return latents

    def _solve_by_codes(self, level: int, noise: Tensor) -> Tensor:
        """The same by drawn codes; all randomness comes from each sample's own seed, drawn on the CPU."""
        model, temperature = self.model, self.settings.temperatures[level]
        seeds = [code_draw_seed(seed, self.index, level, len(model.levels)) for seed in self.seeds]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        log_probabilities = self.chunk.denoiser(level, model.log_probabilities)

        def draw(x: Tensor, t: Tensor) -> Tensor:
            quantiles = torch.stack([torch.rand(noise.shape[-1], generator=g) for g in generators]).to(noise.device)
            codes = codes_at(quantiles, log_probabilities(x.transpose(1, 2), t) / temperature)
            return model.space.level_latents(level, codes).transpose(1, 2)

        def renoise() -> Tensor:
            return torch.stack([torch.randn(noise.shape[1:], generator=g) for g in generators]).to(noise)

        steps, shift = self.settings.steps[level], self.settings.shifts[level]
        done = self._step_done(level, iter(range(steps)))
        return solve_by_codes(draw, noise, renoise, steps=steps, shift=shift, callback=done)

    def _step_done(self, level: int, steps: Iterator[int]) -> Callable[[dict[str, Any]], None]:
        """A sampler's callback that moves the bar; some samplers call it more often than once a step."""

        def step_done(_: dict[str, Any]) -> None:
            step = next(steps, None)
            if step is not None:
                self.bar.update(1)
                if self.callback is not None:
                    self.callback(self.index, level, step)

        return step_done


def chunks_for(samples: int, chunk_samples: int) -> int:
    """Chunks that cover so many audio samples."""
    return max(1, math.ceil(samples / chunk_samples))
