"""Windows of global time: no gap, no overlap, and enough steps for each stage under the schedules that come by."""

import itertools

import pytest
import torch
from known import GAUSSIAN
from stable_audio_tools.inference.sampling import sample_discrete_euler, sample_rf
from torch import Tensor

from snac_plugin.diffusion.global_time import CERTAIN_T, Window, active, flow_velocity, windows
from snac_plugin.diffusion.objectives import Gaussian

WEIGHTS = (1.0, 1.5, 2.0, 3.0)


def times_of(sampler: object, steps: int) -> list[float]:
    """The global times at which a sampler of stable-audio-tools asks its model."""
    asked: list[float] = []

    def record(x: Tensor, t: Tensor) -> Tensor:
        asked.append(float(t[0]))
        return torch.zeros_like(x)

    sampler(record, torch.zeros(1, 1, 1), steps=steps)  # type: ignore[operator]
    return asked


@pytest.mark.parametrize("chunks", [1, 2, 3, 30])
@pytest.mark.parametrize("weights", [WEIGHTS, (1.0, 1.0, 1.0), (0.1, 5.0)])
def test_windows_tile_global_time_in_the_order_of_generation(chunks: int, weights: tuple[float, ...]) -> None:
    """A gap would leave a stage unfinished, an overlap would let a finished one go on."""
    spans = windows(chunks, weights)
    assert [(s.chunk, s.level) for s in spans] == [(c, level) for c in range(chunks) for level in range(len(weights))]
    assert spans[0].end == 1
    assert spans[-1].begin == 0
    assert all(later.end == earlier.begin for earlier, later in itertools.pairwise(spans))
    assert all(s.width > 0 for s in spans)


def test_an_edge_belongs_to_the_window_below_it() -> None:
    """The step that leaves an edge must be taken by the stage it enters; float32 times land a little beside the edge."""
    spans = windows(2, WEIGHTS)
    for index, span in enumerate(spans):
        edge = float(torch.tensor(span.end, dtype=torch.float32))
        assert active(spans, edge) == index
        assert active(spans, edge - 1e-4) == index
        assert active(spans, (span.begin + span.end) / 2) == index
    assert active(spans, 0.0) == len(spans) - 1


def test_local_time_runs_from_noise_to_data_inside_the_window_and_stands_outside() -> None:
    span = Window(0, 1, 0.5, 0.75)
    t = torch.tensor([1.0, 0.75, 0.625, 0.5, 0.2])
    assert span.local(t).tolist() == [1, 1, 0.5, 0, 0]


@pytest.mark.parametrize("sampler", [sample_discrete_euler, sample_rf], ids=["sample_discrete_euler", "sample_rf"])
@pytest.mark.parametrize("chunks", [1, 3, 20])
def test_every_stage_gets_its_part_of_the_steps_of_either_schedule(sampler: object, chunks: int) -> None:
    """With windows even in t, sample_rf, which jumps from 0.12 to 0, would never visit the last chunks."""
    spans, per_chunk = windows(chunks, WEIGHTS), 60
    visits = [0] * len(spans)
    for t in times_of(sampler, per_chunk * chunks):
        visits[active(spans, t)] += 1
    shares = [per_chunk * weight / sum(WEIGHTS) for _ in range(chunks) for weight in WEIGHTS]
    assert all(count >= 0.5 * share - 1 for count, share in zip(visits, shares, strict=True))


@pytest.mark.parametrize("objective", GAUSSIAN.values(), ids=GAUSSIAN)
def test_any_objective_is_a_rectified_flow_to_callers(objective: Gaussian) -> None:
    """The true output of either objective becomes noise - data, at the x that its own path has there."""
    generator = torch.Generator().manual_seed(0)
    data, noise = torch.randn(2, 4, 5, 8, generator=generator, dtype=torch.float64)
    t = torch.tensor([CERTAIN_T, 0.4, 0.7, 1.0], dtype=torch.float64)
    at = t[:, None, None]

    def output(x: Tensor, own_t: Tensor) -> Tensor:
        torch.testing.assert_close(x, objective.noised(data, noise, own_t[:, None, None]), rtol=0, atol=1e-12)
        return objective.target(data, noise, own_t[:, None, None])

    velocity = flow_velocity(objective, output, (1 - at) * data + at * noise, t)
    torch.testing.assert_close(velocity, noise - data, rtol=0, atol=1e-9)


def test_a_step_that_overshoots_its_window_stays_close_to_the_data() -> None:
    """Steps of other callers end beside the window's edge: straight on, noise would come back with the opposite sign."""
    data, noise = torch.zeros(1, 1, 8), torch.ones(1, 1, 8)
    objective = GAUSSIAN["rectified_flow"]
    for start in (0.0, 0.01, 0.1, CERTAIN_T, 0.3):
        t = torch.tensor([start])
        x = (1 - start) * data + start * noise
        for step in (start, start + 0.05, 0.3):
            velocity = flow_velocity(objective, lambda x, t: (x - data) / t.clamp(min=1e-9)[:, None, None], x, t)
            assert float((x - step * velocity).abs().max()) <= CERTAIN_T + 1e-6
