"""The largest norm of the gradient, learnt from the norms before it."""

import math
from typing import Any

FOLLOWS_MEAN, FOLLOWS_DEVIATION = 0.9925, 0.9975
"""Shares that running mean and variance keep in each step, as in dualdiffusion's trainer."""
FIRST_NORMS = 100
"""Norms that are counted before any is clipped: training begins with large ones."""


class RunningNorm:
    """Running mean m and variance s^2 of the gradient's norm. No norm is let above m + z s (dualdiffusion).

    Both are moving averages without bias: m_n = sum_i b^(n-i) |g_i| / sum_i b^(n-i), and s^2 the same of (|g_i| - m_(i-1))^2.
    What was clipped counts as clipped, so that no outlier raises its own limit.
    """

    def __init__(self, deviations: float) -> None:
        self.deviations = deviations
        self.count, self.mean, self.variance = 0, 0.0, 0.0

    @property
    def limit(self) -> float:
        """The largest norm of the next step; infinite during the first norms."""
        return math.inf if self.count < FIRST_NORMS else self.mean + self.deviations * math.sqrt(self.variance)

    def add(self, norm: float) -> None:
        """Take in the norm of a step as it was before clipping. One that is not finite says nothing of the others."""
        if not math.isfinite(norm):
            return
        norm, apart = min(norm, self.limit), 0.0
        if self.count:
            apart = (norm - self.mean) ** 2
            new = (1 - FOLLOWS_DEVIATION) / (1 - FOLLOWS_DEVIATION**self.count)  # the first norm is apart from none
            self.variance += new * (apart - self.variance)
        self.count += 1
        self.mean += (1 - FOLLOWS_MEAN) / (1 - FOLLOWS_MEAN**self.count) * (norm - self.mean)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"count": self.count, "mean": self.mean, "variance": self.variance}

    def restore(self, state: dict[str, Any]) -> None:
        self.count, self.mean, self.variance = int(state["count"]), float(state["mean"]), float(state["variance"])
