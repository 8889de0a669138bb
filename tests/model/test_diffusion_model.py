"""The model under samplers that know one global time, against its stages solved one by one."""

import pytest
import torch
from known import KnowsTheAnswer, make_model, random_codes
from networks import FOUR_LEVELS
from stable_audio_tools.inference.sampling import sample_discrete_euler, sample_rf
from torch import Tensor

from snac_plugin.diffusion.global_time import flow_velocity, windows
from snac_plugin.diffusion.guidance import Guidance
from snac_plugin.levels import Levels
from snac_plugin.model.conditions import Prompt
from snac_plugin.model.diffusion_model import SnacDiffusionModel

STEPS = (2, 3, 4, 5)  # of each level; the last one starts above the t where velocities are damped


def global_times(model: SnacDiffusionModel, chunks: int) -> Tensor:
    """Times that take STEPS even steps through each stage, in float32 as stable-audio-tools' own."""
    times = [1.0]
    for span in windows(chunks, model.step_weights):
        steps = STEPS[span.level]
        times += [span.end - span.width * (i + 1) / steps for i in range(steps)]
    return torch.tensor(times, dtype=torch.float32)


@torch.no_grad()
def stage_by_stage(model: SnacDiffusionModel, noise: Tensor, scale: float) -> Tensor:
    """Each stage solved alone by Euler's method, snapped to codes, with all chunks before as context."""
    size, done = model.network.config.chunk_frames, []
    for start in range(0, noise.shape[-1], size):
        keep = model.network.config.context_chunks
        past = torch.cat(done, dim=-1)[..., -keep * size :] if done and keep else None
        chunk = model.start_chunk(Prompt(context=past), noise.shape[0], Guidance(scale))
        finished = []
        for level, x in enumerate(model.levels.unpack_latents(noise[..., start : start + size])):
            velocity = chunk.denoiser(level, model.velocity)
            for step in range(STEPS[level]):
                t = x.new_full((x.shape[0],), 1 - step / STEPS[level])
                x = x - flow_velocity(model.objective, velocity, x, t) / STEPS[level]
            snapped = model.space.level_latents(level, model.space.nearest(level, x))
            chunk.append(level, snapped)
            finished.append(snapped)
        done.append(model.levels.pack_latents(finished))
    return torch.cat(done, dim=-1)


