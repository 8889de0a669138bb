"""The metadata of a batch: the files of its samples, and the frames that are padding."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from snac_plugin.errors import AudioError


def naming_files(error: AudioError, reals: Tensor, metadata: list[dict[str, Any]]) -> AudioError:
    """The error with the files of the samples that are not finite in place of "audio"; with all files if all are finite."""
    samples = reals[0] if reals.ndim == 4 and reals.shape[0] == 1 else reals
    names = [str(entry.get("path", f"sample {index} of the batch")) for index, entry in enumerate(metadata)]
    bad = [name for name, sample in zip(names, samples, strict=False) if not torch.isfinite(sample).all()]
    return AudioError(", ".join(bad or names), error.found, error.expected, error.advice)


def padding_mask(metadata: list[dict[str, Any]], frames: int, device: torch.device) -> Tensor | None:
    """stable-audio-tools' padding masks as whole frames [B, T], False where a frame is all padding; None if no frame is."""
    masks = [entry.get("padding_mask") for entry in metadata]
    if any(mask is None for mask in masks):
        return None
    stacked = torch.stack([torch.as_tensor(m[0] if isinstance(m, list | tuple) else m) for m in masks]).float()
    if stacked.bool().all():
        return None
    if stacked.shape[-1] != frames:
        size = -(-stacked.shape[-1] // frames) * frames
        padded = torch.nn.functional.pad(stacked, (0, size - stacked.shape[-1]))
        stacked = interpolate(padded[:, None], size=frames, mode="area")[:, 0]
    return (stacked > 0).to(device)
