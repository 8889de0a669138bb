"""This package's conditioners against what their docstrings say, and the oracle of dropping one condition of several."""

import pytest
import torch
from known import make_model
from test_guided_chunk import CONDITIONED, check, told, velocities
from torch import Tensor

from snac_plugin.config.condition_values import Position
from snac_plugin.config.conditioner_keys import QUALITIES
from snac_plugin.diffusion.guidance import Guidance
from snac_plugin.levels import Levels
from snac_plugin.model.chunk_in_progress import ChunkInProgress
from snac_plugin.model.conditioners import ChunkPosition, ClassMixture, Quality, blanks, chosen
from snac_plugin.model.conditions import Conditions, Prompt


def test_a_mixture_is_the_weighted_sum_of_its_classes() -> None:
    torch.manual_seed(0)
    made = ClassMixture(6, ["house", "jazz"])
    house, jazz, nothing = made.embedder.weight
    values, mask = made(["house", {"house": 3, "jazz": 1}, "jazz:0.5,house:0.5", "", None], "cpu")
    expected = torch.stack([house, 0.75 * house + 0.25 * jazz, (house + jazz) / 2, nothing, nothing])[:, None]
    torch.testing.assert_close(values, expected)
    assert mask.shape == (5, 1)
    assert mask.all()


def test_the_vector_for_no_class_learns_from_dropped_labels_alone() -> None:
    made = ClassMixture(6, ["house", "jazz"])
    made(["house", "jazz"])[0].sum().backward()
    assert made.embedder.weight.grad is not None
    assert not made.embedder.weight.grad[-1].any()
    tensors = {"style": made(["house", "jazz"])}
    nothing = blanks(tensors, {"style": made})["style"]
    dropped = chosen(torch.tensor([True, False]), tensors["style"], nothing)[0]
    assert torch.equal(dropped[0], made(["house"])[0][0])
    assert torch.equal(dropped[1], made([""])[0][0])
    made.zero_grad()
    dropped.sum().backward()
    assert made.embedder.weight.grad[-1].any()


def test_quality_mixes_scores_and_names() -> None:
    made = Quality(6, [2, 3, 4, 5])
    values, _ = made([4.2, "high", "0.1", "very low"])
    assert torch.equal(values[0], values[1])
    assert torch.equal(values[2], values[3])
    assert torch.equal(values[0, 0], made.embedder.weight[QUALITIES.index("high")])


def test_positions_have_a_row_for_each_chunk() -> None:
    """Rows: no chunk, those before, the first one and those after it, as if each had been asked for alone."""
    torch.manual_seed(0)
    made = ChunkPosition(6, most_chunks=16, before=2).double()
    rows, mask = made([Position(2.5, 8.0, 3), Position(0.0, 8.0, 3)], "cpu")
    assert rows.shape == (2, 1 + 2 + 3, 6)
    assert mask.shape == (2, 6)
    assert not rows[:, 0].any()
    for chunk in range(-2, 3):
        alone, _ = made([Position(2.5 + chunk, 8.0, 1)], "cpu")
        torch.testing.assert_close(rows[0, 3 + chunk], alone[0, 3])
    assert torch.equal(rows[1, 1], rows[1, 3]), "there is nothing before the piece"
    written, _ = made(["3/8"], "cpu")
    assert written.shape[1] == 1 + 2 + 5
    torch.testing.assert_close(written[0, 3], made([Position(3.0, 8.0)], "cpu")[0][0, 3])


def test_longer_pieces_are_counted_in_longer_chunks() -> None:
    made = ChunkPosition(6, most_chunks=16)
    torch.testing.assert_close(made([Position(30.0, 32.0)])[0], made([Position(15.0, 16.0)])[0])


def zeros(*names: str) -> Conditions:
    """The conditions of `told(0)` with some dropped."""
    conditions = told(0)
    return Conditions(**{k: torch.zeros_like(v) if k in names else v for k, v in vars(conditions).items() if v is not None})


