"""stable-audio-tools' generate_diffusion_cond with every sampler, few steps and init audio: a hierarchy all the same."""

from pathlib import Path
from typing import Any

import pytest
import torch
from known import KnowsTheAnswer, make_model, random_codes
from networks import FOUR_LEVELS
from stable_audio_tools.inference import generation, sampling
from test_snac_diffusion import CHUNK, make_whole
from torch import Tensor

from snac_plugin.diffusion.global_time import windows
from snac_plugin.diffusion.sampler_names import CODE_SAMPLER, FLOW_SAMPLERS, V_SAMPLERS
from snac_plugin.errors import UsageError
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.plugin.registry import register

register()


def knowing(objective: str = "rectified_flow", frames: int = 2, chunks: int = 1, **network: Any) -> KnowsTheAnswer:
    """A model that denoises to an answer of its own for each chunk."""
    small = {"dim": 8, "depth": 1, "chunk_frames": frames, "context_chunks": chunks - 1}
    model = make_model(FOUR_LEVELS, objective, KnowsTheAnswer, **small | network)
    assert isinstance(model, KnowsTheAnswer)
    model.answer = random_codes(model.levels, frames * chunks, batch=1)
    return model


def noise_for(model: Any, frames: int, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, model.levels.channels, frames, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("steps", [4, 8, 12, 24])
@pytest.mark.parametrize("sampler", [name for name in FLOW_SAMPLERS if name != CODE_SAMPLER])
def test_every_level_is_solved_whatever_the_steps(sampler: str, steps: int) -> None:
    """On global time ping-pong renoised finished levels, and a step of four leapt over level B."""
    model = knowing()
    x = sampling.sample_rf(model, noise_for(model, 2), steps=steps, sampler_type=sampler, device="cpu", cfg_scale=6)
    off = [float((z - model.space.level_latents(level, model.levels.unpack(model.answer)[level])).abs().max())
           for level, z in enumerate(model.levels.unpack_latents(x))]  # fmt: skip
    assert max(off) < 0.6
    assert torch.equal(model.space.to_codes(x), model.answer)


@pytest.mark.parametrize("sampler", [*V_SAMPLERS, "euler"])
def test_samplers_of_v_models_run(sampler: str) -> None:
    """stable-audio-tools sees a rectified flow and knew none of them: AttributeError."""
    model = knowing("v")
    x = sampling.sample_rf(model, noise_for(model, 2), steps=40, sampler_type=sampler, sigma_max=500, device="cpu", rho=1.0)
    assert torch.equal(model.space.to_codes(x), model.answer)


def test_the_configs_own_added_noise_is_drawn() -> None:
    """Euler's method on global time knows nothing of it."""
    options: Any = {"dim": 8, "depth": 1, "chunk_frames": 2, "context_chunks": 0}
    own = make_model(FOUR_LEVELS, **options, sampling={"sampler": "euler", "added_noise": 0.5})
    plain = make_model(FOUR_LEVELS, **options)
    found = []
    for model in (own, own, plain):
        torch.manual_seed(3)
        found.append(sampling.sample_rf(model, noise_for(model, 2), steps=100, sampler_type="euler", device="cpu"))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(own.space.to_codes(found[0]), own.space.to_codes(found[2]))


def test_chunks_follow_each_other_and_the_last_may_be_short() -> None:
    model = knowing(chunks=2)
    x = sampling.sample_rf(model, noise_for(model, 3), steps=8, sampler_type="pingpong", device="cpu")
    assert torch.equal(model.space.to_codes(x), model.answer[..., :3])


@pytest.mark.parametrize(
    ("objective", "options", "message"),
    [
        ("rectified_flow", {"sampler_type": "dpmpp-3m-sde"}, "sampler: found 'dpmpp-3m-sde', expected one of euler, .*pingpong"),
        ("v", {"sampler_type": "pingpong"}, "sampler: found 'pingpong', expected one of euler, rk4, dpmpp-3m-sde, .* for v"),
        ("rectified_flow", {"steps": 3}, "steps: found 3, expected at least 4, one for each of 4 levels of 1 chunk"),
    ],
)
def test_what_cannot_run_is_said(objective: str, options: dict[str, Any], message: str) -> None:
    model = knowing(objective)
    with pytest.raises(UsageError, match=message):
        sampling.sample_rf(model, noise_for(model, 2), device="cpu", **{"steps": 8} | options)


def test_enough_steps_of_euler_stay_on_global_time() -> None:
    """The audio of a seed is what it was before."""
    model = make_model(FOUR_LEVELS, head="logits", context_chunks=1)
    noise = noise_for(model, 6)
    by_hand = sampling.sample_discrete_euler(model, noise, sigmas=_times(48), disable_tqdm=True)
    assert torch.equal(sampling.sample_rf(model, noise, steps=48, device="cpu"), by_hand)


def _times(steps: int) -> Tensor:
    t = torch.sigmoid(-torch.linspace(-6, 2, steps + 1))
    t[0], t[-1] = 1, 0
    return t


def test_a_callback_hears_of_each_step() -> None:
    model, told = knowing(), []
    x = sampling.sample_rf(model, noise_for(model, 2), steps=8, sampler_type="pingpong", device="cpu",
                           callback=lambda info: told.append({**info, "denoised": info["denoised"].clone()}))  # fmt: skip
    assert [info["i"] for info in told] == list(range(8))
    assert all(info["denoised"].shape == x.shape for info in told)
    torch.testing.assert_close(told[-1]["denoised"], x, rtol=0, atol=1e-6)


@pytest.mark.parametrize("sampler", ["pingpong", "euler"])
@pytest.mark.parametrize("varied", [False, True], ids=["from noise", "from init data"])
def test_known_frames_stay(sampler: str, varied: bool) -> None:
    """stable-audio-tools' inpainting mask, with samplers and steps that global time cannot follow, and with init data."""
    model = make_model(FOUR_LEVELS, head="logits", chunk_frames=4, context_chunks=1)
    known, init = (random_codes(model.levels, 8, batch=1, seed=seed) for seed in (5, 6))
    mask = torch.tensor([[1, 1, 0, 0, 1, 0, 0, 1.0]])
    inputs = {"known": model.space.from_codes(known), "known_mask": mask}
    told: list[Tensor] = []
    data = model.space.from_codes(init) if varied else None
    x = sampling.sample_rf(model, noise_for(model, 8), data, steps=8, sampler_type=sampler, sigma_max=0.6 if varied else 1,
                           device="cpu", callback=lambda info: told.append(info["denoised"].clone()), **inputs)  # fmt: skip
    codes, frames = model.space.to_codes(x), mask[0] > 0
    assert torch.equal(codes[..., frames], known[..., frames])
    assert not torch.equal(codes[..., ~frames], known[..., ~frames])
    assert torch.equal(model.levels.unpack(codes)[0][:, ~frames], model.levels.unpack(init)[0][:, ~frames]) == varied
    torch.testing.assert_close(model.space.to_codes(told[-1])[..., frames], known[..., frames])
    inputs["known_mask"] = torch.ones(1, 8)
    everything = sampling.sample_rf(model, noise_for(model, 8), steps=8, sampler_type="pingpong", device="cpu", **inputs)
    assert torch.equal(model.space.to_codes(everything), known)


@pytest.mark.parametrize("level", range(4))
def test_init_noise_takes_the_fine_levels_first(level: int) -> None:
    """On a plan of its own: a global time inside a level's window keeps the coarser levels, and all finer ones are new."""
    model = knowing(chunks=2)
    init = random_codes(model.levels, 4, batch=1, seed=9)
    span = windows(1, model.step_weights)[level]
    s = span.begin + 0.6 * span.width
    x = sampling.sample_rf(model, noise_for(model, 4), model.space.from_codes(init), steps=24, sigma_max=s, device="cpu")
    before, after, answer = (model.levels.unpack(codes) for codes in (init, model.space.to_codes(x), model.answer))
    for other in range(4):
        assert torch.equal(after[other], before[other] if other < level else answer[other])


@pytest.mark.parametrize("objective", ["rectified_flow", "v"])
def test_the_level_between_starts_at_its_own_noise_level(objective: str) -> None:
    """What the network is asked first is data and noise in the shares of that level, at that t."""
    model, asked = knowing(objective), []
    velocity = model.velocity
    model.velocity = lambda level, output, x, t: asked.append((level, x, t)) or velocity(level, output, x, t)  # type: ignore[method-assign]
    init, noise = random_codes(model.levels, 2, batch=1, seed=9), noise_for(model, 2)
    span = windows(1, model.step_weights)[2]
    sampling.sample_rf(model, noise, model.space.from_codes(init), steps=8, sigma_max=span.begin + span.width / 2, device="cpu")
    level, x, t = asked[0]
    data, own_noise = (model.levels.unpack_latents(z)[2] for z in (model.space.from_codes(init), noise))
    flow_x = (data + own_noise) / 2
    scale, own_t = model.objective.from_flow(torch.tensor(0.5, dtype=torch.float64))
    assert level == 2
    torch.testing.assert_close(t, own_t.expand(1), rtol=0, atol=1e-5)
    torch.testing.assert_close(x, flow_x * scale, rtol=0, atol=1e-4)


def call(model: SnacDiffusion, **options: Any) -> Tensor:
    """generate_diffusion_cond as its users write it: the codes of what it makes."""
    common = {"conditioning": [{}], "sample_size": CHUNK, "seed": 0, "device": "cpu", "return_latents": True}
    return model.pretransform.space.to_codes(generation.generate_diffusion_cond(model, **common | options))


def test_init_audio_keeps_its_plan(tmp_path: Path) -> None:
    """At init_noise_level 0.2 it kept 39 % of the codes of A, at 0.5 next to none."""
    model = make_whole(tmp_path, head="logits")
    audio = 0.3 * torch.randn(1, CHUNK, generator=torch.Generator().manual_seed(0))
    own = model.levels.unpack(model.pretransform.tokenize(audio[None]))

    def kept(s: float) -> list[float]:
        after = model.levels.unpack(call(model, steps=16, init_audio=(32000, audio), init_noise_level=s))
        return [float((a == b).float().mean()) for a, b in zip(own, after, strict=True)]

    assert kept(0.01) == [1, 1, 1, 1]
    assert kept(0.2)[:3] == [1, 1, 1]
    assert kept(0.2)[3] < 0.5
    assert kept(0.5)[0] == 1
    assert kept(0.999)[3] < 0.1


def test_the_call_of_a_model_card_works(tmp_path: Path) -> None:
    options = {"steps": 8, "cfg_scale": 7, "sigma_min": 0.3, "sigma_max": 500, "sampler_type": "dpmpp-3m-sde"}
    assert call(make_whole(tmp_path, objective="v"), **options).shape == (1, 15, 4)
    with pytest.raises(UsageError, match="expected one of euler, rk4, dpmpp, pingpong, pingpong-codes for rectified_flow"):
        call(make_whole(tmp_path), **options)
    assert torch.equal(*(call(make_whole(tmp_path, head="logits"), steps=8, sampler_type=CODE_SAMPLER) for _ in range(2)))
