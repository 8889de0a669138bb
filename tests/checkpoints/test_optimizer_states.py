"""What optimizers remember is told apart from what could not be theirs, before a step fails at it."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from snac_plugin.checkpoints.weights import check_optimizers
from snac_plugin.errors import CheckpointError


def stepped(make: Callable[..., torch.optim.Optimizer]) -> torch.optim.Optimizer:
    """An optimizer of weights of zero to three dimensions after a step."""
    generator = torch.Generator().manual_seed(0)
    weights = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((), (), (4,), (8,), (4, 8), (8, 4), (2, 3, 4))]
    optimizer = make(weights, lr=0.1)
    sum(weight.square().sum() for weight in weights).backward()  # type: ignore[union-attr]
    optimizer.step()
    return optimizer


@pytest.mark.parametrize("name", ["AdamW", "Adam", "SGD", "RMSprop", "NAdam", "Adafactor"])
def test_its_own_state_fits(name: str) -> None:
    more: dict[str, Any] = {"momentum": 0.9} if name == "SGD" else {}
    check_optimizers([stepped(lambda weights, lr: getattr(torch.optim, name)(weights, lr=lr, **more))], "here")


@pytest.mark.parametrize(("name", "shape"), [("exp_avg_sq", (4,)), ("exp_avg", ()), ("step", (4, 8))])
def test_what_has_other_dimensions_than_with_other_weights_is_told(name: str, shape: tuple[int, ...]) -> None:
    """torch failed in the first step, with a page of its own."""
    optimizer = stepped(torch.optim.AdamW)
    matrix = next(weight for weight in optimizer.state if weight.ndim == 2)
    optimizer.state[matrix][name] = torch.ones(shape)
    with pytest.raises(CheckpointError, match="optimizers that remember other things of some weights"):
        check_optimizers([optimizer], "here")


@pytest.mark.parametrize("count", [-1.0, -1e30])
def test_steps_below_none_are_told(count: float) -> None:
    """The next step divided by zero, or left the range of numbers."""
    optimizer = stepped(torch.optim.AdamW)
    next(iter(optimizer.state.values()))["step"] = torch.tensor(count)
    with pytest.raises(
        CheckpointError, match=rf"found an optimizer after {re.escape(f'{count:g}')} steps, expected the state of a training"
    ):
        check_optimizers([optimizer], "here")
