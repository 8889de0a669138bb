"""What comes before the generated chunks. Letters: B batch, R rows, T frames, S context frames (whole chunks), N audio samples."""

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
from snac_plugin.config.condition_checks import with_numbers
from snac_plugin.config.model_keys import ConditioningSection
from snac_plugin.errors import AudioError, UsageError
from snac_plugin.generation.joining import with_mirrored_end
from snac_plugin.generation.matching import MATCH_SECONDS
from snac_plugin.generation.settings import check_complete, check_values
from snac_plugin.generation.times import samples_at

# Audio [N] or [channels, N] at the codec's rate, (rate, audio), packed codes [R, T], or nothing.
ContextInput = Tensor | tuple[int, Tensor] | None
EXPECTED = "audio [samples] or [channels, samples], (rate, audio), or packed codes, as tensors or arrays"


@dataclass(frozen=True)
class Context:
    """Context of a batch."""

    codes: Tensor  # packed [B, R, S]; what is generated next begins where they end; silence where there is no context
    mask: Tensor  # [B, S] bool, False where there is none: shorter contexts stand at the end
    tail: Tensor | None = None  # the last samples of the audio that the codes were made of [B, J]
    ends: tuple[Tensor, ...] = ()  # where there is a tail, the last seconds of each sample's audio [N], for the level to match


