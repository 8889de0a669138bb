"""Training keys of stable-audio-tools that work here too."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny import tiny_model_config, write_tiny_codec

from snac_plugin.errors import ConfigError
from snac_plugin.plugin import builders
from snac_plugin.plugin.training_builders import training_wrapper
from snac_plugin.training.stage_losses import Draw, one_shot
from snac_plugin.training.wrapper import SnacDiffusionTrainingWrapper


def wrapper_for(folder: Path, **training: Any) -> SnacDiffusionTrainingWrapper:
    config = tiny_model_config(write_tiny_codec(folder))
    config["training"] |= training
    return training_wrapper(config, builders.model(config))


def test_optimizer_configs_overrule_the_learning_rate(tmp_path: Path) -> None:
    configs = {"diffusion": {"optimizer": {"type": "SGD", "config": {"lr": 0.25}}}}
    wrapper = wrapper_for(tmp_path, learning_rate=1e-3, optimizer_configs=configs)
    (optimizer,) = wrapper.configure_optimizers()
    assert optimizer.param_groups[0]["lr"] == 0.25


def test_clip_grad_norm_clips(tmp_path: Path) -> None:
    wrapper = wrapper_for(tmp_path, clip_grad_norm=0.5)
    weight = torch.nn.Parameter(torch.zeros(4))
    weight.grad = torch.full((4,), 3.0)
    wrapper.configure_gradient_clipping(torch.optim.SGD([weight], lr=1.0), 99.0, "norm")
    torch.testing.assert_close(weight.grad.norm(), torch.tensor(0.5), rtol=0, atol=1e-5)


def test_p_one_shot_puts_its_share_of_noise_levels_at_one(tmp_path: Path) -> None:
    """And without it nothing is drawn: earlier runs resume as they were."""
    t, generator = torch.full((100, 3, 4), 0.5), torch.Generator().manual_seed(0)
    draw, before = Draw(t, torch.zeros(1), torch.zeros(1), 0), generator.get_state()
    assert one_shot(draw, 0.0, generator) is draw
    assert torch.equal(generator.get_state(), before)
    shot = one_shot(draw, 0.25, generator).t
    assert set(shot.unique().tolist()) == {0.5, 1.0}
    assert 0.2 < float((shot == 1).float().mean()) < 0.3
    wrapper = wrapper_for(tmp_path, p_one_shot=1.0, pre_encoded=True)
    wrapper._trainer = SimpleNamespace(global_step=0, accumulate_grad_batches=1, global_rank=0, world_size=1)
    wrapper._log_step = lambda *_: None  # type: ignore[method-assign]
    seen: list[torch.Tensor] = []
    fourier = wrapper.diffusion.model.network.fourier
    fourier.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    codes = torch.zeros(2, 15, 4, dtype=torch.long)
    wrapper.training_step((codes, [{}, {}]), 0)
    assert set(torch.cat([x.flatten() for x in seen]).unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("kind", "optimizer", "scheduler"),
    [
        ("AdamW", {"lr": 1e-3, "betas": []}, None),
        ("AdamW", {"lr": 1e-3, "betas": [0.9, 0.99, 0.999]}, None),
        ("SparseAdam", {"lr": 1e-3}, None),
        ("AdamW", {"lr": 1e-3}, ("InverseLR", {"inv_gamma": 0})),
        ("AdamW", {"lr": 1e-3}, ("StepLR", {"step_size": 0})),
    ],
)
def test_optimizers_that_fail_when_built_or_at_their_first_step_are_named(
    tmp_path: Path, kind: str, optimizer: dict[str, Any], scheduler: tuple[str, dict[str, Any]] | None
) -> None:
    """Each was a raw error, in the first step at the latest."""
    config: dict[str, Any] = {"optimizer": {"type": kind, "config": optimizer}}
    if scheduler is not None:
        config["scheduler"] = {"type": scheduler[0], "config": scheduler[1]}
    with pytest.raises(ConfigError, match=r"training\.optimizer_configs: found what fails with: "):
        wrapper_for(tmp_path, learning_rate=None, optimizer_configs={"diffusion": config})
