"""Decoding codes that arrive chunk by chunk, as if the whole file were decoded at once.
Letters: B batch, R rows, T frames, N audio samples.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from snac_plugin.codec.pretransform import SnacPretransform


class StreamDecoder:
    """Returns audio as soon as no later code can change it; `seeds` of the decoder's noise, one an example of the batch."""

    def __init__(self, pretransform: SnacPretransform, seeds: Sequence[int]) -> None:
        self.pretransform, self.seeds = pretransform, list(seeds)
        self.buffer: Tensor | None = None  # codes from frame `first` on
        self.first, self.decoded = 0, 0  # frames before `decoded` have been returned as audio

    def push(self, codes: Tensor) -> Tensor:
        """Take codes [B, R, T] that follow those before; returns audio [B, 1, N], N possibly 0."""
        self.buffer = codes if self.buffer is None else torch.cat([self.buffer, codes], dim=-1)
        grid = self.pretransform.levels.grid_frames
        return self._decode((self.first + self.buffer.shape[-1] - self.pretransform.margin) // grid * grid)

    def finish(self) -> Tensor:
        """The audio that was held back [B, 1, N]."""
        assert self.buffer is not None
        return self._decode(self.first + self.buffer.shape[-1])

    def _decode(self, until: int) -> Tensor:
        """Audio of the frames up to `until`; drops codes that no later frame needs."""
        assert self.buffer is not None
        if until <= self.decoded:
            return torch.zeros(self.buffer.shape[0], 1, 0)
        audio = self.pretransform.decode_frames(self.buffer, self.first, self.seeds)
        samples = self.pretransform.downsampling_ratio
        audio = audio[..., (self.decoded - self.first) * samples : (until - self.first) * samples]
        self.decoded = until
        keep_from = max(until - self.pretransform.margin, self.first)
        self.buffer = self.buffer[..., keep_from - self.first :]
        self.first = keep_from
        return audio.float().cpu()
