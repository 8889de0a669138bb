"""What a reconstruction is judged by: spectra at several resolutions.

Letters: B batch, N audio samples, F frequency bins, M mel bands, T spectrogram frames.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torchaudio
from torch import Tensor, nn

FLOOR = 1e-4
"""Magnitudes below this (a sine of -80 dB) count as silence when distances are reported."""

TRAINING_FLOOR = 5e-4
"""The same in the training loss, -66 dB: the gradient of log |S| grows as 1 / |S|, and with a lower floor nearly all of it
(98 % above 1 kHz at -80 dB) went to faint treble while loud bass was left 10 dB too quiet."""


WINDOWS = ((2048, 160), (1024, 80), (512, 40), (256, 20), (128, 10), (64, 5))
"""Samples and mel bands of each resolution."""


def magnitude(audio: Tensor, window: Tensor) -> Tensor:
    """Magnitudes [B, F, T] of audio [B, 1, N], scaled so that a sine of amplitude 1 gives 1; a hop is a quarter window."""
    size = window.shape[0]
    spectrum = torch.stft(audio.squeeze(1), size, size // 4, window=window, return_complex=True)
    return (spectrum.real.square() + spectrum.imag.square() + 1e-12).sqrt() * (2 / window.sum())


class SpectralTerms(NamedTuple):
    """The terms of `SpectralLoss`, each a scalar."""

    mel: Tensor
    convergence: Tensor
    waveform: Tensor


class SpectralLoss(nn.Module):
    """Distance between two signals in spectra with windows from 64 to 2,048 samples.

    * mel: mean |log mel(x) - log mel(y)| over all resolutions (natural logarithm), as in DAC (arXiv:2306.06546);
    * convergence: ||S(x) - S(y)|| / ||S(x)|| of linear magnitudes (arXiv:1910.11480), which holds on to loud partials;
    * waveform: ||x - y|| / ||x||, which holds on to the phase of what is low and loud.

    Args:
        sample_rate: of the audio.
        windows: window sizes and mel bands of each resolution.
    """

    def __init__(
        self,
        sample_rate: int,
        windows: tuple[tuple[int, int], ...] = WINDOWS,
    ) -> None:
        super().__init__()
        self.windows = windows
        for size, bands in windows:
            self.register_buffer(f"window_{size}", torch.hann_window(size))
            bank = torchaudio.functional.melscale_fbanks(size // 2 + 1, 0.0, sample_rate / 2, bands, sample_rate)
            self.register_buffer(f"bank_{size}", (bank / bank.sum(0).clamp_min(1e-6)).T.contiguous())

    def forward(self, real: Tensor, made: Tensor) -> SpectralTerms:
        """Compare audio [B, 1, N] with its reconstruction."""
        mel = made.new_zeros(())
        convergence = made.new_zeros(())
        for size, _ in self.windows:
            window, bank = getattr(self, f"window_{size}"), getattr(self, f"bank_{size}")
            a, b = magnitude(real, window), magnitude(made, window)
            mel = mel + ((bank @ a + TRAINING_FLOOR).log() - (bank @ b + TRAINING_FLOOR).log()).abs().mean()
            convergence = convergence + _relative(a, b, least=1e-4)
        return SpectralTerms(mel / len(self.windows), convergence / len(self.windows), _relative(real, made, least=1e-2))


def _relative(real: Tensor, made: Tensor, least: float) -> Tensor:
    """||x - y|| / ||x|| of each example, averaged; `least` (root mean square) keeps silence from dividing by nothing."""
    size = real.flatten(1).norm(dim=1) + least * real[0].numel() ** 0.5
    return ((real - made).flatten(1).norm(dim=1) / size).mean()


LINE, NEAR, FAR = 1, 4, 12
"""Bins of a spectral line under a Hann window to each side of its own, and the neighbours it is compared with."""


def line_loss(made: Tensor, period: int) -> Tensor:
    """How far spectral lines at multiples of 1 / period stand out, mean over them of what is positive, in nepers of power.

    A decoder that upsamples by strides leaves its own rhythm in the audio, a buzzing at its code rate. Windows of a few hundred
    samples cannot see lines so close to each other.

    Args:
        made: audio [B, 1, N] of whole periods.
        period: samples.
    """
    window = torch.hann_window(made.shape[-1], device=made.device, dtype=made.dtype)
    power = torch.fft.rfft(made.squeeze(1) * window).abs().square()
    spacing = made.shape[-1] // period
    lines = spacing * torch.arange(1, int(0.9 * period / 2) + 1, device=made.device)

    def mean_around(line: Tensor, offsets: list[int]) -> Tensor:
        return power[:, line[:, None] + torch.tensor(offsets, device=line.device)].mean(dim=-1)

    apart = [offset for offset in range(-FAR, FAR + 1) if abs(offset) >= NEAR]
    ratio = mean_around(lines, list(range(-LINE, LINE + 1))) / (mean_around(lines, apart) + 1e-12)
    return ratio.mean(dim=0).clamp_min(1e-6).log().relu().mean()


def log_mel_distance(real: Tensor, made: Tensor, sample_rate: int, bands: int = 80, size: int = 1024) -> float:
    """Mean absolute difference of two log-mel spectrograms in decibels, floor -80 dB.

    Args:
        real: audio [B, 1, N].
        made: its reconstruction, same shape.
        sample_rate: of both.
        bands: mel bands.
        size: samples of a window.
    """
    window = torch.hann_window(size)
    bank = torchaudio.functional.melscale_fbanks(size // 2 + 1, 0.0, sample_rate / 2, bands, sample_rate)
    bank = (bank / bank.sum(0).clamp_min(1e-6)).T
    a, b = (20 * (bank @ magnitude(audio, window)).clamp_min(FLOOR).log10() for audio in (real, made))
    return float((a - b).abs().mean())


def multi_scale_log_mel_distance(real: Tensor, made: Tensor, sample_rate: int) -> float:
    """`log_mel_distance` in decibels, mean over the resolutions of `WINDOWS`."""
    return sum(log_mel_distance(real, made, sample_rate, bands, size) for size, bands in WINDOWS) / len(WINDOWS)
