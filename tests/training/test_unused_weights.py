"""Weights without a part in a step get no gradient, and their processes still know that none will come."""

from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning.strategies import DDPStrategy, DeepSpeedStrategy, SingleDeviceStrategy
from torch import nn

from snac_plugin.training.unused_weights import UnusedWeights
from snac_plugin.training.wrapper import SnacDiffusionTrainingWrapper


def test_the_backward_pass_comes_by_all_weights_and_gives_only_the_used_ones_a_gradient() -> None:
    """DDP waits for these hooks; a gradient of zeros would let weight decay and moments go on."""
    torch.manual_seed(0)
    used, unused, frozen = nn.Linear(3, 2), nn.Linear(3, 2), nn.Linear(3, 2).requires_grad_(False)
    parts = nn.ModuleList([used, unused, frozen])
    watch, x, passed = UnusedWeights(parts.parameters()), torch.randn(4, 3), []
    nodes = [weight.expand_as(weight).grad_fn.next_functions[0][0] for weight in watch.weights]
    for node in nodes:
        node.register_hook(lambda *_: passed.append(1))
    loss = used(x).square().sum()
    (expected,) = torch.autograd.grad(loss, used.weight, retain_graph=True)
    watch.used.zero_()
    reached = watch.reached_by(loss)
    assert torch.equal(reached, loss)
    reached.backward()
    assert len(passed) == 4
    assert torch.equal(used.weight.grad, expected)
    assert unused.weight.grad is None
    assert watch.used.tolist() == [1, 1, 0, 0]


def test_what_another_process_has_used_keeps_its_gradient() -> None:
    first, second, third = (nn.Parameter(torch.ones(2)) for _ in range(3))
    watch = UnusedWeights([first, second, third])
    watch.reached_by(first.sum()).backward()
    for weight in (second, third):
        weight.grad = torch.zeros(2)  # as DDP leaves it
    watch.empty(lambda mine: mine + torch.tensor([0.0, 1.0, 0.0]))
    assert first.grad is not None
    assert second.grad is not None
    assert third.grad is None


@pytest.mark.parametrize(("strategy", "watched"), [(DDPStrategy, True), (DeepSpeedStrategy, False), (SingleDeviceStrategy, False)])
def test_only_plain_ddp_needs_the_watch(strategy: type, watched: bool) -> None:
    """DeepSpeed's strategy is a subclass of DDP's, and hooks the same weights itself."""
    trainer = SimpleNamespace(strategy=strategy.__new__(strategy), max_steps=-1)  # DeepSpeed's constructor wants its package
    training = SimpleNamespace(trainer=trainer, parameters=nn.Linear(3, 2).parameters, _unused=None)
    SnacDiffusionTrainingWrapper.on_train_start(training)  # type: ignore[arg-type]
    assert (training._unused is not None) == watched
