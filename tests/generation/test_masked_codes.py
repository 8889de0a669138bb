"""Masked codes in the loop over chunks: known answers, the whole sequence computed anew, edits, callers, wrong samplers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from known import KnowsTheAnswer, make_model, random_codes
from networks import FOUR_LEVELS, TOKENS
from stable_audio_tools.inference import generation, sampling
from test_chunks import SIZE, generated
from test_known_chunks import known
from test_snac_diffusion import CHUNK, make_whole
from torch import Tensor

from snac_plugin.diffusion.guidance import Guidance
from snac_plugin.diffusion.objectives import is_masked
from snac_plugin.diffusion.sampler_names import AT_RANDOM, BY_CONFIDENCE, MASKED_SAMPLERS
from snac_plugin.diffusion.seeds import code_draw_seed, stage_noise
from snac_plugin.diffusion.unmasking import Unmasking, unmask
from snac_plugin.errors import ConfigError, UsageError
from snac_plugin.generation.request import Request
from snac_plugin.generation.settings import Settings, resolve
from snac_plugin.latents import LatentSpace
from snac_plugin.levels import Levels
from snac_plugin.model.conditions import Conditions
from snac_plugin.model.diffusion_model import SnacDiffusionModel
from snac_plugin.model.training_pass import all_stages
from snac_plugin.plugin.registry import register

register()
NETWORK = {"head": "logits"}


def masked_model(kind: type[SnacDiffusionModel] = SnacDiffusionModel, **options: Any) -> Any:
    return make_model(FOUR_LEVELS, "masked", kind, **NETWORK | options)


def settings(sampler: str = BY_CONFIDENCE, steps: int = 3, scale: float = 1.0, **others: Any) -> Settings:
    masked = {"confidence_noise": (4.5,) * 4, "remask": (0.1,) * 4}
    how = Settings((steps,) * 4, (sampler,) * 4, (1.0,) * 4, (1.0,) * 4, Guidance(scale), **masked)
    return replace(how, **others)


@pytest.mark.parametrize("sampler", MASKED_SAMPLERS)
def test_a_known_denoiser_gives_its_codes(sampler: str) -> None:
    model = masked_model(KnowsTheAnswer, context_chunks=1, dim=8, depth=1)
    model.answer = random_codes(model.levels, 2 * SIZE)
    assert torch.equal(generated(model, [1, 2], settings(sampler, scale=2.0), 2), model.answer)


@torch.no_grad()
def by_hand(model: SnacDiffusionModel, seed: int, how: Settings, chunks: int) -> Tensor:
    """Every step by a training forward over the whole sequence, without a cache: what a stage sees is what it was trained on."""
    levels, done, keep = model.levels, [], model.network.config.context_chunks
    for index in range(chunks):
        codes = [torch.zeros(1, SIZE * count, dtype=torch.long) for count in levels.per_frame]
        for level, count in enumerate(levels.per_frame):

            def log_probabilities(x: Tensor, t: Tensor, level: int = level, codes: list = codes) -> Tensor:
                stages = [model.space.level_latents(i, own) for i, own in enumerate(codes)]
                stages[level] = x
                clean = model.space.from_codes(torch.cat([*done, levels.pack(codes)][-keep - 1 :], dim=-1))
                past = clean.shape[-1] // SIZE - 1
                shares = t.expand(1, 1, 4) if t.ndim else t
                how_seen: Any = {"chunks_before": past, "stages": [level]}
                (output,) = all_stages(model.network, clean, levels.pack_latents(stages), shares, Conditions(), **how_seen)
                return output.log_softmax(dim=-1)

            noise = stage_noise([seed], index, level, (8, SIZE * count), model.space.codebooks).transpose(1, 2)
            order = noise[0, :, 0].argsort().argsort()[None].double()
            generator = torch.Generator().manual_seed(code_draw_seed(seed, index, level, 4))
            plan = Unmasking(how.samplers[level], how.steps[level], remask=how.remask[level])
            x = unmask(log_probabilities, model.space.codebooks[level], torch.zeros_like(noise), order, [generator], plan)
            codes[level] = model.space.nearest(level, x)
        done.append(levels.pack(codes))
    return torch.cat(done, dim=-1)


@pytest.mark.parametrize("sampler", MASKED_SAMPLERS)
@pytest.mark.parametrize("tokens", TOKENS.values(), ids=TOKENS)
def test_the_cache_gives_what_the_whole_sequence_gives(sampler: str, tokens: dict) -> None:
    model, how = masked_model(context_chunks=1, **tokens), settings(sampler)
    assert torch.equal(generated(model, [7], how, 3), by_hand(model, 7, how, 3))


@pytest.mark.parametrize("sampler", MASKED_SAMPLERS)
def test_a_sample_of_a_batch_is_that_of_its_own_seed(sampler: str) -> None:
    model, how = masked_model(context_chunks=1), settings(sampler)
    torch.manual_seed(1)
    batch = generated(model, [7, 8], how, 2)
    torch.manual_seed(2)
    for row, seed in enumerate((7, 8)):
        assert torch.equal(generated(model, [seed], how, 2)[0], batch[row])
    assert not torch.equal(batch[0], batch[1])


def spied(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, Tensor, Tensor]]:
    """(level, x, t) of each call of the network."""
    seen, real = [], SnacDiffusionModel.log_probabilities

    def read(self: Any, level: int, output: Tensor, x: Tensor, t: Tensor) -> Tensor:
        seen.append((level, x, t))
        return real(self, level, output, x, t)

    monkeypatch.setattr(SnacDiffusionModel, "log_probabilities", read)
    return seen


def test_a_strength_masks_its_share_of_own_codes_in_each_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 0 a level stays, at 1 nothing of it is seen; between, the others stay as they are."""
    model, seen = masked_model(context_chunks=1), spied(monkeypatch)
    given = known(model, [True] * SIZE)
    found = generated(model, [1, 2], settings(strengths=(0.0, 0.5, 0.3, 1.0)), 0, known=given)
    before, after = model.levels.unpack(given.codes), model.levels.unpack(found)
    assert {level for level, _, _ in seen} == {1, 2, 3}
    assert torch.equal(after[0], before[0].expand(2, -1))
    for level, share in ((1, 3 / 6), (2, 4 / 12), (3, 24 / 24)):
        _, x, t = next(entry for entry in seen if entry[0] == level)
        hidden = is_masked(x)
        assert t.tolist() == pytest.approx([share] * 2)
        torch.testing.assert_close(hidden.double().mean(dim=1), torch.full((2,), share, dtype=torch.float64))
        own = model.space.level_latents(level, before[level])
        assert torch.equal(x[~hidden], own.expand(2, -1, -1)[~hidden])
        assert torch.equal(after[level][~hidden], before[level].expand(2, -1)[~hidden])
    assert not torch.equal(after[3], before[3].expand(2, -1))


