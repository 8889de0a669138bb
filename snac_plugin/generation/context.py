"""The chunks before the one that is generated: from audio, from codes, or nothing.

Letters: B batch, R rows, T frames, S frames of the context (whole chunks), N audio samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torchaudio
from stable_audio_tools.models.conditioners import Conditioner, MultiConditioner
from torch import Tensor

from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.errors import AudioError, Mismatch
from snac_plugin.generation.joining import going_on

# Audio at the codec's rate, (rate, audio), packed codes, or nothing.
Given = Tensor | tuple[int, Tensor] | None


@dataclass(frozen=True)
class Context:
    """Context of a batch.

    Args:
        codes: packed codes [B, R, S]; what is generated next begins where they end. Silence where there is no context.
        mask: [B, S] bool, False where there is none: shorter contexts stand at the end.
        tail: the last samples of the audio that the codes were made of [B, J], or None where codes were given.
    """

    codes: Tensor
    mask: Tensor
    tail: Tensor | None = None


def context_of(
    given: Sequence[Given], pretransform: SnacPretransform, chunk_frames: int, chunks: int, device: Any
) -> Context | None:
    """The context of each sample as codes.

    The last whole chunks are taken, at most `chunks`; of audio shorter than a chunk, the last whole frames. The grid of frames
    is laid so that the last frame ends with the audio: what is generated continues at the very next sample.

    Args:
        given: for each sample audio [N] or [channels, N] at the codec's rate, (rate, audio), packed codes [R, T], or None;
            tensors or NumPy arrays.
        pretransform: the codec.
        chunk_frames: frames of a chunk.
        chunks: most chunks of context that the network sees.
        device: where to put it.

    Returns:
        None when no sample has any context.

    Raises:
        AudioError: audio is not finite or has a wrong shape.
    """
    checked = {id(one): _checked(one, pretransform.sample_rate) for one in given}
    given = [checked[id(one)] for one in given]
    encoded: dict[int, Tensor] = {}  # several continuations of one recording encode it once
    for one in given:
        if one is not None and chunks and id(one) not in encoded:
            encoded[id(one)] = _codes(one, pretransform, chunk_frames, chunks, device)
    found = [encoded.get(id(one)) for one in given]
    longest = max((codes.shape[-1] for codes in found if codes is not None), default=0)
    if longest == 0:
        return None
    frames = -(-longest // chunk_frames) * chunk_frames
    codes = pretransform.silent_codes()[..., -1:].repeat(len(found), 1, frames).to(device)
    mask = torch.zeros(len(found), frames, dtype=torch.bool, device=device)
    for row, own in enumerate(found):
        if own is not None and own.shape[-1]:
            codes[row, :, -own.shape[-1] :] = own
            mask[row, -own.shape[-1] :] = True
    return Context(codes, mask, _tails(given, found, pretransform))


def _tails(given: Sequence[Given], found: Sequence[Tensor | None], pretransform: SnacPretransform) -> Tensor | None:
    """The last samples of each sample's audio [B, J]; J is one frame."""
    size, tails = pretransform.downsampling_ratio, []
    for audio, codes in zip(given, found, strict=True):
        if audio is None or codes is None or not codes.shape[-1]:
            return None
        rate, samples = audio if isinstance(audio, tuple) else (pretransform.sample_rate, audio)
        if not samples.is_floating_point():
            return None
        needed = -(-2 * size * rate // pretransform.sample_rate)  # a little more, for the edge of resampling
        tails.append(mono(samples[..., -needed:], rate, pretransform.sample_rate)[-size:].cpu())
    return torch.stack(tails)


def _checked(given: Any, rate: int) -> Given:
    """One sample's context as codes or (rate, audio), which is at `rate` if nothing says otherwise.

    Raises:
        AudioError: it is neither.
    """
    if given is None:
        return None
    rate, audio = given if isinstance(given, tuple) and len(given) == 2 else (rate, given)
    if isinstance(audio, np.ndarray):
        audio = torch.from_numpy(np.ascontiguousarray(audio, np.float32 if audio.dtype.kind == "f" else None))
    expected = "audio [samples] or [channels, samples], (rate, audio), or packed codes, as tensors or arrays"
    if not isinstance(audio, Tensor) or isinstance(rate, bool) or not isinstance(rate, int | float | np.number) or not rate > 0:
        raise AudioError("context", f"{given!r}"[:80], expected, "snac_plugin.data.audio.read_audio reads a file.")
    if not audio.is_floating_point():
        return audio
    if audio.ndim == 2 and audio.shape[0] > audio.shape[1]:
        raise AudioError("context", f"shape {tuple(audio.shape)}", expected, "Transpose it: channels come first.")
    return int(rate), audio


def mono(audio: Tensor, rate: int, target: int) -> Tensor:
    """Audio [N] or [channels, N] of any rate to mono [N] at another rate."""
    if audio.ndim not in (1, 2) or not audio.is_floating_point():
        found = f"shape {tuple(audio.shape)}, {audio.dtype}"
        raise AudioError("context", found, "float audio [samples] or [channels, samples]", "Give one recording a sample.")
    flat = audio if audio.ndim == 1 else audio.mean(dim=0)
    if rate == target:
        return flat
    resampled = torchaudio.functional.resample(going_on(flat, rate), rate, target)
    return resampled[: math.ceil(len(flat) * target / rate)]


def _codes(
    given: Tensor | tuple[int, Tensor], pretransform: SnacPretransform, chunk_frames: int, chunks: int, device: Any
) -> Tensor:
    """Packed codes [R, T] of one sample's context, T possibly 0."""
    levels = pretransform.levels
    if isinstance(given, Tensor) and not given.is_floating_point():
        if given.ndim != 2 or given.shape[0] != levels.rows:
            raise Mismatch("context", f"codes of shape {tuple(given.shape)}", f"packed codes [{levels.rows}, frames]")
        kept = _kept_frames(given.shape[-1], chunk_frames, chunks)
        return given[:, given.shape[-1] - kept :].to(device).long()
    rate, audio = (pretransform.sample_rate, given) if isinstance(given, Tensor) else given
    longest = (chunks * chunk_frames + pretransform.margin + 1) * levels.frame_samples
    audio = audio[..., -math.ceil(longest * int(rate) / pretransform.sample_rate) :]  # no hour is resampled for its last seconds
    audio = mono(audio, int(rate), pretransform.sample_rate).to(device)
    kept = _kept_frames(audio.shape[-1] // levels.frame_samples, chunk_frames, chunks)
    if kept == 0:
        return torch.zeros(levels.rows, 0, dtype=torch.long, device=device)
    before = min(audio.shape[-1] // levels.frame_samples - kept, pretransform.margin)  # the encoder hears what came before
    before -= min((kept + before) % levels.grid_frames, before)  # or SNAC pads silence behind the join
    tail = audio[audio.shape[-1] - (kept + before) * levels.frame_samples :]
    return pretransform.tokenize(tail[None, None])[0, :, before:]


def _kept_frames(frames: int, chunk_frames: int, chunks: int) -> int:
    return min(frames // chunk_frames, chunks) * chunk_frames or frames


class SnacContextConditioner(Conditioner):
    """The conditioner `snac_context`, for `prepend_cond_ids`.

    Its output holds latents, not tokens of the network: they pass the network's own input projections, as targets do.

    Args:
        pretransform: the model's codec.
        chunk_frames: frames of a chunk.
        chunks: most chunks of context.
    """

    optional = True

    def __init__(self, pretransform: SnacPretransform, chunk_frames: int, chunks: int) -> None:
        super().__init__(pretransform.encoded_channels, pretransform.encoded_channels)
        self.__dict__["pretransform"] = pretransform  # the model owns it: its weights must not be saved twice
        self.chunk_frames, self.chunks = chunk_frames, chunks

    @torch.no_grad()
    def forward(self, given: Sequence[Given], device: Any = None) -> list[Tensor]:
        """Latents [B, S, R * 8] and mask [B, S] of the context; S is 0 when no sample has any."""
        device = next(self.pretransform.parameters()).device if device is None else device
        context = context_of(given, self.pretransform, self.chunk_frames, self.chunks, device)
        if context is None:
            batch = len(given)
            return [torch.zeros(batch, 0, self.output_dim, device=device), torch.zeros(batch, 0, dtype=torch.bool, device=device)]
        return [self.pretransform.codes_to_latents(context.codes).transpose(1, 2), context.mask]


class Conditioners(MultiConditioner):
    """stable-audio-tools' conditioners, where optional ones may be missing from the metadata: they get None."""

    @classmethod
    def of(cls, conditioners: MultiConditioner) -> Conditioners:
        """The same conditioners."""
        return cls(dict(conditioners.conditioners), conditioners.default_keys, conditioners.pre_encoded_keys)

    def forward(self, batch_metadata: list[Mapping[str, Any]], device: Any) -> dict[str, Any]:
        optional = {name: None for name, module in self.conditioners.items() if getattr(module, "optional", False)}
        return super().forward([{**optional, **metadata} for metadata in batch_metadata], device)
