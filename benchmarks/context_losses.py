"""Loss of a chunk given its true context, another song's, and none.

Letters: S songs, W windows of a song, P noise levels, R rows, T frames, L levels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import songs
import torch
from torch import Tensor

from snac_plugin.evaluation.held_out_losses import KINDS, context_losses
from snac_plugin.evaluation.options import Options
from snac_plugin.generation.snac_diffusion import SnacDiffusion


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
    def from_dict(cls, kept: dict[str, Any]) -> "Losses":
        return cls(torch.tensor(kept["values"]))


def windows_of(held_out: Sequence[songs.Song], count: int, frames: int) -> Tensor:
    """Windows spread evenly over each song [S, W, R, frames]."""
    cut = ([song.codes[:, start : start + frames] for start in starts_of(song, count, frames)] for song in held_out)
    return torch.stack([torch.stack(windows) for windows in cut])


def starts_of(song: songs.Song, count: int, frames: int) -> list[int]:
    """First frames of windows spread evenly over a song."""
    last = song.codes.shape[-1] - frames
    return [round(last * i / max(count - 1, 1)) for i in range(count)]


def evaluate(model: SnacDiffusion, windows: Tensor, noise_levels: Sequence[float], seed: int) -> Losses:
    """Losses of the last chunk of windows [S, W, R, T]; all kinds of context see the same noise."""
    model.eval()
    songs, count = windows.shape[:2]
    found = context_losses(model, windows.flatten(0, 1), np.arange(songs).repeat(count), noise_levels, Options(seed=seed))
    values = torch.stack([torch.from_numpy(found[kind]) for kind in KINDS]).float()  # [kinds, P, S * W, L]
    return Losses(values.unflatten(2, (songs, count)).mean(dim=3).transpose(1, 2))
