"""Keeping SNAC's codebooks alive while a codec is trained: k-means start, running means, revival of dead codes.

SNAC picks the code whose direction is nearest (both sides L2-normalised) and decodes the code vector as it stands, so a
code vector here is the mean of the encoder's vectors that chose it, found by direction.

Letters: K codes, D codebook dimensions, V vectors.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def nearest_direction(vectors: Tensor, codebook: Tensor) -> Tensor:
    """The code [V] whose direction is nearest to each vector, vectors [V, D], codebook [K, D]."""
    directions = functional.normalize(codebook).T
    return torch.cat([(functional.normalize(part) @ directions).argmax(1) for part in vectors.split(16384)])


def k_means(vectors: Tensor, codes: int, steps: int, generator: torch.Generator) -> Tensor:
    """Code vectors [K, D] by Lloyd's algorithm on directions; a code that nobody chose starts again at a random vector."""
    drawn = torch.randint(len(vectors), (codes,), generator=generator) if len(vectors) < codes else None
    codebook = vectors[drawn if drawn is not None else torch.randperm(len(vectors), generator=generator)[:codes]].clone()
    for _ in range(steps):
        chosen = nearest_direction(vectors, codebook)
        counts = torch.zeros(codes).index_add_(0, chosen, torch.ones(len(vectors)))
        sums = torch.zeros_like(codebook).index_add_(0, chosen, vectors)
        fresh = vectors[torch.randint(len(vectors), (codes,), generator=generator)]
        codebook = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], fresh)
    return codebook


class RunningCodebook:
    """One level's code vectors as running means of the vectors that choose them.

    A code remembers about its last `visits` visits if all codes are visited alike: the decay follows from how many vectors a
    step brings, so that a coarse level (few vectors a step) remembers more steps than a fine one. A code that falls below a
    tenth of the average number of visits is dead and starts again at a vector seen lately.

    Args:
        weight: SNAC's codebook [K, D]; written in place.
        visits: average visits remembered.
        recent: vectors kept for revival.
    """

    def __init__(self, weight: Tensor, visits: float = 4.0, recent: int = 4096) -> None:
        self.weight, self.visits, self.recent = weight, visits, recent
        self.counts = torch.ones(len(weight))
        self.sums = weight.clone()
        self.pool = weight.clone()

    @torch.no_grad()
    def start(self, vectors: Tensor, steps: int, generator: torch.Generator) -> None:
        """Begin from data: k-means over vectors [V, D]."""
        self.weight.copy_(k_means(vectors, len(self.weight), steps, generator))
        self.counts = torch.ones(len(self.weight))
        self.sums = self.weight.clone()
        self.pool = vectors[torch.randperm(len(vectors), generator=generator)[: self.recent]].clone()

    @torch.no_grad()
    def update(self, vectors: Tensor, chosen: Tensor, generator: torch.Generator) -> int:
        """Move the codes towards the vectors [V, D] that chose them, codes [V]; returns how many were revived."""
        decay = max(0.0, 1 - len(vectors) / (self.visits * len(self.weight)))  # a step may bring more than is remembered
        self.counts.mul_(decay).index_add_(0, chosen, torch.ones(len(vectors)))
        self.sums.mul_(decay).index_add_(0, chosen, vectors)
        self.pool = torch.cat([self.pool, vectors])[-self.recent :]
        dead = (self.counts < 0.1 * self.visits).nonzero().squeeze(1)
        if len(dead):
            self.sums[dead] = self.pool[torch.randint(len(self.pool), (len(dead),), generator=generator)]
            self.counts[dead] = 1.0
        self.weight.copy_(self.sums / self.counts[:, None])
        return len(dead)

    def state(self) -> dict[str, Tensor]:
        """What a resumed training needs beside SNAC's own weights."""
        return {"counts": self.counts, "sums": self.sums, "pool": self.pool}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.counts, self.sums, self.pool = state["counts"], state["sums"], state["pool"]
