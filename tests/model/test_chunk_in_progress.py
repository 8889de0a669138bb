"""Generation from cached keys and values against recomputing everything, in float64."""

from dataclasses import replace

import pytest
import torch
from networks import FOUR_LEVELS, TOKENS, make_network

from snac_plugin.errors import UsageError
from snac_plugin.levels import Levels
from snac_plugin.model.chunk_in_progress import ChunkInProgress
from snac_plugin.model.conditions import Conditions, Prompt
from snac_plugin.model.training_pass import all_stages
from snac_plugin.model.visibility import Role, Segment

CONDITIONED = {"cond_token_dim": 6, "global_cond_dim": 5, "prepend_cond_dim": 7, "input_concat_dim": 4}


def conditions(frames: int) -> Conditions:
    generator = torch.Generator().manual_seed(2)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(2, *shape, generator=generator, dtype=torch.float64)

    mask = torch.tensor([[True, True, False], [True, True, True]])
    return Conditions(draw(3, 6), mask, draw(5), draw(3, 7), mask, draw(4, frames))


@pytest.mark.parametrize("context", [0, 1, 2], ids=lambda k: f"{k} chunks of context")
@pytest.mark.parametrize("conditioned", [False, True], ids=["unconditional", "conditioned"])
@pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])
@pytest.mark.parametrize("tokens", TOKENS.values(), ids=TOKENS)
def test_cached_stages_equal_recomputing(levels: Levels, tokens: dict, context: int, conditioned: bool, padded: bool) -> None:
    """Every stage, from the cache and from the one forward that recomputes all tokens: the same numbers."""
    network = make_network(levels, long_skips=True, **tokens, **(CONDITIONED if conditioned else {}))
    size, frames = 3, 3 * (context + 1)
    clean, noised = (torch.randn(2, levels.channels, frames, dtype=torch.float64) for _ in range(2))
    t = torch.rand(2, context + 1, len(levels), dtype=torch.float64)
    told = conditions(frames) if conditioned else Conditions()
    mask = torch.ones(2, frames, dtype=torch.bool)
    if padded and context:
        mask[0, :2] = False
    reference = all_stages(network, clean, noised, t, told, frame_mask=mask)

    past = clean[..., : context * size]
    chunk = ChunkInProgress(network, Prompt(told, None, past, mask[:, : context * size]), 2)
    for level in range(len(levels)):
        span = slice(context * size * levels.per_frame[level], None)
        stage = chunk.outputs(level)
        x = levels.unpack_latents(noised)[level][:, span]
        stage(torch.randn_like(x), torch.rand(2, dtype=torch.float64))  # an earlier step must leave nothing behind
        torch.testing.assert_close(stage(x, t[:, -1, level]), reference[level][:, span], rtol=0, atol=1e-10)
        chunk.append(level, levels.unpack_latents(clean)[level][:, span])


@pytest.mark.parametrize("context", [0, 1, 2], ids=lambda k: f"{k} chunks of context")
def test_a_vector_for_each_chunk_is_the_same_in_training_and_generation(levels: Levels, context: int) -> None:
    """Each chunk, as target and as context, is modulated by its own position; prepended tokens by that of no chunk."""
    network = make_network(levels, **CONDITIONED, context_chunks=2)
    frames = 3 * (context + 1)
    clean, noised = (torch.randn(2, levels.channels, frames, dtype=torch.float64) for _ in range(2))
    t = torch.rand(2, context + 1, len(levels), dtype=torch.float64)
    table = torch.randn(2, 1 + 2 + 4, 5, dtype=torch.float64)  # no chunk, two before the piece, four in it
    told = replace(conditions(frames), embedding=table)
    reference = all_stages(network, clean, noised, t, told.of_chunks(2, context + 1))
    chunk = ChunkInProgress(network, Prompt(told, None, clean[..., : context * 3]).of_chunks(2, context + 1), 2)
    for level in range(len(levels)):
        span = slice(context * 3 * levels.per_frame[level], None)
        x = levels.unpack_latents(noised)[level][:, span]
        torch.testing.assert_close(chunk.outputs(level)(x, t[:, -1, level]), reference[level][:, span], rtol=0, atol=1e-10)
        chunk.append(level, levels.unpack_latents(clean)[level][:, span])


def test_positions_of_other_chunks_change_nothing(levels: Levels) -> None:
    """A target that is moved by another chunk's position, or by none, would have learned nothing of its own."""
    network = make_network(levels, global_cond_dim=5, context_chunks=0)
    clean, noised = (torch.randn(2, levels.channels, 6, dtype=torch.float64) for _ in range(2))
    t = torch.rand(2, 2, len(levels), dtype=torch.float64)
    table = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    outputs = all_stages(network, clean, noised, t, Conditions(embedding=table), context_chunks=0)
    for level, output in enumerate(outputs):
        (gradient,) = torch.autograd.grad(output[:, 3 * levels.per_frame[level] :].sum(), table, retain_graph=True)
        assert not gradient[:, :2].any()
        assert gradient[:, 2].any()


def test_chunks_beyond_the_piece_have_no_position() -> None:
    table = Conditions(embedding=torch.zeros(1, 4, 5))
    assert table.of_chunks(2, 1).embedding is not None
    with pytest.raises(UsageError, match="a piece that ends before chunk 4"):
        table.of_chunks(3, 1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_positions_of_a_converted_network_are_not_rounded(dtype: torch.dtype) -> None:
    """In bfloat16 token 500 would turn like token 502, and tokens of the finest level would share places."""
    exact = make_network(FOUR_LEVELS).float()
    segments = [Segment(Role.NOISED, 200, 3, 3 * FOUR_LEVELS.per_frame[3])]
    before = exact.tokens(segments, Conditions())
    after = exact.to(dtype).tokens(segments, Conditions())
    assert torch.equal(after.cos, before.cos)
    assert torch.equal(after.sin, before.sin)
