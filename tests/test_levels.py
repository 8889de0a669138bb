"""The grid of SNAC's levels: packing there and back, frames, positions."""

import pytest
import torch

from snac_plugin.errors import ConfigError, Mismatch
from snac_plugin.levels import Levels

FOUR = Levels(strides=(8, 4, 2, 1), hop=384, attn_window=32, sample_rate=32000)
THREE = Levels(strides=(4, 2, 1), hop=512, attn_window=None, sample_rate=24000)
BOTH = pytest.mark.parametrize("grid", [FOUR, THREE], ids=["four", "three"])


def ragged_codes(grid: Levels, frames: int, batch: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(4096, (batch, frames * count), generator=generator) for count in grid.per_frame]


@BOTH
@pytest.mark.parametrize("frames", [1, 5, 64])
def test_pack_and_unpack_of_codes_are_inverses(grid: Levels, frames: int) -> None:
    codes = ragged_codes(grid, frames)
    packed = grid.pack(codes)
    assert packed.shape == (2, grid.rows, frames)
    assert all(torch.equal(a, b) for a, b in zip(codes, grid.unpack(packed), strict=True))
    assert torch.equal(grid.pack(grid.unpack(packed)), packed)


@BOTH
def test_rows_are_level_by_level_in_the_order_of_time(grid: Levels) -> None:
    """The slow reference: row r of frame t is the (r - first row of its level)-th code of that frame."""
    codes = ragged_codes(grid, 3)
    packed = grid.pack(codes)
    row = 0
    for level, count in enumerate(grid.per_frame):
        for within in range(count):
            for frame in range(3):
                assert torch.equal(packed[:, row, frame], codes[level][:, frame * count + within])
            assert grid.level_of_rows()[row] == level
            row += 1
    assert row == grid.rows


@BOTH
def test_pack_and_unpack_of_latents_are_inverses_and_follow_the_codes(grid: Levels) -> None:
    """Row r of packed codes and channels 8 r .. 8 r + 7 of packed latents belong to the same code."""
    codes = ragged_codes(grid, 4)
    vectors = [torch.stack([c.float() * 8 + d for d in range(8)], dim=-1) for c in codes]
    packed = grid.pack_latents(vectors)
    assert packed.shape == (2, grid.channels, 4)
    assert all(torch.equal(a, b) for a, b in zip(vectors, grid.unpack_latents(packed), strict=True))
    assert torch.equal(packed[:, ::8] / 8, grid.pack(codes).float())


def test_the_numbers_of_the_published_codecs() -> None:
    assert (FOUR.frame_samples, FOUR.rows, FOUR.channels, FOUR.grid_frames, FOUR.names) == (3072, 15, 120, 4, "ABCD")
    assert (THREE.frame_samples, THREE.rows, THREE.channels, THREE.grid_frames, THREE.names) == (2048, 7, 56, 1, "ABC")
    assert [FOUR.frames_for(n) for n in (1, 3072, 3073, 196_608)] == [1, 1, 2, 64]


@BOTH
def test_a_coarse_code_lies_at_the_middle_of_the_finer_codes_it_covers(grid: Levels) -> None:
    finest = grid.positions(len(grid) - 1, 6)
    for level in range(len(grid)):
        covered = finest.view(-1, grid.strides[level]).mean(1)
        torch.testing.assert_close(grid.positions(level, 6), covered)
        torch.testing.assert_close(grid.positions(level, 2, first_frame=4), covered[-2 * grid.per_frame[level] :])


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(Mismatch, match="level B: found 3 codes, expected 2 codes"):
        FOUR.pack([torch.zeros(1, 1), torch.zeros(1, 3), torch.zeros(1, 4), torch.zeros(1, 8)])
    with pytest.raises(Mismatch, match="3 levels"):
        FOUR.pack([torch.zeros(1, 1)] * 3)
    with pytest.raises(Mismatch, match=r"\[batch, 15, frames\]"):
        FOUR.unpack(torch.zeros(1, 7, 4))
    with pytest.raises(Mismatch, match=r"\[batch, 120, frames\]"):
        FOUR.unpack_latents(torch.zeros(1, 56, 4))
    with pytest.raises(ConfigError, match="vq_strides"):
        Levels(strides=(1, 2, 4), hop=384, attn_window=None, sample_rate=32000)
