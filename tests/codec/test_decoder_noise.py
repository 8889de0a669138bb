"""The decoder's noise: by seed, block and place, and by nothing else."""

import torch

from snac_plugin.codec.decoder_noise import DRAWN_FRAMES, PlacedNoise, noise_at


def test_any_stretch_is_cut_from_the_same_noise() -> None:
    """A piece of a file must hear what the whole file hears there, borders of draws included."""
    whole = noise_at(3, 1, 0, 5 * DRAWN_FRAMES * 8, per_frame=8)
    for first, count in ((0, 1), (5, 40), (DRAWN_FRAMES * 8 - 1, 2), (DRAWN_FRAMES * 8, 300)):
        assert torch.equal(noise_at(3, 1, first, count, per_frame=8), whole[first : first + count])


def test_it_is_standard_normal_and_differs_by_seed_block_and_tile() -> None:
    noise = noise_at(0, 0, 0, 100_000, per_frame=64)
    assert abs(float(noise.mean())) < 0.02
    assert abs(float(noise.std()) - 1) < 0.02
    size = DRAWN_FRAMES * 64
    others = [noise_at(1, 0, 0, size, 64), noise_at(0, 1, 0, size, 64), noise[size : 2 * size], noise_at(-1, 0, 0, size, 64)]
    assert all(float((noise[:size] * other).mean().abs()) < 0.15 for other in others)


def test_examples_of_a_batch_have_their_own_noise_in_the_inputs_form() -> None:
    x = torch.zeros(2, 16, 6 * 64, dtype=torch.float64)
    made = PlacedNoise([5, 9], first_frame=4, frames=6)(2, x)
    assert made.shape == (2, 1, 6 * 64)
    assert made.dtype == torch.float64
    assert torch.equal(made[1, 0].float(), noise_at(9, 2, 4 * 64, 6 * 64, per_frame=64))
