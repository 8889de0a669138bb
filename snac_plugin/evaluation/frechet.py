"""Frechet distance between sets of audio, on features of a codec's own encoder.

Letters: B clips, N audio samples, C channels of the encoder, T finest codes, P patches, K axes, S songs, R draws.

A clip goes through SNAC's encoder, before any quantisation. Each patch of eight frames (0.77 s at 32 kHz) becomes the mean and
the standard deviation over time of every channel: what sounds, and how much it moves. A patch is about as long as the 0.96 s of
the Frechet audio distance (Kilgour et al. 2019, arXiv:1812.08466), but no other network than the codec is needed, at any sample
rate. These 2 C values are standardised and reduced to at most 16 principal axes of the reference songs: few enough for Gaussians
of some dozen patches, where the covariance of hundreds of channels would be singular.

The distance between the Gaussians of two sets (Dowson and Landau 1982, equation 4), squared:

    d^2 = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1^1/2 C2 C1^1/2)^1/2)

is given in parts of the reference's own total variance tr(C): 0 is equality, and a model that makes one and the same average
sound forever scores 1.

Sets of few patches seem further apart than they are. So every figure compares sets of equally many songs, no song on both
sides: music made of one half of the songs, against recordings of the other half, mean over random halves. The floor is what
recordings themselves reach so.

The intervals are wide rather than narrow: on 16 simulated songs they were a quarter wider than the true spread for other music
than the recordings', and three times as wide for the floor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.errors import AudioError
from snac_plugin.evaluation.bootstrap import Estimate, interval

PATCH_FRAMES = 8
AXES = 16
HALVES, DRAWS = 40, 200


@torch.no_grad()
def patch_features(codec: SnacPretransform, audio: Tensor) -> np.ndarray:
    """Features of clips [B, 1, N] at the codec's rate: [B, P, 2 C] float64. What is left of a last patch is dropped.

    A clip shorter than eight frames is one patch.

    Raises:
        AudioError: a clip is shorter than one frame.
    """
    frame = codec.downsampling_ratio
    if audio.shape[-1] < frame:
        raise AudioError("clips", f"{audio.shape[-1]} samples", f"{frame} or more: one frame of the codec")
    samples = min(PATCH_FRAMES, audio.shape[-1] // frame) * frame
    patches = audio.shape[-1] // samples
    first = next(codec.model.parameters())
    padded = codec.model.preprocess(audio[..., : patches * samples]).to(first)
    z = torch.cat([codec.model.encoder(clip) for clip in padded.split(8)]).double()
    length = samples // codec.levels.hop
    cut = z[..., : patches * length].unflatten(-1, (patches, length))  # [B, C, P, T / P]
    return torch.cat([cut.mean(dim=-1), cut.std(dim=-1)], dim=1).transpose(1, 2).cpu().numpy()


@dataclass(frozen=True)
class Moments:
    """What Gaussians are fitted to: of each song the count [S], sum [S, K] and sum of outer products [S, K, K] of its patches."""

    count: np.ndarray
    total: np.ndarray
    outer: np.ndarray

    @classmethod
    def of(cls, songs: Sequence[np.ndarray]) -> Moments:
        """Of the vectors [P, K] of each song."""
        counts = np.array([len(vectors) for vectors in songs], dtype=np.float64)
        return cls(counts, np.stack([v.sum(axis=0) for v in songs]), np.stack([v.T @ v for v in songs]))

    def __len__(self) -> int:
        return len(self.count)

    def gaussian(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean [..., K] and covariance [..., K, K] with each song counted so many times [..., S]."""
        count = (times @ self.count)[..., None]
        mean = times @ self.total / count
        outer = np.tensordot(times, self.outer, axes=1) - count[..., None] * mean[..., None] * mean[..., None, :]
        return mean, outer / np.maximum(count - 1, 1)[..., None]


