"""SNAC's residual quantiser as a bottleneck of stable-audio-tools, with codebooks that stay in use while it trains.
Letters: B batch, C latent channels, T finest codes, R packed rows, F frames.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from snac.vq import ResidualVectorQuantize, VectorQuantize
from stable_audio_tools.models.bottleneck import DiscreteBottleneck
from torch import Tensor, nn

from snac_plugin.codec.quantise import Quantised, quantise
from snac_plugin.codec_training.codebooks import RunningCodebook
from snac_plugin.codec_training.starting_weights import start_codebooks
from snac_plugin.errors import Mismatch
from snac_plugin.levels import Levels

MOST_START_VECTORS = 8192
"""Enough for 4,096 codes. Each is a frame of audio that is read and encoded first, so few codes take fewer."""


class SnacBottleneck(DiscreteBottleneck):
    """SNAC's residual quantiser; the arguments are the keys of `model.bottleneck.config` (`latent_dim`: C).

    In evaluation it is SNAC's own forward. In training codebooks are running means of the encoder's vectors and dead codes are
    revived (see `RunningCodebook`); without gradients they do not change. All state that resuming needs is in buffers.
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
        level_dropout: float | Sequence[float] = 0.0,
        visits: float = 4.0,
        start_vectors: int | None = None,
        keep_lengths: bool = False,
    ) -> None:
        levels = Levels(tuple(vq_strides), 1, None, 1, codebook_size, codebook_dim)
        super().__init__(num_quantizers=levels.rows, codebook_size=codebook_size, tokens_id="codes")
        self.levels, self.frozen = levels, False
        self.quantizer = ResidualVectorQuantize(latent_dim, codebook_size, codebook_dim, list(vq_strides))
        self.codebook_starts, self.warmup_noise = sorted(codebook_starts), warmup_noise
        self.level_dropout, self.keep_lengths = level_dropout, keep_lengths
        self.start_vectors = start_vectors or min(16 * codebook_size, MOST_START_VECTORS)
        weights = [level.codebook.weight.requires_grad_(False) for level in self.quantizer.quantizers]
        self.books = nn.ModuleList(RunningCodebook(weight, visits, keep_lengths=keep_lengths) for weight in weights)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.register_buffer("starts", torch.zeros((), dtype=torch.long))
        self.revived: list[Tensor] = []
        self.codebook_loss: Tensor | None = None

    def encode(self, x: Tensor, return_info: bool = False, **_: Any) -> Any:
        """Quantise the encoder's output [B, C, T]; a Mismatch if T is no multiple of the first stride.

        Returns:
            z_q [B, C, T], and with `return_info` a dict: "codes" (packed, [B, R, F]; none in warm-up), and in training
            "vq/commitment_loss", "vq/codebook_loss" and "vq/centring_loss".
        """
        if x.shape[-1] % self.levels.strides[0]:
            raise Mismatch("latents", f"length {x.shape[-1]}", f"a multiple of {self.levels.strides[0]}, the first of vq_strides")
        if self.training and torch.is_grad_enabled():
            z_q, info = self._train(x)
        else:
            with torch.autocast(x.device.type, enabled=False):  # as in training: codes do not depend on the precision around
                x = x.to(self.quantizer.quantizers[0].codebook.weight.dtype)
                # A decoder that learns alone would forget what the coarse levels sound like by themselves.
                kept = self._kept(x) if self.training and isinstance(self.level_dropout, Sequence) else None
                quantised = None if kept is None else quantise(self.quantizer, x, kept=kept)
                z_q, codes = (quantised.z_q, quantised.codes) if quantised else self.quantizer(x)
            zero = x.new_zeros(())
            info = {"codes": self.levels.pack(codes), "vq/commitment_loss": zero, "vq/centring_loss": zero}
            self.revived, self.codebook_loss = [], None
        return (z_q, info) if return_info else z_q

    def decode(self, x: Tensor) -> Tensor:
        """The same latents: the decoder takes z_q."""
        return x

    def decode_tokens(self, codes: Tensor, **_: Any) -> Tensor:
        """Packed codes [B, R, F] to z_q [B, C, T]."""
        return self.quantizer.from_codes(self.levels.unpack(codes))

    @property
    def start_is_due(self) -> bool:
        """Whether codebooks should start from data before the next step."""
        return not self.frozen and int(self.starts) < self._starts_until_now()

    def _starts_until_now(self) -> int:
        return sum(int(self.steps) >= step for step in self.codebook_starts)

    def _levels_and_books(self) -> Iterator[tuple[VectorQuantize, RunningCodebook]]:
        return zip(self.quantizer.quantizers, self.books, strict=True)  # type: ignore[arg-type]

    def usage(self) -> list[tuple[Tensor, Tensor]]:
        """Of each level: share of the codes chosen lately, perplexity of those choices."""
        return [book.usage() for _, book in self._levels_and_books()]

    def restart(self) -> None:
        """Follow the codebooks as they are now, after their weights were loaded."""
        for level, book in self._levels_and_books():
            book.begin(level.codebook.weight)

    def freeze(self) -> None:
        self.frozen = True
        self.requires_grad_(False)

    def start(self, z: Tensor, generator: torch.Generator) -> None:
        """Start all codebooks from the encoder's output [B, C, T] for much audio."""
        with torch.autocast(z.device.type, enabled=False):
            start_codebooks(self._levels_and_books(), z.float(), generator)
        self.starts.fill_(self._starts_until_now())

    def _train(self, x: Tensor) -> tuple[Tensor, dict[str, Any]]:
        warming_up = bool(self.codebook_starts) and self._starts_until_now() == 0
        noise = self.warmup_noise if warming_up else None
        with torch.autocast(x.device.type, enabled=False):  # finding the nearest of 4,096 codes needs float32
            quantised = quantise(self.quantizer, x.float(), noise, self._kept(x), self.keep_lengths)
            info: dict[str, Any] = {"vq/commitment_loss": commitment(quantised), "vq/centring_loss": centring(quantised)}
        info["vq/codebook_loss"] = self.codebook_loss = _codebook_loss(quantised)
        if not warming_up:
            info["codes"] = self.levels.pack(quantised.codes)
            if not self.frozen:
                self._follow(quantised)
        self.steps += 1
        return quantised.z_q, info

    def _kept(self, x: Tensor) -> Tensor | None:
        """How many levels, coarsest first, each example of the batch is decoded from [B]."""
        if not self.level_dropout:
            return None
        count = len(self.levels)
        if isinstance(self.level_dropout, Sequence):  # stratified: shares hold in each batch, as nearly as its size allows
            places = (torch.randperm(len(x)) + torch.rand(())) / len(x)
            fewer = torch.bucketize(places, torch.tensor(self.level_dropout).cumsum(0), right=True)
            return torch.where(fewer < len(self.level_dropout), fewer + 1, count).to(x.device)
        dropped = torch.rand(len(x)) < self.level_dropout
        return torch.where(dropped, torch.randint(1, count + 1, (len(x),)), torch.tensor(count)).to(x.device)

    def _follow(self, quantised: Quantised) -> None:
        """Move the codebooks to the vectors of this step, those of all devices."""
        generator = torch.Generator().manual_seed(int(self.steps))
        self.revived = []
        for (level, book), vectors, codes in zip(self._levels_and_books(), quantised.vectors, quantised.codes, strict=True):
            flat = vectors.detach().transpose(1, 2).flatten(0, 1)
            self.revived.append(book.update(level.codebook.weight.data, _gather(flat), _gather(codes.flatten()), generator))


