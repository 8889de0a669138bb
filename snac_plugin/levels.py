"""Geometry of SNAC's hierarchy of codes: strides, frames, packing.

Letters: B batch, T frames, N codes of one level, D codebook dimensions, R rows (codes per frame, all levels).
A frame is the period of one code of the coarsest level. With strides (8, 4, 2, 1) it holds 1 + 2 + 4 + 8 = 15
codes, and the packed rows are A0, B0, B1, C0 .. C3, D0 .. D7: level by level, each in the order of time.
Torch is imported by what computes with tensors alone: configs are checked against a geometry without it.
"""

from __future__ import annotations

import itertools
import math
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from einops import rearrange

from snac_plugin.errors import ConfigError, Mismatch

if TYPE_CHECKING:
    import torch
    from torch import Tensor

STRIDES = "strides from coarse to fine, each a multiple of the next"


def are_strides(strides: Sequence[int]) -> bool:
    """Whether these are `STRIDES`."""
    return bool(strides) and not any(a < b or a % b for a, b in itertools.pairwise(strides))


def padded_to(config: Mapping[str, Any]) -> int:
    """Samples that SNAC pads audio to a multiple of, by its config.json: 12,288 with attention at 32 kHz."""
    return math.prod(config["encoder_rates"]) * math.lcm(config["vq_strides"][0], config.get("attn_window_size") or 1)


def level_names(count: int) -> str:
    """One letter a level, coarsest first: "ABCD" for four."""
    return string.ascii_uppercase[:count]


