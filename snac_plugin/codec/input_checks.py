"""Checks of a codec's input; each error says how to convert it. Letters: B batch, N audio samples."""

from collections.abc import Sequence

import torch
from torch import Tensor

from snac_plugin.errors import AudioError, Mismatch


def check_audio(audio: Tensor, sample_rate: int | None, expected_rate: int, codec: str) -> None:
    """Raise AudioError unless audio is mono float audio [B, 1, N] without NaN at the codec's rate (None: the rate is unknown)."""
    shape = tuple(audio.shape)
    if audio.ndim != 3:
        advice = "Add the missing axes: audio.reshape(batch, 1, -1)." if audio.ndim < 3 else "Flatten the other axes."
        raise AudioError("audio", f"shape {shape}", "[batch, 1, samples]", advice)
    if audio.shape[1] != 1:
        advice = "Convert it with audio.mean(dim=1, keepdim=True); a dataset or model config does it with audio_channels 1."
        raise AudioError("audio", f"{audio.shape[1]} channels, shape {shape}", "mono audio [batch, 1, samples]", advice)
    if not audio.is_floating_point():
        raise AudioError("audio", str(audio.dtype), "floats between -1 and 1", "Divide int16 samples by 32768.")
    if audio.numel() == 0:
        raise AudioError("audio", f"shape {shape}", "at least one sample")
    if not torch.isfinite(audio).all():
        raise AudioError("audio", "NaN or infinite samples", "finite samples", "Often they come from 0 / 0 where it was made.")
    if sample_rate not in (None, expected_rate):
        advice = f"Convert it with torchaudio.functional.resample(audio, {sample_rate}, {expected_rate})."
        raise AudioError("audio", f"{sample_rate} Hz", f"{expected_rate} Hz, the rate of {codec}", advice)


def check_codes(codes: Tensor, codebook_size: int) -> None:
    """Raise Mismatch unless codes are integers that the codebook has."""
    if codes.is_floating_point():
        raise Mismatch("codes", str(codes.dtype), "integers", "Use decode for latents.")
    if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < codebook_size:
        raise Mismatch("codes", f"{int(codes.min())} to {int(codes.max())}", f"0 to {codebook_size - 1}")


def checked_length(frames: int, frame_samples: int, length: int | None) -> int:
    """The samples that decoding gives: `length`, or all that the frames hold."""
    whole = frames * frame_samples
    if whole == 0:
        raise Mismatch("frames", 0, "at least one frame")
    if length is not None and not 0 < length <= whole:
        raise Mismatch("length", length, f"1 to {whole} samples, which {frames} frames hold")
    return whole if length is None else length


def seeds_for(seed: int | Sequence[int], batch: int) -> list[int]:
    """One seed an example: those given, or the one given and the integers after it."""
    if isinstance(seed, Sequence):
        if len(seed) != batch:
            raise Mismatch("seed", f"{len(seed)} seeds", f"one, or {batch}: one for each example")
        return [int(s) for s in seed]
    return [int(seed) + index for index in range(batch)]