def commitment(quantised: Quantised) -> Tensor:
    """Mean over levels of ||z_e - sg(z_q)||^2 / ||sg(z_q)||^2: relative, because an absolute loss would shrink all vectors."""
    pairs = zip(quantised.vectors, (chosen.detach() for chosen in quantised.chosen), strict=True)
    return torch.stack([(v - c).square().mean() / c.square().mean().clamp_min(1e-8) for v, c in pairs]).mean()


def centring(quantised: Quantised) -> Tensor:
    """Mean over levels of ||mean z_e||^2 / mean ||z_e||^2: keeps the vectors' directions from drifting to one side."""
    flat = [vectors.transpose(1, 2).flatten(0, 1) for vectors in quantised.vectors]
    return torch.stack([v.mean(0).square().sum() / v.square().sum(1).mean().clamp_min(1e-8) for v in flat]).mean()


def _codebook_loss(quantised: Quantised) -> Tensor:
    """Mean over levels of ||z_e - z_q||^2 a dimension, to be logged; running means reduce it without a gradient."""
    terms = [(v - c).detach().square().mean() for v, c in zip(quantised.vectors, quantised.chosen, strict=True)]
    return torch.stack(terms).mean()


def _many_devices() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


@torch.no_grad()
def broadcast_from_first(module: nn.Module) -> None:
    """Give a module on all devices that train together the parameters and buffers it has on the first."""
    if not _many_devices():
        return
    for tensor in itertools.chain(module.parameters(), module.buffers()):
        first = tensor.detach().clone(memory_format=torch.contiguous_format)
        torch.distributed.broadcast(first, 0)
        tensor.copy_(first)


def _gather(values: Tensor) -> Tensor:
    """Rows of all devices that train together, in the same order on each."""
    if not _many_devices():
        return values
    gathered = [torch.empty_like(values) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(gathered, values.contiguous())
    return torch.cat(gathered)
