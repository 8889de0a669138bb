"""The losses of a window against the same losses put together by hand."""

from dataclasses import replace

import pytest
import torch
from known import GAUSSIAN, make_model, random_codes, small_codebooks
from networks import FOUR_LEVELS

from snac_plugin.generation.context import Context
from snac_plugin.levels import Levels
from snac_plugin.model.conditions import Conditions
from snac_plugin.model.diffusion_model import SnacDiffusionModel
from snac_plugin.model.training_pass import all_stages
from snac_plugin.training.stage_losses import Draw, draw_step, stage_losses

NOTHING = Conditions()


def draw(model: SnacDiffusionModel, frames: int, context: int, corruption: float = 0.0) -> tuple[torch.Tensor, Draw]:
    codes = random_codes(model.levels, frames)
    generator = torch.Generator().manual_seed(0)
    levels = len(model.levels)
    drawn = draw_step(codes, model.levels, frames // 3, context, [("uniform", {})] * levels, [corruption] * levels, generator)
    return codes, drawn


def chunk_of(drawn: Draw, chunk: int) -> Draw:
    span = slice(3 * chunk, 3 * chunk + 3)
    return Draw(drawn.t[:, chunk : chunk + 1], drawn.noise[..., span], drawn.clean_codes[..., span], 0)


@pytest.mark.parametrize("head", ["velocity", "logits", "posterior"])
@pytest.mark.parametrize("objective", GAUSSIAN)
def test_loss_is_the_plain_formula(levels: Levels, head: str, objective: str) -> None:
    """MSE of the objective's target, or the negative log-probability of the true code, level by level."""
    model = make_model(levels, objective, head=head, context_chunks=1)
    codes, drawn = draw(model, 6, context=1, corruption=0.3)
    losses, outputs = stage_losses(model, codes, drawn, NOTHING, None)
    data, clean = model.space.from_codes(codes), model.space.from_codes(drawn.clean_codes)
    at = torch.cat(
        [drawn.t[:, c, list(model.levels.level_of_rows())].repeat_interleave(8, 1)[..., None].expand(-1, -1, 3) for c in (0, 1)], -1
    )
    noised = model.objective.noised(data, drawn.noise.double(), at.double())
    expected_outputs = all_stages(model.network, clean, noised, drawn.t.double(), NOTHING, context_chunks=1)
    targets = model.levels.unpack_latents(model.path.target(data, drawn.noise.double(), at.double()))
    points = model.levels.unpack_latents(noised)
    for level, output in enumerate(expected_outputs):
        if head == "posterior":  # the noised point's own density, by all pairs of differences
            alpha, sigma = model.path.alpha_sigma(drawn.t[..., level].double().repeat_interleave(output.shape[1] // 2, 1))
            apart = points[level][:, :, None] - alpha[..., None, None] * model.space.codebooks[level]
            output = (output - apart.square().sum(-1) / (2 * sigma.square()[..., None])).log_softmax(-1)
            outputs[level] = outputs[level].log_softmax(-1)
        torch.testing.assert_close(outputs[level], output, rtol=0, atol=1e-8)
        if head != "velocity":
            own = model.levels.unpack(codes)[level]
            likelihood = output.softmax(-1).gather(-1, own[..., None])
            expected = -likelihood.log().mean()
        else:
            expected = ((output - targets[level]) ** 2).mean()
        torch.testing.assert_close(losses[level].double(), expected.double(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("head", ["velocity", "posterior"])
@pytest.mark.parametrize("masked", [False, True])
def test_some_stages_alone_have_the_losses_they_have_among_all(head: str, masked: bool) -> None:
    model = make_model(FOUR_LEVELS, head=head, context_chunks=1)
    codes, drawn = draw(model, 6, context=1)
    mask = torch.ones(codes.shape[0], 6, dtype=torch.bool)
    mask[0, 4:] = not masked
    before = Context(random_codes(model.levels, 3), torch.ones(codes.shape[0], 3, dtype=torch.bool))
    losses, outputs = stage_losses(model, codes, drawn, NOTHING, mask, before)
    some, made = stage_losses(model, codes, drawn, NOTHING, mask, before, stages=(1, 3))
    torch.testing.assert_close(some, losses[[1, 3]], rtol=1e-6, atol=0)
    for mine, whole in zip(made, (outputs[1], outputs[3]), strict=True):
        torch.testing.assert_close(mine, whole, rtol=0, atol=1e-9)


@pytest.mark.parametrize("head", ["velocity", "logits", "posterior"])
def test_without_context_the_chunks_are_samples_of_their_own(levels: Levels, head: str) -> None:
    """Three chunks in one window: the mean over three windows of one chunk, with the same noise."""
    model = make_model(levels, head=head, context_chunks=2, global_cond_dim=5)
    told = Conditions(embedding=torch.randn(2, 5, dtype=torch.float64))
    codes, drawn = draw(model, 9, context=0)
    together, _ = stage_losses(model, codes, drawn, told, None)
    alone = [stage_losses(model, codes[..., 3 * c : 3 * c + 3], chunk_of(drawn, c), told, None)[0] for c in range(3)]
    torch.testing.assert_close(together, torch.stack(alone).mean(0), rtol=1e-5, atol=0)


def test_context_changes_the_loss_of_later_chunks_only(levels: Levels) -> None:
    """With one chunk of context, the first chunk of the window still trains without any."""
    model = make_model(levels, context_chunks=1)
    codes, drawn = draw(model, 6, context=1)
    _, seen = stage_losses(model, codes, drawn, NOTHING, None)
    _, alone = stage_losses(model, codes, replace(drawn, context_chunks=0), NOTHING, None)
    for level, (a, b) in enumerate(zip(seen, alone, strict=True)):
        first, second = b.unflatten(0, (2, 2)).unbind(1)  # samples were (batch, chunk)
        count = 3 * model.levels.per_frame[level]
        torch.testing.assert_close(a[:, :count], first, rtol=0, atol=1e-10)
        assert not torch.allclose(a[:, count:], second)


@pytest.mark.parametrize("context", [0, 1])
def test_padding_neither_counts_nor_is_seen(levels: Levels, context: int) -> None:
    """The loss of a padded batch is the mean over its codes of sound, whatever stands in the padding."""
    model = make_model(levels, context_chunks=1)
    codes, drawn = draw(model, 6, context)
    mask = torch.ones(2, 6, dtype=torch.bool)
    mask[1, 3:] = False  # the second sample's second chunk
    loss, _ = stage_losses(model, codes, drawn, NOTHING, mask)
    other = codes.clone()
    other[1, :, 3:] = 0
    changed, _ = stage_losses(model, other, replace(drawn, clean_codes=other), NOTHING, mask)
    torch.testing.assert_close(loss, changed, rtol=0, atol=0)
    first = stage_losses(model, codes[:1], Draw(drawn.t[:1], drawn.noise[:1], codes[:1], context), NOTHING, None)[0]
    rest = Draw(drawn.t[1:, :1], drawn.noise[1:, :, :3], codes[1:, :, :3], 0)
    second = stage_losses(model, codes[1:, :, :3], rest, NOTHING, None)[0]
    torch.testing.assert_close(loss, (2 * first + second) / 3, rtol=1e-5, atol=0)


def test_given_context_is_seen_and_not_trained(levels: Levels) -> None:
    """A chunk given before the window does what the same chunk in the window does for those after it."""
    model = make_model(levels, context_chunks=1)
    codes, drawn = draw(model, 6, context=1)
    _, whole = stage_losses(model, codes, drawn, NOTHING, None)
    before = Context(codes[..., :3], torch.ones(2, 3, dtype=torch.bool), None)
    later = Draw(drawn.t[:, 1:], drawn.noise[..., 3:], codes[..., 3:], 1)
    losses, outputs = stage_losses(model, codes[..., 3:], later, NOTHING, None, before)
    assert losses.shape == (len(levels),)
    for level, (a, b) in enumerate(zip(outputs, whole, strict=True)):
        torch.testing.assert_close(a, b[:, 3 * levels.per_frame[level] :], rtol=0, atol=1e-10)


def test_corruption_replaces_its_share_of_clean_codes_alone() -> None:
    """Corrupted targets would teach the model to make mistakes; the share is given per level."""
    levels = small_codebooks(FOUR_LEVELS)
    codes = random_codes(levels, 600, batch=4)
    shares = [0.0, 0.1, 0.3, 1.0]
    drawn = draw_step(codes, levels, 1, 0, [("uniform", {})] * 4, shares, torch.Generator().manual_seed(0))
    for share, clean, own in zip(shares, levels.unpack(drawn.clean_codes), levels.unpack(codes), strict=True):
        changed = (clean != own).double().mean()
        assert float(changed) == pytest.approx(share * 63 / 64, abs=0.02)  # one in 64 is replaced by itself
        assert ((clean >= 0) & (clean < 64)).all()
    assert torch.equal(codes, random_codes(levels, 600, batch=4))


def test_targets_are_the_true_codes_under_corruption() -> None:
    model = make_model(FOUR_LEVELS, head="logits")
    codes, drawn = draw(model, 3, context=0, corruption=1.0)
    losses, outputs = stage_losses(model, codes, drawn, NOTHING, None)
    own = model.levels.unpack(codes)[3]
    expected = -outputs[3].log_softmax(-1).gather(-1, own[..., None]).mean()
    torch.testing.assert_close(losses[3].double(), expected, rtol=1e-5, atol=0)


def test_each_level_draws_from_its_own_distribution() -> None:
    """Noise levels are independent for every sample, chunk and level, and stratified over samples and chunks."""
    levels = small_codebooks(FOUR_LEVELS)
    timesteps = [("uniform", {}), ("uniform", {"shift": 50.0}), ("logit_normal", {"mean": -3.0}), ("log_snr", {})]
    generator = torch.Generator().manual_seed(0)
    drawn = draw_step(random_codes(levels, 48, batch=64), levels, 16, 0, timesteps, [0.0] * 4, generator)
    assert drawn.t.shape == (64, 16, 4)
    assert sorted((drawn.t[..., 0].flatten() * 1024).long().tolist()) == list(range(1024))
    means = drawn.t.mean(dim=(0, 1))
    assert means[1] > 0.9
    assert means[2] < 0.15
    correlation = torch.corrcoef(drawn.t.flatten(0, 1).T)
    assert (correlation - torch.eye(4)).abs().max() < 0.15
