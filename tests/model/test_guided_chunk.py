"""Both branches of guidance in one batch, against two chunks run apart and combined by hand, in float64."""

from dataclasses import replace

import pytest
import torch
from known import make_model
from torch import Tensor

from snac_plugin.diffusion.guidance import Guidance
from snac_plugin.levels import Levels
from snac_plugin.model.conditions import Conditions, Prompt
from snac_plugin.model.diffusion_model import SnacDiffusionModel

CONDITIONED = {"cond_token_dim": 6, "global_cond_dim": 5, "prepend_cond_dim": 7}
GUIDANCE = Guidance(2.5, rescale=0.3)


def told(seed: int, batch: int = 2, masked: bool = True) -> Conditions:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, generator=generator, dtype=torch.float64)

    mask = torch.tensor([[True, True, False], [True, True, True]]) if masked else None
    return Conditions(cross=draw(3, 6), cross_mask=mask, embedding=draw(5), prepended=draw(3, 7), prepended_mask=mask)


@torch.no_grad()
def velocities(
    model: SnacDiffusionModel,
    conditions: Conditions,
    guidance: Guidance,
    context: Tensor | None,
    mask: Tensor | None = None,
    negative: Conditions | None = None,
) -> list[Tensor]:
    """Velocity of each level of one chunk, coarser levels finished with fixed latents."""
    generator = torch.Generator().manual_seed(7)
    chunk = model.start_chunk(Prompt(conditions, negative, context, mask), 2, guidance)
    t, found = torch.tensor([0.4, 0.8], dtype=torch.float64), []
    for level, count in enumerate(model.levels.per_frame):
        x, finished = torch.randn(2, 2, 3 * count, 8, generator=generator, dtype=torch.float64)
        found.append(chunk.denoiser(level, model.velocity)(x, t))
        chunk.append(level, finished)
    return found


def by_hand(conditioned: list[Tensor], unconditioned: list[Tensor]) -> list[Tensor]:
    t = torch.tensor([0.4, 0.8], dtype=torch.float64)
    return [GUIDANCE.combine(c, u, t) for c, u in zip(conditioned, unconditioned, strict=True)]


def check(found: list[Tensor], expected: list[Tensor]) -> None:
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize("head", ["velocity", "logits", "posterior"])
def test_guided_chunk_is_the_conditioned_away_from_the_unconditioned(levels: Levels, head: str) -> None:
    """The other branch has zero tokens for conditioning and no context at all."""
    model = make_model(levels, head=head, context_chunks=1, **CONDITIONED)
    context = torch.randn(2, levels.channels, 3, dtype=torch.float64)
    nothing = told(0).dropped(torch.tensor([False, False]), embedding=True)
    hidden = torch.zeros(2, 3, dtype=torch.bool)
    conditioned = velocities(model, told(0), Guidance(), context)
    unconditioned = velocities(model, nothing, Guidance(), context, hidden)
    check(velocities(model, told(0), GUIDANCE, context), by_hand(conditioned, unconditioned))
    assert not torch.allclose(conditioned[0], unconditioned[0])


def test_hidden_context_is_no_context(levels: Levels) -> None:
    """The branch without context keeps the chunk's place in time; nothing else may tell it from a first chunk."""
    model = make_model(levels, context_chunks=1)
    context = torch.randn(2, levels.channels, 3, dtype=torch.float64)
    hidden = velocities(model, Conditions(), Guidance(), context, torch.zeros(2, 3, dtype=torch.bool))
    check(hidden, velocities(model, Conditions(), Guidance(), None))


def test_scale_one_is_the_conditioned_branch_alone(levels: Levels) -> None:
    model = make_model(levels, context_chunks=1)
    context = torch.randn(2, levels.channels, 3, dtype=torch.float64)
    chunk = model.start_chunk(Prompt(context=context), 2, Guidance(1.0))
    assert chunk.branches == 1
    almost = velocities(model, Conditions(), Guidance(1 + 1e-9), context)
    check(
        [v.round(decimals=6) for v in almost], [v.round(decimals=6) for v in velocities(model, Conditions(), Guidance(), context)]
    )


@pytest.mark.parametrize("masked", [True, False], ids=["with masks", "without masks"])
def test_guidance_leads_away_from_negative_conditioning(levels: Levels, masked: bool) -> None:
    """What the negative leaves out is as without conditioning; tokens without a mask of their own are all seen."""
    model = make_model(levels, context_chunks=0, **CONDITIONED)
    negative = told(1, masked=masked)
    conditioned = velocities(model, told(0), Guidance(), None)
    check(
        velocities(model, told(0), GUIDANCE, None, negative=negative),
        by_hand(conditioned, velocities(model, negative, Guidance(), None)),
    )
    only_cross = Conditions(cross=negative.cross, cross_mask=negative.cross_mask)
    nothing = told(0).dropped(torch.tensor([False, False]), embedding=True)
    rest = replace(nothing, cross=negative.cross, cross_mask=negative.cross_mask)
    check(
        velocities(model, told(0), GUIDANCE, None, negative=only_cross),
        by_hand(conditioned, velocities(model, rest, Guidance(), None)),
    )


def test_without_anything_to_drop_there_is_one_branch(levels: Levels) -> None:
    """A second branch would cost twice and change nothing."""
    model = make_model(levels)
    assert model.start_chunk(Prompt(), 2, Guidance(6.0)).branches == 1


@pytest.mark.parametrize("guided", [True, False])
def test_guidance_by_global_conditioning_alone(levels: Levels, guided: bool) -> None:
    """A class that is only in global_cond_ids: guidance did nothing at all."""
    model = make_model(levels, global_cond_dim=5, guided_global_cond=guided)
    conditions = Conditions(embedding=told(0).embedding)
    conditioned = velocities(model, conditions, Guidance(), None)
    nothing = velocities(model, Conditions(embedding=torch.zeros(2, 5, dtype=torch.float64)), Guidance(), None)
    found = velocities(model, conditions, GUIDANCE, None)
    check(found, by_hand(conditioned, nothing) if guided else conditioned)
    assert not torch.allclose(conditioned[0], nothing[0])