def nearest_multiples(value: int, grid: int) -> str:
    """The multiples of `grid` around `value`, none of them 0, for a message: "60 or 64"."""
    return " or ".join(str(n) for n in sorted({max(value // grid, 1) * grid, math.ceil(value / grid) * grid}))


def chunk_sizes(frames: int, chunk_frames: int) -> list[int]:
    """Frames of each chunk; the last may be shorter."""
    return [min(chunk_frames, frames - start) for start in range(0, frames, chunk_frames)]


def pick_frames(tokens: Tensor, frames: Sequence[int], per_frame: int) -> Tensor:
    """The tokens of some frames [B, len(frames) * per_frame, ...] from those of all, [B, T * per_frame, ...]."""
    import torch

    index = torch.as_tensor(frames, dtype=torch.long, device=tokens.device)
    return tokens.unflatten(1, (-1, per_frame)).index_select(1, index).flatten(1, 2)


@dataclass(frozen=True)
class Levels:
    """The grid of one SNAC codec."""

    strides: tuple[int, ...]  # finest codes per code of each level, coarsest first; (8, 4, 2, 1) at 32 and 44.1 kHz
    hop: int  # audio samples per code of a level with stride 1
    attn_window: int | None  # finest codes in one window of SNAC's local attention
    sample_rate: int
    codebook_size: int = 4096
    codebook_dim: int = 8

    def __post_init__(self) -> None:
        if not are_strides(self.strides):
            raise ConfigError("vq_strides", self.strides, STRIDES, "See SNAC's config.json.")

    @classmethod
    def from_snac_config(cls, config: Mapping[str, Any]) -> Levels:
        """From the contents of a SNAC config.json."""
        return cls(
            strides=tuple(config["vq_strides"]),
            hop=math.prod(config["encoder_rates"]),
            attn_window=config.get("attn_window_size"),
            sample_rate=config["sampling_rate"],
            codebook_size=config.get("codebook_size", 4096),
            codebook_dim=config.get("codebook_dim", 8),
        )

    def __len__(self) -> int:
        return len(self.strides)

    @property
    def names(self) -> str:
        """One letter a level, coarsest first: "ABCD"."""
        return level_names(len(self.strides))

    @property
    def per_frame(self) -> tuple[int, ...]:
        """Codes of each level in one frame: (1, 2, 4, 8)."""
        return tuple(self.strides[0] // stride for stride in self.strides)

    @property
    def rows(self) -> int:
        """Codes of all levels in one frame: 15."""
        return sum(self.per_frame)

    @property
    def channels(self) -> int:
        """Channels of packed latents, stable-audio-tools' io_channels: rows * codebook_dim = 120."""
        return self.rows * self.codebook_dim

    @property
    def frame_samples(self) -> int:
        """Audio samples of one frame, stable-audio-tools' downsampling_ratio: 3,072."""
        return self.hop * self.strides[0]

    @property
    def grid_frames(self) -> int:
        """SNAC pads audio to a multiple of so many frames: 4 with attention, 1 without."""
        return math.lcm(self.strides[0], self.attn_window or 1) // self.strides[0]

    @property
    def frames_per_second(self) -> float:
        return self.sample_rate / self.frame_samples

    def frames_for(self, samples: int) -> int:
        """Frames that cover so many audio samples."""
        return math.ceil(samples / self.frame_samples)

    def level_of_rows(self) -> tuple[int, ...]:
        """The level of each packed row: (0, 1, 1, 2, 2, 2, 2, 3, ...)."""
        return tuple(level for level, count in enumerate(self.per_frame) for _ in range(count))

    def pack(self, codes: Sequence[Tensor]) -> Tensor:
        """Ragged codes, one [B, T * per_frame] a level, to packed codes [B, R, T]."""
        import torch

        self._check_ragged(codes)
        return torch.cat([rearrange(c, "b (t k) -> b k t", k=k) for c, k in zip(codes, self.per_frame, strict=True)], dim=1)

    def unpack(self, packed: Tensor) -> list[Tensor]:
        """Packed codes [B, R, T] to ragged codes, one [B, T * per_frame] a level."""
        if packed.ndim != 3 or packed.shape[1] != self.rows:
            raise Mismatch("codes", tuple(packed.shape), f"[batch, {self.rows}, frames]", "Packed codes hold one frame a column.")
        return [rearrange(c, "b k t -> b (t k)") for c in packed.split(self.per_frame, dim=1)]

    def pack_latents(self, latents: Sequence[Tensor]) -> Tensor:
        """Vectors of each level, one [B, T * per_frame, D] a level, to packed latents [B, R * D, T]."""
        import torch

        self._check_ragged(latents)
        rows = [rearrange(z, "b (t k) d -> b (k d) t", k=k) for z, k in zip(latents, self.per_frame, strict=True)]
        return torch.cat(rows, dim=1)

    def unpack_latents(self, packed: Tensor) -> list[Tensor]:
        """Packed latents [B, R * D, T] to vectors, one [B, T * per_frame, D] a level."""
        if packed.ndim != 3 or packed.shape[1] != self.channels:
            advice = "Packed latents hold one frame a column."
            raise Mismatch("latents", tuple(packed.shape), f"[batch, {self.channels}, frames]", advice)
        parts = packed.split([count * self.codebook_dim for count in self.per_frame], dim=1)
        return [rearrange(z, "b (k d) t -> b (t k) d", d=self.codebook_dim) for z in parts]

    def positions(self, level: int, frames: int, first_frame: int = 0, device: torch.device | None = None) -> Tensor:
        """Centre in time of each code of a level, in finest-code units from the start of frame 0: [frames * per_frame]."""
        import torch

        stride = self.strides[level] / self.strides[-1]
        count = self.per_frame[level]
        index = torch.arange(first_frame * count, (first_frame + frames) * count, device=device, dtype=torch.float32)
        return (index + 0.5) * stride

    def _check_ragged(self, tensors: Sequence[Tensor]) -> None:
        if len(tensors) != len(self):
            raise Mismatch("codes", f"{len(tensors)} levels", f"{len(self)} levels ({self.names})")
        frames = tensors[0].shape[1] // self.per_frame[0]
        for name, count, tensor in zip(self.names, self.per_frame, tensors, strict=True):
            if tensor.shape[1] != frames * count:
                raise Mismatch(f"level {name}", f"{tensor.shape[1]} codes", f"{frames * count} codes ({frames} frames of {count})")