@pytest.mark.parametrize(
    ("objective", "head", "scale"),
    [
        ("rectified_flow", "velocity", 3.0),
        ("rectified_flow", "logits", 1.0),
        ("v", "velocity", 1.0),
        ("v", "logits", 3.0),
        ("rectified_flow", "posterior", 3.0),
    ],
)
def test_euler_on_global_time_is_euler_stage_by_stage(levels: Levels, objective: str, head: str, scale: float) -> None:
    """stable-audio-tools' own sampler on the whole tensor, at steps that meet the windows' edges: the same codes."""
    model = make_model(levels, objective, head=head, context_chunks=1)
    noise = torch.randn(2, model.levels.channels, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = stage_by_stage(model, noise, scale)
    times = global_times(model, chunks=2)
    x = sample_discrete_euler(model, noise, sigmas=times, cfg_scale=scale, dist_shift=None, batch_cfg=True, disable_tqdm=True)
    solved = model.levels.unpack_latents(x)
    for level, reference in enumerate(model.levels.unpack_latents(expected)):
        assert torch.equal(model.space.level_latents(level, model.space.nearest(level, solved[level])), reference)


def test_steps_of_one_stage_move_no_other(levels: Levels) -> None:
    """Outside its window a stage stands still: velocity exactly zero."""
    model = make_model(levels, context_chunks=1)
    x = torch.randn(2, model.levels.channels, 6, dtype=torch.float64)
    for span in windows(2, model.step_weights):
        with torch.no_grad():
            velocity = model(x, torch.full((2,), (span.begin + span.end) / 2, dtype=torch.float64))
        for level, v in enumerate(model.levels.unpack_latents(velocity)):
            for chunk, piece in enumerate(v.split(3 * model.levels.per_frame[level], dim=1)):
                assert bool(piece.any()) == ((chunk, level) == (span.chunk, span.level))


def test_samples_of_a_batch_may_stand_at_different_stages(levels: Levels) -> None:
    """A training-style caller gives each sample its own t."""
    model = make_model(levels, context_chunks=1)
    x = torch.randn(3, model.levels.channels, 6, dtype=torch.float64)
    t = torch.tensor([0.95, 0.5, 0.2], dtype=torch.float64)
    with torch.no_grad():
        together = model(x, t)
        alone = torch.cat([model(x[i : i + 1], t[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("objective", "chunks", "steps"), [("rectified_flow", 1, 16), ("v", 1, 16), ("rectified_flow", 10, 300)])
def test_known_answer_through_stable_audio_tools_schedules(objective: str, chunks: int, steps: int) -> None:
    """A stage that a schedule skipped would end as noise, and its codes would be any."""
    model = make_model(FOUR_LEVELS, objective, KnowsTheAnswer, context_chunks=0, dim=8, depth=1, chunk_frames=1)
    assert isinstance(model, KnowsTheAnswer)
    model.answer = random_codes(model.levels, 1)
    noise = torch.randn(2, model.levels.channels, chunks, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    even = sample_discrete_euler(model, noise, steps, disable_tqdm=True)
    curved = sample_rf(model, noise, steps=steps, device="cpu", cfg_scale=6, batch_cfg=True, rescale_cfg=True, disable_tqdm=True)
    for x in (even, curved):
        codes = [model.space.nearest(level, z) for level, z in enumerate(model.levels.unpack_latents(x))]
        assert torch.equal(model.levels.pack(codes), model.answer.repeat(1, 1, chunks))


def test_codes_survive_the_way_through_latents() -> None:
    """Codes that lie close together in a large codebook must not be taken for each other."""
    model = make_model(FOUR_LEVELS)
    close = torch.randn(64, 8) * 10
    close[1::2] = close[::2] + 1e-3
    model.space.codebooks[0] = close.double()
    codes = torch.arange(64)[None].repeat(2, 1)
    assert torch.equal(model.space.nearest(0, model.space.level_latents(0, codes)), codes)


@pytest.mark.parametrize("head", ["logits", "posterior"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_model_runs_in_other_precisions(dtype: torch.dtype, head: str) -> None:
    """stable-audio-tools converts whole models to half precision, codebooks included."""
    model = make_model(FOUR_LEVELS, head=head).to(dtype)
    x = torch.randn(2, model.levels.channels, 3, dtype=dtype)
    with torch.no_grad():
        velocity = model(x, torch.full((2,), 0.5, dtype=dtype))
    assert velocity.dtype == dtype
    assert velocity.isfinite().all()
    assert velocity.any()


def test_logits_mean_the_expected_code_vector() -> None:
    """The estimate behind the velocity is the softmax-weighted mean of the codebook."""
    model = make_model(FOUR_LEVELS, head="logits")
    logits, x = torch.randn(2, 5, 64, dtype=torch.float64), torch.randn(2, 5, 8, dtype=torch.float64)
    t = torch.tensor([0.3, 0.8], dtype=torch.float64)
    weights = logits.exp() / logits.exp().sum(-1, keepdim=True)
    mean = sum(weights[..., k, None] * model.space.codebooks[1][k] for k in range(64))
    velocity = model.velocity(1, logits, x, t)
    torch.testing.assert_close(x - t[:, None, None] * velocity, mean, rtol=0, atol=1e-10)


@pytest.mark.parametrize("objective", ["rectified_flow", "v"])
def test_posterior_of_a_network_that_knows_nothing_is_the_best_denoiser(objective: str) -> None:
    """All codes equally likely beforehand: the estimate is the exact mean of the codes given the noised point."""
    model = make_model(FOUR_LEVELS, objective, head="posterior")
    x, t = torch.randn(2, 5, 8, dtype=torch.float64), torch.tensor([0.3, 0.8], dtype=torch.float64)
    velocity = model.velocity(1, torch.zeros(2, 5, 64, dtype=torch.float64), x, t)
    alpha, sigma = (value[:, None, None, None] for value in model.objective.alpha_sigma(t))
    density = (-((x[:, :, None] - alpha * model.space.codebooks[1]) ** 2).sum(-1, keepdim=True) / (2 * sigma**2)).exp()
    mean = (density * model.space.codebooks[1]).sum(2) / density.sum(2)
    torch.testing.assert_close(model.objective.denoised(x, velocity, t[:, None, None]), mean, rtol=0, atol=1e-9)


@pytest.mark.parametrize("head", ["logits", "posterior"])
def test_a_callers_autocast_rounds_neither_the_expected_code_nor_the_nearest(head: str) -> None:
    model = make_model(FOUR_LEVELS, head=head).float()
    logits, x = 5 * torch.randn(2, 4, 64), torch.randn(2, 4, 8)
    t = torch.tensor([0.2, 0.9])
    expected, nearest = model.velocity(0, logits, x, t), model.space.nearest(0, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model.velocity(0, logits, x, t), expected)
        assert torch.equal(model.space.nearest(0, x), nearest)
