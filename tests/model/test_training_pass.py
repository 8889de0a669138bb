"""The one-pass forward against slow, obvious references, in float64."""

from dataclasses import replace

import pytest
import torch
from networks import TOKENS, make_network
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from snac_plugin.levels import Levels, chunk_sizes
from snac_plugin.model.conditions import Conditions
from snac_plugin.model.network import SnacDiT
from snac_plugin.model.training_pass import all_stages, training_layout
from snac_plugin.model.visibility import Role, Segment

EXACT = 1e-10
TABLES = {
    "default": {},
    "B sees only A, D sees only C": {"within": {"B": ["A"], "C": ["B"]}, "context": {"B": ["A"]}},
    "no cross-level": {"within": "none", "context": "same"},
    "levels of one chunk only": {"context": "none"},
}


def window(levels: Levels, frames: int, chunks: int, batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    clean, noised = (torch.randn(batch, levels.channels, frames, generator=generator, dtype=torch.float64) for _ in range(2))
    return clean, noised, torch.rand(batch, chunks, len(levels), generator=generator, dtype=torch.float64)


def dense_mask(network: SnacDiT, frames: int, context: int) -> Tensor:
    """The table of the design, token by token: [N, N] bool for clean tokens of all chunks, then noised ones."""
    levels, size = network.levels, network.config.chunk_frames
    within, across = zip(*network.config.visibility.resolved(levels.names), strict=True)
    tokens = []
    for role in ("clean", "noised"):
        for chunk, count in enumerate(chunk_sizes(frames, size)):
            for level, per_frame in enumerate(network.tokens_per_frame):
                tokens += [(role, chunk, level)] * (count * per_frame)
    mask = torch.zeros(len(tokens), len(tokens), dtype=torch.bool)
    for i, (role, chunk, level) in enumerate(tokens):
        for j, (key_role, key_chunk, key_level) in enumerate(tokens):
            itself = (role, chunk, level) == (key_role, key_chunk, key_level)
            earlier = chunk - context <= key_chunk < chunk and key_level in across[level]
            finished = key_chunk == chunk and key_level in within[level]
            mask[i, j] = itself or (key_role == "clean" and (earlier or finished))
    return mask


def dense_reference(
    network: SnacDiT, clean: Tensor, noised: Tensor, t: Tensor, context: int, embedding: Tensor | None
) -> list[Tensor]:
    """Every token in one masked attention, per-token modulation, no segment left out."""
    levels, size = network.levels, network.config.chunk_frames
    frames = clean.shape[-1]
    lengths = tuple(tuple(n * k for k in network.tokens_per_frame) for n in chunk_sizes(frames, size))
    everything = training_layout(lengths, replace(network.visibility, context_chunks=len(lengths)), 0, 0)[0]
    clean_segments = [
        replace(s, role=Role.CLEAN) for s in everything if s.role is Role.NOISED
    ]  # the noised ones name each (chunk, level) once
    segments = [*clean_segments, *(replace(s, role=Role.NOISED) for s in clean_segments)]
    pieces, noise_levels, points = [], [], {}
    for s in segments:
        source = clean if s.role is Role.CLEAN else noised
        latents = levels.unpack_latents(source[..., s.chunk * size : (s.chunk + 1) * size])[s.level]
        points[s] = latents
        pieces.append(network.embed_codes(s.level, latents, s.role))
        noise_levels.append(t[:, s.chunk, s.level] if s.role is Role.NOISED else torch.zeros_like(t[:, 0, 0]))
    conditions = Conditions(embedding=embedding)
    embedded = network.embed_segments(segments, torch.stack(noise_levels, 1), conditions)
    mask = dense_mask(network, frames, context)
    hidden = network.trunk(
        torch.cat(pieces, 1),
        network.tokens(segments, conditions),
        embedded,
        lambda block, q, k, v: scaled_dot_product_attention(q, k, v, attn_mask=mask),
    )
    by_segment = dict(zip(segments, hidden.split([s.length for s in segments], dim=1), strict=True))
    outputs = []
    for level in range(len(levels)):
        mine = [s for s in segments if s.role is Role.NOISED and s.level == level]
        out = [network.read_out(level, by_segment[s], [s.length], embedded[:, [segments.index(s)]], points[s]) for s in mine]
        outputs.append(torch.cat(out, 1))
    return outputs


@pytest.mark.parametrize("context", [0, 1, 2])
@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_segment_attention_equals_one_dense_mask(levels: Levels, table: dict, context: int) -> None:
    """A call that lets a query see one segment too many or too few differs from the token-by-token table."""
    if len(levels) == 3:
        table = {k: v if isinstance(v, str) else {a: b for a, b in v.items() if a in "ABC"} for k, v in table.items()}
    network = make_network(levels, visibility=table, long_skips=True, global_cond_dim=5)
    clean, noised, t = window(levels, frames=8, chunks=3)
    embedding = torch.randn(2, 5, dtype=torch.float64)
    fast = all_stages(network, clean, noised, t, Conditions(embedding=embedding), context_chunks=context)
    slow = dense_reference(network, clean, noised, t, context, embedding)
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=EXACT)