def frechet_distance(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Squared Frechet distance [...] of Gaussians (mean [..., K], covariance [..., K, K]); singular covariances are fine.

    The trace of the root is that of C1^1/2 C2 C1^1/2, symmetric, by eigenvalues: real and at least 0 whatever is rounded.
    """
    (mean1, covariance1), (mean2, covariance2) = first, second
    root = _root(covariance1)
    middle = root @ covariance2 @ root
    eigenvalues = np.linalg.eigvalsh((middle + np.swapaxes(middle, -1, -2)) / 2)
    traces = np.trace(covariance1, axis1=-2, axis2=-1) + np.trace(covariance2, axis1=-2, axis2=-1)
    both = traces - 2 * np.sqrt(np.maximum(eigenvalues, 0)).sum(axis=-1)
    return np.maximum(np.square(mean1 - mean2).sum(axis=-1) + both, 0.0)


def _root(covariance: np.ndarray) -> np.ndarray:
    values, axes = np.linalg.eigh((covariance + np.swapaxes(covariance, -1, -2)) / 2)
    return (axes * np.sqrt(np.maximum(values, 0))[..., None, :]) @ np.swapaxes(axes, -1, -2)


@dataclass(frozen=True)
class Axes:
    """Standardised principal axes of the reference.

    Args:
        mean: [2 C].
        project: [2 C, K], scaled so that the reference's total variance on them is 1.
        share: of the reference's variance (standardised channels) that lies on the axes.
    """

    mean: np.ndarray
    project: np.ndarray
    share: float

    @classmethod
    def of(cls, features: np.ndarray) -> Axes:
        """Of the reference's patches [P, 2 C]; fewer axes than 16 where there are fewer than 64 patches."""
        mean, scale = features.mean(axis=0), features.std(axis=0)
        # A channel that hardly moves is not to be blown up to the size of the others.
        scale = 1 / np.maximum(scale, 1e-3 * max(float(scale.max()), 1e-12))
        _, sizes, axes = np.linalg.svd((features - mean) * scale, full_matrices=False)
        kept = max(1, min(AXES, len(features) // 4, len(sizes)))
        variances = sizes**2 / max(len(features) - 1, 1)
        total = max(float(variances[:kept].sum()), 1e-12)
        return cls(mean, scale[:, None] * axes[:kept].T / np.sqrt(total), total / max(float(variances.sum()), 1e-12))

    def moments(self, songs: Sequence[np.ndarray]) -> Moments:
        """Of each song's patches [P, 2 C]."""
        return Moments.of([(features - self.mean) @ self.project for features in songs])


@dataclass(frozen=True)
class Distances:
    """Frechet distances of several kinds of audio to the same recordings.

    Args:
        by_kind: the estimates; "recordings" is the floor.
        songs: how many stood on each side.
        axes: how many were used.
        share: of the recordings' variance that lies on them.
    """

    by_kind: dict[str, Estimate]
    songs: int
    axes: int
    share: float

    def title(self) -> str:
        """What the figures are."""
        return (
            "**Frechet distance** to recordings, on the codec's encoder before quantisation (squared, in parts of the "
            f"recordings' variance; {self.axes} axes with {self.share:.0%} of it; songs: {self.songs} against as many others; "
            "lower is better)"
        )


def distances(
    real: Sequence[np.ndarray], kinds: Mapping[str, Sequence[np.ndarray]], unpaired: Sequence[str] = (), seed: int = 0
) -> Distances:
    """Distance of each kind of audio to recordings, with a bootstrap over songs.

    Args:
        real: features of each song's recordings, [P, 2 C] a song, S of two or more.
        kinds: by name, features of what was made of each song, in the same order, or for `unpaired` kinds of other things.
        unpaired: kinds that have no song of the recordings in them and may have another number of entries.
        seed: of halves and draws.

    Raises:
        AudioError: there are fewer than two songs.
    """
    if len(real) < 2:
        raise AudioError("songs", len(real), "two or more", "A distance needs songs on both sides.")
    axes = Axes.of(np.concatenate(list(real)))
    reference = axes.moments(real)
    others = {"recordings": reference} | {name: axes.moments(songs) for name, songs in kinds.items()}
    size = min(len(real) // 2, *map(len, others.values()))
    rng = np.random.default_rng(seed)
    left, right = _halves(len(real), size, rng)
    chosen = {name: _halves(len(m), size, rng)[0] if name in unpaired else left for name, m in others.items()}

    def means(times: Mapping[str, np.ndarray]) -> list[float]:
        """The distance of each kind, mean over halves, with songs counted so many times [S]."""
        recorded = reference.gaussian(right * times["recordings"])
        scale = np.trace(reference.gaussian(times["recordings"])[1])  # 1 when each song counts once
        found = []
        for name, moments in others.items():
            counted = chosen[name] * times[name if name in unpaired else "recordings"]
            found.append(float(frechet_distance(moments.gaussian(counted), recorded).mean() / scale))
        return found

    value = means({name: np.ones(len(moments)) for name, moments in others.items()})
    drawn = np.array([means({name: _redrawn(len(m), rng) for name, m in others.items()}) for _ in range(DRAWS)])
    by_kind = {name: _estimate(value[i], drawn[:, i], size) for i, name in enumerate(others)}
    return Distances(by_kind, size, axes.project.shape[1], axes.share)


def _halves(songs: int, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """1 where a song is in a half, else 0: [H, S] twice, never the same song on both sides where there are enough."""
    orders = rng.permuted(np.tile(np.arange(songs), (HALVES, 1)), axis=1)
    return (orders < size).astype(np.float64), (orders >= songs - size).astype(np.float64)


def _redrawn(songs: int, rng: np.random.Generator) -> np.ndarray:
    """How often each song comes in a draw of as many with replacement; none is lost for good, or a half might be empty."""
    return np.bincount(rng.integers(songs, size=songs), minlength=songs) + 1e-6


def _estimate(value: float, drawn: np.ndarray, size: int) -> Estimate:
    """With the spread over redrawn songs around it, not below 0; none where one song stood on each side."""
    if size < 2:
        return Estimate(value, float("nan"), float("nan"))
    found = interval(value, drawn, centred=True)
    return Estimate(value, max(found.low, 0.0), found.high)
