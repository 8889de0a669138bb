"""What reconstructions are judged by, on signals whose distance is known."""

from __future__ import annotations

import math

import torch

from snac_plugin.codec_training.losses import SpectralLoss, line_loss, log_mel_distance, magnitude


def tone(frequency: float = 1000.0, amplitude: float = 0.5, samples: int = 16_384, phase: float = 0.0) -> torch.Tensor:
    time = torch.arange(samples) / 32000
    return (amplitude * torch.sin(2 * math.pi * frequency * time + phase)).view(1, 1, -1)


def test_a_sine_of_amplitude_one_has_magnitude_one() -> None:
    peak = magnitude(tone(1000.0, 1.0), torch.hann_window(1024))[..., 20].max()
    torch.testing.assert_close(peak, torch.tensor(1.0), atol=0.02, rtol=0)


def test_equal_signals_have_no_distance() -> None:
    loss = SpectralLoss(32000)
    assert all(float(term) < 1e-5 for term in loss(tone(), tone()))
    assert log_mel_distance(tone(), tone(), 32000) == 0.0


def test_half_the_amplitude_is_six_decibels_away() -> None:
    torch.manual_seed(0)
    loud = 0.3 * torch.randn(2, 1, 32_768)
    assert abs(log_mel_distance(loud, loud / 2, 32000) - 6.02) < 0.01
    terms = SpectralLoss(32000)(loud, loud / 2)
    torch.testing.assert_close(terms.mel, torch.tensor(math.log(2)), atol=0.05, rtol=0)
    torch.testing.assert_close(terms.waveform, torch.tensor(0.5), atol=0.02, rtol=0)


def test_phase_moves_the_waveform_term_and_a_pitch_the_spectral_ones() -> None:
    loss = SpectralLoss(32000)
    turned, higher = loss(tone(), tone(phase=math.pi)), loss(tone(), tone(1100.0))
    assert turned.waveform > 1.5
    assert turned.convergence < 0.05
    assert higher.convergence > 0.3
    assert higher.mel > 5 * turned.mel


def test_silence_and_inaudible_noise_give_finite_gradients_and_no_distance() -> None:
    made = torch.zeros(1, 1, 8192, requires_grad=True)
    terms = SpectralLoss(32000)(torch.zeros(1, 1, 8192), made)
    sum(terms).backward()
    assert made.grad is not None
    assert torch.isfinite(made.grad).all()
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
