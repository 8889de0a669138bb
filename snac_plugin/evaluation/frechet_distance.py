"""Frechet distance between sets of audio, on features of a codec's own encoder, and on log-mel spectra with no codec in them.

Letters: B clips, N audio samples, C channels of the encoder or mel bands, P patches, K axes, S songs, H halves, R resamples.

A clip goes through SNAC's encoder, before any quantisation. Each patch of eight frames (0.77 s at 32 kHz, as in the Frechet audio
distance, Kilgour et al. 2019, arXiv:1812.08466) becomes the mean and the standard deviation over time of every channel. Beside it
stand 80 log-mel bands in place of the channels: the encoder hardly hears what its own decoder loses. These 2 C values are
standardised and reduced to at most 16 principal axes of the reference songs, so that the covariance of some dozen patches is not
singular.

The distance between the Gaussians of two sets (Dowson and Landau 1982, equation 4), squared:

    d^2 = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1^1/2 C2 C1^1/2)^1/2)

is divided by the reference's total variance tr(C): 0 is equality, and audio that repeats one average sound scores 1.

Small sets seem further apart than they are. So every figure compares equally many songs, no song on both sides: music made from
one half of the songs, against recordings of the other half, mean over random halves. Recordings in this comparison are the floor.
The intervals are too wide rather than too narrow: on 16 simulated songs a quarter wider than the true spread for music other than
the recordings', and three times as wide for the floor.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.errors import AudioError
from snac_plugin.evaluation.clips import AudioSet, decode
from snac_plugin.evaluation.confidence_intervals import Estimate, spread_around
from snac_plugin.evaluation.report import Table
from snac_plugin.spectra.mel import log_mel

PATCH_FRAMES, PATCH_SECONDS, AXES = 8, 0.768, 16
HALVES, RESAMPLES = 40, 200
REAL, RANDOM, NOISE = "recordings", "random codes, decoded", "white noise as loud"
ROW_NAMES = {REAL: "recordings of other songs (floor)", RANDOM: f"{RANDOM} (ceiling)", NOISE: f"{NOISE} (ceiling)"}


def ceilings(codec: SnacPretransform, recordings: AudioSet, batch: int, seed: int) -> dict[str, AudioSet]:
    """Random codes, decoded, a clip for each song; and white noise as loud as each clip of the recordings."""
    generator = torch.Generator().manual_seed(seed)
    frames, songs = recordings.audio.shape[-1] // codec.downsampling_ratio, np.unique(recordings.songs)
    codes = torch.randint(codec.codebook_size, (len(songs), codec.levels.rows, frames), generator=generator)
    noise = torch.randn(recordings.audio.shape, generator=generator)
    loudness = recordings.audio.square().mean(dim=-1, keepdim=True).sqrt()
    return {
        RANDOM: AudioSet(decode(codec, codes, batch, seed), songs, paired=False),
        NOISE: AudioSet(noise * loudness, recordings.songs),
    }


@torch.no_grad()
def encoder_features(codec: SnacPretransform, audio: Tensor) -> np.ndarray:
    """Features of clips [B, 1, N] at the codec's rate: [B, P, 2 C] float64, without what follows the last whole patch.

    A clip shorter than eight frames is one patch; one shorter than a frame is an AudioError.
    """
    frame = codec.downsampling_ratio
    if audio.shape[-1] < frame:
        raise AudioError("clips", f"{audio.shape[-1]} samples", f"{frame} or more: one frame of the codec")
    samples = min(PATCH_FRAMES, audio.shape[-1] // frame) * frame
    patches = audio.shape[-1] // samples
    padded = codec.model.preprocess(audio[..., : patches * samples]).to(next(codec.model.parameters()))
    z = torch.cat([codec.model.encoder(clips) for clips in padded.split(8)]).double()
    length = samples // codec.levels.hop
    cut = z[..., : patches * length].unflatten(-1, (patches, length))  # [B, C, P, T / P]
    return torch.cat([cut.mean(dim=-1), cut.std(dim=-1)], dim=1).transpose(1, 2).cpu().numpy()


@torch.no_grad()
def log_mel_features(codec: SnacPretransform, audio: Tensor) -> np.ndarray:
    """Features of clips [B, 1, N] by 80 log-mel bands in dB, patches of 0.768 s: [B, P, 160] float64, else as `encoder_features`.

    Of the codec its sample rate alone counts. A clip shorter than one window is an AudioError.
    """
    samples = min(round(PATCH_SECONDS * codec.sample_rate), audio.shape[-1])
    if samples < 1024:
        raise AudioError("clips", f"{audio.shape[-1]} samples", "1024 or more: one window")
    patches = (clip.unfold(-1, samples, samples).transpose(0, 1) for clip in audio.cpu())
    levels = torch.stack([log_mel(of_clip, codec.sample_rate) for of_clip in patches]).double()  # [B, P, C, T]
    return torch.cat([levels.mean(dim=-1), levels.std(dim=-1)], dim=-1).numpy()


FEATURES: dict[str, tuple[str, Callable[[SnacPretransform, Tensor], np.ndarray]]] = {
    "distance": ("the codec's encoder before quantisation", encoder_features),
    "distance on log-mel": ("log-mel patches without a codec", log_mel_features),
}
"""Columns of the table of distances: where their features come from, and the function of clips [B, 1, N] -> [B, P, features]."""


@dataclass(frozen=True)
class Moments:
    """Sums over each song's patches, which Gaussians are fitted from."""

    count: np.ndarray  # [S]
    total: np.ndarray  # [S, K]
    outer: np.ndarray  # sum of outer products [S, K, K]

    @classmethod
    def of(cls, songs: Sequence[np.ndarray]) -> "Moments":
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
    """Squared Frechet distance [...] of Gaussians (mean [..., K], covariance [..., K, K]); singular covariances are fine."""
    (mean1, covariance1), (mean2, covariance2) = first, second
    # The trace of the root from eigenvalues, as in torchmetrics: four times as fast as SciPy's matrix root.
    eigenvalues = np.linalg.eigvals(covariance1 @ covariance2).real
    traces = np.trace(covariance1 + covariance2, axis1=-2, axis2=-1)
    covariances = traces - 2 * np.sqrt(np.maximum(eigenvalues, 0)).sum(axis=-1)
    return np.maximum(np.square(mean1 - mean2).sum(axis=-1) + covariances, 0.0)


