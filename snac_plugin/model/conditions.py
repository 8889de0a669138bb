"""What the network sees besides codes and noise levels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from snac_plugin.diffusion.guidance import ALL, CONTEXT, Guidance
from snac_plugin.errors import UsageError


@dataclass(frozen=True)
class Conditions:
    """Conditioning inputs, as stable-audio-tools shapes them; B batch, M tokens, C channels of their kind, T frames."""

    cross: Tensor | None = None  # `cross_attention_cond_ids` [B, M, C]
    cross_mask: Tensor | None = None  # [B, M] bool, False where a token is padding
    # `global_cond_ids`: one vector a sample [B, C], or with chunk positions [B, 1 + N, C]: one for tokens of no chunk, then each's.
    embedding: Tensor | None = None
    prepended: Tensor | None = None  # `prepend_cond_ids`, tokens that every segment sees [B, M, C]
    prepended_mask: Tensor | None = None  # [B, M]
    concat: Tensor | None = None  # `input_concat_ids`, channels beside the latents [B, C, T]

    @classmethod
    def of(cls, inputs: Mapping[str, Any], prefix: str = "") -> "Conditions":
        """From the keyword arguments of stable-audio-tools' models; `prefix` "negative_" for those of a negative prompt."""
        names = ("cross_attn_cond", "cross_attn_mask", "global_cond", "prepend_cond", "prepend_cond_mask", "input_concat_cond")
        values = [inputs.get(prefix + name) for name in names]
        # stable-audio-tools casts masks to the model's dtype on the way here.
        return cls(*(v.bool() if v is not None and name.endswith("mask") else v for name, v in zip(names, values, strict=True)))

    @property
    def empty(self) -> bool:
        return self.concat is None and not self.can_be_dropped(embedding=True)

    def can_be_dropped(self, embedding: bool) -> bool:
        """Whether there is anything that `dropped` drops."""
        return self.cross is not None or self.prepended is not None or (embedding and self.embedding is not None)

    def map(self, function: Callable[[Tensor], Tensor]) -> "Conditions":
        return Conditions(*(None if value is None else function(value) for value in vars(self).values()))

    def fitted(self, frames: int) -> "Conditions":
        """With `concat` stretched to so many frames, as stable-audio-tools stretches it."""
        if self.concat is None or self.concat.shape[-1] == frames:
            return self
        return replace(self, concat=interpolate(self.concat, size=frames, mode="nearest"))

    def of_frames(self, first: int, count: int) -> "Conditions":
        """For a part of the frames; those before frame 0 have channels of zeros, as in training."""
        if self.concat is None:
            return self
        part = self.concat[..., max(first, 0) : first + count]
        return replace(self, concat=pad(part, (max(-first, 0), 0)))

    def of_chunks(self, first: int, count: int) -> "Conditions":
        """For some of the chunks that there are vectors for; without chunk positions all share one. UsageError beyond the last.

        A negative `first` counts from the end.
        """
        if self.embedding is None or self.embedding.ndim == 2:
            return self
        first += self.embedding.shape[1] - 1 if first < 0 else 0
        if first + count > self.embedding.shape[1] - 1:
            found = f"a position in a piece that ends before chunk {first + count}"
            raise UsageError("conditioning", found, "a total of as many chunks as are generated")
        return replace(self, embedding=self.embedding[:, [0, *range(1 + first, 1 + first + count)]])

    def dropped(self, keep: Tensor, embedding: bool = False, blank: "Conditions | None" = None) -> "Conditions":
        """Conditions whose tokens, and with `embedding` that too, are dropped where `keep` [B] is False; `concat` stays.

        What is dropped is zero, or as in `blank`.
        """

        def drop(x: Tensor | None, other: Tensor | None) -> Tensor | None:
            if x is None:
                return None
            return torch.where(keep.view(-1, *[1] * (x.ndim - 1)), x, torch.zeros_like(x) if other is None else other.to(x))

        nothing = blank or Conditions()
        vector = drop(self.embedding, nothing.embedding) if embedding else self.embedding
        tokens = {name: drop(getattr(self, name), getattr(nothing, name)) for name in ("cross", "prepended")}
        return replace(self, **tokens, embedding=vector)

    def padded(self, like: "Conditions") -> "Conditions":
        """With as many tokens as `like`, which may have more; those added are hidden."""
        changes: dict[str, Tensor] = {}
        for name in ("cross", "prepended"):
            tokens, others, mask = getattr(self, name), getattr(like, name), getattr(self, f"{name}_mask")
            if tokens is None or others is None or (lacking := others.shape[1] - tokens.shape[1]) <= 0:
                continue
            mask = tokens.new_ones(tokens.shape[:2], dtype=torch.bool) if mask is None else mask
            changes |= {name: pad(tokens, (0, 0, 0, lacking)), f"{name}_mask": pad(mask, (0, lacking))}
        return replace(self, **changes)

    @staticmethod
    def joined(first: "Conditions", second: "Conditions") -> "Conditions":
        """Both along the batch; a tensor that only one has is zero in the other, and a mask that only one has hides nothing."""
        first, second = first.padded(second), second.padded(first)

        def join(a: Tensor | None, b: Tensor | None) -> Tensor | None:
            present = b if a is None else a
            if present is None:
                return None
            blank = torch.ones_like(present) if present.dtype is torch.bool else torch.zeros_like(present)
            return torch.cat([blank if a is None else a, blank if b is None else b])

        return Conditions(*(join(getattr(first, f.name), getattr(second, f.name)) for f in fields(first)))


