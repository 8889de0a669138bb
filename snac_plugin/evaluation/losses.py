"""Losses of a model on windows of held-out songs: as training validates, and given other contexts.

Letters: P windows, L levels, B batch, R rows, T frames, N codes, K codes of a codebook, S songs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from snac_plugin.diffusion.seeds import stage_seed
from snac_plugin.generation.context import Context
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.model.conditions import Conditions
from snac_plugin.model.diffusion_model import SnacDiffusionModel
from snac_plugin.training.stage_losses import Draw, stage_losses

KINDS = ("true", "another song's", "none")
"""Contexts of a chunk."""


@torch.inference_mode()
def validation_losses(
    model: SnacDiffusion,
    windows: Tensor,
    noise_levels: Sequence[float],
    seed: int,
    conditioning: Mapping[str, Any],
    done: Callable[[int], object] = lambda _: None,
) -> np.ndarray:
    """Loss of each window and level [P, L] as training's validation has it.

    Every chunk of a window is a target, and sees the chunks before it; mean over noise levels.

    Args:
        model: the model.
        windows: packed codes [P, R, T].
        noise_levels: where it is measured.
        seed: of the noise; each window has its own, so that the batch size changes nothing.
        conditioning: metadata of all windows.
        done: told how many windows were finished.
    """
    network, found = model.model.network.config, []
    for index, window in enumerate(windows.to(model.device)):
        chunks = window.shape[-1] // network.chunk_frames
        conditions = model.conditions([conditioning])
        generator = torch.Generator().manual_seed(stage_seed(seed, index, 0))
        losses = []
        for t in noise_levels:
            noise = torch.randn(1, model.levels.channels, window.shape[-1], generator=generator).to(model.device)
            levels = torch.full((1, chunks, len(model.levels)), t, device=model.device)
            draw = Draw(levels, noise, window[None], min(network.context_chunks, chunks - 1))
            losses.append(stage_losses(model.model, window[None], draw, conditions, None)[0])
        found.append(torch.stack(losses).mean(dim=0).cpu())
        done(1)
    return torch.stack(found).numpy().astype(np.float64)


@torch.inference_mode()
def context_losses(
    model: SnacDiffusion,
    windows: Tensor,
    songs: np.ndarray,
    noise_levels: Sequence[float],
    seed: int,
    conditioning: Mapping[str, Any],
    batch: int,
) -> dict[str, np.ndarray]:
    """Loss of the last chunk of each window and level [P, L], given each of `KINDS` of context; all see the same noise.

    Args:
        songs: the song of each window [P]; see `validation_losses` for the others.
        batch: windows in one pass.
    """
    frames = model.model.network.config.chunk_frames
    chunk, past = windows[..., -frames:], windows[..., :-frames]
    contexts = dict(zip(KINDS, (past, past[other_songs(songs, seed)], None), strict=True))
    generator = torch.Generator().manual_seed(seed)
    noise = [torch.randn(len(chunk), model.levels.channels, frames, generator=generator) for _ in noise_levels]
    return {
        kind: torch.stack(
            [chunk_losses(model, chunk, context, n, t, conditioning, batch) for n, t in zip(noise, noise_levels, strict=True)]
        )
        .mean(dim=0)
        .cpu()
        .numpy()
        .astype(np.float64)
        for kind, context in contexts.items()
    }


@torch.inference_mode()
def chunk_losses(
    model: SnacDiffusion,
    chunk: Tensor,
    context: Tensor | None,
    noise: Tensor,
    t: float,
    conditioning: Mapping[str, Any] | None = None,
    batch: int = 8,
) -> Tensor:
    """Loss at one noise level of each sample and level [B, L]; arguments as of `chunk_outputs`."""
    found = chunk_outputs(model, chunk, context, noise, t, conditioning, batch)
    return torch.cat([sample_losses(model.model, codes, draw, outputs) for codes, draw, outputs in found])


def chunk_outputs(
    model: SnacDiffusion,
    chunk: Tensor,
    context: Tensor | None,
    noise: Tensor,
    t: float,
    conditioning: Mapping[str, Any] | None = None,
    batch: int = 8,
) -> Iterator[tuple[Tensor, Draw, list[Tensor]]]:
    """What the network says at one noise level, batch by batch: codes, what was drawn, and the outputs of `stage_losses`.

    Args:
        model: the model.
        chunk: packed codes [B, R, T].
        context: packed codes of the whole chunks before, or None.
        noise: packed [B, R * 8, T].
        t: noise level, as the model's objective counts it.
        conditioning: metadata of all samples.
        batch: samples in one pass.
    """
    for start in range(0, len(chunk), batch):
        part = slice(start, start + batch)
        codes, before = chunk[part].to(model.device), None
        if context is not None:
            past = context[part].to(model.device)
            before = Context(past, torch.ones_like(past[:, 0], dtype=torch.bool))
        levels = torch.full((len(codes), 1, len(model.levels)), t, device=model.device)
        seen = model.model.network.config.context_chunks if before else 0
        draw = Draw(levels, noise[part].to(model.device), codes, seen)
        conditions = model.conditions([conditioning] * len(codes)) if conditioning else Conditions()
        _, outputs = stage_losses(model.model, codes, draw, conditions, None, before)
        yield codes, draw, outputs


def sample_losses(model: SnacDiffusionModel, codes: Tensor, draw: Draw, outputs: Sequence[Tensor]) -> Tensor:
    """What `stage_losses` averages over a batch, by sample: outputs [B, N, 8 or K] -> [B, L]. For one chunk at one t."""
    if model.network.config.head != "velocity":
        pairs = zip(outputs, model.levels.unpack(codes), strict=True)
        return torch.stack([cross_entropy(o.transpose(1, 2).float(), c, reduction="none").mean(dim=1) for o, c in pairs], dim=1)
    target = model.objective.target(model.packed_latents(codes), draw.noise, draw.t[0, 0, 0])
    velocities = model.levels.unpack_latents(target)
    return torch.stack([(o - v).square().mean(dim=(1, 2)) for o, v in zip(outputs, velocities, strict=True)], dim=1)


def others(count: int, seed: int) -> Tensor:
    """For each song another one: a cycle through all of them in random order [S]."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    other = torch.empty_like(order)
    other[order] = order.roll(1)
    return other


def other_songs(songs: np.ndarray, seed: int) -> np.ndarray:
    """For each window [P] the number of a window of another song, two songs or more."""
    other = others(int(songs.max()) + 1, seed).numpy()
    places = {song: np.flatnonzero(songs == song) for song in np.unique(songs)}
    within = [int(np.flatnonzero(places[song] == i)[0]) for i, song in enumerate(songs)]
    return np.array([places[other[song]][k % len(places[other[song]])] for song, k in zip(songs, within, strict=True)])