@pytest.mark.parametrize("tokens", TOKENS.values(), ids=TOKENS)
def test_patches_equal_one_dense_mask(levels: Levels, tokens: dict) -> None:
    """With fewer tokens than codes the segments are as many and see the same; the last chunk is a frame short."""
    network = make_network(levels, **tokens)
    clean, noised, t = window(levels, frames=8, chunks=3)
    fast = all_stages(network, clean, noised, t, Conditions(), context_chunks=1)
    slow = dense_reference(network, clean, noised, t, 1, None)
    assert [output.shape[1] for output in fast] == [8 * count for count in levels.per_frame]
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=EXACT)


@pytest.mark.parametrize("tokens", TOKENS.values(), ids=TOKENS)
def test_a_noised_stage_reaches_no_other_stage(levels: Levels, tokens: dict) -> None:
    """Changing one stage's noised tokens changes no other output, and no gradient flows there."""
    network = make_network(levels, **tokens)
    clean, noised, t = window(levels, frames=9, chunks=3)
    noised.requires_grad_()
    outputs = all_stages(network, clean, noised, t, Conditions())
    for level, output in enumerate(outputs):
        per_chunk = output.split(3 * levels.per_frame[level], dim=1)
        for chunk, mine in enumerate(per_chunk):
            (gradient,) = torch.autograd.grad(mine.sum(), noised, retain_graph=True)
            for other, g in enumerate(levels.unpack_latents(gradient)):
                for other_chunk, piece in enumerate(g.split(3 * levels.per_frame[other], dim=1)):
                    assert bool(piece.any()) == (other == level and other_chunk == chunk)


@pytest.mark.parametrize("tokens", TOKENS.values(), ids=TOKENS)
def test_clean_tokens_reach_exactly_the_stages_that_may_see_them(levels: Levels, tokens: dict) -> None:
    """A target that saw its own clean tokens would be trained to copy."""
    network = make_network(levels, **tokens)
    clean, noised, t = window(levels, frames=9, chunks=3)
    clean.requires_grad_()
    outputs = all_stages(network, clean, noised, t, Conditions(), context_chunks=1)
    for level, output in enumerate(outputs):
        last_chunk = output.split(3 * levels.per_frame[level], dim=1)[1]
        (gradient,) = torch.autograd.grad(last_chunk.sum(), clean, retain_graph=True)
        for other, g in enumerate(levels.unpack_latents(gradient)):
            before, same, after = g.split(3 * levels.per_frame[other], dim=1)
            assert before.any()
            assert bool(same.any()) == (other < level)
            assert not after.any()


