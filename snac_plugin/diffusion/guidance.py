"""Classifier-free guidance (Ho and Salimans 2022) with rescaling (Lin et al. 2024, section 3.4)."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Guidance:
    """Guidance of a stage."""

    scale: float = 1.0  # 1 follows the conditioning as trained, above 1 more, 0 ignores it
    rescale: float = 0.0  # share of the result, in [0, 1], whose deviation is set back to that of the conditioned one
    interval: tuple[float, float] = (0.0, 1.0)  # noise levels t between which it acts; outside, the conditioned one stands

    @property
    def acts(self) -> bool:
        return self.scale != 1.0

    def combine(self, conditioned: Tensor, unconditioned: Tensor, t: Tensor) -> Tensor:
        """Velocities [B, N, C] of both branches at noise levels t [B] -> the guided velocity [B, N, C]."""
        guided = unconditioned + self.scale * (conditioned - unconditioned)
        if self.rescale:  # deviations over all of a sample's stage: a code vector alone has only eight values
            ratio = conditioned.std(dim=(1, 2), keepdim=True) / guided.std(dim=(1, 2), keepdim=True).clamp(min=1e-8)
            guided = self.rescale * ratio * guided + (1 - self.rescale) * guided
        low, high = self.interval
        inside = ((t >= low) & (t <= high))[:, None, None]
        return torch.where(inside, guided, conditioned)
