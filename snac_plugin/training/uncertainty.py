"""How uncertain the network still is at each noise level, learnt beside it: it balances levels and noise levels in the loss.
Letters: B batch, C chunks, L levels, N codes of a level, F features.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from snac_plugin.diffusion.noise_levels import log_odds
from snac_plugin.training.stage_losses import CodeLosses

FEATURES = 128
FEATURES_SEED = 0


class Uncertainty(nn.Module):
    """u(level, t), the logarithm of the loss to be expected (EDM2: Karras et al. 2024, arXiv:2312.02696).

    Each level's u is linear in Fourier features of c = ln(t / (1 - t)) / 4, which is ln(sigma) / 4 of a rectified flow:

        u(level, t) = w_level . sqrt(2) cos(2 pi (f c + p)),  f from N(0, 1), p from U(0, 1), both fixed.

    The loss L(level, t) counts as L / exp(u) + u. Its minimum over u is at u = ln L, where every level and noise level has the
    same share in the gradient. u starts at 0, where the loss is the plain one.
    """

    frequencies: Tensor
    phases: Tensor

    def __init__(self, levels: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(FEATURES_SEED)
        self.register_buffer("frequencies", torch.randn(FEATURES, generator=generator))
        self.register_buffer("phases", torch.rand(FEATURES, generator=generator))
        self.weight = nn.Parameter(torch.zeros(levels, FEATURES))

    def forward(self, t: Tensor) -> Tensor:
        """u of each level at noise levels t [..., L]: the same shape, float32."""
        with torch.autocast(t.device.type, enabled=False):
            c = log_odds(t.to(self.weight)) / 4
            features = math.sqrt(2) * torch.cos(2 * math.pi * (c[..., None] * self.frequencies + self.phases))
            return (features * self.weight).sum(dim=-1)

    def weighed(self, found: CodeLosses) -> CodeLosses:
        """The losses L / exp(u) + u of codes whose losses are L."""
        u = self(found.t)
        spread = [
            torch.repeat_interleave(u[..., level], torch.tensor(found.frames, device=u.device) * count, dim=1)
            for level, count in zip(found.levels, found.per_frame, strict=True)
        ]
        return found._replace(losses=[loss * torch.exp(-own) + own for loss, own in zip(found.losses, spread, strict=True)])

    @torch.no_grad()
    def at(self, t: Sequence[float]) -> Tensor:
        """u [L, len(t)] at the same noise levels of all levels, float64, on the CPU."""
        points = torch.tensor(t, device=self.weight.device)
        return self(points[:, None].expand(-1, len(self.weight))).T.double().cpu()
