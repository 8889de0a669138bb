"""Chunk after chunk. Letters: B batch, R rows, T frames."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from snac_plugin.generation.settings import Settings
from snac_plugin.generation.stages import ChunkSolver, StepCallback
from snac_plugin.model.conditions import Conditions, Prompt
from snac_plugin.model.diffusion_model import SnacDiffusionModel

# Called after each denoising step with (first frame of the chunk, level, the estimate of the level's data [B, N, 8]).
Watch = Callable[[int, int, Tensor], None]


@dataclass(frozen=True)
class Known:
    """What is known of the audio that is generated."""

    codes: Tensor  # packed [1 or B, R, T]; those of other frames too, from which kept levels and strengths start
    frames: Tensor  # [T] bool, True where a frame keeps its codes


def generate_chunks(
    model: SnacDiffusionModel,
    conditions: Conditions,
    seeds: Sequence[int],
    settings: Settings,
    chunks: int = 0,
    *,
    negative: Conditions | None = None,
    others: Mapping[str, Any] | None = None,
    context: Tensor | None = None,
    context_mask: Tensor | None = None,
    known: Known | None = None,
    first_index: int = 0,
    starts: Sequence[float] = (),
    noise: Tensor | None = None,
    progress: bool = True,
    callback: StepCallback | None = None,
    watch: Watch | None = None,
) -> Iterator[Tensor]:
    """Generate chunk after chunk; each becomes context of the next. Packed codes [B, R, T'], chunk by chunk, known frames included.

    A chunk begins at the first frame that is not known yet, and sees the known frames within it and in the chunk after. A seed
    gives the same codes in any batch, except with samplers that add noise for the whole batch at once (pingpong, SDE and
    ancestral ones): those need the same batch again.

    Args:
        conditions, negative: as of `Prompt`; with chunk positions they have vectors for the chunks of a whole context before the
            first, and for all that are generated.
        others: `blank` and `without` of `Prompt`.
        chunks: how many, where nothing is known.
        context: packed codes of the audio before [B, R, T], whole chunks.
        context_mask: [B, T] bool, False where a context frame is padding.
        known: codes and known frames of all that is generated, in place of `chunks`.
        first_index: number of the first chunk, which its noise depends on.
        starts: `Position.starts` of conditions with chunk positions, one for each chunk that is generated between known frames. It
            is a real number, as in training, in which crops begin anywhere: a gap that begins 2.3 chunks into a recording is
            generated at 2.3. Without them, as in stable-audio-tools' calls, such a chunk has the position of the whole chunk that
            it begins in.
        noise: packed [B, R * 8, T] that all stages begin with, in place of noise drawn from the seeds.
    """
    size, window = model.network.config.chunk_frames, model.network.config.context_chunks * model.network.config.chunk_frames
    shown = torch.zeros(chunks * size, dtype=torch.bool) if known is None else known.frames.cpu()
    begins, frames = chunk_starts(shown, size), len(shown)
    shown = torch.nn.functional.pad(shown, (0, max([0, *(s + size - frames for s in begins)])))  # the last chunk may run beyond
    track = _track(model, len(seeds), len(shown), None if known is None else known.codes)
    done, solved = 0, sum(steps for level, steps in enumerate(settings.steps) if settings.strength(level) > 0)
    with tqdm(total=solved * len(begins), unit="step", disable=not progress, dynamic_ncols=True) as bar:
        for index, (start, vector) in enumerate(zip(begins, _vectors(begins, () if known is None else starts, model), strict=True)):
            past, mask = _past(track[..., :start], context, context_mask, window, size)
            prompt = Prompt(conditions, negative, None if past is None else model.space.from_codes(past), mask, **(others or {}))
            prompt = _of_chunk(prompt, model, vector)
            prompt = _with_known(prompt, model, track, torch.zeros_like(shown) if settings.put_back else shown, start)
            chunk = model.start_chunk(prompt, len(seeds), settings.guidance)
            here = slice(start, start + size)
            solver = ChunkSolver(
                model,
                chunk,
                seeds,
                settings,
                index=first_index + index,
                bar=bar,
                title=f"chunk {index + 1}/{len(begins)} " if len(begins) > 1 else "",
                callback=callback,
                initial=track[..., here],
                known=shown[here].tolist(),
                noise=None if noise is None else _filled(noise[..., here], size),
                watch=None if watch is None else partial(watch, start),
            )
            track[..., here] = solver.solve()
            first, done = done, [*begins, frames][index + 1]
            yield track[..., first:done].clone()


def chunk_starts(known: Tensor, size: int) -> list[int]:
    """The first frame of each chunk that is generated: each begins with what is not known [T] yet."""
    starts: list[int] = []
    for frame in (~known).nonzero().flatten().tolist():
        if not starts or frame >= starts[-1] + size:
            starts.append(frame)
    return starts


def _vectors(begins: Sequence[int], starts: Sequence[float], model: SnacDiffusionModel) -> list[int]:
    """For each chunk the number of its first condition vector: that of a whole context before it. Those for `starts` come last."""
    network = model.network.config
    if not starts:
        return [start // network.chunk_frames for start in begins]
    assert len(starts) == len(begins), "a position for each chunk"
    return [-number * (network.context_chunks + 1) for number in range(len(starts), 0, -1)]


def _of_chunk(prompt: Prompt, model: SnacDiffusionModel, first: int) -> Prompt:
    """The prompt with the conditions of a chunk and of its context: from vector `first` on, or later where context is missing."""
    network = model.network.config
    pasts = 0 if prompt.context is None else prompt.context.shape[-1] // network.chunk_frames
    return prompt.of_chunks(first + network.context_chunks - pasts, pasts + 1)


def _with_known(prompt: Prompt, model: SnacDiffusionModel, track: Tensor, shown: Tensor, start: int) -> Prompt:
    """The prompt of the chunk that begins at frame `start`, with the frames [T] that are shown in it and in the chunk after."""
    size = model.network.config.chunk_frames
    ahead = tuple(shown[start : start + 2 * size].nonzero().flatten().tolist())
    prompt = prompt.of_frames(start, max([size, *(frame + 1 for frame in ahead)]), len(shown))
    return prompt.with_known(model.space.from_codes(track[..., [start + f for f in ahead]]), ahead) if ahead else prompt


def _filled(noise: Tensor, frames: int) -> Tensor:
    """Noise of so many frames: a last chunk runs beyond what is asked for."""
    lacking = torch.randn(*noise.shape[:-1], frames - noise.shape[-1], dtype=noise.dtype, device=noise.device)
    return torch.cat([noise, lacking], dim=-1)


def _track(model: SnacDiffusionModel, batch: int, frames: int, codes: Tensor | None) -> Tensor:
    """Packed codes of all frames [B, R, T] before anything is generated; beyond the given ones the last is repeated."""
    device = next(model.parameters()).device
    if codes is None:
        return torch.zeros(batch, model.levels.rows, frames, dtype=torch.long, device=device)
    beyond = codes[..., -1:].expand(-1, -1, frames - codes.shape[-1])
    return torch.cat([codes, beyond], dim=-1).to(device).long().repeat(batch // len(codes), 1, 1)


def _past(
    before: Tensor, context: Tensor | None, context_mask: Tensor | None, window: int, size: int
) -> tuple[Tensor | None, Tensor | None]:
    """The last whole chunks, within the window, of context and frames before a chunk [B, R, T]; their mask if one is hidden.

    Fewer frames than a chunk stand at its end, and the rest of it is hidden.
    """
    past = before[..., max(0, before.shape[-1] - window) :]
    mask, needed = torch.ones_like(past[:, 0], dtype=torch.bool), window - past.shape[-1]
    if context is not None and needed:
        shown = torch.ones_like(context[:, 0], dtype=torch.bool) if context_mask is None else context_mask
        past, mask = torch.cat([context[..., -needed:], past], dim=-1), torch.cat([shown[:, -needed:], mask], dim=-1)
    if not window or not past.shape[-1]:
        return None, None
    if past.shape[-1] < size:
        lacking = size - past.shape[-1]
        past, mask = torch.nn.functional.pad(past, (lacking, 0)), torch.nn.functional.pad(mask, (lacking, 0))
    whole = past.shape[-1] // size * size
    past, mask = past[..., -whole:], mask[:, -whole:]
    return past, None if bool(mask.all()) else mask  # attention is faster without one


def chunks_for(samples: int, chunk_samples: int) -> int:
    """Chunks that cover so many audio samples."""
    return max(1, math.ceil(samples / chunk_samples))
