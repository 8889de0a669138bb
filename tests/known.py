"""A model that knows its answer: whatever the network says, it denoises towards codes that were chosen before."""

from dataclasses import replace
from typing import Any

import torch
from networks import make_network
from torch import Tensor

from snac_plugin.diffusion.objectives import OBJECTIVES, Gaussian
from snac_plugin.latents import LatentSpace
from snac_plugin.levels import Levels
from snac_plugin.model.chunk_in_progress import ChunkInProgress
from snac_plugin.model.diffusion_model import SnacDiffusionModel

SMALL_CODEBOOK = 64
GAUSSIAN = {name: objective for name, objective in OBJECTIVES.items() if isinstance(objective, Gaussian)}


def small_codebooks(levels: Levels) -> Levels:
    """The same grid with few codes a level, so that tests are quick."""
    return replace(levels, codebook_size=SMALL_CODEBOOK)


def make_model(
    levels: Levels, objective: str = "rectified_flow", kind: type[SnacDiffusionModel] = SnacDiffusionModel, **options: Any
) -> SnacDiffusionModel:
    """A small float64 model with random codebooks, whose output follows its input; `options` are keys of the network's config."""
    levels = small_codebooks(levels)
    generator = torch.Generator().manual_seed(3)
    codebooks = [torch.randn(SMALL_CODEBOOK, levels.codebook_dim, generator=generator) for _ in range(len(levels))]
    network = make_network(levels, OBJECTIVES[objective].masks, **options)
    with torch.no_grad():
        for head in network.heads:
            head.weight.mul_(10)
            head.bias.zero_()
    weights = network.config.sampling.weights(levels.names)
    return kind(network, objective, LatentSpace(levels, codebooks), weights).double().eval()


def random_codes(levels: Levels, frames: int, batch: int = 2, seed: int = 4) -> Tensor:
    """Packed codes [B, R, T] of small codebooks."""
    return torch.randint(SMALL_CODEBOOK, (batch, levels.rows, frames), generator=torch.Generator().manual_seed(seed))


class KnowsTheAnswer(SnacDiffusionModel):
    """Denoises to `answer`, packed codes of all chunks; needs context_chunks that reach back to the first one."""

    answer: Tensor
    chunk = 0

    def start_chunk(self, *args: Any, **kwargs: Any) -> ChunkInProgress:
        started = super().start_chunk(*args, **kwargs)
        self.chunk = started.chunk
        return started

    def velocity(self, level: int, output: Tensor, x: Tensor, t: Tensor) -> Tensor:
        denoised = self.space.level_latents(level, self._own(level))
        copies = x.shape[0] // denoised.shape[0]
        return self.path.output_of(x, denoised.repeat(copies, 1, 1), t[:, None, None])

    def log_probabilities(self, level: int, output: Tensor, x: Tensor, t: Tensor) -> Tensor:
        own = self._own(level)
        peaks = torch.nn.functional.one_hot(own.repeat(x.shape[0] // own.shape[0], 1), self.levels.codebook_size)
        return (200.0 * peaks.to(x)).log_softmax(dim=-1)

    def _own(self, level: int) -> Tensor:
        size = self.network.config.chunk_frames
        return self.levels.unpack(self.answer[..., self.chunk * size : (self.chunk + 1) * size])[level]
