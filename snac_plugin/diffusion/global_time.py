"""One global noise level for callers that know nothing of levels: each stage owns a window of it.

A stage is one level of one chunk. Stages follow each other from global time 1 down to 0; inside its window a stage runs
through its own noise levels 1 to 0, outside it stands still. An Euler step on global time that stays inside a window is
then exactly an Euler step of that stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Window:
    """The span (begin, end] of global time in which one stage is denoised."""

    chunk: int
    level: int
    begin: float
    end: float

    @property
    def width(self) -> float:
        return self.end - self.begin

    def local(self, t: Tensor) -> Tensor:
        """The stage's own noise level at global time t, in [0, 1]."""
        return ((t - self.begin) / self.width).clamp(0, 1)


def windows(chunks: int, weights: Sequence[float]) -> tuple[Window, ...]:
    """The windows of all stages in the order they are generated: chunk by chunk, coarsest level first.

    Args:
        chunks: number of chunks.
        weights: share of a chunk's time that each level takes, coarsest first.
    """
    unit = chunks * sum(weights)
    edges, spans = 0.0, []
    for chunk in range(chunks):
        for level, weight in enumerate(weights):
            spans.append(Window(chunk, level, 1 - (edges + weight) / unit, 1 - edges / unit))
            edges += weight
    last = spans[-1]
    return (*spans[:-1], Window(last.chunk, last.level, 0.0, last.end))


def active(spans: Sequence[Window], t: float) -> int:
    """Index of the window that global time t lies in; an edge belongs to the window below it, which a step from there enters."""
    for index, span in enumerate(spans):
        if t > span.begin:
            return index
    return len(spans) - 1
