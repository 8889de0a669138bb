"""Known frames, kept levels and strengths in the loop over chunks, against the same put together by hand."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from known import KnowsTheAnswer, make_model, random_codes
from networks import FOUR_LEVELS
from test_chunks import SIZE, generated, settings
from torch import Tensor

from snac_plugin.diffusion.objectives import OBJECTIVES
from snac_plugin.diffusion.sampler_names import CODE_SAMPLER, FLOW_SAMPLERS, V_SAMPLERS
from snac_plugin.diffusion.samplers import flow_times, solve, solve_by_codes
from snac_plugin.diffusion.seeds import stage_noise
from snac_plugin.generation.chunks import Known, chunk_starts
from snac_plugin.levels import Levels, pick_frames
from snac_plugin.model.conditions import Prompt
from snac_plugin.model.diffusion_model import SnacDiffusionModel

GAPS = [False, True, True, True, False, False, False, False, True, False, True, True]  # unknown frames


def known(model: SnacDiffusionModel, unknown: list[bool] = GAPS, batch: int = 1) -> Known:
    return Known(random_codes(model.levels, len(unknown), batch, seed=9), ~torch.tensor(unknown))


def edit(model: SnacDiffusionModel, seeds: list[int], given: Known, **how: Any) -> Tensor:
    return generated(model, seeds, replace(settings(model.levels), **how), 0, known=given)


def test_a_chunk_begins_at_what_is_not_known() -> None:
    unknown = torch.tensor([0, 1, 1, 0, 0, 0, 0, 1, 0, 1, 1, 1, 1, 1], dtype=torch.bool)
    assert chunk_starts(~unknown, 3) == [1, 7, 10, 13]
    assert chunk_starts(torch.zeros(6, dtype=torch.bool), 3) == [0, 3]
    assert chunk_starts(torch.ones(6, dtype=torch.bool), 3) == []


@torch.no_grad()
def by_hand(model: SnacDiffusionModel, seeds: list[int], given: Known, steps: int = 2) -> Tensor:
    """Euler's method written out: context, known frames of this chunk and the next, the noise of a whole chunk."""
    levels, keep = model.levels, model.network.config.context_chunks * SIZE
    codes = torch.nn.functional.pad(given.codes.repeat(len(seeds), 1, 1), (0, SIZE))
    shown = [*given.frames.tolist(), *[False] * SIZE]
    for index, start in enumerate(chunk_starts(given.frames, SIZE)):
        past, mask = codes[..., max(0, start - keep) : start], None
        if 0 < past.shape[-1] < SIZE:
            hidden = SIZE - past.shape[-1]
            past = torch.nn.functional.pad(past, (hidden, 0), value=5)
            mask = torch.arange(SIZE).expand(len(seeds), -1) >= hidden
        past = past[..., past.shape[-1] % SIZE :]
        ahead = tuple(frame for frame in range(2 * SIZE) if start + frame < len(shown) and shown[start + frame])
        unknown = [frame for frame in range(SIZE) if not shown[start + frame]]
        latents = [model.space.from_codes(z) if z.shape[-1] else None for z in (past, codes[..., [start + f for f in ahead]])]
        chunk = model.start_chunk(Prompt(context=latents[0], context_mask=mask, known=latents[1], known_frames=ahead), len(seeds))
        done = []
        for level, count in enumerate(levels.per_frame):
            noise = stage_noise(seeds, index, level, (8, SIZE * count), model.space.codebooks)
            x = pick_frames(noise.transpose(1, 2), unknown, count)
            for now, after in itertools.pairwise(flow_times(steps).double()):
                x = x + (after - now) * chunk.denoiser(level, model.velocity)(x, now.expand(len(seeds)))
            done.append(model.space.nearest(level, x))
            chunk.append(level, model.space.level_latents(level, done[-1]))
        codes[..., [start + frame for frame in unknown]] = levels.pack(done)
    return codes[..., : given.codes.shape[-1]]


@pytest.mark.parametrize("context", [0, 1, 2])
def test_gaps_are_filled_from_both_sides_and_known_codes_stay(levels: Levels, context: int) -> None:
    model = make_model(levels, head="logits", context_chunks=context)
    given = known(model)
    found = edit(model, [5, 6], given)
    assert torch.equal(found, by_hand(model, [5, 6], given))
    assert torch.equal(found[..., given.frames], given.codes[..., given.frames].expand(2, -1, -1))
    assert not torch.equal(found[0], found[1])
    other = replace(given, codes=torch.where(torch.arange(len(GAPS)) == 9, (given.codes + 1) % 64, given.codes))
    many = [*range(8)]
    first, second = edit(model, many, given), edit(model, many, other)
    assert not torch.equal(first[..., 8], second[..., 8])  # the future counts
    assert torch.equal(first[..., 1:4], second[..., 1:4])  # what is far away does not


@pytest.mark.parametrize("sampler", ["euler", CODE_SAMPLER])
def test_a_sample_of_an_edit_is_that_of_its_own_seed(sampler: str) -> None:
    model = make_model(FOUR_LEVELS, head="logits", context_chunks=1)
    given, how = known(model), {"samplers": (sampler,) * 4}
    batch = edit(model, [7, 8], given, **how)
    assert torch.equal(batch[1:], edit(model, [8], given, **how))


