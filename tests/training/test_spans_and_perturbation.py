"""Spans of masked codes, and noise in the network's input alone."""

from dataclasses import replace

import pytest
import torch
from known import make_model, random_codes, small_codebooks
from networks import FOUR_LEVELS

from snac_plugin.diffusion.objectives import OBJECTIVES, is_masked
from snac_plugin.model.conditions import Conditions
from snac_plugin.model.training_pass import all_stages
from snac_plugin.training.stage_losses import Draw, Share, code_losses, draw_step, in_own_noise, perturbed, stage_losses

MASKED = OBJECTIVES["masked"]
ALONE = Share()
NOTHING = Conditions()


def masks(span: int, codes: int, share: float, samples: int = 2000) -> torch.Tensor:
    """[samples, codes] bool."""
    noise = torch.randn(samples, codes, 8, generator=torch.Generator().manual_seed(span))
    t = MASKED.own_level(torch.tensor(share), codes)
    return is_masked(MASKED.noised(torch.ones(samples, codes, 8), MASKED.own_noise(noise, span), t))


@pytest.mark.parametrize("span", [1, 2, 3, 10])
@pytest.mark.parametrize(("codes", "share"), [(32, 0.25), (32, 0.5), (33, 0.9), (7, 0.5), (1, 1.0)])
def test_exactly_the_share_is_masked_and_every_code_as_often(span: int, codes: int, share: float) -> None:
    """MAGNeT's own masks miss the rate, and lengths that are no multiple of the span lose their end."""
    masked = masks(span, codes, share)
    count = int(torch.tensor(share * codes - 1e-3).ceil())
    assert masked.sum(1).unique().tolist() == [count]
    assert (masked.double().mean(0) - count / codes).abs().max() < 0.06


def test_neighbours_are_masked_together() -> None:
    """In runs of whole spans: without spans half of the codes at random have runs of 2 on average."""
    span, codes = 8, 64
    masked = masks(span, codes, 0.5)
    edges = torch.nn.functional.pad(masked.int(), (1, 1)).diff().abs().sum(1) // 2
    assert float((32 / edges).mean()) > span
    inner = [row.nonzero().flatten().tolist() for row in masked[:200]]
    for places in inner:
        runs = "".join("1" if place in places else "0" for place in range(codes)).split("0")
        cut = [run for run in runs[1:-1] if len(run) % span]
        assert len([run for run in cut if run]) <= 3  # the span masked in part, and those beside the ends