@pytest.mark.parametrize("put_back", [False, True])
def test_known_frames_stay_and_are_seen(put_back: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As known tokens, or put back into the stage for models that were not trained on known frames."""
    model, seen = masked_model(context_chunks=1), spied(monkeypatch)
    given = known(model, [False, True, True, False, True])
    how = settings(put_back=put_back, strengths=(1.0, 0.5, 1.0, 1.0))
    found = generated(model, [3, 4], how, 0, known=given)
    assert torch.equal(found[..., given.frames], given.codes[..., given.frames].expand(2, -1, -1))
    assert not torch.equal(found[0], found[1])
    per_frame = FOUR_LEVELS.per_frame
    shown = model.levels.unpack(given.codes[..., 1:4])  # the first chunk, whose third frame is known
    first = [entry for entry in seen if entry[0] == 3][: len([entry for entry in seen if entry[0] == 3]) // 2]
    for _, x, _ in first:
        assert x.shape[1] == per_frame[3] * (3 if put_back else 2)
        if put_back:
            own = model.space.level_latents(3, shown[3])
            assert torch.equal(x[:, 2 * per_frame[3] :], own[:, 2 * per_frame[3] :].expand(2, -1, -1))


def noise_for(model: Any, frames: int) -> Tensor:
    return torch.randn(1, model.levels.channels, frames, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_stable_audio_tools_default_call_draws_masked_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its default sampler is euler, which masked codes have none of; init data keep what their global time says."""
    model = masked_model(KnowsTheAnswer, context_chunks=1, dim=8, depth=1)
    model.answer = random_codes(model.levels, 2 * SIZE, batch=1)
    told: list[int] = []
    x = sampling.sample_rf(model, noise_for(model, 6), steps=12, device="cpu", callback=lambda info: told.append(info["i"]))
    assert torch.equal(model.space.to_codes(x), model.answer)
    assert len(told) <= 12
    init = random_codes(model.levels, 2 * SIZE, batch=1, seed=8)
    x = sampling.sample_rf(model, noise_for(model, 6), model.space.from_codes(init), steps=12, sigma_max=0.2, device="cpu")
    after = model.levels.unpack(model.space.to_codes(x))
    own, answer = model.levels.unpack(init), model.levels.unpack(model.answer)
    assert all(torch.equal(after[level], own[level]) for level in range(3))
    changed = after[3] != own[3]
    assert torch.equal(after[3][changed], answer[3][changed])
    assert 0.2 < float(changed.double().mean()) < 0.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampler_type": "rk4"}, "sampler: found 'rk4', expected one of euler, masked, masked-random, masked-halton for masked"),
        ({"sampler_type": "pingpong-codes"}, "sampler: found 'pingpong-codes', expected one of euler, masked"),
        ({"steps": 3}, "steps: found 3, expected at least 4"),
    ],
)
def test_what_cannot_run_is_said(options: dict[str, Any], message: str) -> None:
    model = masked_model()
    with pytest.raises(UsageError, match=message):
        sampling.sample_rf(model, noise_for(model, 3), device="cpu", **{"steps": 8} | options)


