"""Loss of a chunk given its true context, another song's, and none.

Letters: S songs, W windows of a song, P noise levels, B batch, R rows, T frames, L levels, N codes, K codes of a codebook.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import songs
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from snac_plugin.conditioning.context import Context
from snac_plugin.model.conditions import Conditions
from snac_plugin.model.diffusion_model import SnacDiffusionModel
from snac_plugin.snac_diffusion import SnacDiffusion
from snac_plugin.training.stage_losses import Draw, stage_losses

KINDS = ("true", "another song's", "none")
BATCH = 8


@dataclass(frozen=True)
class Losses:
    """Losses of a model on held-out songs.

    Args:
        values: [len(KINDS), S, P, L], means over the windows of a song.
    """

    values: Tensor

    def mean(self, kind: str, level: int) -> float:
        """Over songs and noise levels."""
        return float(self.values[KINDS.index(kind), :, :, level].mean())

    def gain(self, kind: str, level: int, noise_level: int | None = None) -> tuple[float, float]:
        """By how much the true context lowers the loss against another kind: mean over songs and its standard error."""
        apart = (self.values[KINDS.index(kind)] - self.values[0])[:, :, level]
        return songs.mean_and_error(apart.mean(dim=1) if noise_level is None else apart[:, noise_level])

    def true(self, level: int) -> Tensor:
        """With the true context, by song [S]."""
        return self.values[0, :, :, level].mean(dim=1)

    def as_dict(self) -> dict[str, Any]:
        return {"kinds": KINDS, "values": self.values.tolist()}

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> Losses:
        return cls(torch.tensor(kept["values"]))


def windows_of(held_out: Sequence[songs.Song], count: int, frames: int) -> Tensor:
    """Windows spread evenly over each song [S, W, R, frames]."""
    cut = []
    for song in held_out:
        last = song.codes.shape[-1] - frames
        starts = [round(last * i / max(count - 1, 1)) for i in range(count)]
        cut.append(torch.stack([song.codes[:, start : start + frames] for start in starts]))
    return torch.stack(cut)


def others(count: int, seed: int) -> Tensor:
    """For each song another one: a cycle through all of them in random order."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    other = torch.empty_like(order)
    other[order] = order.roll(1)
    return other


@torch.inference_mode()
def evaluate(model: SnacDiffusion, windows: Tensor, noise_levels: Sequence[float], seed: int) -> Losses:
    """Losses of the last chunk of windows [S, W, R, T]; all kinds of context see the same noise."""
    model.eval()
    chunk, past, noise = parts(model, windows, len(noise_levels), seed)
    contexts = (past.flatten(0, 1), past[others(len(windows), seed)].flatten(0, 1), None)
    values = torch.stack(
        [torch.stack([chunk_losses(model, chunk, c, noise[i], t) for i, t in enumerate(noise_levels)], dim=1) for c in contexts]
    )
    return Losses(values.unflatten(1, windows.shape[:2]).mean(dim=2).cpu())


def parts(model: SnacDiffusion, windows: Tensor, noise_levels: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Last chunks [S * W, R, T], what is before them [S, W, R, 2 T], and noise of their latents [P, S * W, R * 8, T]."""
    frames = model.model.network.config.chunk_frames
    chunk = windows[..., -frames:].flatten(0, 1)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(noise_levels, len(chunk), model.levels.channels, frames, generator=generator)
    return chunk, windows[..., :-frames], noise


@torch.inference_mode()
def chunk_losses(model: SnacDiffusion, chunk: Tensor, context: Tensor | None, noise: Tensor, t: float) -> Tensor:
    """Loss at one noise level of each sample and level [B, L]; arguments as of `chunk_outputs`."""
    found = chunk_outputs(model, chunk, context, noise, t)
    return torch.cat([sample_losses(model.model, codes, draw, outputs) for codes, draw, outputs in found])


def chunk_outputs(
    model: SnacDiffusion, chunk: Tensor, context: Tensor | None, noise: Tensor, t: float
) -> Iterator[tuple[Tensor, Draw, list[Tensor]]]:
    """What the network says at one noise level, batch by batch: codes, what was drawn, and the outputs of `stage_losses`.

    Args:
        model: the model.
        chunk: codes [B, R, T].
        context: codes before them [B, R, 2 T], or nothing.
        noise: of their latents [B, R * 8, T].
        t: noise level, as the model's objective counts it.
    """
    for start in range(0, len(chunk), BATCH):
        part = slice(start, start + BATCH)
        codes, before = chunk[part].to(model.device), None
        if context is not None:
            past = context[part].to(model.device)
            before = Context(past, torch.ones_like(past[:, 0], dtype=torch.bool))
        levels = torch.full((len(codes), 1, len(model.levels)), t, device=model.device)
        seen = model.model.network.config.context_chunks if before else 0
        draw = Draw(levels, noise[part].to(model.device), codes, seen)
        _, outputs = stage_losses(model.model, codes, draw, Conditions(), None, before)
        yield codes, draw, outputs


def sample_losses(model: SnacDiffusionModel, codes: Tensor, draw: Draw, outputs: Sequence[Tensor]) -> Tensor:
    """What `stage_losses` averages over a batch, by sample: outputs [B, N, 8 or K] -> [B, L]. For one chunk at one t."""
    if model.network.config.head != "velocity":
        pairs = zip(outputs, model.levels.unpack(codes), strict=True)
        return torch.stack([cross_entropy(o.transpose(1, 2).float(), c, reduction="none").mean(dim=1) for o, c in pairs], dim=1)
    target = model.objective.target(model.packed_latents(codes), draw.noise, draw.t[0, 0, 0])
    velocities = model.levels.unpack_latents(target)
    return torch.stack([(o - v).square().mean(dim=(1, 2)) for o, v in zip(outputs, velocities, strict=True)], dim=1)
