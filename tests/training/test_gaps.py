"""Which frames training shows, and that the loss is that of all others."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from known import make_model, random_codes
from networks import FOUR_LEVELS
from tiny import CHUNK_FRAMES, tiny_model_config, write_tiny_codec

from snac_plugin.config.training_keys import InfillSection
from snac_plugin.levels import Levels, pick_frames
from snac_plugin.model.conditions import Conditions
from snac_plugin.model.training_pass import KnownFrames, all_stages
from snac_plugin.plugin import builders
from snac_plugin.plugin.training_builders import training_wrapper
from snac_plugin.training.gaps import draw_gaps
from snac_plugin.training.stage_losses import Draw, draw_step, stage_losses

SIZES = [12, 12, 12]


def drawn(count: int = 200, sizes: list[int] = SIZES, context: int = 1, **keys: Any) -> list[KnownFrames]:
    infill = InfillSection(**{"share": 1.0} | keys)
    return [draw_gaps(infill, sizes, context, torch.Generator().manual_seed(seed)) for seed in range(count)]


def gaps_of(known: tuple[int, ...], size: int = 12) -> list[tuple[int, int]]:
    """(first, stop) of each run of unknown frames of a chunk."""
    unknown = [frame not in known for frame in range(size)]
    edges = [i for i in range(size + 1) if (i > 0 and unknown[i - 1]) != (i < size and unknown[i])]
    return list(zip(edges[::2], edges[1::2], strict=True))


@pytest.mark.parametrize("kind", ["prefix", "suffix", "middle", "several", "whole"])
def test_gaps_lie_where_their_name_says(kind: str) -> None:
    patterns = [known for draw in drawn(gaps={kind: 1.0}, length=(0.25, 0.5)) for known in draw]
    gaps = [gaps_of(known) for known in patterns]
    lengths = {stop - first for one in gaps for first, stop in one}
    if kind == "several":
        assert {len(one) for one in gaps} == {2, 3}
    elif kind == "whole":
        assert all(one == [(0, 12)] for one in gaps)
    else:
        assert all(len(one) == 1 for one in gaps)
        assert lengths == {3, 4, 5, 6}
        assert {one[0][0] for one in gaps if kind == "prefix"} <= {0}
        assert {one[0][1] for one in gaps if kind == "suffix"} <= {12}
    if kind == "middle":
        assert len({one[0][0] for one in gaps}) > 6


def test_spans_cover_the_share_that_is_drawn_and_lie_anywhere() -> None:
    """EzAudio's masks: spans of `span` frames until the ratio is reached. Spans on a fixed grid would teach the grid."""
    patterns = [known for draw in drawn(gaps={"spans": 1.0}, length=(0.25, 0.75), span=3, after=0.0) for known in draw]
    unknown = [{*range(12)} - {*known} for known in patterns]
    assert {len(frames) for frames in unknown} == set(range(3, 10))
    starts = {first for known in patterns for first, _ in gaps_of(known)}
    assert starts == set(range(12))
    covered = [sum(frame in frames for frames in unknown) / len(unknown) for frame in range(12)]
    assert max(covered) - min(covered) < 0.12


def test_frames_of_the_chunk_after_are_shown_where_there_is_one() -> None:
    draws = drawn(after=0.5, gaps={"prefix": 1.0})
    ahead = [[frame - 12 for frame in known if frame >= 12] for draw in draws for known in draw[:2]]
    assert 0.4 < sum(map(bool, ahead)) / len(ahead) < 0.6
    assert all(frames == list(range(frames[0], 12)) for frames in ahead if frames)
    assert {frames[0] for frames in ahead if frames} == set(range(12))
    assert all(max(draw[2]) < 12 for draw in draws)


def test_the_share_is_that_of_steps_and_without_context_chunks_are_apart() -> None:
    draws = drawn(1000, share=0.3)
    assert 0.25 < sum(map(bool, draws)) / 1000 < 0.35
    for draw in drawn(100, [12, 12, 5], context=0):
        assert draw[0] == draw[1]
        assert max((*draw[0], 0)) < 12
        assert len(draw[2]) < 5
        assert set(draw[2]) <= set(draw[0])


def step(levels: Levels, head: str, context: int, known: KnownFrames) -> tuple[Any, torch.Tensor, Draw]:
    model = make_model(levels, head=head, context_chunks=1)
    codes = random_codes(model.levels, 6)
    generator = torch.Generator().manual_seed(0)
    draw = draw_step(codes, model.levels, 2, context, [("uniform", {})] * len(levels), [0.0], generator)
    return model, codes, replace(draw, known=known)


