"""The loss of masked codes against the same loss put together by hand, and what a masked code lets through."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from known import make_model, random_codes, small_codebooks
from networks import FOUR_LEVELS, TOKENS
from torch import Tensor

from snac_plugin.diffusion.objectives import OBJECTIVES, is_masked
from snac_plugin.levels import Levels
from snac_plugin.model.conditions import Conditions
from snac_plugin.model.diffusion_model import SnacDiffusionModel
from snac_plugin.model.training_pass import all_stages
from snac_plugin.training.stage_losses import Draw, code_losses, draw_step, in_own_noise, stage_losses

NOTHING = Conditions()
SIZE = 3  # frames of a chunk


def masked_model(levels: Levels, **options: Any) -> SnacDiffusionModel:
    return make_model(levels, "masked", head="logits", **options)


def draw(model: SnacDiffusionModel, frames: int, context: int) -> tuple[Tensor, Draw]:
    codes, levels = random_codes(model.levels, frames), len(model.levels)
    generator = torch.Generator().manual_seed(0)
    return codes, draw_step(codes, model.levels, frames // SIZE, context, [("uniform", {})] * levels, [0.0] * levels, generator)


def masks_by_hand(model: SnacDiffusionModel, drawn: Draw, known: tuple[int, ...] = ()) -> tuple[list[Tensor], Tensor]:
    """Of each level which codes are masked [B, N], and the share of masked codes [B, C, L]; the same frames known in all chunks."""
    levels, noise, shares = model.levels, model.levels.unpack_latents(drawn.noise), drawn.t.clone()
    masks = [torch.zeros(z.shape[:2], dtype=torch.bool) for z in noise]
    for item in range(len(drawn.t)):
        for chunk in range(drawn.t.shape[1]):
            for level, count in enumerate(levels.per_frame):
                first = chunk * SIZE * count
                free = [first + i for i in range(SIZE * count) if i // count not in known]
                number = max(1, int(-(-float(drawn.t[item, chunk, level]) * len(free) // 1)))
                chosen = sorted(free, key=lambda i: float(noise[level][item, i, 0]))[:number]
                masks[level][item, chosen] = True
                shares[item, chunk, level] = number / len(free)
    return masks, shares


@pytest.mark.parametrize("tokens", TOKENS.values(), ids=TOKENS)
def test_loss_is_the_mean_over_masked_codes_by_hand(tokens: dict) -> None:
    """MDLM's 1 / t times the sum over masked codes; what the network sees is the data without them, and their share."""
    model = masked_model(FOUR_LEVELS, context_chunks=1, **tokens)
    codes, drawn = draw(model, 2 * SIZE, context=1)
    losses, outputs = stage_losses(model, codes, drawn, NOTHING, None)
    masks, shares = masks_by_hand(model, drawn)
    data = model.space.from_codes(codes)
    seen = [z.masked_fill(mask[..., None], 0) for z, mask in zip(model.levels.unpack_latents(data), masks, strict=True)]
    expected = all_stages(model.network, data, model.levels.pack_latents(seen), shares.double(), NOTHING, context_chunks=1)
    for level, (output, own) in enumerate(zip(expected, model.levels.unpack(codes), strict=True)):
        torch.testing.assert_close(outputs[level], output, rtol=0, atol=1e-6)
        surprise = -output.log_softmax(-1).gather(-1, own[..., None])[..., 0]
        by_stage = zip(surprise.unflatten(1, (2, -1)).flatten(0, 1), masks[level].unflatten(1, (2, -1)).flatten(0, 1), strict=True)
        by_hand = torch.stack([stage[mask].mean() for stage, mask in by_stage]).mean()
        torch.testing.assert_close(losses[level].double(), by_hand, rtol=1e-5, atol=0)


