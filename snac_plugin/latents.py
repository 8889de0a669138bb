"""Codes to latents and back. Letters: B batch, R rows, T frames, N codes of one level, K codes in a codebook, D its dimensions."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from snac_plugin.errors import Mismatch
from snac_plugin.levels import Levels


class LatentSpace(nn.Module):
    """A codec's codebooks ([K, D] a level), standardised to mean 0 and standard deviation 1 per level and dimension.

    A noise level then means the same to all levels. A dimension in which all codes agree keeps its scale. No buffer is saved.
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
        """Packed codes [B, R, T] to packed latents [B, R * D, T]."""
        return self.levels.pack_latents([self.level_latents(i, codes) for i, codes in enumerate(self.levels.unpack(packed))])

    def to_codes(self, packed: Tensor) -> Tensor:
        """Packed latents [B, R * D, T] to the packed codes [B, R, T] nearest to them, int64."""
        return self.levels.pack([self.nearest(i, latents) for i, latents in enumerate(self.levels.unpack_latents(packed))])

    def snap(self, packed: Tensor) -> Tensor:
        """Packed latents [B, R * D, T] to those of the nearest codes."""
        return self.from_codes(self.to_codes(packed))

    def level_latents(self, level: int, codes: Tensor) -> Tensor:
        """Codes [B, N] of one level to latents [B, N, D]."""
        return self.codebooks[level][codes.long()]

    def nearest(self, level: int, latents: Tensor) -> Tensor:
        """Codes [...] of one level nearest to latents [..., D].

        By differences in float32: |x - c|^2 multiplied out, autocast or TF32 would round away the distance between close codes.
        """
        book = self.codebooks[level].float()
        if latents.shape[-1] != book.shape[-1]:
            raise Mismatch("latents", f"vectors of {latents.shape[-1]}", f"vectors of {book.shape[-1]} dimensions")
        parts = latents.detach().float().reshape(-1, book.shape[-1]).split(8192)
        with torch.autocast(latents.device.type, enabled=False):
            codes = [torch.cdist(part, book, compute_mode="donot_use_mm_for_euclid_dist").argmin(1) for part in parts]
        return torch.cat(codes).reshape(latents.shape[:-1])

    def from_vectors(self, vectors: Sequence[Tensor]) -> Tensor:
        """SNAC's own code vectors [B, D, N] a level to packed latents [B, R * D, T]; keeps gradients."""
        rows = zip(vectors, self.means, self.scales, strict=True)
        return self.levels.pack_latents([(z.transpose(1, 2) - mean) / scale for z, mean, scale in rows])

    def to_vectors(self, packed: Tensor) -> list[Tensor]:
        """Packed latents [B, R * D, T] to SNAC's own code vectors, [B, D, N] a level; keeps gradients."""
        rows = zip(self.levels.unpack_latents(packed), self.means, self.scales, strict=True)
        return [(z * scale + mean).transpose(1, 2) for z, mean, scale in rows]
