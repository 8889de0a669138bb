"""Conditioners of this package, as stable-audio-tools' are: values of a batch in, [tokens [B, M, D], mask [B, M]] out.

Letters: B batch, K classes, D output_dim, N chunks.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from stable_audio_tools.models.adp import NumberEmbedder
from stable_audio_tools.models.conditioners import Conditioner
from torch import Tensor, nn

from snac_plugin.config.condition_values import Position, class_weights, position_in, quality_weights
from snac_plugin.config.conditioner_keys import QUALITIES


class ClassMixture(Conditioner):
    """A class, or several with weights: sum_k w_k e_k with weights that sum to 1 (dualdiffusion's label mixtures).

    No class ("" or None), and a label that training or guidance drops, is a learned vector of its own. Values are those of
    `class_weights`; UsageError for others.
    """

    def __init__(self, output_dim: int, classes: Sequence[str]) -> None:
        super().__init__(output_dim, output_dim)
        self.classes = tuple(classes)
        self.embedder = nn.Embedding(len(self.classes) + 1, output_dim)  # the last row is no class

    @property
    def unconditioned(self) -> Tensor:
        """What takes the place of a dropped label [D]."""
        return self.embedder.weight[-1]

    def weights(self, value: Any) -> dict[str, float]:
        return class_weights(value, self.classes)

    def forward(self, values: Sequence[Any], device: Any = None) -> list[Tensor]:
        """[B, 1, D] and its mask [B, 1]."""
        table = self.embedder.weight
        rows = [[(found := self.weights(value)).get(name, 0.0) for name in self.classes] + [float(not found)] for value in values]
        mixed = torch.tensor(rows, dtype=table.dtype, device=table.device) @ table
        return [mixed[:, None].to(device), torch.ones(len(rows), 1, device=device)]


class Quality(ClassMixture):
    """Five classes of quality; a number is a score, whose class the thresholds tell.

    QA-MDT's classes are floor((s - (mean - 2 deviation)) / deviation): thresholds mean - deviation, mean, mean + deviation and
    mean + 2 deviation of the scores s in the training data.
    """

    def __init__(self, output_dim: int, thresholds: Sequence[float]) -> None:
        super().__init__(output_dim, QUALITIES)
        self.thresholds = tuple(thresholds)

    def weights(self, value: Any) -> dict[str, float]:
        return quality_weights(value, self.thresholds)


class ChunkPosition(Conditioner):
    """Index of a chunk and length of its piece, in chunks: e_1(index / most) + e_2(total / most), as Stable Audio's timing.

    It differs from chunk to chunk, so its output has a row for each: first one of zeros for tokens that belong to no chunk, then
    those of the `before` chunks before, then those of the chunks; last, for each of a position's `starts`, those of the `before`
    chunks before it and its own. Pieces of more than `most_chunks` are counted in longer chunks.
    """

    def __init__(self, output_dim: int, most_chunks: int, before: int = 0) -> None:
        super().__init__(output_dim, output_dim)
        self.most, self.before = most_chunks, before
        self.index_embedder, self.total_embedder = NumberEmbedder(output_dim), NumberEmbedder(output_dim)

    def forward(self, values: Sequence[Any], device: Any = None) -> list[Tensor]:
        """[B, 1 + before + N, D] and its mask, of values that are a `Position` or as of `position_in`."""
        positions = [value if isinstance(value, Position) else self.position(value) for value in values]
        steps = torch.arange(-self.before, max(position.chunks for position in positions), dtype=torch.float)
        steps = torch.cat([steps, *(start + torch.arange(-self.before, 1) for start in positions[0].starts)])
        scale = torch.tensor([1 / max(position.total, self.most) for position in positions])[:, None]
        index = (torch.tensor([position.index for position in positions])[:, None] + steps).clamp(min=0) * scale
        total = torch.tensor([position.total for position in positions])[:, None] / self.most
        like = next(self.parameters())
        rows = self.index_embedder(index.clamp(max=1).to(like)) + self.total_embedder(total.clamp(max=1).to(like))
        rows = torch.cat([torch.zeros_like(rows[:, :1]), rows], dim=1).to(device)
        return [rows, torch.ones(rows.shape[:2], device=device)]

    def position(self, value: Any) -> Position:
        """The position of all chunks from one to the end of its piece."""
        index, total = position_in(value, self.most)
        return Position(index, total, math.ceil(total - index))


def blanks(tensors: Mapping[str, Any], conditioners: Mapping[str, Any]) -> dict[str, Any]:
    """What takes the place of each condition that is dropped: its learned vector where it has one, else zeros; masks stay."""

    def blank(name: str, value: Tensor) -> Tensor:
        learned = getattr(conditioners.get(name), "unconditioned", None)
        return torch.zeros_like(value) if learned is None else learned.to(value).expand_as(value)

    return {name: [blank(name, value), mask] for name, (value, mask) in tensors.items()}


def chosen(keep: Tensor, tensors: Sequence[Tensor], others: Sequence[Tensor]) -> list[Tensor]:
    """A condition's tensors where `keep` [B] is True, others' elsewhere."""
    if bool(keep.all()) or not bool(keep.any()):
        return list(tensors if keep.all() else others)
    pairs = zip(tensors, others, strict=True)
    return [torch.where(keep.to(one.device).view(-1, *[1] * (one.ndim - 1)), one, other) for one, other in pairs]