def test_one_code_a_span_is_what_it_was() -> None:
    noise = torch.randn(4, 33, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(MASKED.own_noise(noise), MASKED.own_noise(noise, 1))
    order = noise[..., :1].argsort(dim=-2).argsort(dim=-2)
    assert torch.equal(MASKED.own_noise(noise, 1), ((order + 0.5) / 33).expand_as(noise))


def test_each_level_has_spans_of_its_own_within_the_frames_that_are_not_known() -> None:
    model = make_model(FOUR_LEVELS, "masked", head="logits", context_chunks=1)
    codes = random_codes(model.levels, 6)
    drawn = draw_step(codes, model.levels, 2, 1, [("uniform", {})] * 4, [0.0] * 4, torch.Generator().manual_seed(0))
    drawn = replace(drawn, spans=(1, 2, 3, 4), known=((1,), (1,)))
    own = in_own_noise(model, drawn, [3, 3])
    free = [0, 2]
    given = model.levels.unpack_latents(drawn.noise[..., free])
    for level, span in enumerate(drawn.spans):
        expected = MASKED.own_noise(given[level], span)
        assert torch.equal(model.levels.unpack_latents(own.noise[..., free])[level], expected)
    assert stage_losses(model, codes, replace(drawn, context_chunks=0), NOTHING, None)[0].isfinite().all()


def perturbed_draw(amounts: list[float], share: Share = ALONE, batch: int = 2) -> tuple[torch.Tensor, Draw]:
    levels = small_codebooks(FOUR_LEVELS)
    codes = random_codes(levels, 6, batch)
    drawn = draw_step(codes, levels, 2, 1, [("uniform", {})] * 4, [0.0] * 4, torch.Generator().manual_seed(0))
    return codes, perturbed(drawn, levels, amounts, torch.Generator().manual_seed(1), share)


def test_perturbation_has_its_size_by_level_and_without_it_nothing_is_drawn() -> None:
    levels = small_codebooks(FOUR_LEVELS)
    _, drawn = perturbed_draw([0.0, 0.1, 0.2, 0.3], batch=200)
    assert drawn.perturbation is not None
    deviations = [float(part.std()) for part in levels.unpack_latents(drawn.perturbation)]
    assert deviations == pytest.approx([0.0, 0.1, 0.2, 0.3], rel=0.05)
    assert perturbed_draw([0.0] * 4)[1].perturbation is None


@pytest.mark.parametrize("head", ["velocity", "logits", "posterior"])
@pytest.mark.parametrize("context", [0, 1])
def test_the_network_sees_it_and_the_target_does_not(head: str, context: int) -> None:
    """A target with the perturbation in it would only be more noise."""
    model = make_model(FOUR_LEVELS, head=head, context_chunks=1)
    codes, drawn = perturbed_draw([0.3] * 4)
    drawn = replace(drawn, context_chunks=context)
    assert drawn.perturbation is not None
    found = code_losses(model, codes, drawn, NOTHING, None)
    data = model.space.from_codes(codes)
    t = drawn.t[:, :, list(model.levels.level_of_rows())].repeat_interleave(8, 2).repeat_interleave(3, 1).transpose(1, 2).double()
    seen = model.objective.noised(data, drawn.noise.double() + drawn.perturbation.double(), t)
    own = model.objective.noised(data, drawn.noise.double(), t)
    outputs = all_stages(model.network, data, seen, drawn.t.double(), NOTHING, context_chunks=context)
    for level, output in enumerate(outputs):
        if head == "velocity":
            target = model.levels.unpack_latents(drawn.noise.double() - data)[level]
            losses = (output - target).square().mean(-1)
        else:
            times = model.levels.unpack_latents(t)[level][..., 0]
            logits = model.logits(level, output, model.levels.unpack_latents(own)[level], times)
            losses = -logits.log_softmax(-1).gather(-1, model.levels.unpack(codes)[level][..., None])[..., 0]
        torch.testing.assert_close(found.losses[level].double().reshape(losses.shape), losses, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("objective", ["rectified_flow", "v"])
def test_bayes_rule_has_the_point_without_the_perturbation(objective: str) -> None:
    """A network that says nothing leaves the posterior log p(code | x_t) of Gaussians, by hand: x_t is no input of the network."""
    model = make_model(FOUR_LEVELS, objective, head="posterior", context_chunks=1)
    for head in model.network.heads:
        head.weight.data.zero_()
    codes, drawn = perturbed_draw([3.0] * 4)
    assert drawn.perturbation is not None
    drawn.perturbation.requires_grad_()
    found = code_losses(model, codes, drawn, NOTHING, None)
    (gradient,) = torch.autograd.grad(sum(loss.sum() for loss in found.losses), drawn.perturbation, allow_unused=True)
    assert gradient is None or not gradient.any()
    data, noise = (model.levels.unpack_latents(x) for x in (model.space.from_codes(codes), drawn.noise.double()))
    for level, count in enumerate(model.levels.per_frame):
        t = drawn.t[:, :, level].double().repeat_interleave(3 * count, dim=1)[..., None]  # chunks of three frames
        alpha, sigma = (1 - t, t) if objective == "rectified_flow" else ((t * torch.pi / 2).cos(), (t * torch.pi / 2).sin())
        x = alpha * data[level] + sigma * noise[level]
        apart = (x[:, :, None] - alpha[..., None] * model.space.codebooks[level]).square().sum(-1)
        log_likelihood = -apart / (2 * sigma.square())
        wanted = model.levels.unpack(codes)[level][..., None]
        expected = log_likelihood.logsumexp(-1) - log_likelihood.gather(-1, wanted)[..., 0]
        torch.testing.assert_close(found.losses[level].double(), expected, rtol=1e-3, atol=1e-4)


def test_processes_share_one_perturbation() -> None:
    """Each draws for all of them: N processes train as one with N times the batch does."""
    _, whole = perturbed_draw([0.1] * 4, batch=4)
    parts = [perturbed_draw([0.1] * 4, Share(rank, 2))[1].perturbation for rank in range(2)]
    assert whole.perturbation is not None
    assert torch.equal(torch.cat([part for part in parts if part is not None]), whole.perturbation)
