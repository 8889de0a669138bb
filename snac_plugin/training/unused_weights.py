"""Weights that a step leaves out, in a training by several processes.

DistributedDataParallel waits for a gradient of every weight, or searches the graph in each step for those that have none. Phases
leave levels out, so here the loss reaches every weight without giving it a gradient; what DDP then fills with zeros is emptied
again, as it is in one process: with zeros weight decay would go on.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor


class _Reached(torch.autograd.Function):
    """The loss as it is, as a function of all weights that gives them no gradient."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, *weights: Tensor) -> Tensor:
        ctx.count = len(weights)
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return gradient, *(None,) * ctx.count


class UnusedWeights:
    """Which weights have had a gradient since the last step."""

    def __init__(self, weights: Iterable[Tensor]) -> None:
        self.weights = [weight for weight in weights if weight.requires_grad]
        self.used = torch.zeros(len(self.weights))
        for index, weight in enumerate(self.weights):
            weight.register_hook(partial(self._mark, index))

    def _mark(self, index: int, gradient: Tensor | None) -> None:
        if gradient is not None:
            self.used[index] = 1.0

    def reached_by(self, loss: Tensor) -> Tensor:
        """The loss, whose backward pass comes by every weight."""
        return _Reached.apply(loss, *self.weights)

    def empty(self, total: Callable[[Tensor], Tensor]) -> None:
        """Take the gradients away that no process has computed; `total` is the sum over processes."""
        for weight, used in zip(self.weights, total(self.used.to(self.weights[0].device)).tolist(), strict=True):
            if not used:
                weight.grad = None