@dataclass(frozen=True)
class Prompt:
    """What a chunk is generated from; B batch, R rows, T frames."""

    conditions: Conditions = Conditions()
    negative: Conditions | None = None  # what guidance leads away from; no conditioning and no context by default
    context: Tensor | None = None  # packed latents of the chunks before [B, R * 8, T]; only the conditioned branch sees them
    context_mask: Tensor | None = None  # [B, T] bool, False where a frame of the context is hidden
    known: Tensor | None = None  # packed latents of the chunk's known frames [B, R * 8, K]; both branches see them
    known_frames: tuple[int, ...] = ()  # their numbers from the chunk's start, in order; they may run into the chunk after
    blank: Conditions | None = None  # what dropped conditions become; zeros by default
    without: Mapping[str, Conditions] = field(default_factory=dict)  # for guidance by one condition: all, with that one dropped
    weaker: Conditions | None = None  # the conditions as a weaker model reads them, for autoguidance

    def can_be_dropped(self, embedding: bool) -> bool:
        """Whether the unconditioned branch of guidance differs from the conditioned one; `embedding` as of `Conditions`."""
        return self.context is not None or self.negative is not None or self.conditions.can_be_dropped(embedding)

    def other_branches(self, guidance: Guidance, embedding: bool) -> tuple[str, ...]:
        """What guidance needs besides the conditioned output: `ALL` dropped, or single conditions of those in `without`."""
        everything = (ALL,) if guidance.scale != 1 and self.can_be_dropped(embedding) else ()
        there = {*self.without, *([] if self.context is None else [CONTEXT])}
        return everything + tuple(name for name in guidance.alone if name in there)

    def of_samples(self, chosen: Tensor) -> "Prompt":
        """The prompt of the samples where `chosen` [B] is True."""
        tensors = {name: getattr(self, name) for name in ("context", "context_mask", "known")}
        tensors = {name: None if x is None else x[chosen] for name, x in tensors.items()}
        return replace(self._mapped(lambda c: c.map(lambda x: x[chosen])), **tensors)

    def with_known(self, known: Tensor, frames: tuple[int, ...]) -> "Prompt":
        return replace(self, known=known, known_frames=frames)

    def of_frames(self, first: int, count: int, total: int) -> "Prompt":
        """The prompt for a part of so many frames in all; its concatenated channels begin with those of the context."""
        before = 0 if self.context is None else self.context.shape[-1]
        return self._mapped(lambda c: c.fitted(total).of_frames(first - before, before + count))

    def of_chunks(self, first: int, count: int) -> "Prompt":
        return self._mapped(lambda c: c.of_chunks(first, count))

    def _mapped(self, function: Callable[[Conditions], Conditions]) -> "Prompt":
        negative, blank, weaker = (None if c is None else function(c) for c in (self.negative, self.blank, self.weaker))
        without = {name: function(conditions) for name, conditions in self.without.items()}
        told: dict[str, Any] = {"negative": negative, "blank": blank, "weaker": weaker, "without": without}
        return replace(self, conditions=function(self.conditions), **told)

    def with_branches(self, branches: Sequence[str], batch: int, device: torch.device, embedding: bool = False) -> "Prompt":
        """A prompt for several times the batch: the samples as they are, then for each branch without what it leaves out."""
        conditions, copies = self.conditions, 1 + len(branches)
        for name in branches:
            other = self._unconditioned(batch, device, embedding) if name == ALL else self.without.get(name, self.conditions)
            conditions = Conditions.joined(conditions, other)
        together = replace(self, conditions=conditions, negative=None, blank=None, without={}, weaker=None)
        if self.known is not None:
            together = replace(together, known=torch.cat([self.known] * copies))
        if self.context is None:
            return together
        mask = self.context_mask
        shown = self.context.new_ones(batch, self.context.shape[-1], dtype=torch.bool) if mask is None else mask
        masks = [torch.zeros_like(shown) if name in (ALL, CONTEXT) else shown for name in branches]
        return replace(together, context=torch.cat([self.context] * copies), context_mask=torch.cat([shown, *masks]))

    def _unconditioned(self, batch: int, device: torch.device, embedding: bool) -> Conditions:
        """Without all that can be dropped, and with what the negative has in its place."""
        other = self.conditions.dropped(torch.zeros(batch, dtype=torch.bool, device=device), embedding, self.blank)
        if self.negative is None:
            return other
        values = vars(self.negative)  # its tokens come with its own masks, or with none
        changes = {name: value for name, value in values.items() if value is not None}
        changes |= {f"{name}_mask": values[f"{name}_mask"] for name in ("cross", "prepended") if name in changes}
        return replace(other, **changes)