def test_kept_levels_come_back_and_finer_ones_follow_them(levels: Levels) -> None:
    """Level A of a recording, the finer ones anew: what a chunk gives whose level A had come out so."""
    model = make_model(levels, head="logits", context_chunks=1)
    given = known(model, [True] * 7)
    strengths = (0.0, *[1.0] * (len(levels) - 1))
    found = edit(model, [1, 2], given, strengths=strengths)
    assert torch.equal(found[:, 0], given.codes[:, 0].expand(2, -1))
    assert not (found[:, 1:] == given.codes[:, 1:]).all()
    first = model.start_chunk(Prompt(), 2)
    first.append(0, model.space.level_latents(0, given.codes[:, 0, :SIZE].expand(2, -1)))
    noise = stage_noise([1, 2], 0, 1, (8, SIZE * levels.per_frame[1]), model.space.codebooks)
    x = noise.transpose(1, 2)
    with torch.no_grad():
        for now, after in itertools.pairwise(flow_times(2).double()):
            x = x + (after - now) * first.denoiser(1, model.velocity)(x, now.expand(2))
    assert torch.equal(model.levels.unpack(found)[1][:, : SIZE * levels.per_frame[1]], model.space.nearest(1, x))


def test_a_known_denoiser_gives_its_codes_in_the_gaps_alone() -> None:
    model = make_model(FOUR_LEVELS, "rectified_flow", KnowsTheAnswer, context_chunks=1, dim=8, depth=1)
    assert isinstance(model, KnowsTheAnswer)
    model.answer = random_codes(model.levels, SIZE, batch=1, seed=1)
    given = known(model, [True] * SIZE + [False] * 4)
    found = edit(model, [1], given, strengths=(1.0, 0.5, 0.0, 0.2))
    kept = torch.tensor([level == 2 for level in model.levels.level_of_rows()])
    assert torch.equal(found[:, ~kept, :SIZE], model.answer[:, ~kept])
    assert torch.equal(found[:, kept], given.codes[:, kept])
    assert torch.equal(found[..., SIZE:], given.codes[..., SIZE:])


@pytest.mark.parametrize("sampler", ["euler", "rk4", "pingpong", CODE_SAMPLER])
def test_put_back_codes_are_seen_in_every_step_and_stay(sampler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network gets the known codes under noise of the step's own level, and no known tokens."""
    model = make_model(FOUR_LEVELS, head="logits", context_chunks=1)
    given, seen = known(model, [False, True, False, False, True]), []
    log_probabilities, velocity = SnacDiffusionModel.log_probabilities, SnacDiffusionModel.velocity

    def spy(real: Any) -> Any:
        def read(self: Any, level: int, output: Tensor, x: Tensor, t: Tensor) -> Tensor:
            seen.append((level, x, t))
            return real(self, level, output, x, t)

        return read

    monkeypatch.setattr(SnacDiffusionModel, "log_probabilities", spy(log_probabilities))
    monkeypatch.setattr(SnacDiffusionModel, "velocity", spy(velocity))
    found = edit(model, [3], given, put_back=True, samplers=(sampler,) * 4)
    assert torch.equal(found[..., given.frames], given.codes[..., given.frames])
    initial = model.levels.unpack(given.codes[..., 1:4])  # of the first chunk, whose last two frames are known
    first = seen[: len(seen) // 2]
    assert len(first) >= 8
    for level, x, t in first:
        count = FOUR_LEVELS.per_frame[level]
        noise = stage_noise([3], 0, level, (8, SIZE * count), model.space.codebooks).transpose(1, 2)
        expected = model.objective.noised(model.space.level_latents(level, initial[level]), noise, t[:, None, None])
        torch.testing.assert_close(x[:, count:], expected[:, count:], rtol=0, atol=1e-12)


@pytest.mark.parametrize("start", [0.05, 0.4, 0.9])
@pytest.mark.parametrize(
    ("objective", "sampler"), [("rectified_flow", name) for name in FLOW_SAMPLERS] + [("v", name) for name in V_SAMPLERS]
)
def test_a_strength_is_the_noise_level_that_own_data_begins_with(objective: str, sampler: str, start: float) -> None:
    """The first point that the network sees is x_t of the data; a denoiser that knows the data ends there."""
    generator = torch.Generator().manual_seed(0)
    initial, noise = (torch.randn(2, 8, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    kind, seen = OBJECTIVES[objective], []

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        seen.append((x, t))
        return initial if sampler == CODE_SAMPLER else kind.output_of(x, initial, t[:, None, None])

    if sampler == CODE_SAMPLER:
        found = solve_by_codes(velocity, noise, lambda: noise, steps=4, initial=initial, start=start)
    else:
        found = solve(objective, velocity, noise, steps=4, sampler=sampler, initial=initial, start=start)
    (x, t), times = seen[0], [float(t[0]) for _, t in seen]
    assert float(t[0]) == pytest.approx(max(start, 0.0382) if sampler in V_SAMPLERS and "ddim" not in sampler else start, abs=1e-4)
    torch.testing.assert_close(x, kind.noised(initial, noise, t[:, None, None]), rtol=0, atol=1e-3)
    assert max(times) <= t[0] + 1e-6
    torch.testing.assert_close(found, initial, rtol=0, atol=0.4)


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("start", [0.01, 0.1, 0.5, 0.99])
def test_times_from_a_strength_fall_to_nothing(start: float, shift: float) -> None:
    times = flow_times(6, shift, start)
    assert float(times[0]) == pytest.approx(start, rel=1e-4)
    assert times[-1] == 0
    assert (times.diff() < 0).all()
    assert torch.equal(flow_times(6, shift, 1.0), flow_times(6, shift))