@pytest.mark.parametrize("tokens", TOKENS.values(), ids=TOKENS)
def test_one_pass_equals_a_pass_per_stage(levels: Levels, tokens: dict) -> None:
    """Training all stages at once must give what separate passes give, in values and in gradients of the weights."""
    network = make_network(levels, **tokens)
    clean, noised, t = window(levels, frames=9, chunks=3)
    together = all_stages(network, clean, noised, t, Conditions())
    sum(output.square().sum() for output in together).backward()
    gradients = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    network.zero_grad()
    for chunk in range(3):
        for level in range(len(levels)):
            other_noise = torch.randn_like(noised)
            rows = levels.unpack_latents(other_noise)
            span = slice(chunk * 3 * levels.per_frame[level], (chunk + 1) * 3 * levels.per_frame[level])
            rows[level][:, span] = levels.unpack_latents(noised)[level][:, span]
            alone = torch.rand_like(t)
            alone[:, chunk, level] = t[:, chunk, level]
            output = all_stages(network, clean, levels.pack_latents(rows), alone, Conditions())[level][:, span]
            torch.testing.assert_close(output, together[level][:, span], rtol=0, atol=EXACT)
            output.square().sum().backward()
    for a, b in zip(gradients, (p.grad for p in network.parameters() if p.grad is not None), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("context", [0, 1])
def test_of_stages_that_are_not_trained_only_what_others_see_is_computed(levels: Levels, context: int) -> None:
    """Outputs and gradients of some stages are those of all; nothing is computed that none of them sees."""
    network = make_network(levels)
    clean, noised, t = window(levels, frames=6, chunks=2)

    def gradients(stages: tuple[int, ...] | None) -> list[Tensor | None]:
        network.zero_grad()
        outputs = all_stages(network, clean, noised, t, Conditions(), context_chunks=context, stages=stages)
        chosen = outputs if stages else [outputs[0], outputs[2]]
        sum(output.square().sum() for output in chosen).backward()
        return [*chosen, *(p.grad for p in network.parameters())]

    for a, b in zip(gradients((0, 2)), gradients(None), strict=True):
        if a is None:
            assert b is None or not b.any()
        else:
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    sizes = tuple(tuple(3 * count for count in levels.per_frame) for _ in range(2))
    visibility = replace(network.visibility, context_chunks=context)
    coarsest, whole = (training_layout(sizes, visibility, stages=stages)[0] for stages in ((0,), None))
    seen = {s.level for s in coarsest if s.role is Role.CLEAN}
    assert {s.level for s in coarsest if s.role is Role.NOISED} == {0}
    assert seen == (set(range(len(levels))) if context else set())  # the context's levels
    assert len(coarsest) < len(whole)


def test_padding_is_seen_by_nobody(levels: Levels) -> None:
    """What stands in padded frames must not change any output outside them."""
    network = make_network(levels)
    clean, noised, t = window(levels, frames=9, chunks=3)
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[0, 4:] = False
    changed = [x.clone() for x in (clean, noised)]
    for x in changed:
        x[0, :, 4:] = 99.0
    first = all_stages(network, clean, noised, t, Conditions(), frame_mask=mask)
    second = all_stages(network, *changed, t, Conditions(), frame_mask=mask)
    for level, (a, b) in enumerate(zip(first, second, strict=True)):
        kept = 4 * levels.per_frame[level]
        assert torch.equal(a[0, :kept], b[0, :kept])
        assert torch.equal(a[1], b[1])
        assert b.isfinite().all()


@pytest.mark.parametrize(
    "options", [{"modulation": "adaln_zero"}, {"level_adapter_rank": 3}, {"head": "logits"}, {"qk_norm": False}]
)
def test_options_keep_stages_apart(levels: Levels, options: dict) -> None:
    """Every optional part works on segments alone, so that it cannot mix stages."""
    network = make_network(levels, **options)
    clean, noised, t = window(levels, frames=6, chunks=2)
    outputs = all_stages(network, clean, noised, t, Conditions())
    width = levels.codebook_size if "head" in options else levels.codebook_dim
    assert [o.shape[1:] for o in outputs] == [(6 * k, width) for k in levels.per_frame]
    changed = levels.unpack_latents(noised)
    changed[-1] = changed[-1] + 1
    again = all_stages(network, clean, levels.pack_latents(changed), t, Conditions())
    assert all(torch.equal(a, b) for a, b in zip(outputs[:-1], again[:-1], strict=True))
    assert not torch.allclose(outputs[-1], again[-1])


def test_a_token_stands_at_the_centre_of_its_codes(levels: Levels) -> None:
    """One token a frame and level: all levels stand where the coarsest does, and each token is made of its own codes alone."""
    network = make_network(levels, patch="frame")
    for level, count in enumerate(levels.per_frame):
        torch.testing.assert_close(network._positions(Segment(Role.CLEAN, 1, level, 3)), levels.positions(0, 3, 3).double())
        latents = torch.randn(1, 3 * count, levels.codebook_dim, dtype=torch.float64, requires_grad=True)
        tokens = network.embed_codes(level, latents, Role.CLEAN)
        (gradient,) = torch.autograd.grad(tokens[0, 1].sum(), latents)
        assert gradient[0].any(dim=-1).nonzero().flatten().tolist() == list(range(count, 2 * count))
