"""Seeds and noise of a stage: the same for a sample whatever its batch, its length and its device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def stage_seed(seed: int, chunk: int, level: int) -> int:
    """A seed of its own for each stage of each sample, so that neither batch size nor length changes what a seed gives."""
    return int(np.random.SeedSequence([seed, chunk, level]).generate_state(1, np.uint64)[0]) >> 1


def stage_noise(seeds: Sequence[int], chunk: int, level: int, shape: tuple[int, int], like: Tensor) -> Tensor:
    """Unit Gaussian noise [B, *shape], each sample from its own seed, drawn on the CPU: the same on every device."""
    generators = [torch.Generator().manual_seed(stage_seed(seed, chunk, level)) for seed in seeds]
    return torch.stack([torch.randn(shape, generator=g) for g in generators]).to(like)
