"""Autoguidance against the two models run apart and combined by hand, in float64."""

from dataclasses import replace

import pytest
import torch
from known import make_model
from networks import FOUR_LEVELS
from test_guided_chunk import CONDITIONED, told
from torch import Tensor

from snac_plugin.diffusion.guidance import Guidance
from snac_plugin.errors import UsageError
from snac_plugin.model.conditions import Conditions, Prompt
from snac_plugin.model.diffusion_model import SnacDiffusionModel

T = torch.tensor([0.4, 0.8], dtype=torch.float64)


@torch.no_grad()
def estimates(model: SnacDiffusionModel, prompt: Prompt, guidance: Guidance | None, read: str) -> list[Tensor]:
    """Of each level of one chunk, coarser levels finished with fixed latents."""
    generator = torch.Generator().manual_seed(7)
    chunk, found = model.start_chunk(prompt, 2, guidance), []
    for level, count in enumerate(model.levels.per_frame):
        x, finished = torch.randn(2, 2, 3 * count, 8, generator=generator, dtype=torch.float64)
        denoise = chunk.denoiser(level, getattr(model, read))
        denoise(torch.randn_like(x), T)  # an earlier step must leave nothing behind
        found.append(denoise(x, T))
        chunk.append(level, finished)
    return found


@pytest.mark.parametrize("read", ["velocity", "log_probabilities"])
@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_it_goes_beyond_the_model_away_from_the_weaker_one(read: str, scale: float) -> None:
    """A smaller one, whose own conditioners read other vectors; beside it guidance by the context and all conditions."""
    model = make_model(FOUR_LEVELS, head="logits", context_chunks=1, **CONDITIONED)
    weaker = make_model(FOUR_LEVELS, head="posterior", context_chunks=1, dim=16, depth=1, **CONDITIONED)
    context = torch.randn(2, FOUR_LEVELS.channels, 3, dtype=torch.float64)
    prompt, guidance = Prompt(told(1), told(2), context), Guidance(scale)
    full, weak = (estimates(one, p, None, read) for one, p in ((model, prompt), (weaker, replace(prompt, conditions=told(3)))))
    usual = estimates(model, prompt, guidance, read)
    model.weaker = weaker, 1.7
    found = estimates(model, replace(prompt, weaker=told(3)), guidance, read)
    for got, guided, own, other in zip(found, usual, full, weak, strict=True):
        torch.testing.assert_close(got, guided + 0.7 * (own - other), rtol=0, atol=1e-10)


def test_a_model_does_not_lead_away_from_itself() -> None:
    model = make_model(FOUR_LEVELS, head="logits")
    prompt = Prompt(Conditions())
    before = estimates(model, prompt, None, "velocity")
    model.weaker = make_model(FOUR_LEVELS, head="logits"), 3.0
    for a, b in zip(estimates(model, prompt, None, "velocity"), before, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_the_weaker_model_is_no_part_of_the_model() -> None:
    model = make_model(FOUR_LEVELS, head="logits")
    names = {*model.state_dict()}
    model.weaker = make_model(FOUR_LEVELS, head="logits", dim=16), 2.0
    assert {*model.state_dict()} == names


def test_conditions_that_only_one_model_has_read_are_refused() -> None:
    model, weaker = (make_model(FOUR_LEVELS, head="logits", **CONDITIONED) for _ in range(2))
    model.weaker = weaker, 2.0
    with pytest.raises(UsageError, match=r"autoguidance: found a call of stable-audio-tools, .* expected model\.generate"):
        model.start_chunk(Prompt(told(1)), 2)
