"""New audio brought to the level and the coarse spectrum of the recording beside it. Letters: N audio samples, K bands, E ends."""

import math
from collections.abc import Iterator

import numpy as np
import scipy.fft
import scipy.signal
import torch
from torch import Tensor

MATCH_SECONDS = 2.0
"""Of the recording beside a join, and of what is new there: these are compared."""
FADE_SECONDS = 5.0
"""After so long what is new is as it was generated."""
AROUND_SECONDS = 0.15
"""The bands' filters are shorter than this."""
MOST_DB = 12.0
"""Of boost or cut. What differs by more gets less, and by twice as much nothing: it is another sound, a break or silence."""
LOWEST_HZ = 100.0
"""In the octave above it the first band gives way to the second, and so on."""
SILENCE = 1e-10
"""Power of a band in silence."""


def matched(made: Tensor, span: tuple[int, int], rate: int, before: Tensor, after: Tensor) -> Tensor:
    """Audio [N] whose samples [start, stop) are new, these as loud in each band as the recording before and after them.

    The correction is whole at a join and fades out behind it; where there are two, each counts near itself. It goes on a little
    beyond the span, so that a join finds both sides alike. No sample gets beyond 1 that was not.

    Args:
        before, after: audio of the recording that ends at `start` and begins at `stop`; empty where there is none.
    """
    if not len(before) and not len(after):
        return made
    (start, stop), size, fade, around = span, *(round(s * rate) for s in (MATCH_SECONDS, FADE_SECONDS, AROUND_SECONDS))
    if len(before) and len(after):
        fade = min(fade, stop - start)
    first = start if len(before) else max(start, stop - fade)
    last = stop if len(after) else min(stop, start + fade)
    begin, end = max(0, first - around), min(len(made), last + around)
    time, new = torch.arange(begin, end), made[start:stop]
    gains = np.broadcast_arrays(_gains(before[-size:], new[:size], rate), _gains(after[:size], new[-size:], rate))
    curves = torch.stack([_fade((time - start) / fade), _fade((stop - 1 - time) / fade)])
    corrected = _corrected(made[begin:end], np.stack(gains), curves, rate, slice(max(0, start - begin), stop - begin))
    first, last = max(0, first - around // 2), min(len(made), last + around // 2)
    return torch.cat([made[:first], corrected[first - begin : last - begin], made[last:]])


def matched_to(made: Tensor, source: Tensor, rate: int) -> Tensor:
    """A variation [N], all of it as loud in each band as its source [N]."""
    return _corrected(made, _gains(source, made, rate)[None], torch.ones(1, len(made)), rate)


def _corrected(made: Tensor, gains: np.ndarray, curves: Tensor, rate: int, new: slice = slice(None)) -> Tensor:
    """Audio [N], of which `new` counts, with its bands raised by gains [E, K] in dB, as far as the curves [E, N] say."""
    audio = made.numpy()
    spectrum = scipy.fft.rfft(audio, _size(len(audio), rate))
    loud = np.zeros_like(audio)
    for mask, gain in zip(band_masks(len(spectrum), rate), gains.T.astype(np.float32), strict=True):
        band = scipy.fft.irfft(spectrum * mask, _size(len(audio), rate))[: len(audio)]
        loud += band * 10 ** (gain @ curves.numpy() / 20)
    return torch.from_numpy(audio + _unclipped(audio[new], (loud - audio)[new]) * (loud - audio))


def _unclipped(audio: np.ndarray, change: np.ndarray) -> np.float32:
    """How much of a change can be added to audio [N] so that no sample gets beyond 1 that was not."""
    ceiling, low, high = max(1.0, abs(audio).max(initial=0)), 0.0, 1.0
    if abs(audio + change).max(initial=0) <= ceiling:
        return np.float32(1)
    for _ in range(7):
        middle = (low + high) / 2
        low, high = (middle, high) if abs(audio + middle * change).max() <= ceiling else (low, middle)
    return np.float32(low)


def _gains(recorded: Tensor, new: Tensor, rate: int) -> np.ndarray:
    """What each band of the new audio [N'] lacks beside the recording [N], in dB [K]."""
    lacking = _levels(recorded, rate) - _levels(new, rate) if len(recorded) and len(new) else np.zeros(1)
    return np.sign(lacking) * np.clip(2 * MOST_DB - abs(lacking), 0, abs(lacking))


def _levels(audio: Tensor, rate: int) -> np.ndarray:
    """The level of each band of audio [N], in dB [K]."""
    tapered = audio.numpy() * scipy.signal.windows.tukey(len(audio), 0.1).astype(np.float32)
    power = abs(scipy.fft.rfft(tapered)) ** 2
    return 10 * np.log10([2 * (mask**2 * power).sum() / len(audio) ** 2 + SILENCE for mask in band_masks(len(power), rate)])


def band_masks(bins: int, rate: int) -> Iterator[np.ndarray]:
    """Of each band its share of the spectrum [bins]; they add up to 1."""
    octave = np.log2(np.linspace(1e-9, rate / 2, bins) / LOWEST_HZ)
    above = np.ones(bins)
    for edge in range(max(0, math.floor(math.log2(rate / 2 / LOWEST_HZ)))):
        rise = np.sin(math.pi / 2 * np.clip(octave - edge, 0, 1)) ** 2
        yield (above - rise).astype(np.float32)
        above = rise
    yield above.astype(np.float32)


def _size(samples: int, rate: int) -> int:
    """Points of a transform in which a filter does not reach from one end to the other."""
    return scipy.fft.next_fast_len(samples + round(AROUND_SECONDS * rate), real=True)


def _fade(place: Tensor) -> Tensor:
    """From 1 at 0 to 0 at 1."""
    return torch.cos(math.pi / 2 * place.clamp(0, 1)).square()
