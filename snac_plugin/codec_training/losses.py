"""What a codec's audio is judged by: log-mel distances in decibels, and the loss of the hum at the code rate.
Letters: B batch, N audio samples, F frequency bins, M mel bands, T spectrogram frames.
"""

from collections.abc import Mapping

import torch
import torchaudio
from stable_audio_tools.training.losses import LossModule
from torch import Tensor

FLOOR = 1e-4
"""Magnitudes below this (a sine of -80 dB) count as silence."""

WINDOWS = ((2048, 160), (1024, 80), (512, 40), (256, 20), (128, 10), (64, 5))
"""Samples and mel bands of each resolution of `multi_scale_log_mel_distance`."""

LINE, NEAR, FAR = 1, 4, 12
"""Bins of a spectral line under a Hann window to each side of its own, and the neighbours it is compared with."""


def magnitude(audio: Tensor, window: Tensor) -> Tensor:
    """Magnitudes [B, F, T] of audio [B, 1, N], scaled so that a sine of amplitude 1 gives 1; a hop is a quarter window."""
    size = window.shape[0]
    spectrum = torch.stft(audio.squeeze(1), size, size // 4, window=window, return_complex=True)
    return (spectrum.real.square() + spectrum.imag.square() + 1e-12).sqrt() * (2 / window.sum())


def log_mel(audio: Tensor, sample_rate: int, bands: int = 80, size: int = 1024) -> Tensor:
    """Log-mel spectrogram [B, M, T] of audio [B, 1, N] in decibels, floor -80 dB; windows of `size` samples."""
    bank = torchaudio.functional.melscale_fbanks(size // 2 + 1, 0.0, sample_rate / 2, bands, sample_rate)
    bank = (bank / bank.sum(0).clamp_min(1e-6)).T
    return 20 * (bank @ magnitude(audio, torch.hann_window(size))).clamp_min(FLOOR).log10()


def log_mel_distance(real: Tensor, made: Tensor, sample_rate: int, bands: int = 80, size: int = 1024) -> float:
    """Mean absolute difference of the `log_mel` of audio [B, 1, N] and of its copy, in decibels."""
    return float((log_mel(real, sample_rate, bands, size) - log_mel(made, sample_rate, bands, size)).abs().mean())


def multi_scale_log_mel_distance(real: Tensor, made: Tensor, sample_rate: int) -> float:
    """`log_mel_distance` in decibels, mean over the resolutions of `WINDOWS`."""
    return sum(log_mel_distance(real, made, sample_rate, bands, size) for size, bands in WINDOWS) / len(WINDOWS)


def line_loss(made: Tensor, period: int) -> Tensor:
    """Mean over the spectral lines at multiples of 1 / period of max(0, ln(power of the line / power around it)).

    A decoder that upsamples by strides leaves a hum at its code rate, which shorter windows cannot tell apart. `made` is audio
    [B, 1, N] of whole periods, `period` is in samples.
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


class LinesLoss(LossModule):
    """`weight` times `line_loss` of the decoded audio, as a loss of stable-audio-tools; `period`: samples of a finest code."""

    def __init__(self, period: int, weight: float) -> None:
        super().__init__(name="lines_loss", weight=weight)
        self.period = period

    def forward(self, info: Mapping[str, Tensor]) -> Tensor:
        return self.weight * line_loss(info["decoded"].float(), self.period)
