"""SNAC's codebooks in training: k-means start, running means, revival of dead codes. SNAC chooses codes by direction but decodes
their lengths too, so a code vector is the mean of the vectors that chose it. Letters: K codes, D dimensions, V vectors.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

RECENT = 4096


def nearest_direction(vectors: Tensor, codebook: Tensor) -> Tensor:
    """The code [V] whose direction is nearest to each vector, vectors [V, D], codebook [K, D]."""
    directions = functional.normalize(codebook).T
    return torch.cat([(functional.normalize(part) @ directions).argmax(1) for part in vectors.split(16384)])


def perplexity(counts: Tensor) -> Tensor:
    """exp of the entropy of codes counted [..., K]: how many codes, equally used, would be as varied; 0 where none was counted."""
    share = counts / counts.sum(-1, keepdim=True).clamp_min(1e-12)
    entropy = -(share * share.clamp_min(1e-12).log()).sum(-1)
    return entropy.exp() * (counts.sum(-1) > 0)


def k_means(vectors: Tensor, codes: int, steps: int, generator: torch.Generator) -> Tensor:
    """Code vectors [K, D] by Lloyd's algorithm on directions; a code that no vector chose is set to a random vector."""
    few = len(vectors) < codes
    order = torch.randint(len(vectors), (codes,), generator=generator) if few else torch.randperm(len(vectors), generator=generator)
    codebook = vectors[order[:codes]].clone()
    for _ in range(steps):
        chosen = nearest_direction(vectors, codebook)
        counts = vectors.new_zeros(codes).index_add_(0, chosen, vectors.new_ones(len(vectors)))
        sums = torch.zeros_like(codebook).index_add_(0, chosen, vectors)
        fresh = vectors[torch.randint(len(vectors), (codes,), generator=generator)]
        codebook = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], fresh)
    return codebook


class RunningCodebook(nn.Module):
    """One level's code vectors as running means of the vectors that choose them. All its state is in buffers.

    A code remembers about its last `visits` visits if all codes are visited alike. A code with less than a tenth of the average
    number of visits is dead and is set to one of the `RECENT` vectors seen last. With `keep_lengths` running means change the
    direction of a code, not its length. `weight`, SNAC's codebook [K, D], is written in place.
    """

    counts: Tensor
    sums: Tensor
    pool: Tensor
    hits: Tensor
    filled: Tensor

    def __init__(self, weight: Tensor, visits: float = 4.0, keep_lengths: bool = False) -> None:
        super().__init__()
        self.visits, self.keep_lengths = visits, keep_lengths
        for name in ("counts", "sums", "pool", "hits", "filled"):
            self.register_buffer(name, torch.empty(0))
        self.begin(weight)

    @torch.no_grad()
    def begin(self, weight: Tensor) -> None:
        """Forget all visits; the codebook stays."""
        self.counts = weight.new_ones(len(weight))
        self.sums = weight.detach().clone()
        self.pool = self.sums[torch.arange(RECENT, device=weight.device) % len(weight)]
        self.hits = torch.zeros_like(self.counts)
        self.filled = torch.zeros((), dtype=torch.bool, device=weight.device)

    @torch.no_grad()
    def start(self, weight: Tensor, vectors: Tensor, steps: int, generator: torch.Generator) -> None:
        """Start from data: k-means over vectors [V, D]."""
        weight.copy_(k_means(vectors, len(weight), steps, generator))
        self.begin(weight)
        self.pool = vectors[torch.randint(len(vectors), (RECENT,), generator=generator)]
        self.filled = torch.ones_like(self.filled)

    @torch.no_grad()
    def update(self, weight: Tensor, vectors: Tensor, chosen: Tensor, generator: torch.Generator) -> Tensor:
        """Move the codes towards the vectors [V, D] that chose them, codes [V]; returns which were dead and revived [K]."""
        decay = max(0.0, 1 - len(vectors) / (self.visits * len(weight)))  # a step may bring more than is remembered
        once = vectors.new_ones(len(vectors))
        self.counts.mul_(decay).index_add_(0, chosen, once)
        self.hits.mul_(decay).index_add_(0, chosen, once)
        self.sums.mul_(decay).index_add_(0, chosen, vectors)
        repeated = vectors[torch.arange(RECENT, device=vectors.device) % len(vectors)]
        self.pool = torch.where(self.filled, torch.cat([self.pool, vectors])[-RECENT:], repeated)
        self.filled = torch.ones_like(self.filled)
        dead = self.counts < 0.1 * self.visits
        fresh = self.pool[torch.randint(len(self.pool), (len(weight),), generator=generator)]
        self.sums = torch.where(dead[:, None], fresh, self.sums)
        self.counts = torch.where(dead, 1.0, self.counts)
        means = self.sums / self.counts[:, None]
        if self.keep_lengths:
            lengths = weight.norm(dim=1, keepdim=True)
            means = functional.normalize(means) * torch.where(dead[:, None], lengths.mean(), lengths)
        weight.copy_(means)
        return dead

    def usage(self) -> tuple[Tensor, Tensor]:
        """Share of the codes chosen within about what is remembered, and perplexity of those choices."""
        return (self.hits > math.exp(-1)).float().mean(), perplexity(self.hits)
