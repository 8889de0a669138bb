"""Mel spectra in decibels: what distances of audio are measured on, and what pictures show.

Letters: B batch, N audio samples, F frequency bins, M mel bands, T spectrogram frames.
"""

import math

import torch
import torchaudio
from torch import Tensor

FLOOR = 1e-4
"""Magnitudes below this (a sine of -80 dB) count as silence."""

WINDOWS = ((2048, 160), (1024, 80), (512, 40), (256, 20), (128, 10), (64, 5))
"""Samples and mel bands of each resolution of `multi_scale_log_mel_distance`."""

PICTURE_WINDOW, PICTURE_BANDS, PICTURE_LOWEST_HZ, PICTURE_COLUMNS = 2048, 160, 30.0, 1600


def magnitude(audio: Tensor, window: Tensor, hop: int | None = None, centred: bool = True) -> Tensor:
    """Magnitudes [B, F, T] of audio [B, 1, N], scaled so that a sine of amplitude 1 gives 1; a hop is a quarter window by default.

    Frames are centred on multiples of the hop, with the audio mirrored at both ends; or they begin there.
    """
    size = window.shape[0]
    spectrum = torch.stft(audio.squeeze(1), size, hop or size // 4, window=window, center=centred, return_complex=True)
    return (spectrum.real.square() + spectrum.imag.square() + 1e-12).sqrt() * (2 / window.sum())


def mel_filters(size: int, sample_rate: int, bands: int, lowest: float = 0.0) -> Tensor:
    """Triangular filters [F, M] over the bins of windows of `size` samples, from `lowest` Hz to half the rate."""
    return torchaudio.functional.melscale_fbanks(size // 2 + 1, lowest, sample_rate / 2, bands, sample_rate)


def log_mel(audio: Tensor, sample_rate: int, bands: int = 80, size: int = 1024) -> Tensor:
    """Log-mel spectrogram [B, M, T] of audio [B, 1, N] in decibels, floor -80 dB; windows of `size` samples."""
    filters = mel_filters(size, sample_rate, bands)
    filters = (filters / filters.sum(0).clamp_min(1e-6)).T
    return 20 * (filters @ magnitude(audio, torch.hann_window(size))).clamp_min(FLOOR).log10()


def log_mel_distance(real: Tensor, made: Tensor, sample_rate: int, bands: int = 80, size: int = 1024) -> float:
    """Mean absolute difference of the `log_mel` of audio [B, 1, N] and of its copy, in decibels."""
    return float((log_mel(real, sample_rate, bands, size) - log_mel(made, sample_rate, bands, size)).abs().mean())


def multi_scale_log_mel_distance(real: Tensor, made: Tensor, sample_rate: int) -> float:
    """`log_mel_distance` in decibels, mean over the resolutions of `WINDOWS`."""
    return sum(log_mel_distance(real, made, sample_rate, bands, size) for size, bands in WINDOWS) / len(WINDOWS)


def mel_spectrogram(audio: Tensor, sample_rate: int) -> Tensor:
    """Power on the mel scale in dB of full scale, for a picture: audio [N] -> [M, T], at most about 1,600 columns.

    A sine of full scale peaks near 0 dB. Silence is far below any threshold, never -inf.
    """
    hop, half = max(PICTURE_WINDOW // 8, math.ceil(len(audio) / PICTURE_COLUMNS)), PICTURE_WINDOW // 2
    edges = "reflect" if len(audio) > half else "constant"  # without a click at either end
    padded = torch.nn.functional.pad(audio[None], (half, half), mode=edges)
    amplitude = magnitude(padded[None], torch.hann_window(PICTURE_WINDOW), hop, centred=False)[0]
    filters = mel_filters(PICTURE_WINDOW, sample_rate, PICTURE_BANDS, PICTURE_LOWEST_HZ)
    # The lowest bands are narrower than a bin and some would hold none: those take the nearest bin.
    bins, centres = torch.linspace(0, sample_rate / 2, half + 1), picture_band_centres(sample_rate)
    for band in (filters.sum(0) == 0).nonzero().flatten().tolist():
        filters[(bins - centres[band]).abs().argmin(), band] = 1.0
    power = torch.einsum("ft,fm->mt", amplitude.square(), filters)
    return 10 * power.clamp(min=1e-20).log10()


def mel(hertz: float) -> float:
    """A frequency on the mel scale, as torchaudio's filters have it."""
    return 2595 * math.log10(1 + hertz / 700)


def picture_band_centres(sample_rate: int) -> list[float]:
    """Centre frequencies in Hz of the bands of `mel_spectrogram`."""
    low, high = mel(PICTURE_LOWEST_HZ), mel(sample_rate / 2)
    steps = [low + (high - low) * band / (PICTURE_BANDS + 1) for band in range(1, PICTURE_BANDS + 1)]
    return [700 * (10 ** (step / 2595) - 1) for step in steps]
