"""Seeds that are derived from other numbers, one function for each purpose. Their values never change."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def mixed_seed(*numbers: int) -> int:
    """A seed in [0, 2^63) from numbers of at least 0, by NumPy's SeedSequence: neighbouring numbers give unrelated seeds."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]) >> 1


def stage_seed(seed: int, chunk: int, level: int) -> int:
    """Noise of a stage of one sample, which neither the batch nor the number of chunks may change."""
    return mixed_seed(seed, chunk, level)


def code_draw_seed(seed: int, chunk: int, level: int, levels: int) -> int:
    """Codes that samplers draw, and what else of chance a step needs; `levels` is how many the codec has."""
    return mixed_seed(seed, chunk, levels + level)


def gap_seed(batch_seed: int) -> int:
    """Which frames a training step shows: of its own, so that `training.infill` changes no other draw; the same on all ranks."""
    return mixed_seed(batch_seed, 0, 2)


def condition_dropout_seed(batch_seed: int) -> int:
    """Which single conditions a training step drops: of its own, so that `training.condition_dropout` changes no other draw."""
    return mixed_seed(batch_seed, 0, 3)


def perturbation_seed(batch_seed: int) -> int:
    """What `training.input_perturbation` adds in a training step: of its own, so that it changes no other draw."""
    return mixed_seed(batch_seed, 0, 4)


def order_seed(seed: int, epoch: int) -> int:
    """Order of the training items in an epoch."""
    return mixed_seed(seed, epoch, 0)


def item_seed(seed: int, draw: int) -> int:
    """Crop and other random choices of the training item with this number."""
    return mixed_seed(seed, draw, 1)


def validation_item_seed(seed: int, index: int) -> int:
    """Crop and other random choices of a validation item."""
    return mixed_seed(seed, index, 2)


def decoder_noise_seed(seed: int, block: int, place: int) -> int:
    """Noise of SNAC's decoder: `block` numbers its noise blocks, `place` the draws along the file. `seed` is any integer."""
    high, low = np.random.SeedSequence([seed % 2**64, block, place]).generate_state(2, np.uint32)
    return int(high) << 31 | int(low)


def stage_noise(seeds: Sequence[int], chunk: int, level: int, shape: tuple[int, int], like: Tensor) -> Tensor:
    """Unit Gaussian noise [B, *shape], each sample from its own seed, drawn on the CPU: the same on every device."""
    generators = [torch.Generator().manual_seed(stage_seed(seed, chunk, level)) for seed in seeds]
    return torch.stack([torch.randn(shape, generator=g) for g in generators]).to(like)
