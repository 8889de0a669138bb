"""Classifier-free guidance (Ho and Salimans 2022) with rescaling (Lin et al. 2024, section 3.4), of all conditions and of each.

Imports nothing heavy: requests are checked before torch is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

ALL = "<all>"
"""The branch without any condition; brackets: no condition has such a name."""
CONTEXT = "context"
"""The name of the chunks before, among the conditions."""
WEAKER = "<weaker>"
"""The branch of a weaker model with the same conditions."""


@dataclass(frozen=True)
class Guidance:
    """Guidance of a stage.

    With D(c) the output for all conditions, D(0) for none and D(c without i) for all but one:

        D(c) + (scale - 1) (D(c) - D(0)) + sum_i (scale_i - 1) (D(c) - D(c without i))

    For one condition alone both are the same. Sums of differences as in composable diffusion (Liu et al. 2022, eq. 11), where
    each condition stands alone; leaving each out, as InstructPix2Pix does (Brooks et al. 2023, eq. 3), keeps to what was trained:
    a scale of 1 follows a condition as trained, 0 is the output without it.
    """

    scale: float = 1.0  # 1 follows the conditioning as trained, above 1 more, 0 ignores it
    rescale: float = 0.0  # share of the result, in [0, 1], whose deviation is set back to that of the conditioned one
    interval: tuple[float, float] = (0.0, 1.0)  # noise levels t between which it acts; outside, the conditioned one stands
    by_condition: Mapping[str, float] = field(default_factory=dict)  # scale of a condition by its name, or of `CONTEXT`
    schedule: str = "constant"  # of `SCHEDULES`: see `strength`

    @property
    def acts(self) -> bool:
        return self.scale != 1.0 or bool(self.alone)

    @property
    def alone(self) -> tuple[str, ...]:
        """The conditions that have to be dropped alone."""
        return tuple(name for name, scale in self.by_condition.items() if scale != 1.0)

    def strength(self, t: Tensor) -> Tensor | float:
        """The factor on all (scale - 1) at noise levels t [B], as [B, 1, 1]; of masked codes t is the share that is masked.

        "falling": t, strong early and weak late, as MAGNeT's annealed guidance t w + (1 - t) (Ziv et al. 2024, arXiv:2401.04577,
        there from 10 to 1). "rising": 1 - t, weak early and strong late, where guidance of masked codes does no harm (Rojas et al.
        2025, arXiv:2507.08965). Codes are drawn from the softmax of what is combined, their one-line normalisation.
        """
        if self.schedule == "constant":
            return 1.0
        return (t if self.schedule == "falling" else 1 - t)[:, None, None]

    def combine(
        self, conditioned: Tensor, unconditioned: Tensor | None, t: Tensor, without: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """Velocities [B, N, C] of all branches at noise levels t [B] -> the guided velocity [B, N, C].

        `without` has those that lack one condition, by its name; `unconditioned` is None where nothing of it is needed.
        """
        strength = self.strength(t.to(conditioned))
        scale = self.scale if self.schedule == "constant" else 1 + strength * (self.scale - 1)
        guided = conditioned if unconditioned is None else unconditioned + scale * (conditioned - unconditioned)
        for name, other in (without or {}).items():
            guided = guided + strength * (self.by_condition[name] - 1) * (conditioned - other)
        if self.rescale:  # deviations over all of a sample's stage: a code vector alone has only eight values
            ratio = conditioned.std(dim=(1, 2), keepdim=True) / guided.std(dim=(1, 2), keepdim=True).clamp(min=1e-8)
            guided = self.rescale * ratio * guided + (1 - self.rescale) * guided
        low, high = self.interval
        inside = ((t >= low) & (t <= high))[:, None, None]
        return guided.where(inside, conditioned)
