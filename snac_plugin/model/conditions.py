"""What the network is told besides codes and noise levels, in the shapes of stable-audio-tools' conditioning inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate


@dataclass(frozen=True)
class Conditions:
    """Conditioning inputs; B batch, M tokens, C channels of their kind, T frames.

    Args:
        cross: tokens for cross-attention [B, M, C], of `cross_attention_cond_ids`.
        cross_mask: [B, M] bool, False where a token is padding.
        embedding: one vector a sample [B, C], of `global_cond_ids`.
        prepended: tokens that every segment sees [B, M, C], of `prepend_cond_ids`.
        prepended_mask: [B, M] bool, False where a token is padding.
        concat: channels beside the latents [B, C, T], of `input_concat_ids`.
    """

    cross: Tensor | None = None
    cross_mask: Tensor | None = None
    embedding: Tensor | None = None
    prepended: Tensor | None = None
    prepended_mask: Tensor | None = None
    concat: Tensor | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> Conditions:
        """The same conditions with a function applied to each tensor."""
        return Conditions(**{f.name: None if (v := getattr(self, f.name)) is None else function(v) for f in fields(self)})

    def fitted(self, frames: int) -> Conditions:
        """The same conditions with `concat` stretched to so many frames, as stable-audio-tools stretches it."""
        if self.concat is None or self.concat.shape[-1] == frames:
            return self
        return replace(self, concat=interpolate(self.concat, size=frames, mode="nearest"))

    def of_frames(self, first: int, count: int) -> Conditions:
        """The same conditions for a part of the frames."""
        return self if self.concat is None else replace(self, concat=self.concat[..., first : first + count])

    @property
    def can_be_dropped(self) -> bool:
        """Whether there is anything that `dropped` would take away."""
        return self.cross is not None or self.prepended is not None

    def dropped(self, keep: Tensor) -> Conditions:
        """Conditions whose tokens are zero where `keep` [B] is False; like stable-audio-tools, `embedding` and `concat` stay."""

        def blank(x: Tensor | None) -> Tensor | None:
            return None if x is None else torch.where(keep.view(-1, *[1] * (x.ndim - 1)), x, torch.zeros_like(x))

        return replace(self, cross=blank(self.cross), prepended=blank(self.prepended))

    @staticmethod
    def joined(first: Conditions, second: Conditions) -> Conditions:
        """Both along the batch; what only one has is zero in the other, and a mask that only one has hides nothing there."""

        def blank(x: Tensor) -> Tensor:
            return torch.ones_like(x) if x.dtype is torch.bool else torch.zeros_like(x)

        def join(a: Tensor | None, b: Tensor | None) -> Tensor | None:
            if a is None:
                return None if b is None else torch.cat([blank(b), b])
            return torch.cat([a, blank(a) if b is None else b])

        return Conditions(**{f.name: join(getattr(first, f.name), getattr(second, f.name)) for f in fields(first)})