def test_no_gradient_comes_from_codes_that_are_seen_nor_from_what_is_masked() -> None:
    """A loss on codes that the input shows would teach to copy; a masked code's vector that got through would tell the answer."""
    model = masked_model(FOUR_LEVELS, read_out="code", patch={"C": 2})
    codes, drawn = draw(model, SIZE, context=0)
    found = code_losses(model, codes, drawn, NOTHING, None)
    masks, _ = masks_by_hand(model, drawn)
    for loss, mask in zip(found.losses, masks, strict=True):
        assert torch.equal(loss != 0, mask)
    model.space.codebooks.requires_grad_()
    outputs = code_losses(model, codes, drawn, NOTHING, None).outputs
    for level, output in enumerate(outputs):
        (gradient,) = torch.autograd.grad(output.sum(), model.space.codebooks, retain_graph=True)
        clean = {i for other in range(level) for i in [other]}  # coarser levels are seen whole
        used = {int(code) for code, hidden in zip(model.levels.unpack(codes)[level].flatten(), masks[level].flatten(), strict=True)
                if not hidden}  # fmt: skip
        touched = gradient[level].any(dim=-1).nonzero().flatten().tolist()
        assert set(touched) == used
        assert all(gradient[other].any() == (other in clean or other == level) for other in range(4))


def test_exactly_the_drawn_share_of_what_is_not_known_is_masked() -> None:
    """Shares are those of the segment that generation denoises: known frames are no part of it."""
    model = masked_model(FOUR_LEVELS, context_chunks=1)
    _, drawn = draw(model, 2 * SIZE, context=1)
    drawn = replace(drawn, known=((1,), (1,)))
    own = in_own_noise(model, drawn, [SIZE, SIZE])
    masks, shares = masks_by_hand(model, drawn, known=(1,))
    torch.testing.assert_close(own.t, shares)
    for level, (z, count) in enumerate(zip(model.levels.unpack_latents(own.noise), model.levels.per_frame, strict=True)):
        t = own.t[..., level].repeat_interleave(SIZE * count, dim=1)
        free = (torch.arange(2 * SIZE * count) // count % SIZE) != 1
        assert torch.equal((z[..., 0] < t)[:, free], masks[level][:, free])


@pytest.mark.parametrize("count", [1, 7, 16, 49, 512])
def test_a_share_is_a_whole_number_of_codes_and_stays_it(count: int) -> None:
    objective = OBJECTIVES["masked"]
    noise = objective.own_noise(torch.randn(1, count, 8, generator=torch.Generator().manual_seed(0)))
    for number in range(1, count + 1):
        t = objective.own_level(torch.tensor((number - 0.5) / count), count)
        assert torch.equal(objective.own_level(t, count), t)
        assert int(is_masked(objective.noised(torch.ones(1, count, 8), noise, t)).sum()) == number
    assert float(objective.own_level(torch.tensor(0.0), count)) == pytest.approx(1 / count)


def test_shares_are_stratified_over_the_batch_and_cosine_ones_lean_to_masks() -> None:
    levels = small_codebooks(FOUR_LEVELS)
    timesteps = [("uniform", {}), ("cosine", {}), ("uniform", {}), ("cosine", {})]
    drawn = draw_step(random_codes(levels, 48, batch=64), levels, 16, 0, timesteps, [0.0] * 4, torch.Generator().manual_seed(0))
    for level in (1, 3):
        quantiles = torch.asin(drawn.t[..., level].double()) * 2 / torch.pi
        assert sorted((quantiles.flatten() * 1024).long().clamp(max=1023).tolist()) == pytest.approx(range(1024), abs=1)
    assert float(drawn.t[..., 1].mean()) == pytest.approx(2 / torch.pi, abs=0.01)
    assert float(drawn.t[..., 0].mean()) == pytest.approx(0.5, abs=0.01)


def test_without_context_the_chunks_are_samples_of_their_own() -> None:
    model = masked_model(FOUR_LEVELS, context_chunks=2)
    codes, drawn = draw(model, 3 * SIZE, context=0)
    together, _ = stage_losses(model, codes, drawn, NOTHING, None)
    alone = []
    for chunk in range(3):
        span = slice(SIZE * chunk, SIZE * (chunk + 1))
        part = Draw(drawn.t[:, chunk : chunk + 1], drawn.noise[..., span], codes[..., span], 0)
        alone.append(stage_losses(model, codes[..., span], part, NOTHING, None)[0])
    torch.testing.assert_close(together, torch.stack(alone).mean(0), rtol=1e-5, atol=0)
