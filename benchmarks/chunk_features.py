"""Frechet distance between sets of chunks, on features of the codec's own latents.

Letters: B chunks, R rows, T frames, N finest codes, P patches, C principal components.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.evaluation.frechet import frechet_distance

COMPONENTS = 16
PATCH = 8  # frames


class ChunkFeatures:
    """Mean and log variance over 0.768 s of the leading principal components of what SNAC's decoder is given.

    Each feature has mean 0 and variance 1 over the chunks that the components are taken from.

    Args:
        codec: the codec.
        real: packed codes of real chunks [B, R, T].
    """

    def __init__(self, codec: SnacPretransform, real: Tensor) -> None:
        self.codec, self.patch = codec, min(PATCH, real.shape[-1])
        vectors = self._vectors(real).flatten(0, 1)
        self.centre = vectors.mean(dim=0)
        self.axes = torch.linalg.svd(torch.cov((vectors - self.centre).T))[0][:, :COMPONENTS]
        raw = self._raw(real)
        self.mean, self.std = raw.mean(axis=(0, 1)), np.maximum(raw.std(axis=(0, 1)), 1e-6)

    def __call__(self, codes: Tensor) -> np.ndarray:
        """Features of packed codes [B, R, T]: [B, P, 2 C]; frames beyond the last whole patch are left out."""
        return (self._raw(codes) - self.mean) / self.std

    def _raw(self, codes: Tensor) -> np.ndarray:
        width = self.patch * self.codec.levels.per_frame[-1]
        projected = (self._vectors(codes) - self.centre) @ self.axes
        patches = rearrange(projected[:, : projected.shape[1] // width * width], "b (p n) c -> b p n c", n=width)
        return torch.cat([patches.mean(dim=2), (patches.var(dim=2) + 1e-6).log()], dim=-1).numpy()

    @torch.inference_mode()
    def _vectors(self, codes: Tensor) -> Tensor:
        """What the decoder is given, float64 [B, N, channels]."""
        device = self.codec.space.means.device
        ragged = self.codec.levels.unpack(codes.to(device).long())
        return self.codec.model.quantizer.from_codes(ragged).transpose(1, 2).double().cpu()


def frechet(one: np.ndarray, other: np.ndarray) -> float:
    """Frechet distance of Gaussians fitted to rows [n, features]: |m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)).

    Source: Heusel et al. 2017, eq. 6.
    """
    first, second = ((rows.mean(axis=0), np.cov(rows, rowvar=False)) for rows in (one, other))
    return float(frechet_distance(first, second))


def without_each_song(distance: Callable[[list[int]], float], songs: int) -> tuple[float, np.ndarray]:
    """A distance over all songs, and with each of them left out [songs].

    Args:
        distance: of the songs with these numbers.
        songs: how many there are.
    """
    everyone = list(range(songs))
    return distance(everyone), np.array([distance([s for s in everyone if s != out]) for out in everyone])


def jackknife_error(left_out: np.ndarray) -> float:
    """Standard error of a figure from its values with each song left out (Efron 1981)."""
    n = len(left_out)
    return float(np.sqrt((n - 1) / n * np.square(left_out - left_out.mean()).sum()))
