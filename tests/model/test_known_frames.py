"""Known frames of a chunk against a slow pass for each stage, token by token, in float64."""

import pytest
import torch
from networks import FOUR_LEVELS, TOKENS, make_network
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from snac_plugin.diffusion.guidance import Guidance
from snac_plugin.levels import Levels, pick_frames
from snac_plugin.model.blocks import Tokens
from snac_plugin.model.chunk_in_progress import ChunkInProgress
from snac_plugin.model.conditions import Conditions, Prompt
from snac_plugin.model.network import SnacDiT
from snac_plugin.model.training_pass import KnownFrames, all_stages, unknown_frames
from snac_plugin.model.visibility import Role, Segment

EXACT = 1e-10
SIZE = 3  # frames of a chunk
PATTERNS: dict[str, KnownFrames] = {
    "past and future": ((), (0, 2), (0,)),
    "the chunk after": ((1, 3, 4, 5), (3, 4), (0, 1)),
    "the first chunk alone": ((0, 1), (), ()),
}
TABLES = {
    "default": {},
    "B sees only A, D sees only C": {"within": {"B": ["A"], "C": ["B"]}, "context": {"B": ["A"]}},
    "no cross-level": {"within": "none", "context": "same"},
}


def window(levels: Levels, chunks: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = (2, levels.channels, SIZE * chunks)
    clean, noised = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return clean, noised, torch.rand(2, chunks, len(levels), generator=generator, dtype=torch.float64)


def table_of(network: SnacDiT, tokens: list[tuple[str, int, int]], context: int) -> Tensor:
    """The design's table for one chunk: tokens are (kind, chunk, level); [N, N] bool."""
    within, across = zip(*network.config.visibility.resolved(network.levels.names), strict=True)
    mask = torch.zeros(len(tokens), len(tokens), dtype=torch.bool)
    for i, (kind, chunk, level) in enumerate(tokens):
        for j, (key_kind, key_chunk, key_level) in enumerate(tokens):
            itself = (kind, chunk, level) == (key_kind, key_chunk, key_level)
            earlier = key_kind == "earlier" and chunk - context <= key_chunk < chunk and key_level in across[level]
            if kind == "earlier":
                seen = key_kind == "earlier" and key_chunk == chunk and key_level in within[level]
            elif key_kind == "known":
                seen = key_level in across[level]
            else:
                seen = kind in ("finished", "noised") and key_kind == "finished" and key_level in within[level]
            mask[i, j] = itself or earlier or seen
    return mask


def slow_stage(
    network: SnacDiT, clean: Tensor, noised: Tensor, t: Tensor, chunk: int, level: int, known: tuple[int, ...], context: int
) -> Tensor:
    """One stage by itself: every token a segment of its own, one masked attention; the output of the unknown frames."""
    levels = network.levels
    unknown = unknown_frames(SIZE, known)
    groups = [("earlier", c, each, range(SIZE)) for c in range(chunk) for each in range(len(levels))]
    groups += [("known", chunk, each, known) for each in range(len(levels))]
    groups += [("finished", chunk, each, unknown) for each in range(level)] + [("noised", chunk, level, unknown)]
    pieces, described, positions = [], [], []
    for kind, c, each, frames in groups:
        role = Role.NOISED if kind == "noised" else Role.CLEAN
        source = levels.unpack_latents(noised if kind == "noised" else clean)[each]
        patch, count = network.patches[each], network.tokens_per_frame[each]
        stride = patch * levels.strides[each] / levels.strides[-1]
        for frame in frames:
            for k in range(count):
                index = (c * SIZE + frame) * count + k
                pieces.append(network.embed_codes(each, source[:, index * patch : (index + 1) * patch], role))
                positions.append((index + 0.5) * stride)
                described.append((kind, c, each))
    segments = [Segment(Role.CLEAN, c, each, 1) for _, c, each in described]
    levels_of_noise = [t[:, chunk, level] if kind == "noised" else torch.zeros_like(t[:, 0, 0]) for kind, _, _ in described]
    embedding = network.embed_segments(segments, torch.stack(levels_of_noise, 1), Conditions())
    angles = network.rotary(torch.tensor(positions, dtype=torch.float64))[0][0, :, ::2]
    tokens = Tokens((1,) * len(pieces), tuple(each for _, _, each in described), angles.cos(), angles.sin())
    mask = table_of(network, described, context)
    hidden = network.trunk(
        torch.cat(pieces, 1), tokens, embedding, lambda _, q, k, v: scaled_dot_product_attention(q, k, v, attn_mask=mask)
    )
    own, frames = len(unknown) * network.tokens_per_frame[level], [chunk * SIZE + frame for frame in unknown]
    points = pick_frames(levels.unpack_latents(noised)[level], frames, levels.per_frame[level])
    return network.read_out(level, hidden[:, -own:], [1] * own, embedding[:, -own:], points)


@pytest.mark.parametrize("context", [0, 1, 2])
@pytest.mark.parametrize("known", PATTERNS.values(), ids=PATTERNS)
@torch.no_grad()
def test_one_forward_with_known_frames_equals_a_slow_pass_for_each_stage(levels: Levels, known: KnownFrames, context: int) -> None:
    """A known token that saw an unknown one, a position that slipped, or a stage too many in sight would show."""
    _check_against_slow_passes(make_network(levels, long_skips=True), known, context)


@pytest.mark.parametrize("tokens", TOKENS.values(), ids=TOKENS)
@pytest.mark.parametrize("known", PATTERNS.values(), ids=PATTERNS)
@torch.no_grad()
def test_known_frames_of_patches_equal_a_slow_pass_for_each_stage(levels: Levels, known: KnownFrames, tokens: dict) -> None:
    """Codes that share a token lie in one frame, so they are known together; a code read with another's vector would show."""
    _check_against_slow_passes(make_network(levels, **tokens), known, 1)


def _check_against_slow_passes(network: SnacDiT, known: KnownFrames, context: int) -> None:
    levels = network.levels
    clean, noised, t = window(levels)
    fast = all_stages(network, clean, noised, t, Conditions(), context_chunks=context, known=known)
    for level, output in enumerate(fast):
        lengths = [len(unknown_frames(SIZE, frames)) * levels.per_frame[level] for frames in known]
        for chunk, piece in enumerate(output.split(lengths, dim=1)):
            slow = slow_stage(network, clean, noised, t, chunk, level, known[chunk], context)
            torch.testing.assert_close(piece, slow, rtol=0, atol=EXACT)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
@torch.no_grad()
def test_known_frames_follow_the_table_of_visibility(table: dict) -> None:
    """Known frames are seen as earlier chunks are: of the levels that `context` names."""
    network, known = make_network(FOUR_LEVELS, visibility=table), ((0, 3), (2,))
    clean, noised, t = window(FOUR_LEVELS, chunks=2)
    fast = all_stages(network, clean, noised, t, Conditions(), context_chunks=1, known=known)
    for level, output in enumerate(fast):
        for chunk, piece in enumerate(output.split(2 * FOUR_LEVELS.per_frame[level], dim=1)):
            slow = slow_stage(network, clean, noised, t, chunk, level, known[chunk], 1)
            torch.testing.assert_close(piece, slow, rtol=0, atol=EXACT)


def test_no_unknown_token_reaches_a_known_one_or_another_stage(levels: Levels) -> None:
    """Of a chunk's unknown frames a stage sees its own noise and the finished coarser levels; known frames count at all levels."""
    network, known = make_network(levels), ((1, 3), (1,))
    clean, noised, t = window(levels, chunks=2)
    clean.requires_grad_()
    noised.requires_grad_()
    outputs = all_stages(network, clean, noised, t, Conditions(), context_chunks=1, known=known)
    for level, output in enumerate(outputs):
        for chunk, piece in enumerate(output.split(2 * levels.per_frame[level], dim=1)):
            of_clean, of_noised = torch.autograd.grad(piece.sum(), (clean, noised), retain_graph=True)
            for other in range(len(levels)):
                count = levels.per_frame[other]
                reached, from_clean = (levels.unpack_latents(g)[other].unflatten(1, (-1, count)) for g in (of_noised, of_clean))
                reached, from_clean = reached.any(dim=(0, 2, 3)).tolist(), from_clean.any(dim=(0, 2, 3)).tolist()
                unknown = [chunk * SIZE + frame for frame in (0, 2)]
                assert reached == [other == level and frame in unknown for frame in range(2 * SIZE)]
                shown = {chunk * SIZE + frame for frame in known[chunk]} | ({*range(SIZE)} if chunk else set())
                shown |= {*unknown} if other < level else set()
                assert from_clean == [frame in shown for frame in range(2 * SIZE)]


@pytest.mark.parametrize("known", [(0, 2), (1, 3, 4), (3, 4, 5), ()], ids=str)
@pytest.mark.parametrize("context", [0, 1])
@pytest.mark.parametrize("scale", [1.0, 2.0], ids=["unguided", "guided"])
@pytest.mark.parametrize("tokens", [{}, {"patch": "frame", "read_out": "code"}], ids=["a token for each code", "patches"])
@torch.no_grad()
def test_cached_stages_with_known_frames_equal_recomputing(
    levels: Levels, context: int, known: tuple[int, ...], scale: float, tokens: dict
) -> None:
    """Every stage from the cache, its concatenated channels too, and from the one forward that recomputes all tokens."""
    network = make_network(levels, long_skips=True, input_concat_dim=4, **tokens)
    frames = SIZE * (context + 2)
    clean, noised, t = window(levels, chunks=context + 2)
    told = Conditions(concat=torch.randn(2, 4, frames, dtype=torch.float64))
    pattern = ((),) * context + (known, ())

    def reference(keep: Tensor | None) -> list[Tensor]:
        return all_stages(network, clean, noised, t, told, known=pattern, frame_mask=keep)

    def own(level: int, tokens: Tensor) -> Tensor:
        """Those of the chunk, known frames left out."""
        count = levels.per_frame[level]
        done = SIZE * context * count
        return tokens[:, done : done + len(unknown_frames(SIZE, known)) * count]

    start = SIZE * context
    shown = torch.arange(frames).expand(2, -1) >= start  # what guidance leads away from has no context, but the known frames
    plain, blank = reference(None), reference(shown)
    latents = clean[..., [start + frame for frame in known]] if known else None
    ahead = told.of_frames(0, start + max([SIZE, *(frame + 1 for frame in known)]))
    prompt = Prompt(ahead, None, clean[..., :start] if context else None, None, latents, known)
    chunk = ChunkInProgress(network, prompt, 2, Guidance(scale))
    for level in range(len(levels)):
        wanted = [start + frame for frame in unknown_frames(SIZE, known)]
        x, finished = (pick_frames(levels.unpack_latents(z)[level], wanted, levels.per_frame[level]) for z in (noised, clean))
        at = t[:, context, level]
        found = chunk.denoiser(level, lambda _level, output, _x, _t: output)(x, at)
        expected = Guidance(scale).combine(own(level, plain[level]), own(level, blank[level] if context else plain[level]), at)
        torch.testing.assert_close(found, expected, rtol=0, atol=EXACT)
        chunk.append(level, finished)


@torch.no_grad()
def test_with_nothing_known_nothing_changes(levels: Levels) -> None:
    network = make_network(levels)
    clean, noised, t = window(levels)
    plain = all_stages(network, clean, noised, t, Conditions())
    assert all(
        torch.equal(a, b) for a, b in zip(plain, all_stages(network, clean, noised, t, Conditions(), known=((),) * 3), strict=True)
    )


@torch.no_grad()
def test_known_padding_is_seen_by_nobody(levels: Levels) -> None:
    network, known = make_network(levels), ((), (0, 2))
    clean, noised, t = window(levels, chunks=2)
    mask = torch.ones(2, 2 * SIZE, dtype=torch.bool)
    mask[0, -1] = False
    other = clean.clone()
    other[0, :, -1] = 99.0
    first, second = (all_stages(network, z, noised, t, Conditions(), frame_mask=mask, known=known) for z in (clean, other))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    whole = all_stages(network, clean, noised, t, Conditions(), known=known)
    assert not torch.equal(first[0][0], whole[0][0])
