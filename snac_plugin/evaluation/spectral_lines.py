"""Buzz of a codec: spectral lines at multiples of the rate of its finest codes, on spectra with long windows.

Letters: N audio samples, F frequency bins, K multiples.
"""

import numpy as np
from scipy.signal import welch

PERIODS = 128
"""Periods of the rate in a window: 1.5 s at 83.3 Hz. A multiple falls on every 128th bin, exactly."""
NEAR, FAR = 4, 24
"""Neighbours of a line: bins 4 to 24 away, 2.6 to 15.6 Hz at 83.3 Hz. Nearer ones lie in the window's own lobe."""


def line_frequencies(rate: int, hop: int) -> np.ndarray:
    """The multiples of rate / hop below nine tenths of the highest frequency there is, in Hz [K]."""
    return np.arange(1, int(0.9 * hop / 2) + 1) * rate / hop


def line_excess(audio: np.ndarray, rate: int, hop: int) -> np.ndarray:
    """How far the spectrum of clips [..., N] stands out at each multiple of rate / hop, in dB [K]: near 0 without lines.

    The mean level of the three bins that a line fills under a Hann window, less that of its neighbours. A clip has at least one
    window, 128 hops; power is averaged over windows that overlap by half.
    """
    window = PERIODS * hop
    _, power = welch(audio, window="hann", nperseg=window, detrend=False, scaling="spectrum")
    power = power.reshape(-1, power.shape[-1]).mean(axis=0)
    level = 10 * np.log10(power / max(power.max(), 1e-20) + 1e-12)
    lines = np.arange(1, len(line_frequencies(rate, hop)) + 1)[:, None] * PERIODS
    apart = np.concatenate([np.arange(-FAR, -NEAR + 1), np.arange(NEAR, FAR + 1)])
    return level[lines + np.arange(-1, 2)].mean(axis=1) - level[lines + apart].mean(axis=1)