def context_of(
    inputs: Sequence[ContextInput], pretransform: SnacPretransform, chunk_frames: int, chunks: int, device: Any
) -> Context | None:
    """The context of each sample as codes, or None when no sample has any.

    The last whole chunks are taken, at most `chunks`; of audio shorter than a chunk, the last whole frames. The last frame ends
    with the last sample of the audio, so that what is generated continues at the very next sample. Raises AudioError for audio
    that is not finite or has a wrong shape, UsageError for codes of a wrong shape.
    """
    encoded: dict[int, tuple[Tensor, Tensor | None, Tensor | None]] = {}  # several continuations of one recording encode it once
    for one in inputs:
        if one is not None and chunks and id(one) not in encoded:
            encoded[id(one)] = _encode(one, pretransform, chunk_frames, chunks, device)
    found = [encoded.get(id(one), (None, None, None)) for one in inputs]
    longest = max((codes.shape[-1] for codes, *_ in encoded.values()), default=0)
    if longest == 0:
        return None
    frames = -(-longest // chunk_frames) * chunk_frames
    codes = pretransform.silent_codes()[..., -1:].repeat(len(found), 1, frames).to(device)
    mask = torch.zeros(len(found), frames, dtype=torch.bool, device=device)
    for row, (sample_codes, *_) in enumerate(found):
        if sample_codes is not None and sample_codes.shape[-1]:
            codes[row, :, -sample_codes.shape[-1] :] = sample_codes
            mask[row, -sample_codes.shape[-1] :] = True
    tails = [tail for _, tail, _ in found if tail is not None]
    ends = [end for *_, end in found if end is not None]
    return Context(codes, mask, torch.stack(tails), tuple(ends)) if len(tails) == len(found) else Context(codes, mask)


def _encode(
    context: Any, pretransform: SnacPretransform, chunk_frames: int, chunks: int, device: Any
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Packed codes [R, T] of one sample's context, T possibly 0, and the last frame [J] and the last seconds [N] of its audio."""
    levels, rate = pretransform.levels, pretransform.sample_rate
    input_rate, content = checked_recording(context, rate)
    if not content.is_floating_point():
        if content.ndim != 2 or content.shape[0] != levels.rows:
            raise UsageError("context", f"codes of shape {tuple(content.shape)}", f"packed codes [{levels.rows}, frames]")
        kept = _kept_frames(content.shape[-1], chunk_frames, chunks)
        return content[:, content.shape[-1] - kept :].to(device).long(), None, None
    longest = (chunks * chunk_frames + pretransform.margin + 1) * levels.frame_samples
    audio = mono(content[..., -math.ceil(longest * input_rate / rate) :], input_rate, rate).to(device)  # not a whole hour of it
    frames = audio.shape[-1] // levels.frame_samples
    kept = _kept_frames(frames, chunk_frames, chunks)
    if kept == 0:
        return torch.zeros(levels.rows, 0, dtype=torch.long, device=device), None, None
    before = min(frames - kept, pretransform.margin)  # the encoder needs what came before
    before -= min((kept + before) % levels.grid_frames, before)  # or SNAC pads silence behind the join
    end = audio[audio.shape[-1] - (kept + before) * levels.frame_samples :]
    size = levels.frame_samples
    twice = -(-2 * size * input_rate // rate)  # more than a frame, because resampling needs what is around it
    tail = mono(content[..., -twice:], input_rate, rate)[-size:].cpu()
    seconds = mono(content[..., -round(MATCH_SECONDS * input_rate) :], input_rate, rate).float().cpu()
    return pretransform.tokenize(end[None, None])[0, :, before:], tail, seconds


def stereo_ends(inputs: Sequence[ContextInput], rate: int, seconds: float) -> list[Tensor]:
    """The last seconds of stereo recordings at a rate [2, N]; none of mono ones. Raises as `channels_to_widen`."""
    if channels_to_widen(inputs, rate) != 2:
        return []
    recordings = [checked_recording(one, rate) for one in inputs]
    ends = [(given, audio[:, -math.ceil(seconds * given) :].cpu()) for given, audio in recordings]
    return [torch.stack([mono(channel, given, rate) for channel in end]) for given, end in ends]


def channels_to_widen(inputs: Sequence[ContextInput], rate: int) -> int:
    """How many channels recordings have whose width is to be kept; UsageError unless all are stereo, or all mono."""
    contents = [checked_recording(one, rate)[1] for one in inputs if one is not None]
    channels = {1 if one.ndim == 1 else len(one) for one in contents if one.is_floating_point()}
    lacking = len(contents) < len(inputs) or not all(one.is_floating_point() for one in contents)
    if lacking or channels not in ({1}, {2}):
        found = "codes, or a sample without a recording" if lacking else f"channels: {', '.join(map(str, sorted(channels)))}"
        advice = "Leave `width` out: what is new is mono then."
        raise UsageError("width", found, "recordings that are all stereo, or all mono", advice)
    return channels.pop()


def _kept_frames(frames: int, chunk_frames: int, chunks: int) -> int:
    return min(frames // chunk_frames, chunks) * chunk_frames or frames


def checked_recording(context: Any, rate: int, where: str = "context") -> tuple[int, Tensor]:
    """Rate and audio, or `rate` and codes; audio without a rate is at `rate`. AudioError for anything else."""
    rate, content = context if isinstance(context, tuple) and len(context) == 2 else (rate, context)
    if isinstance(content, np.ndarray):
        content = torch.from_numpy(np.ascontiguousarray(content, np.float32 if content.dtype.kind == "f" else None))
    if not isinstance(content, Tensor) or isinstance(rate, bool) or not isinstance(rate, int | float | np.number) or not rate > 0:
        raise AudioError(where, f"{context!r}"[:80], EXPECTED, "snac_plugin.data.audio.read_audio reads a file.")
    if content.is_floating_point() and content.ndim == 2 and content.shape[0] > content.shape[1]:
        raise AudioError(where, f"shape {tuple(content.shape)}", EXPECTED, "Transpose it: channels come first.")
    return int(rate), content


def checked_audio(recording: Any, rate: int, where: str) -> tuple[int, Tensor]:
    """Rate and audio [C, N] on the CPU of a recording that is no codes; AudioError for anything else."""
    rate, audio = checked_recording(recording, rate, where)
    check_shape(audio, where, least=1)
    return rate, audio.reshape(-1, audio.shape[-1]).cpu()


def check_shape(audio: Tensor, where: str, least: int = 0) -> None:
    """AudioError unless it is float audio [N] or [channels, N] of at least so many samples."""
    if audio.ndim not in (1, 2) or not audio.is_floating_point() or audio.shape[-1] < least:
        found = f"shape {tuple(audio.shape)}, {audio.dtype}"
        raise AudioError(where, found, "float audio [samples] or [channels, samples]", "Give one recording a sample.")


def mono(audio: Tensor, rate: int, target: int) -> Tensor:
    """Audio [N] or [channels, N] of any rate to mono [N] at another rate."""
    check_shape(audio, "context")
    flat = audio if audio.ndim == 1 else audio.mean(dim=0)
    if rate == target:
        return flat
    resampled = torchaudio.functional.resample(with_mirrored_end(flat, rate), rate, target)
    return resampled[: samples_at(len(flat), rate, target)]


class SnacContextConditioner(Conditioner):
    """The conditioner `snac_context`, for `prepend_cond_ids`.

    Its output holds latents, not tokens of the network: they pass the network's own input projections, as targets do.
    """

    def __init__(self, pretransform: SnacPretransform, chunk_frames: int, chunks: int) -> None:
        super().__init__(pretransform.encoded_channels, pretransform.encoded_channels)
        self.__dict__["pretransform"] = pretransform  # the model owns it: its weights must not be saved twice
        self.chunk_frames, self.chunks = chunk_frames, chunks

    @torch.no_grad()
    def forward(self, inputs: Sequence[ContextInput], device: Any = None) -> list[Tensor]:
        """Latents [B, S, R * 8] and mask [B, S] of the context; S is 0 when no sample has any."""
        device = next(self.pretransform.parameters()).device if device is None else device
        context = context_of(inputs, self.pretransform, self.chunk_frames, self.chunks, device)
        if context is None:
            latents = torch.zeros(len(inputs), 0, self.output_dim, device=device)
            return [latents, latents.new_zeros(len(inputs), 0, dtype=torch.bool)]
        return [self.pretransform.codes_to_latents(context.codes).transpose(1, 2), context.mask]


class Conditioners(MultiConditioner):
    """stable-audio-tools' conditioners, where the context may be missing from the metadata: it is None then."""

    section: ConditioningSection | None = None  # of the model config

    @classmethod
    def of(cls, conditioners: MultiConditioner, section: ConditioningSection | None = None) -> "Conditioners":
        made = cls(dict(conditioners.conditioners), conditioners.default_keys, conditioners.pre_encoded_keys)
        made.section = section
        return made

    @property
    def by_id(self) -> dict[str, Any]:
        return dict(self.conditioners)

    @property
    def learned_blanks(self) -> bool:
        """Whether one of them has learned what takes the place of a dropped condition; else that is zeros."""
        return any(hasattr(conditioner, "unconditioned") for conditioner in self.conditioners.values())

    def forward(self, batch_metadata: list[Mapping[str, Any]], device: Any) -> dict[str, Any]:
        """What stable-audio-tools' callers ask for; UsageError for values that the model was not built for."""
        for metadata in batch_metadata:
            check_values(metadata, self.section)
        return self.tensors(batch_metadata, device)

    def tensors(self, batch_metadata: list[Mapping[str, Any]], device: Any) -> dict[str, Any]:
        """The same for values that are checked, or of training data, where numbers out of range become the nearest."""
        optional = {name: None for name, module in self.conditioners.items() if isinstance(module, SnacContextConditioner)}
        for metadata in batch_metadata:
            check_complete(metadata, [name for name in self.conditioners if name not in optional], self.default_keys)
        tensors = super().forward([{**optional, **with_numbers(metadata, self.section)} for metadata in batch_metadata], device)
        for key in self.pre_encoded_keys:  # stable-audio-tools gives them no mask, and cross-attention asks for one
            value, mask = tensors[key]
            tensors[key] = [value, value.new_ones(value.shape[: 1 if value.ndim == 2 else 2]) if mask is None else mask]
        return tensors
