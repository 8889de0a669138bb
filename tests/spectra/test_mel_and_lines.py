"""Mel distances and lines at the code rate, on signals whose distance is known."""

import math

import torch

from snac_plugin.spectra.lines import line_loss
from snac_plugin.spectra.mel import log_mel_distance, magnitude


def tone(frequency: float = 1000.0, amplitude: float = 0.5, samples: int = 16_384, phase: float = 0.0) -> torch.Tensor:
    time = torch.arange(samples) / 32000
    return (amplitude * torch.sin(2 * math.pi * frequency * time + phase)).view(1, 1, -1)


def test_a_sine_of_amplitude_one_has_magnitude_one() -> None:
    peak = magnitude(tone(1000.0, 1.0), torch.hann_window(1024))[..., 20].max()
    torch.testing.assert_close(peak, torch.tensor(1.0), atol=0.02, rtol=0)


def test_equal_signals_have_no_distance() -> None:
    assert log_mel_distance(tone(), tone(), 32000) == 0.0


def test_half_the_amplitude_is_six_decibels_away() -> None:
    torch.manual_seed(0)
    loud = 0.3 * torch.randn(2, 1, 32_768)
    assert abs(log_mel_distance(loud, loud / 2, 32000) - 6.02) < 0.01


def test_silence_and_inaudible_noise_have_no_distance() -> None:
    assert log_mel_distance(torch.zeros(1, 1, 8192), 1e-6 * torch.randn(1, 1, 8192), 32000) == 0.0


def test_buzzing_at_the_code_rate_is_heard_and_nothing_else() -> None:
    """A comb of period 384, 10 dB below noise; tones beside its multiples and the noise itself say nothing."""
    torch.manual_seed(0)
    period, noise = 384, 0.1 * torch.randn(4, 1, 384 * 64)
    comb = torch.zeros_like(noise)
    comb[..., ::period] = 0.03 * period**0.5
    buzzing = noise + comb
    assert line_loss(buzzing, period) > 0.5
    quiet = float(line_loss(noise, period))
    assert quiet < 0.3
    beside = noise + tone(83.333 * 12.5, 0.2, noise.shape[-1])
    assert abs(float(line_loss(beside, period)) - quiet) < 0.1
    buzzing.requires_grad_()
    line_loss(buzzing, period).backward()
    slope = (buzzing.grad * comb).sum() / comb.norm()
    assert slope > 0  # less of the comb is better
