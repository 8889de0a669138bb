"""The levels of one chunk, one after the other. Letters: B batch, R rows, T frames, N tokens of a level that are denoised."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from snac_plugin.diffusion.sampler_names import CODE_SAMPLER, MASKED_SAMPLERS, OWN_ADDED_NOISE
from snac_plugin.diffusion.samplers import Velocity, codes_at, likely, solve, solve_by_codes
from snac_plugin.diffusion.seeds import code_draw_seed, stage_noise, stage_seed
from snac_plugin.diffusion.unmasking import Unmasking, unmask
from snac_plugin.generation.settings import Settings
from snac_plugin.levels import pick_frames
from snac_plugin.model.chunk_in_progress import ChunkInProgress
from snac_plugin.model.diffusion_model import SnacDiffusionModel

# Called after each denoising step with (chunk, level, step), all from 0.
StepCallback = Callable[[int, int, int], None]


class Stopped(KeyboardInterrupt):
    """A step callback raises it to end a generation as Ctrl-C does: what is finished is kept."""


# Called after each denoising step with (level, the estimate of its data [B, N, 8], known frames included).
LevelWatch = Callable[[int, Tensor], None]


@dataclass(frozen=True)
class ChunkSolver:
    """What the stages of one chunk (`index`, from 0) share; `title` stands before the level on the progress bar."""

    model: SnacDiffusionModel
    chunk: ChunkInProgress
    seeds: Sequence[int]
    settings: Settings
    index: int
    bar: tqdm
    title: str
    callback: StepCallback | None
    initial: Tensor  # packed codes that the chunk has before [B, R, T]: of known frames, kept levels, and what strengths start from
    known: Sequence[bool]  # frames that keep these codes
    noise: Tensor | None = None  # packed [B, R * 8, T], what the stages begin with; by default drawn from the seeds
    watch: LevelWatch | None = None

    def solve(self) -> Tensor:
        """All levels in order, each snapped to its nearest codes: packed codes [B, R, T]."""
        model, levels, unknown = self.model, self.model.levels, self.chunk.unknown
        finished = []
        for level, name in enumerate(levels.names):
            self.bar.set_description(f"{self.title}level {name}")
            codes = self._shown(level, levels.unpack(self.initial)[level])
            if self.settings.strength(level) > 0:
                codes = self._solve(level, codes)
            finished.append(codes)
            if level + 1 < len(levels):
                self.chunk.append(level, model.space.level_latents(level, codes))
        if unknown is None:
            return levels.pack(finished)
        result = self.initial.clone()
        result[..., list(unknown)] = levels.pack(finished)
        return result

    def _shown(self, level: int, tokens: Tensor) -> Tensor:
        """Of a level's tokens [B, all, ...] those that are denoised."""
        unknown = self.chunk.unknown
        return tokens if unknown is None else pick_frames(tokens, unknown, self.model.levels.per_frame[level])

    def _solve(self, level: int, initial: Tensor) -> Tensor:
        """Codes of a level [B, N], from those that it has before."""
        model, count = self.model, self.model.levels.per_frame[level]
        like, shape = next(model.parameters()), (model.levels.codebook_dim, self.initial.shape[-1] * count)
        if self.noise is not None:
            noise = model.levels.unpack_latents(self.noise)[level].transpose(1, 2)
        else:
            noise = stage_noise(self.seeds, self.index, level, shape, like)  # of whole chunks, so that a gap does not shift it
        noise = self._shown(level, noise.transpose(1, 2)).transpose(1, 2)
        vectors = model.space.level_latents(level, initial).transpose(1, 2)
        kept = torch.tensor(self.known, device=initial.device).repeat_interleave(count) if self._puts_back else None
        ways = {CODE_SAMPLER: self._solve_by_codes, **dict.fromkeys(MASKED_SAMPLERS, self._solve_masked)}
        ways |= {"euler": self._solve_by_codes} if self._added(level) else {}
        latents = ways.get(self.settings.samplers[level], self._solve_by_velocity)(level, noise, vectors, kept)
        codes = model.space.nearest(level, latents.transpose(1, 2))
        return codes if kept is None else torch.where(kept, initial, codes)

    @property
    def _puts_back(self) -> bool:
        return self.settings.put_back and any(self.known)

    def _with_known(self, denoise: Velocity, noise: Tensor, vectors: Tensor, kept: Tensor | None) -> Velocity:
        """A denoiser of [B, 8, N] for whose input the vectors of known codes are put back, under noise."""
        if kept is None:
            return denoise
        return lambda x, t: denoise(torch.where(kept, self.model.path.noised(vectors, noise, t[:, None, None]), x), t)

    def _solve_by_velocity(self, level: int, noise: Tensor, initial: Tensor, kept: Tensor | None) -> Tensor:
        """One level by a sampler of stable-audio-tools: noise and own vectors [B, 8, N] -> latents [B, 8, N]."""
        chunk, steps = self.chunk, iter(range(self.settings.steps[level]))
        guided = chunk.denoiser(level, self.model.velocity)
        velocity = self._with_known(lambda x, t: guided(x.transpose(1, 2), t).transpose(1, 2), noise, initial, kept)
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(stage_seed(self.seeds[0], self.index, level))  # samplers that add noise use the global generator
            latents = solve(
                self.model.objective.name,
                velocity,
                noise,
                steps=self.settings.steps[level],
                sampler=self.settings.samplers[level],
                shift=self.settings.shifts[level],
                callback=self._step_done(level, steps),
                unconditioned=lambda: None if chunk.unconditioned is None else chunk.unconditioned.transpose(1, 2),
                initial=initial,
                start=self.settings.strength(level),
            )
        self.bar.update(len(list(steps)))  # steps that the sampler did not report
        return latents

    def _added(self, level: int) -> float:
        """The share of noise that a level draws anew."""
        return (
            self.settings.added_noise[level]
            if self.settings.added_noise
            else OWN_ADDED_NOISE.get(self.settings.samplers[level], 0.0)
        )

    def _solve_by_codes(self, level: int, noise: Tensor, initial: Tensor, kept: Tensor | None) -> Tensor:
        """The same by drawn codes, or with added noise; all randomness comes from each sample's own seed, drawn on the CPU."""
        model, temperature, generators = self.model, self.settings.temperatures[level], self._generators(level)
        top_p, draws = self._top_p(level), self.settings.samplers[level] == CODE_SAMPLER
        guided = self.chunk.denoiser(level, model.log_probabilities if draws else model.velocity)

        def draw(x: Tensor, t: Tensor) -> Tensor:
            quantiles = torch.stack([torch.rand(noise.shape[-1], generator=g) for g in generators]).to(noise.device)
            codes = codes_at(quantiles, likely(guided(x.transpose(1, 2), t) / temperature, top_p))
            return model.space.level_latents(level, codes).transpose(1, 2)

        def estimate(x: Tensor, t: Tensor) -> Tensor:
            return model.path.denoised(x, guided(x.transpose(1, 2), t).transpose(1, 2), t[:, None, None])

        seen = self._with_known(draw if draws else estimate, noise, initial, kept)

        def renoise() -> Tensor:
            return torch.stack([torch.randn(noise.shape[1:], generator=g) for g in generators]).to(noise)

        steps, shift = self.settings.steps[level], self.settings.shifts[level]
        done = self._step_done(level, iter(range(steps)))
        start = self.settings.strength(level)
        options: Any = {"steps": steps, "shift": shift, "callback": done, "initial": initial, "start": start}
        return solve_by_codes(seen, noise, renoise, added=self._added(level), **options)

    def _solve_masked(self, level: int, noise: Tensor, initial: Tensor, kept: Tensor | None) -> Tensor:
        """The same by masked codes: of the strength's share of codes, in the noise's order, which are drawn anew."""
        model, settings, steps = self.model, self.settings, iter(range(self.settings.steps[level]))
        noise, vectors = noise.transpose(1, 2), initial.transpose(1, 2)
        order = model.objective.own_noise(noise)
        start = model.objective.own_level(noise.new_tensor(settings.strength(level), dtype=torch.float32), noise.shape[1])
        x = model.objective.noised(vectors, order, start)
        x = x if kept is None else torch.where(kept[:, None], vectors, x)
        how = Unmasking(
            settings.samplers[level],
            settings.steps[level],
            settings.shifts[level],
            settings.temperatures[level],
            settings.confidence_noise[level],
            settings.remask[level],
            self._top_p(level),
        )
        done, book = self._step_done(level, steps), model.space.codebooks[level]

        def step_done(info: dict[str, Any]) -> None:
            done(info | {"denoised": info["denoised"].transpose(1, 2)})

        read = self.chunk.denoiser(level, model.log_probabilities)
        latents = unmask(read, book, x, order[..., 0], self._generators(level), how, step_done)
        self.bar.update(len(list(steps)))  # a stage of few codes takes fewer steps
        return latents.transpose(1, 2)

    def _top_p(self, level: int) -> float:
        return self.settings.top_ps[level] if self.settings.top_ps else 1.0

    def _generators(self, level: int) -> list[torch.Generator]:
        seeds = [code_draw_seed(seed, self.index, level, len(self.model.levels)) for seed in self.seeds]
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    def _whole(self, level: int, shown: Tensor) -> Tensor:
        """A level's latents [B, all, 8] from those that are denoised [B, N, 8], and the chunk's own in known frames."""
        model, unknown = self.model, self.chunk.unknown
        if unknown is None:
            return shown
        whole = model.space.level_latents(level, model.levels.unpack(self.initial)[level]).to(shown)
        count = model.levels.per_frame[level]
        whole.unflatten(1, (-1, count))[:, list(unknown)] = shown.unflatten(1, (-1, count))
        return whole

    def _step_done(self, level: int, steps: Iterator[int]) -> Callable[[dict[str, Any]], None]:
        """A sampler's callback that moves the bar; some samplers call it more often than once a step."""

        def step_done(info: dict[str, Any]) -> None:
            step = next(steps, None)
            if self.watch is not None:
                self.watch(level, self._whole(level, info["denoised"].transpose(1, 2)))
            if step is not None:
                self.bar.update(1)
                if self.callback is not None:
                    self.callback(self.index, level, step)

        return step_done
