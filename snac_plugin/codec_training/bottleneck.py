"""SNAC's residual quantiser as a bottleneck of stable-audio-tools, with codebooks that stay alive while it trains.

Letters: B batch, C latent channels, T finest codes, R packed rows, F frames.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from snac.vq import ResidualVectorQuantize
from stable_audio_tools.models.bottleneck import DiscreteBottleneck
from torch import Tensor, nn

from snac_plugin.codec.snac_forward import Quantised, centring, commitment, quantise
from snac_plugin.codec_training.codebooks import RunningCodebook
from snac_plugin.codec_training.initialise import start_codebooks
from snac_plugin.errors import Mismatch
from snac_plugin.levels import Levels


class SnacBottleneck(DiscreteBottleneck):
    """SNAC's residual quantiser, which keeps its codebooks alive while it trains.

    In evaluation it is SNAC's own forward. In training, as long as gradients flow, codebooks follow the encoder's vectors as
    running means and dead codes start again (see `RunningCodebook`); without gradients they rest. Everything that training
    needs to go on is in buffers.

    Args:
        latent_dim: channels of the encoder's output.
        codebook_size: codes of each level.
        codebook_dim: dimensions of a code vector.
        vq_strides: finest codes per code of each level, coarsest first.
        codebook_starts: training steps at which codebooks start from data; before the first, noise stands in for them.
        warmup_noise: standard deviation of that noise, as a part of the vectors'.
        level_dropout: probability that an example is decoded from its first one, two, ... levels only.
        visits: average visits that a code remembers.
        start_vectors: vectors of the coarsest level that a start from data wants.
        keep_lengths: training leaves code vectors as long as they are: for codebooks that come trained.
    """

    steps: Tensor
    starts: Tensor

    def __init__(
        self,
        latent_dim: int,
        codebook_size: int,
        codebook_dim: int,
        vq_strides: Sequence[int],
        codebook_starts: Sequence[int] = (0,),
        warmup_noise: float = 0.35,
        level_dropout: float = 0.0,
        visits: float = 4.0,
        start_vectors: int = 8192,
        keep_lengths: bool = False,
    ) -> None:
        levels = Levels(tuple(vq_strides), 1, None, 1, codebook_size, codebook_dim)
        super().__init__(num_quantizers=levels.rows, codebook_size=codebook_size, tokens_id="codes")
        self.levels, self.frozen = levels, False
        self.quantizer = ResidualVectorQuantize(latent_dim, codebook_size, codebook_dim, list(vq_strides))
        self.codebook_starts, self.warmup_noise = sorted(codebook_starts), warmup_noise
        self.level_dropout, self.start_vectors, self.keep_lengths = level_dropout, start_vectors, keep_lengths
        books = [RunningCodebook(level.codebook.weight, visits, keep_lengths=keep_lengths) for level in self.quantizer.quantizers]
        self.books = nn.ModuleList(books)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.register_buffer("starts", torch.zeros((), dtype=torch.long))
        self.revived: list[Tensor] = []
        self.codebook_loss: Tensor | None = None
        for level in self.quantizer.quantizers:
            level.codebook.weight.requires_grad_(False)

    def encode(self, x: Tensor, return_info: bool = False, **_: Any) -> Any:
        """Quantise the encoder's output [B, C, T].

        Returns:
            z_q [B, C, T], and with `return_info` a dict: "codes" (packed, [B, R, F]; none in warm-up), and in training
            "vq/commitment_loss", "vq/codebook_loss" and "vq/centring_loss".

        Raises:
            Mismatch: T is no multiple of the first stride.
        """
        if x.shape[-1] % self.levels.strides[0]:
            raise Mismatch("latents", f"length {x.shape[-1]}", f"a multiple of {self.levels.strides[0]}, the first of vq_strides")
        if self.training and torch.is_grad_enabled():
            z_q, info = self._train(x)
        else:
            with torch.autocast(x.device.type, enabled=False):  # as in training: codes do not depend on the precision around
                z_q, codes = self.quantizer(x.to(self.quantizer.quantizers[0].codebook.weight.dtype))
            nothing = x.new_zeros(())
            info = {"codes": self.levels.pack(codes), "vq/commitment_loss": nothing, "vq/centring_loss": nothing}
            self.revived, self.codebook_loss = [], None
        return (z_q, info) if return_info else z_q

    def decode(self, x: Tensor) -> Tensor:
        """Nothing is left to do."""
        return x

    def decode_tokens(self, codes: Tensor, **_: Any) -> Tensor:
        """Packed codes [B, R, F] to z_q [B, C, T]."""
        return self.quantizer.from_codes(self.levels.unpack(codes))

    @property
    def start_is_due(self) -> bool:
        """Whether codebooks should start from data before the next step."""
        return not self.frozen and int(self.starts) < self._starts_until_now()

    @property
    def warming_up(self) -> bool:
        """Whether noise stands in for the codebooks."""
        return bool(self.codebook_starts) and self._starts_until_now() == 0

    def _starts_until_now(self) -> int:
        return sum(int(self.steps) >= step for step in self.codebook_starts)

    def _books(self) -> list[RunningCodebook]:
        return [book for book in self.books if isinstance(book, RunningCodebook)]

    def usage(self) -> list[tuple[Tensor, Tensor]]:
        """Of each level: share of the codes chosen lately, perplexity of those choices."""
        return [book.usage() for book in self._books()]

    def restart(self) -> None:
        """Follow the codebooks as they are now: their weights were loaded from elsewhere."""
        for level, book in zip(self.quantizer.quantizers, self._books(), strict=True):
            book.begin(level.codebook.weight)

    def freeze(self) -> None:
        """Leave projections and codebooks as they are."""
        self.frozen = True
        self.requires_grad_(False)

    def start(self, z: Tensor, generator: torch.Generator) -> None:
        """Begin all codebooks from the encoder's output [B, C, T] for much audio."""
        with torch.autocast(z.device.type, enabled=False):
            start_codebooks(self.quantizer, self._books(), z.float(), generator)
        self.starts.fill_(self._starts_until_now())

    def _train(self, x: Tensor) -> tuple[Tensor, dict[str, Any]]:
        noise = self.warmup_noise if self.warming_up else None
        with torch.autocast(x.device.type, enabled=False):  # the nearest of 4,096 codes takes all of a float's digits
            found = quantise(self, x.float(), noise, self._kept(x), self.keep_lengths)
            info: dict[str, Any] = {"vq/commitment_loss": commitment(found), "vq/centring_loss": centring(found)}
        info["vq/codebook_loss"] = self.codebook_loss = _codebook_loss(found)
        if noise is None:
            info["codes"] = self.levels.pack(found.codes)
            if not self.frozen:
                self._follow(found)
        self.steps += 1
        return found.z_q, info

    def _kept(self, x: Tensor) -> Tensor | None:
        """How many levels, coarsest first, each example of the batch is decoded from [B]."""
        if not self.level_dropout:
            return None
        count = len(self.levels)
        dropped = torch.rand(len(x)) < self.level_dropout
        return torch.where(dropped, torch.randint(1, count + 1, (len(x),)), torch.tensor(count)).to(x.device)

    def _follow(self, found: Quantised) -> None:
        """Move the codebooks to the vectors of this step, those of all devices."""
        generator = torch.Generator().manual_seed(int(self.steps))
        rows = zip(self.quantizer.quantizers, self._books(), found.vectors, found.codes, strict=True)
        self.revived = [
            book.update(
                level.codebook.weight.data,
                _everywhere(vectors.detach().transpose(1, 2).flatten(0, 1)),
                _everywhere(codes.flatten()),
                generator,
            )
            for level, book, vectors, codes in rows
        ]


def _codebook_loss(found: Quantised) -> Tensor:
    """Mean over levels of ||z_e - z_q||^2 a dimension: reported; running means make it small without a gradient."""
    terms = [(v - c).detach().square().mean() for v, c in zip(found.vectors, found.chosen, strict=True)]
    return torch.stack(terms).mean()


def _many_devices() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


@torch.no_grad()
def same_everywhere(module: nn.Module) -> None:
    """Give a module on all devices that train together the parameters and buffers it has on the first."""
    if not _many_devices():
        return
    for mine in itertools.chain(module.parameters(), module.buffers()):
        first = mine.detach().clone(memory_format=torch.contiguous_format)
        torch.distributed.broadcast(first, 0)
        mine.copy_(first)


def _everywhere(values: Tensor) -> Tensor:
    """Rows of all devices that train together, in the same order on each."""
    if not _many_devices():
        return values
    gathered = [torch.empty_like(values) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(gathered, values.contiguous())
    return torch.cat(gathered)
