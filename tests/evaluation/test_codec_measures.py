"""What a codec is judged by: lines at its rate, distances, code usage, Opus beside it."""

import numpy as np
import pytest
import torch

from snac_plugin.codec_training.codebooks import perplexity
from snac_plugin.evaluation import opus
from snac_plugin.spectra.lines import line_excess, line_frequencies
from snac_plugin.spectra.mel import WINDOWS, log_mel_distance, multi_scale_log_mel_distance

RATE, HOP = 32000, 384


def noise(seconds: float = 6.144, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))


def comb(spacing: float, count: int, size: float, samples: int) -> np.ndarray:
    time = np.arange(samples) / RATE
    return size * np.sum([np.sin(2 * np.pi * spacing * k * time + k) for k in range(1, count + 1)], axis=0)


def test_lines_are_multiples_of_the_codecs_rate() -> None:
    frequencies = line_frequencies(RATE, HOP)
    assert frequencies[0] == pytest.approx(83.333, abs=0.001)
    assert frequencies[-1] <= 0.9 * RATE / 2


def test_an_added_comb_is_seen_where_it_is_and_noise_has_none() -> None:
    audio = noise()
    without, added = line_excess(audio, RATE, HOP), line_excess(audio + comb(RATE / HOP, 20, 0.004, len(audio)), RATE, HOP)
    assert without.mean() == pytest.approx(0, abs=0.3)
    assert added[:20].mean() > 8
    assert added[20:].mean() == pytest.approx(0, abs=0.3)


def test_a_comb_at_another_rate_is_no_buzz_of_the_codec() -> None:
    """A bass note near 83.3 Hz must not count."""
    audio = noise()
    assert line_excess(audio + comb(87.3, 20, 0.004, len(audio)), RATE, HOP)[:20].mean() < 1


def test_clips_of_a_song_share_one_spectrum() -> None:
    clips = np.stack([noise(seed=1), noise(seed=2)])
    assert line_excess(clips, RATE, HOP).std() < line_excess(clips[0], RATE, HOP).std()


def test_silence_has_no_lines() -> None:
    assert np.abs(line_excess(np.zeros(RATE * 4), RATE, HOP)).max() == 0


def test_si_sdr_of_a_known_mixture_at_any_gain() -> None:
    """torchmetrics' is Le Roux et al. 2019, equation 5, with the means taken off: scale and offset change nothing."""
    from torchmetrics.functional import scale_invariant_signal_distortion_ratio as si_sdr

    time = torch.arange(32000) / 32000
    target, error = torch.sin(2 * torch.pi * 100 * time), torch.cos(2 * torch.pi * 100 * time)
    made = 0.3 * (target + 0.1 * error) + 0.05
    assert float(si_sdr(made, target, zero_mean=True)) == pytest.approx(20.0, abs=0.01)


def test_log_mel_distance_of_a_gain_is_that_gain_at_every_resolution() -> None:
    audio = torch.from_numpy(noise()).float()[None, None]
    for size, bands in WINDOWS:
        assert log_mel_distance(audio, audio / 2, RATE, bands, size) == pytest.approx(6.02, abs=0.05)
    assert multi_scale_log_mel_distance(audio, audio / 2, RATE) == pytest.approx(6.02, abs=0.05)
    assert multi_scale_log_mel_distance(audio, audio, RATE) == 0


def test_perplexity_of_codes_used_alike_is_their_number() -> None:
    counts = torch.zeros(2, 64)
    counts[0, :16] = 3
    counts[1, 5] = 9
    assert perplexity(counts).tolist() == pytest.approx([16, 1])


def test_opus_gives_back_what_can_be_recognised_at_its_rate() -> None:
    if not opus.have_opus():
        pytest.skip("this soundfile writes no Opus")
    time = np.arange(4 * RATE) / RATE
    audio = (0.3 * np.sin(2 * np.pi * 220 * time) * np.exp(-(time % 1))).astype(np.float32)
    made = opus.round_trip(audio, RATE)
    assert len(made.audio) == len(audio)
    assert 4 < made.kbits < 10
    assert np.corrcoef(made.audio, audio)[0, 1] > 0.9
