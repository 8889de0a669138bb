"""New mono audio made as wide as the stereo recording beside it. Letters: N audio samples, K taps, F frequencies.

Parametric stereo (Breebaart et al., "Parametric Coding of Stereo Audio", 2005): in each band the recording's side (half the
difference of its channels) is a share of its mid (their mean), and beside it something that does not follow the mid. One filter
makes both from new audio: the share, and a copy whose phases are at random. So levels and coherence of the channels are the
recording's, and their mean is the mono audio.
"""

import math

import numpy as np
import scipy.fft
import scipy.signal
import torch
from torch import Tensor

from snac_plugin.generation.matching import SILENCE, band_masks

WIDTH_SECONDS = 4.0
"""Of the recording beside what is new, whose width it gets."""
FILTER_SECONDS = 0.09
SPREAD_SECONDS = 0.01
"""Over which the decorrelated copy is spread: longer would be heard as an echo."""


def side_filter(recording: Tensor, rate: int) -> np.ndarray:
    """Taps [K] around the middle one that turn mid into side, as they are in a stereo recording [2, N]."""
    left, right = recording[:, -round(WIDTH_SECONDS * rate) :].double().numpy()
    taps = 2 ** round(math.log2(FILTER_SECONDS * rate))
    left, right = (np.pad(channel, (max(0, taps - len(channel)), 0)) for channel in (left, right))
    spectra = [scipy.signal.stft((left + sign * right) / 2, nperseg=taps, boundary="zeros")[2] for sign in (1, -1)]
    mid, side = (abs(spectrum) ** 2 for spectrum in spectra)
    powers = [power.mean(axis=1) for power in (mid, side, (spectra[0].conj() * spectra[1]).real)]
    turn = _random_phases(taps, rate)
    response = np.zeros(taps // 2 + 1, np.complex128)
    for mask in band_masks(taps // 2 + 1, rate):
        mid_power, side_power, common, turned = ((mask * power).sum() for power in (*powers, powers[0] * turn.real))
        if mid_power <= SILENCE or side_power <= SILENCE * mid_power:
            continue
        follows, copy_follows = common / mid_power, np.clip(turned / mid_power, -0.9, 0.9)
        apart = math.sqrt(max(side_power / mid_power - follows**2, 0) / (1 - copy_follows**2))
        follows -= apart * copy_follows
        most = max(1.0, math.sqrt(side_power / mid_power))  # new mid may be where the recording has nothing but side
        response += mask * (follows + apart * turn) / most
    return scipy.fft.fftshift(scipy.fft.irfft(response, taps)) * scipy.signal.windows.tukey(taps, 0.25)


class Widening:
    """Mono audio that follows a stereo recording [2, N], as wide as that, in pieces."""

    def __init__(self, recording: Tensor, rate: int, before: int) -> None:
        """`before`: how many of the recording's last samples come out first, as this makes them of their mid."""
        self.taps = side_filter(recording, rate)
        self.lead = len(self.taps) // 2 - 1  # samples before the first that comes out
        self.held = torch.nn.functional.pad(recording.float().mean(dim=0), (self.lead + before, 0))[-self.lead - before :]

    def push(self, mid: Tensor, last: bool = False) -> Tensor:
        """The next mono audio [N] -> both channels of what can be made of it [2, N']."""
        self.held = torch.cat([self.held, mid, mid.new_zeros(len(self.taps) // 2 if last else 0)])
        count = len(self.held) - len(self.taps) + 1
        if count <= 0:
            return mid.new_zeros(2, 0)
        side = torch.from_numpy(scipy.signal.fftconvolve(self.held.double().numpy(), self.taps, "valid")).float()
        kept, self.held = self.held[self.lead : self.lead + count], self.held[count:]
        return torch.stack([kept + side, kept - side])


def widened(mid: Tensor, recording: Tensor, rate: int) -> Tensor:
    """Mono audio [N] as wide as a stereo recording [2, N'] -> [2, N]."""
    taps = side_filter(recording, rate)
    side = scipy.signal.fftconvolve(mid.double().numpy(), taps)[len(taps) // 2 :][: len(mid)]
    return torch.stack([mid + torch.from_numpy(side).float(), mid - torch.from_numpy(side).float()])


def _random_phases(taps: int, rate: int) -> np.ndarray:
    """A complex number of size 1 for each of K // 2 + 1 frequencies: of a short burst of noise, always the same one."""
    time = np.arange(taps) / rate
    burst = np.random.default_rng(0).standard_normal(taps) * np.exp(-time / SPREAD_SECONDS)
    spectrum = scipy.fft.rfft(burst)
    return spectrum / np.maximum(abs(spectrum), 1e-12)
