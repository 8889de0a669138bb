"""Losses of a model on windows of held-out songs: as training validates, and with other contexts than the true one.

Letters: P windows, E noise levels, L levels, B batch, R rows, T frames, N codes, K codes of a codebook, S songs.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from snac_plugin.diffusion.seeds import mixed_seed
from snac_plugin.evaluation.clip_conditions import metadata_of
from snac_plugin.evaluation.options import Options
from snac_plugin.generation.context import Context
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.model.conditions import Conditions
from snac_plugin.training.stage_losses import CodeLosses, Draw, code_losses

KINDS = ("true", "another song's", "none")
"""Contexts of a chunk."""


@torch.inference_mode()
def validation_losses(model: SnacDiffusion, windows: Tensor, noise_levels: Sequence[float], options: Options) -> np.ndarray:
    """Loss by window of packed codes [P, R, T] and level [P, L], as training's validation has it, mean over noise levels.

    Every chunk of a window is a target, and sees the chunks before it. Each window has its own noise, whatever the others.
    """
    network, found = model.model.network.config, []
    chunks = windows.shape[-1] // network.chunk_frames
    for index, window in enumerate(tqdm(windows.to(model.device), desc="losses", unit="clip", disable=not options.progress)):
        generator = torch.Generator().manual_seed(mixed_seed(options.seed, index, 0))
        losses, conditions = [], model.conditions(metadata_of(model, options, [index], 0, chunks))
        for t in noise_levels:
            noise = torch.randn(1, model.levels.channels, window.shape[-1], generator=generator).to(model.device)
            levels = torch.full((1, chunks, len(model.levels)), t, device=model.device)
            draw = Draw(levels, noise, window[None], min(network.context_chunks, chunks - 1))
            losses.append(code_losses(model.model, window[None], draw, conditions, None).by_level())
        found.append(torch.stack(losses).mean(dim=0).cpu())
    return torch.stack(found).numpy().astype(np.float64)


@torch.inference_mode()
def context_losses(
    model: SnacDiffusion, windows: Tensor, songs: np.ndarray, noise_levels: Sequence[float], options: Options
) -> dict[str, np.ndarray]:
    """Loss [E, P, L] of the last chunk of windows [P, R, T] of songs [P] with each of `KINDS` of context, all on the same noise."""
    chunk, past, noise = last_chunks(model, windows, len(noise_levels), options.seed)
    before = past.shape[-1] // chunk.shape[-1]
    how, found = {"conditioning": metadata_of(model, options, range(len(chunk)), before, 1), "batch": options.batch}, {}
    for kind, context in zip(KINDS, (past, past[other_songs(songs, options.seed)], None), strict=True):
        losses = [chunk_losses(model, chunk, context, n, t, **how) for n, t in zip(noise, noise_levels, strict=True)]
        found[kind] = torch.stack(losses).cpu().double().numpy()
    return found


@torch.inference_mode()
def gap_losses(
    model: SnacDiffusion, windows: Tensor, gap: tuple[int, int], noise_levels: Sequence[float], options: Options
) -> dict[str, np.ndarray]:
    """Loss [E, P, L] of frames [first, stop) of the last chunk of windows [P, R, T], where those after are shown, and hidden.

    The frames before are known in both. What is hidden is seen at no level: it is masked as padding is.
    """
    chunk, past, noise = last_chunks(model, windows.to(model.device), len(noise_levels), options.seed)
    network, (first, stop), size = model.model.network.config, gap, chunk.shape[-1]
    ways = {"shown": ((*range(first), *range(stop, size)), size), "hidden": (tuple(range(first)), stop)}
    seen = min(network.context_chunks, past.shape[-1] // network.chunk_frames)
    found: dict[str, np.ndarray] = {}
    for way, (known, visible) in ways.items():
        mask = (torch.arange(size, device=model.device) < visible)[None]
        losses = torch.zeros(len(noise_levels), len(chunk), len(model.levels))
        for window, (codes, before) in enumerate(zip(chunk[:, None], past[:, None], strict=True)):
            context = Context(before, torch.ones_like(before[:, 0], dtype=torch.bool)) if seen else None
            conditions = model.conditions(metadata_of(model, options, [window], before.shape[-1] // size, 1))
            for index, t in enumerate(noise_levels):
                levels = torch.full((1, 1, len(model.levels)), t, device=model.device)
                draw = Draw(levels, noise[index, window][None].to(model.device), codes, seen, (known,))
                losses[index, window] = code_losses(model.model, codes, draw, conditions, mask, context).by_level()
        found[way] = losses.double().numpy()
    return found


def last_chunks(model: SnacDiffusion, windows: Tensor, noise_levels: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """The last chunks of windows [P, R, T], what is before those, and noise of the chunks' latents [E, P, R * 8, T]."""
    frames = model.model.network.config.chunk_frames
    generator = torch.Generator().manual_seed(seed)
    noise = [torch.randn(len(windows), model.levels.channels, frames, generator=generator) for _ in range(noise_levels)]
    return windows[..., -frames:], windows[..., :-frames], torch.stack(noise)


@torch.inference_mode()
def chunk_losses(model: SnacDiffusion, chunk: Tensor, context: Tensor | None, noise: Tensor, t: float, **options: Any) -> Tensor:
    """Loss at one noise level of each sample and level [B, L]; arguments as of `chunk_stages`."""
    return torch.cat([losses.by_sample() for _, _, losses in chunk_stages(model, chunk, context, noise, t, **options)])


def chunk_stages(
    model: SnacDiffusion,
    chunk: Tensor,
    context: Tensor | None,
    noise: Tensor,
    t: float,
    *,
    conditioning: Sequence[Mapping[str, Any]] | None = None,
    batch: int = 8,
) -> Iterator[tuple[Tensor, Draw, CodeLosses]]:
    """At one noise level, batch by batch: codes, what was drawn, and what `code_losses` gives.

    Of packed codes [B, R, T], those of the whole chunks before, if any, packed noise [B, R * 8, T], and each sample's metadata.
    """
    for start in range(0, len(chunk), batch):
        part = slice(start, start + batch)
        codes, past = chunk[part].to(model.device), None if context is None else context[part].to(model.device)
        before = None if past is None else Context(past, torch.ones_like(past[:, 0], dtype=torch.bool))
        levels = torch.full((len(codes), 1, len(model.levels)), t, device=model.device)
        seen = model.model.network.config.context_chunks if before else 0
        draw = Draw(levels, noise[part].to(model.device), codes, seen)
        conditions = model.conditions(conditioning[part]) if conditioning else Conditions()
        yield codes, draw, code_losses(model.model, codes, draw, conditions, None, before)


def others(count: int, seed: int) -> np.ndarray:
    """For each song another one: a cycle through all of them in random order [S]."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).numpy()
    other = np.empty_like(order)
    other[order] = np.roll(order, 1)
    return other


def other_songs(songs: np.ndarray, seed: int) -> np.ndarray:
    """For each window [P] the number of a window of another song, two songs or more: the k-th of a song gets the k-th."""
    other = others(int(songs.max()) + 1, seed)
    places = {song: np.flatnonzero(songs == song) for song in np.unique(songs)}
    within = [int(np.searchsorted(places[song], i)) for i, song in enumerate(songs)]
    return np.array([places[other[song]][k % len(places[other[song]])] for song, k in zip(songs, within, strict=True)])