@pytest.mark.parametrize("head", ["velocity", "posterior"])
def test_the_loss_is_the_plain_formula_over_unknown_frames(levels: Levels, head: str) -> None:
    known, unknown = ((1, 4), (0,)), [0, 2, 4, 5]
    model, codes, draw = step(levels, head, 1, known)
    losses, outputs = stage_losses(model, codes, draw, Conditions(), None)
    data, rows = model.space.from_codes(codes), list(model.levels.level_of_rows())
    at = draw.t[:, :, rows].repeat_interleave(8, 2).transpose(1, 2).repeat_interleave(3, 2).double()
    noised = model.objective.noised(data, draw.noise.double(), at)
    expected = all_stages(model.network, data, noised, draw.t.double(), Conditions(), context_chunks=1, known=known)
    targets = model.levels.unpack_latents(model.objective.target(data, draw.noise.double(), at))
    for level, output in enumerate(expected):
        count = levels.per_frame[level]
        if head == "velocity":
            loss = (output - pick_frames(targets[level], unknown, count)).square().mean()
        else:
            points, times = (pick_frames(model.levels.unpack_latents(x)[level], unknown, count) for x in (noised, at))
            says = model.logits(level, output, points, times[..., 0]).log_softmax(-1)
            loss = -says.gather(-1, pick_frames(model.levels.unpack(codes)[level], unknown, count)[..., None]).mean()
        torch.testing.assert_close(losses[level].double(), loss, rtol=1e-5, atol=0)
        assert outputs[level].shape[1] == len(unknown) * count


def test_noise_on_known_frames_and_padding_count_for_nothing(levels: Levels) -> None:
    model, codes, draw = step(levels, "logits", 1, ((1, 4), (0,)))
    mask = torch.ones(2, 6, dtype=torch.bool)
    mask[0, 5] = False
    other = draw.noise.clone()
    other[..., [1, 3]] = 9.0
    other[0, :, 5] = 9.0
    first, second = (stage_losses(model, codes, replace(draw, noise=n), Conditions(), mask)[0] for n in (draw.noise, other))
    assert torch.equal(first, second)
    whole = stage_losses(model, codes, draw, Conditions(), None)[0]
    assert not torch.equal(first, whole)


def test_without_context_known_frames_are_those_of_each_chunk(levels: Levels) -> None:
    """Chunks become samples: the mean over both is that of two windows of one chunk."""
    model, codes, draw = step(levels, "logits", 0, ((1,), (1,)))
    together, _ = stage_losses(model, codes, draw, Conditions(), None)
    alone = []
    for c in range(2):
        span = slice(3 * c, 3 * c + 3)
        own = Draw(draw.t[:, c : c + 1], draw.noise[..., span], draw.clean_codes[..., span], 0, ((1,),))
        alone.append(stage_losses(model, codes[..., span], own, Conditions(), None)[0])
    torch.testing.assert_close(together, torch.stack(alone).mean(0), rtol=1e-5, atol=0)


def test_the_key_changes_no_other_draw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs with and without it see the same noise, and ranks the same frames."""
    codec, seen = write_tiny_codec(tmp_path), []

    def spy(model: Any, codes: Any, draw: Draw, *_: Any, **__: Any) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(draw)
        return torch.ones(4), torch.ones(4)

    batch = torch.randint(4096, (2, 15, 2 * CHUNK_FRAMES)), [{}] * 2
    for infill, rank in ((None, 0), ({"share": 1.0}, 0), ({"share": 1.0}, 1)):
        config = tiny_model_config(codec, context_chunks=1)
        config["training"] |= {"infill": infill, "pre_encoded": True, "corruption": 0.3}
        wrapper = training_wrapper(config, builders.model(config))
        monkeypatch.setattr(wrapper, "_log_step", lambda *_: None)
        monkeypatch.setattr(wrapper, "_losses", spy)
        both = SimpleNamespace(reduce=lambda value, reduce_op: value)
        wrapper._trainer = SimpleNamespace(global_step=3, accumulate_grad_batches=1, global_rank=rank, world_size=2, strategy=both)
        wrapper.training_step(batch, 0)
    without, own, other = seen
    assert all(torch.equal(getattr(without, name), getattr(own, name)) for name in ("t", "noise", "clean_codes"))
    assert without.known == ()
    assert any(own.known)
    assert other.known == own.known
    assert not torch.equal(other.noise, own.noise)


def test_training_with_gaps_learns_from_both_sides() -> None:
    """A frame that repeats the one after it is only to be had where the future is shown."""
    model = make_model(FOUR_LEVELS, head="logits", context_chunks=0)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

    def loss(known: KnownFrames) -> torch.Tensor:
        codes = torch.randint(2, (32, 15, 3), generator=generator)
        codes[..., 1] = codes[..., 2]
        draw = draw_step(codes, model.levels, 1, 0, [("uniform", {})] * 4, [0.0], generator)
        draw = replace(draw, known=known, t=torch.ones_like(draw.t))
        return stage_losses(model, codes, draw, Conditions(), None, stages=(0,))[0][0]

    for _ in range(60):
        optimizer.zero_grad()
        loss(((0, 2),)).backward()
        optimizer.step()
    with torch.no_grad():
        shown, hidden = (torch.stack([loss(known) for _ in range(10)]).mean() for known in (((0, 2),), ((0,),)))
    assert shown < 0.1
    assert hidden > 0.5