@dataclass(frozen=True)
class Axes:
    """Standardised principal axes of the reference."""

    mean: np.ndarray  # [2 C]
    project: np.ndarray  # [2 C, K], scaled so that the reference's total variance on them is 1
    share: float  # of the reference's variance (standardised channels) that lies on the axes

    @classmethod
    def of(cls, features: np.ndarray) -> "Axes":
        """Of the reference's patches [P, 2 C]; fewer axes than 16 where there are fewer than 64 patches."""
        mean, scale = features.mean(axis=0), features.std(axis=0)
        # A channel that is nearly constant is not scaled up to the size of the others.
        scale = 1 / np.maximum(scale, 1e-3 * max(float(scale.max()), 1e-12))
        _, sizes, axes = np.linalg.svd((features - mean) * scale, full_matrices=False)
        kept = max(1, min(AXES, len(features) // 4, len(sizes)))
        variances = sizes**2 / max(len(features) - 1, 1)
        total = max(float(variances[:kept].sum()), 1e-12)
        return cls(mean, scale[:, None] * axes[:kept].T / np.sqrt(total), total / max(float(variances.sum()), 1e-12))


@dataclass(frozen=True)
class Distances:
    """Frechet distances of several kinds of audio to the same recordings."""

    values: dict[str, float]  # by kind; `REAL` is the floor
    resampled: dict[str, np.ndarray]  # the same of each resample of the songs [R]
    songs: int  # on each side of a comparison
    axes: Axes

    def estimate(self, kind: str, minus: str | None = None) -> Estimate:
        """The distance of a kind with its interval, or that minus another's; no interval where one song is on each side."""
        value, resampled = self.values[kind], self.resampled[kind]
        if minus is not None:
            value, resampled = value - self.values[minus], resampled - self.resampled[minus]
        found = spread_around(value, resampled) if self.songs > 1 else Estimate(value)
        return found if minus is not None else replace(found, low=max(found.low, 0.0))


def distance_table(codec: SnacPretransform, kinds: Mapping[str, AudioSet], seed: int, progress: bool = True) -> Table:
    """Rows by kind of audio (the recordings, `REAL`, are one of them), a column for each of `FEATURES`."""
    columns, unpaired = [], [name for name, audio in kinds.items() if not audio.paired]
    for _, features in FEATURES.values():
        songs = {}
        for name, clips in tqdm(kinds.items(), desc="features", unit="kind", disable=not progress):
            patches = features(codec, clips.audio[:, None])
            songs[name] = [np.concatenate(list(patches[clips.songs == song])) for song in np.unique(clips.songs)]
        columns.append(distances(songs.pop(REAL), songs, unpaired, seed))
    axes = (f"{d.axes.project.shape[1]} axes with {d.axes.share:.0%} of the variance" for d in columns)
    title = (
        "**Frechet distance** to recordings, squared, in parts of their variance (lower is better), on "
        f"{' and '.join(f'{source} ({kept})' for (source, _), kept in zip(FEATURES.values(), axes, strict=True))}; "
        f"songs: {columns[0].songs} against as many others"
    )
    rows = {ROW_NAMES.get(kind, kind): [column.estimate(kind) for column in columns] for kind in columns[0].values}
    return Table.of("frechet", title, ("audio", *FEATURES), rows, digits=3)


def distances(
    real: Sequence[np.ndarray], kinds: Mapping[str, Sequence[np.ndarray]], unpaired: Sequence[str] = (), seed: int = 0
) -> Distances:
    """Distance of each kind of audio to recordings, with a bootstrap over songs.

    Args:
        real: features of each song's recordings, [P, 2 C] a song; fewer than two songs are an AudioError.
        kinds: by name, features of what was made from each song, in the same order.
        unpaired: kinds made from other songs, or from none.
        seed: of halves and resamples.
    """
    if len(real) < 2:
        raise AudioError("songs", len(real), "two or more", "A distance needs songs on both sides.")
    axes = Axes.of(np.concatenate(list(real)))
    features = {REAL: real, **kinds}
    others = {name: Moments.of([(f - axes.mean) @ axes.project for f in songs]) for name, songs in features.items()}
    reference, size = others[REAL], min(len(real) // 2, *map(len, others.values()))
    rng = np.random.default_rng(seed)
    left, right = _halves(len(real), size, rng)
    chosen = {name: _halves(len(m), size, rng)[0] if name in unpaired else left for name, m in others.items()}

    def mean_distances(times: Mapping[str, np.ndarray]) -> list[float]:
        """The distance of each kind, mean over halves, with songs counted so many times [S]."""
        recorded = reference.gaussian(right * times[REAL])
        scale = np.trace(reference.gaussian(times[REAL])[1])  # 1 when each song counts once
        counted = {name: chosen[name] * times[name if name in unpaired else REAL] for name in others}
        return [float(frechet_distance(m.gaussian(counted[name]), recorded).mean() / scale) for name, m in others.items()]

    values = mean_distances({name: np.ones(len(moments)) for name, moments in others.items()})
    resampled = [mean_distances({name: _resampled(len(m), rng) for name, m in others.items()}) for _ in range(RESAMPLES)]
    spread = dict(zip(others, np.array(resampled).T, strict=True))
    return Distances(dict(zip(others, values, strict=True)), spread, size, axes)


def _halves(songs: int, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """1 where a song is in a half, else 0: [H, S] twice, never the same song on both sides where there are enough."""
    orders = rng.permuted(np.tile(np.arange(songs), (HALVES, 1)), axis=1)
    return (orders < size).astype(np.float64), (orders >= songs - size).astype(np.float64)


def _resampled(songs: int, rng: np.random.Generator) -> np.ndarray:
    """How often each song comes in a resample; never 0, or a half might be empty."""
    return np.bincount(rng.integers(songs, size=songs), minlength=songs) + 1e-6
