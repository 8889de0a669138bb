"""Latents: code vectors standardised per level and dimension, and the way back to codes.

Letters: B batch, R rows, T frames, N codes of one level, L levels, K codes in a codebook, D codebook dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn

from snac_plugin.errors import Mismatch
from snac_plugin.levels import Levels


class LatentSpace(nn.Module):
    """The standardised codebooks of a codec.

    Each dimension of each level has mean 0 and standard deviation 1 over the codebook, so that one noise level means the same
    to all levels. A dimension in which all codes agree keeps its scale.

    Args:
        levels: the codec's grid.
        codebooks: code vectors, [K, D] a level.
    """

    codebooks: Tensor
    means: Tensor
    scales: Tensor

    def __init__(self, levels: Levels, codebooks: Sequence[Tensor]) -> None:
        super().__init__()
        self.levels = levels
        raw = torch.stack([codebook.detach().float() for codebook in codebooks])
        means, scales = raw.mean(1), raw.std(1)
        scales = torch.where(scales > 1e-8, scales, torch.ones_like(scales))
        self.register_buffer("means", means, persistent=False)
        self.register_buffer("scales", scales, persistent=False)
        self.register_buffer("codebooks", (raw - means[:, None]) / scales[:, None], persistent=False)

    def from_codes(self, packed: Tensor) -> Tensor:
        """Packed codes [B, R, T] to packed latents [B, R * D, T], float32."""
        ragged = self.levels.unpack(packed)
        return self.levels.pack_latents([book[codes.long()] for book, codes in zip(self.codebooks, ragged, strict=True)])

    def to_codes(self, latents: Tensor) -> Tensor:
        """Packed latents [B, R * D, T] to the packed codes [B, R, T] nearest to them, int64."""
        vectors = self.levels.unpack_latents(latents.float())
        return self.levels.pack([self.nearest(level, z) for level, z in enumerate(vectors)])

    def from_vectors(self, vectors: Sequence[Tensor]) -> Tensor:
        """SNAC's own code vectors [B, D, N] a level to packed latents [B, R * D, T]; keeps gradients."""
        standardised = [
            (rearrange(z, "b d n -> b n d") - mean) / scale for z, mean, scale in zip(vectors, self.means, self.scales, strict=True)
        ]
        return self.levels.pack_latents(standardised)

    def to_vectors(self, latents: Tensor) -> list[Tensor]:
        """Packed latents [B, R * D, T] to SNAC's own scale, [B, D, N] a level; keeps gradients."""
        vectors = self.levels.unpack_latents(latents)
        return [
            rearrange(z * scale + mean, "b n d -> b d n") for z, mean, scale in zip(vectors, self.means, self.scales, strict=True)
        ]

    def nearest(self, level: int, vectors: Tensor) -> Tensor:
        """Codes [..., ] nearest to standardised vectors [..., D] of one level.

        By differences, in float32: |x - c|^2 multiplied out loses small distances to rounding, and with them codes that lie
        close; the more so under a caller's autocast, or where matrices are multiplied in TF32.
        """
        book = self.codebooks[level]
        if vectors.shape[-1] != book.shape[-1]:
            raise Mismatch("latents", f"vectors of {vectors.shape[-1]}", f"vectors of {book.shape[-1]} dimensions")
        parts = vectors.detach().float().reshape(-1, book.shape[-1]).split(8192)
        with torch.autocast(vectors.device.type, enabled=False):
            codes = [torch.cdist(part, book, compute_mode="donot_use_mm_for_euclid_dist").argmin(1) for part in parts]
        return torch.cat(codes).reshape(vectors.shape[:-1])
