"""Every backbone sees what the visibility table says, in training and in generation."""

import pytest
import torch
from networks import FOUR_LEVELS, make_network
from test_chunk_in_progress import conditions
from test_training_pass import window

from snac_plugin.config.network_keys import BACKBONES
from snac_plugin.model.chunk_in_progress import ChunkInProgress
from snac_plugin.model.conditions import Conditions, Prompt
from snac_plugin.model.training_pass import all_stages

CONDITIONED = {"global_cond_dim": 5, "prepend_cond_dim": 7, "input_concat_dim": 4}
TABLES = {"default": {}, "B sees only A, no D": {"within": {"B": ["A"], "C": ["B"]}, "context": {"A": ["A"], "B": ["A", "B"]}}}
others = pytest.mark.parametrize("backbone", BACKBONES[1:])


def reachable(table: tuple, query: tuple[int, int], context: int) -> set[tuple[int, int]]:
    """The clean (chunk, level) that a noised segment of (chunk, level) depends on, through others too."""
    found: set[tuple[int, int]] = set()
    frontier = [query]
    while frontier:
        chunk, level = frontier.pop()
        within, across = table[level]
        seen = {(chunk, key) for key in within} | {(c, key) for c in range(max(0, chunk - context), chunk) for key in across}
        frontier += seen - found
        found |= seen
    return found


@others
@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_gradients_of_tokens_that_are_not_seen_are_zero(backbone: str, table: dict) -> None:
    """And those of all that are seen are not: a mask that hid too much would train, too."""
    network = make_network(FOUR_LEVELS, backbone=backbone, visibility=table, depth=3)
    clean, noised, t = window(FOUR_LEVELS, frames=9, chunks=3)
    rule = network.config.visibility.resolved("ABCD")
    for level, count in enumerate(FOUR_LEVELS.per_frame):
        inputs = [x.clone().requires_grad_() for x in (clean, noised)]
        outputs = all_stages(network, *inputs, t, Conditions(), context_chunks=1)
        last = outputs[level][:, 2 * 3 * count :]
        by_clean, by_noised = torch.autograd.grad(last.square().sum(), inputs)
        wanted = reachable(rule, (2, level), 1)
        for found, expected in ((by_clean, wanted), (by_noised, {(2, level)})):
            touched = {
                (chunk, key)
                for key, part in enumerate(FOUR_LEVELS.unpack_latents(found))
                for chunk, piece in enumerate(part.chunk(3, dim=1))
                if piece.any()
            }
            assert touched == expected


@others
@pytest.mark.parametrize("context", [0, 2], ids=lambda k: f"{k} chunks of context")
@pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])
def test_generation_gives_what_training_saw(backbone: str, context: int, padded: bool) -> None:
    """Step by step, level by level: the same numbers as the one forward, up to rotary positions that they compute in float32."""
    network = make_network(FOUR_LEVELS, backbone=backbone, patch={"D": 2}, read_out="code", **CONDITIONED)
    frames = 3 * (context + 1)
    clean, noised = (torch.randn(2, FOUR_LEVELS.channels, frames, dtype=torch.float64) for _ in range(2))
    t, told = torch.rand(2, context + 1, 4, dtype=torch.float64), conditions(frames)
    told = Conditions(None, None, told.embedding, told.prepended, told.prepended_mask, told.concat)
    mask = torch.ones(2, frames, dtype=torch.bool)
    if padded and context:
        mask[0, :2] = False
    reference = all_stages(network, clean, noised, t, told, frame_mask=mask)
    chunk = ChunkInProgress(network, Prompt(told, None, clean[..., : 3 * context], mask[:, : 3 * context]), 2)
    exact = 1e-10 if backbone == "magnitude-preserving" else 1e-4
    for level, count in enumerate(FOUR_LEVELS.per_frame):
        span = slice(3 * context * count, None)
        stage, x = chunk.outputs(level), FOUR_LEVELS.unpack_latents(noised)[level][:, span]
        stage(torch.randn_like(x), torch.rand(2, dtype=torch.float64))  # an earlier step must leave nothing behind
        torch.testing.assert_close(stage(x, t[:, -1, level]), reference[level][:, span], rtol=0, atol=exact)
        chunk.append(level, FOUR_LEVELS.unpack_latents(clean)[level][:, span])


@others
def test_noise_level_and_level_reach_the_output(backbone: str) -> None:
    network = make_network(FOUR_LEVELS, backbone=backbone)
    clean, noised, t = window(FOUR_LEVELS, frames=3, chunks=1)
    one, other = (all_stages(network, clean, noised, at, Conditions()) for at in (t, t + torch.tensor([0, 0, 0, 0.1])))
    assert all(torch.equal(a, b) for a, b in zip(one[:3], other[:3], strict=True))
    assert float((one[3] - other[3]).abs().max()) > 1e-4
