"""Spectral lines at multiples of a codec's rate: the hum of a decoder that upsamples by strides, and how loud it is.

The rate is that of the finest codes, 83.3 Hz at 32 kHz; its period is the codec's hop.
Letters: B batch, N audio samples, K multiples.
"""

import numpy as np
import torch
from scipy.signal import welch
from torch import Tensor

HIGHEST = 0.9
"""Multiples up to this share of the highest frequency there is count."""

PERIODS = 128
"""Periods of the rate in a window of `line_excess`: 1.5 s at 83.3 Hz. A multiple falls on every 128th bin, exactly."""

ON = np.arange(-1, 2)
"""Bins of a line under a Hann window, from its own."""

NEAREST, FARTHEST, FARTHEST_IN_TRAINING = 4, 24, 12
"""Neighbours that a line is compared with, in bins: 2.6 to 15.6 Hz at 83.3 Hz. Nearer ones lie in the window's own lobe."""


def line_frequencies(rate: int, hop: int) -> np.ndarray:
    """The multiples of rate / hop below nine tenths of the highest frequency there is, in Hz [K]."""
    return _multiples(hop) * rate / hop


def line_excess(audio: np.ndarray, rate: int, hop: int) -> np.ndarray:
    """How far the spectrum of clips [..., N] stands out at each multiple of rate / hop, in dB [K]: near 0 without lines.

    The mean level of the three bins that a line fills under a Hann window, less that of its neighbours. A clip has at least one
    window, 128 hops; power is averaged over windows that overlap by half.
    """
    _, power = welch(audio, window="hann", nperseg=PERIODS * hop, detrend=False, scaling="spectrum")
    power = power.reshape(-1, power.shape[-1]).mean(axis=0)
    level = 10 * np.log10(power / max(power.max(), 1e-20) + 1e-12)
    lines = _multiples(hop)[:, None] * PERIODS
    return level[lines + ON].mean(axis=1) - level[lines + _around(FARTHEST)].mean(axis=1)


def line_loss(made: Tensor, period: int) -> Tensor:
    """Mean over the spectral lines at multiples of 1 / period of max(0, ln(power of the line / power around it)).

    Shorter windows than the whole audio cannot tell such lines apart. `made` is audio [B, 1, N] of whole periods, `period` is in
    samples.
    """
    window = torch.hann_window(made.shape[-1], device=made.device, dtype=made.dtype)
    power = torch.fft.rfft(made.squeeze(1) * window).abs().square()
    lines = torch.from_numpy(_multiples(period)[:, None] * (made.shape[-1] // period)).to(made.device)

    def mean_at(bins: np.ndarray) -> Tensor:
        return power[:, lines + torch.from_numpy(bins).to(made.device)].mean(dim=-1)

    ratio = mean_at(ON) / (mean_at(_around(FARTHEST_IN_TRAINING)) + 1e-12)
    return ratio.mean(dim=0).clamp_min(1e-6).log().relu().mean()


def _multiples(period: int) -> np.ndarray:
    return np.arange(1, int(HIGHEST * period / 2) + 1)


def _around(farthest: int) -> np.ndarray:
    """Bins of a line's neighbours, from its own."""
    return np.concatenate([np.arange(-farthest, -NEAREST + 1), np.arange(NEAREST, farthest + 1)])
