"""What keeps codebooks alive: k-means by direction, running means, revival."""

import torch
from snac.vq import VectorQuantize

from snac_plugin.codec_training.codebooks import RunningCodebook, k_means, nearest_direction


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_nearest_direction_is_snacs_choice() -> None:
    torch.manual_seed(0)
    level = VectorQuantize(16, 64, 8)
    vectors = torch.randn(1, 8, 200)
    assert torch.equal(nearest_direction(vectors[0].T, level.codebook.weight), level.decode_latents(vectors)[1][0])


def test_k_means_finds_well_separated_directions() -> None:
    """With four times as many codes as directions every direction gets its own."""
    vectors = torch.eye(8).repeat_interleave(50, 0) * 3 + 0.05 * torch.randn(400, 8, generator=generator())
    codebook = k_means(vectors, 32, 20, generator(4))
    error = (vectors - codebook[nearest_direction(vectors, codebook)]).square().sum(1)
    assert error.max() < 0.1
    assert len(nearest_direction(torch.eye(8), codebook).unique()) == 8


def test_k_means_with_fewer_vectors_than_codes_uses_them_all() -> None:
    vectors = torch.randn(10, 8, generator=generator())
    codebook = k_means(vectors, 64, 3, generator())
    assert len(nearest_direction(vectors, codebook).unique()) >= 8


def test_a_running_codebook_moves_to_the_mean_of_what_chooses_it() -> None:
    weight = torch.eye(8)[:2].clone()
    book = RunningCodebook(weight, visits=2.0)
    targets = torch.stack([torch.eye(8)[0] * 5, torch.eye(8)[1] * 3])
    for _ in range(100):
        assert book.update(weight, targets, nearest_direction(targets, weight), generator()).sum() == 0
    torch.testing.assert_close(weight, targets, atol=1e-3, rtol=0)


def test_dead_codes_start_again_where_vectors_are() -> None:
    """A codebook of which one direction is used must not stay at one code."""
    torch.manual_seed(0)
    weight = -torch.rand(64, 8)
    weight[0] = 1.0
    book = RunningCodebook(weight, visits=2.0)
    revived = 0
    for _ in range(40):
        vectors = torch.rand(32, 8) + 0.1
        revived += int(book.update(weight, vectors, nearest_direction(vectors, weight), generator(1)).sum())
    assert revived > 30
    vectors = torch.rand(1000, 8) + 0.1
    assert len(nearest_direction(vectors, weight).unique()) > 40


def test_memory_is_counted_in_visits_not_in_steps() -> None:
    """A level with few vectors a step must remember more steps, or its codes would be means of one vector."""
    weights = [torch.eye(8), torch.eye(8)]
    coarse, fine = (RunningCodebook(weight, visits=4.0) for weight in weights)
    vectors = torch.eye(8).repeat(2, 1)
    for _ in range(30):
        for part in vectors.split(2):
            coarse.update(weights[0], part, nearest_direction(part, weights[0]), generator())
        fine.update(weights[1], vectors, nearest_direction(vectors, weights[1]), generator())
    torch.testing.assert_close(coarse.counts.mean(), torch.tensor(4.0), atol=0.3, rtol=0)
    torch.testing.assert_close(fine.counts.mean(), torch.tensor(4.0), atol=0.3, rtol=0)


def test_a_step_of_more_vectors_than_are_remembered_gives_their_mean() -> None:
    """Visits would be forgotten more than once, and count as negative."""
    weight = torch.eye(8)[:2].clone()
    vectors = torch.eye(8)[:2].repeat(8, 1) * 3 + 0.1 * torch.rand(16, 8, generator=generator())
    book = RunningCodebook(weight, visits=1.0)
    book.update(weight, vectors, nearest_direction(vectors, weight), generator())
    torch.testing.assert_close(weight, torch.stack([vectors[::2].mean(0), vectors[1::2].mean(0)]))