def test_a_caller_of_the_network_is_told_which_function_to_call() -> None:
    """Masked codes have no velocity that a sampler of the whole tensor could follow."""
    model = masked_model()
    with pytest.raises(UsageError, match=r"generate_diffusion_cond, or model\.generate"):
        model(noise_for(model, 3), torch.tensor([0.9]))


def test_samplers_of_other_objectives_are_named() -> None:
    network = masked_model().network.config
    names = FOUR_LEVELS.names
    with pytest.raises(UsageError, match="sampler: found 'euler', expected one of masked, masked-random, masked-halton"):
        resolve(Request(sampler="euler"), network, names, "masked")
    with pytest.raises(UsageError, match=r"sampler: found 'masked', expected one of euler, .* for rectified_flow"):
        resolve(Request(sampler="masked"), network, names, "rectified_flow")
    how = resolve(Request(sampler=AT_RANDOM, temperature=0.8, steps=8), network, names, "masked")
    assert (how.temperatures, how.remask, sum(how.steps)) == ((0.8,) * 4, (0.0,) * 4, 8)
    assert how.as_dict(names)["confidence_noise"] == dict.fromkeys("ABCD", 4.5)
    assert "remask" not in resolve(Request(sampler="euler"), network, names, "rectified_flow").as_dict(names)


def test_a_codec_with_a_code_at_the_mean_cannot_tell_it_from_a_masked_one() -> None:
    model = masked_model()
    codebooks = [*model.space.codebooks.clone()]
    codebooks[2][5] = 0
    codebooks[2][6:] -= codebooks[2][6:].mean(dim=0)
    codebooks[2][:5] -= codebooks[2][:5].mean(dim=0)
    levels: Levels = model.levels
    space = LatentSpace(levels, codebooks)
    space.codebooks[2, 5] = 0  # where rounding left a little
    with pytest.raises(ConfigError, match="code 5 of level C at the mean of its codebook"):
        SnacDiffusionModel(model.network, "masked", space, model.step_weights)


def test_the_whole_model_generates_from_all_callers(tmp_path: Path) -> None:
    model = make_whole(tmp_path, objective="masked", head="logits", context_chunks=1)
    assert model.config.model.diffusion.config.sampling.sampler == BY_CONFIDENCE
    options = {"steps": 8, "conditioning": [{}], "sample_size": 2 * CHUNK, "device": "cpu", "seed": 3}
    made = [generation.generate_diffusion_cond(model, **options) for _ in range(2)]
    assert torch.equal(*made)
    assert made[0].shape == (1, 1, 2 * CHUNK)
    audio, codes = model.generate(chunks=2, seed=3, steps=8, progress=False, return_codes=True)
    assert audio.isfinite().all()
    again = model.generate(edit=(32000, audio[0]), keep_levels="AB", seed=4, steps=8, progress=False, return_codes=True)[1]
    assert again.shape[1] == codes.shape[1]
