"""Code vectors to latents and back: standardised, nearest by difference."""

import pytest
import torch

from snac_plugin.latents import LatentSpace
from snac_plugin.levels import Levels

FOUR = Levels(strides=(8, 4, 2, 1), hop=384, attn_window=32, sample_rate=32000)
THREE = Levels(strides=(4, 2, 1), hop=512, attn_window=None, sample_rate=24000)


def space_of(levels: Levels, offset: float = 3.0, spread: float = 1.0) -> LatentSpace:
    torch.manual_seed(0)
    scale = torch.linspace(0.1, 10, 8) * spread
    return LatentSpace(levels, [offset + scale * torch.randn(4096, 8) for _ in range(len(levels))])


@pytest.mark.parametrize("levels", [FOUR, THREE], ids=["four", "three"])
def test_every_code_comes_back_exactly(levels: Levels) -> None:
    """Rounding in |x|^2 - 2 x.c + |c|^2 would confuse codes that lie close together."""
    space = space_of(levels)
    space.codebooks[:, 1] = space.codebooks[:, 0] + 1e-4
    frames = 4096
    codes = torch.arange(frames).expand(1, levels.rows, frames)
    assert torch.equal(space.to_codes(space.from_codes(codes)), codes)


def test_equal_codes_decode_alike() -> None:
    """Two rows of a codebook may be the same vector; which of them comes back must not be heard."""
    space = space_of(FOUR)
    space.codebooks[:, 7] = space.codebooks[:, 5]
    latents = space.from_codes(torch.full((1, 15, 3), 7))
    assert torch.equal(space.from_codes(space.to_codes(latents)), latents)


def test_latents_have_unit_variance_over_the_codebook() -> None:
    space = space_of(THREE)
    torch.testing.assert_close(space.codebooks.mean(1), torch.zeros(3, 8), atol=1e-5, rtol=0)
    torch.testing.assert_close(space.codebooks.std(1), torch.ones(3, 8), atol=1e-4, rtol=0)


def test_nearest_agrees_with_brute_force() -> None:
    space = space_of(FOUR)
    points = torch.randn(300, 8) * 1.5
    slow = (points.double()[:, None] - space.codebooks[2].double()).square().sum(-1).argmin(1)
    assert torch.equal(space.nearest(2, points), slow)


def test_vectors_go_there_and_back() -> None:
    space = space_of(FOUR)
    vectors = [torch.randn(2, 8, 3 * count, requires_grad=True) for count in FOUR.per_frame]
    back = space.to_vectors(space.from_vectors(vectors))
    for before, after in zip(vectors, back, strict=True):
        torch.testing.assert_close(before, after, atol=1e-4, rtol=1e-4)
    back[0].sum().backward()
    torch.testing.assert_close(vectors[0].grad, torch.ones_like(vectors[0]))


def test_a_dimension_without_spread_gives_finite_latents() -> None:
    space = LatentSpace(THREE, [torch.ones(16, 8) for _ in range(3)])
    assert torch.isfinite(space.from_codes(torch.zeros(1, 7, 2, dtype=torch.long))).all()


def test_a_callers_autocast_does_not_change_codes() -> None:
    space = space_of(FOUR)
    space.codebooks[0, :256] = space.codebooks[0, :1] + 0.02 * torch.randn(256, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(space.nearest(0, space.codebooks[0]), torch.arange(4096))


def test_products_rounded_as_in_tf32_do_not_change_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU may multiply float32 matrices with ten bits; a set of codes that lie close must still be told apart."""
    space = space_of(FOUR)
    space.codebooks[0, :256] = space.codebooks[0, :1] + 0.02 * torch.randn(256, 8)
    exact = torch.Tensor.__matmul__

    def rounded(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return exact(*((x.view(torch.int32) & ~0x1FFF).view(torch.float32) for x in (a.contiguous(), b.contiguous())))

    monkeypatch.setattr(torch.Tensor, "__matmul__", rounded)
    assert torch.equal(space.nearest(0, space.codebooks[0]), torch.arange(4096))