BY_CONDITION = {"cross": 3.0, "embedding": 0.5, "prepended": 1.0, "context": 2.0}


@torch.no_grad()
def guided(model, guidance: Guidance, context: Tensor, negative: Conditions | None = None) -> tuple[list[Tensor], ChunkInProgress]:
    generator = torch.Generator().manual_seed(7)
    without = {name: zeros(name) for name in ("cross", "embedding", "prepended")}
    chunk = model.start_chunk(Prompt(told(0), negative, context, without=without), 2, guidance)
    t, found = torch.tensor([0.4, 0.8], dtype=torch.float64), []
    for level, count in enumerate(model.levels.per_frame):
        x, finished = torch.randn(2, 2, 3 * count, 8, generator=generator, dtype=torch.float64)
        found.append(chunk.denoiser(level, model.velocity)(x, t))
        chunk.append(level, finished)
    return found, chunk


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_all_branches_in_one_batch_equal_runs_of_their_own(levels: Levels, scale: float) -> None:
    """Each condition dropped alone, the context too, combined by hand; a scale of 1 runs no branch."""
    model = make_model(levels, context_chunks=1, **CONDITIONED)
    context, hidden = torch.randn(2, levels.channels, 3, dtype=torch.float64), torch.zeros(2, 3, dtype=torch.bool)
    found, chunk = guided(model, Guidance(scale, 0.3, by_condition=BY_CONDITION), context)
    assert chunk.branches == 4 + (scale != 1)
    full = velocities(model, told(0), Guidance(), context)
    none = velocities(model, zeros("cross", "embedding", "prepended"), Guidance(), context, hidden)
    single = {name: velocities(model, zeros(name), Guidance(), context) for name in ("cross", "embedding")}
    single["context"] = velocities(model, told(0), Guidance(), context, hidden)
    expected = []
    for level in range(len(levels)):
        v = full[level] + (scale - 1) * (full[level] - none[level])
        for name, other in single.items():
            v = v + (BY_CONDITION[name] - 1) * (full[level] - other[level])
        ratio = full[level].std(dim=(1, 2), keepdim=True) / v.std(dim=(1, 2), keepdim=True)
        expected.append(0.3 * ratio * v + 0.7 * v)
    check(found, expected)


def test_scales_of_one_are_the_conditioned_output(levels: Levels) -> None:
    model = make_model(levels, context_chunks=1, **CONDITIONED)
    context = torch.randn(2, levels.channels, 3, dtype=torch.float64)
    found, chunk = guided(model, Guidance(by_condition=dict.fromkeys(BY_CONDITION, 1.0)), context)
    assert chunk.branches == 1
    for a, b in zip(found, velocities(model, told(0), Guidance(), context), strict=True):
        assert torch.equal(a, b)


def test_a_scale_of_zero_is_the_output_without_the_condition(levels: Levels) -> None:
    model = make_model(levels, context_chunks=1, **CONDITIONED)
    context, hidden = torch.randn(2, levels.channels, 3, dtype=torch.float64), torch.zeros(2, 3, dtype=torch.bool)
    check(guided(model, Guidance(by_condition={"cross": 0.0}), context)[0], velocities(model, zeros("cross"), Guidance(), context))
    check(
        guided(model, Guidance(by_condition={"context": 0.0}), context)[0],
        velocities(model, told(0), Guidance(), context, hidden),
    )


def test_conditions_of_different_length_are_joined_with_hidden_tokens() -> None:
    """A negative prompt with fewer tokens than the prompt could not be run beside it."""
    longer, shorter = told(0), told(1, masked=False)
    shorter = Conditions(cross=shorter.cross[:, :2], prepended=shorter.prepended[:, :1])
    both = Conditions.joined(longer, shorter)
    assert both.cross is not None
    assert both.cross.shape[:2] == (4, 3)
    assert both.cross_mask is not None
    assert both.cross_mask[2:].tolist() == [[True, True, False]] * 2
    assert both.prepended_mask is not None
    assert both.prepended_mask[2:].tolist() == [[True, False, False]] * 2
