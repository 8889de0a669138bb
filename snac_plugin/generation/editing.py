"""Recordings that stay but for what is generated in them. Letters: B batch, C channels, N audio samples, R rows, T frames."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import soxr
import torch
from torch import Tensor

from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.generation.chunks import Known, chunk_starts
from snac_plugin.generation.context import checked_audio, mono
from snac_plugin.generation.decoding import StreamedChunk
from snac_plugin.generation.joining import JOIN_SECONDS, join
from snac_plugin.generation.matching import MATCH_SECONDS, matched, matched_to
from snac_plugin.generation.request import Request
from snac_plugin.generation.times import check_ends, samples_at, samples_until, spans_of
from snac_plugin.generation.width import FILTER_SECONDS, WIDTH_SECONDS, widened

# `generate_chunks` with all that does not depend on what is known.
Generate = Callable[..., Iterable[Tensor]]
# `matched_beside` or `matched_within`.
Match = Callable[[Tensor, Tensor, int, Sequence[tuple[int, int]], int], Tensor]


@dataclass(frozen=True)
class Edit:
    """Audio of which some spans are generated."""

    rate: int
    audio: Tensor  # [C, N]; silence where there is nothing yet
    spans: tuple[tuple[int, int], ...]  # samples [start, stop), in order and apart; all others stay as they are
    loop: bool = False  # what is generated are both ends, which join
    wide: bool = False  # what is new in a stereo recording is as wide as that

    def at(self, rate: int, mixed: bool = True) -> "Edit":
        """At another rate, as mono audio or with its own channels."""
        channels = [self.audio] if mixed else list(self.audio)
        audio = torch.stack([mono(one, self.rate, rate) for one in channels])
        return replace(self, rate=rate, audio=audio, spans=self.spans_at(rate))

    def size_at(self, rate: int) -> int:
        """Its length in samples at another rate."""
        return samples_at(self.audio.shape[-1], self.rate, rate)

    def spans_at(self, rate: int) -> tuple[tuple[int, int], ...]:
        """Its spans at another rate."""
        size = self.size_at(rate)
        ends = [min(round(edge * rate / self.rate), size) for span in self.spans for edge in span]
        return tuple(zip(ends[::2], ends[1::2], strict=True))

    def turned(self, rate: int) -> tuple[tuple[tuple[int, int], ...], int]:
        """The same where the ends of a loop meet in the middle, and by how many samples the audio is turned for it."""
        spans, size = self.spans_at(rate), self.size_at(rate)
        shift = size // 2
        return (((shift - (size - spans[1][0]), shift + spans[0][1]),), shift) if self.loop else (spans, 0)

    def with_new(self, new: Tensor, first: int = 0) -> Tensor:
        """The audio [C, N] with its spans from `new`, mono at the same rate, which begins at sample `first` of it.

        At each border the difference of the recording and its generated version is mirrored into the span and faded out, so that
        neither a sample outside the spans changes nor one jumps.
        """
        result, size = self.audio.clone(), round(JOIN_SECONDS * self.rate)
        for start, stop in self.spans:
            begin, end = max(start - size, first), min(stop + size, first + len(new), result.shape[-1])
            made = self._channels(new, begin - first, end - first, (start, stop))
            before, part, after = made.split([start - begin, stop - start, end - stop], dim=-1)
            part = join(part, self.audio[:, begin:start], before)
            part = join(part.flip(-1), self.audio[:, stop:end].flip(-1), after.flip(-1)).flip(-1)
            result[:, start:stop] = part
        return result

    def _channels(self, new: Tensor, begin: int, end: int, span: tuple[int, int]) -> Tensor:
        """Samples [begin, end) of new mono audio [N'] with all channels; as wide as the audio beside the span, or in its place."""
        if not self.wide or len(self.audio) != 2:
            return new[begin:end].expand(len(self.audio), -1)
        reach, seconds = round(FILTER_SECONDS * self.rate), round(WIDTH_SECONDS * self.rate)
        start, stop = (self.spans[1][0], self.audio.shape[-1]) if self.loop else span  # both ends of a loop get one width
        before, after = self.audio[:, max(0, start - seconds) : start], self.audio[:, stop : stop + seconds]
        beside = max(before, after, key=lambda audio: audio.shape[-1])
        places = torch.arange(begin - reach, end + reach)
        around = new[places % len(new)] * (1.0 if self.loop else ((places >= 0) & (places < len(new))).float())
        return widened(around, beside if beside.shape[-1] else self.audio[:, span[0] : span[1]], self.rate)[:, reach:-reach]

    def with_made(self, audio: Tensor, rate: int) -> Tensor:
        """The audio [C, N] with its spans from what `edited` gave [N'], at another rate."""
        if rate != self.rate:
            step = rate // math.gcd(rate, self.rate)
            border = step * -(-rate // (10 * step)) if self.loop else 0  # so that the resampler sees a loop go on at its ends
            around = audio[torch.arange(-border, len(audio) + border) % len(audio)]
            audio = torch.from_numpy(soxr.resample(around.numpy(), rate, self.rate))[border * self.rate // rate :]
        lacking = self.audio.shape[-1] - len(audio)
        return self.with_new(torch.nn.functional.pad(audio, (0, max(lacking, 0))))

    def new_part(self, audio: Tensor) -> Tensor:
        """Of audio [..., N] the spans alone."""
        return torch.cat([audio[..., start:stop] for start, stop in self.spans], dim=-1)


def edit_of(request: Request, chunk_samples: int, sample_rate: int) -> Edit | None:
    """What a request changes, if it does; its recordings are audio. UsageError for places outside of it."""
    wide = request.width == "keep"
    if request.edit is not None:
        rate, audio = checked_audio(request.edit, sample_rate, "edit")
        size = audio.shape[-1]
        if request.loop:
            seam = min(chunk_samples * rate // (4 * sample_rate), size // 4)
            return Edit(rate, audio, ((0, seam), (size - seam, size)), loop=True, wide=wide)
        return Edit(rate, audio, ((0, size),) if request.repaint is None else spans_of(request.repaint, rate, size), wide=wide)
    if request.bridge is not None:
        return _between("bridge", (request.bridge[0], request.bridge[1]), request, chunk_samples, sample_rate)
    return None if request.before is None else _between("before", (None, request.before), request, chunk_samples, sample_rate)


def _between(name: str, recordings: tuple[Any, Any], request: Request, chunk_samples: int, sample_rate: int) -> Edit:
    """What is generated between two recordings, or before the second where there is no first."""
    parts = [checked_audio(one, sample_rate, name) for one in recordings if one is not None]
    kinds = [(rate, len(audio)) for rate, audio in parts]
    check_ends(kinds)
    rate, channels = kinds[0]
    new = torch.zeros(channels, samples_at(request.samples(chunk_samples, sample_rate), sample_rate, rate))
    before = parts[0][1] if len(parts) > 1 else new[:, :0]
    span = (before.shape[-1], before.shape[-1] + new.shape[-1])
    return Edit(rate, torch.cat([before, new, parts[-1][1]], dim=-1), (span,), wide=request.width == "keep")


@dataclass(frozen=True)
class Maker:
    """What generates within an edit, and decodes."""

    generate: Generate
    codec: SnacPretransform
    chunk_frames: int
    window: int  # frames of context
    seeds: Sequence[int]  # of each sample


def edited(edit: Edit, maker: Maker, match: Match | None = None) -> StreamedChunk:
    """Audio [B, 1, N] at the codec's rate, its spans generated, and the codes around them.

    `match` brings what is generated to the level of the recording.
    """
    codec = maker.codec
    spans, shift = edit.turned(codec.sample_rate)
    audio = edit.at(codec.sample_rate).audio[0].roll(shift)
    size = len(audio)
    known, begin = _frames_of(audio, spans, codec, maker.window, maker.chunk_frames)
    codes = torch.cat(list(maker.generate(known=known)), dim=-1)
    decoded = decode(codec, codes, maker.seeds)[:, 0]
    if match is not None:
        decoded = torch.stack([match(one, audio, begin, spans, codec.sample_rate) for one in decoded])
    first = begin
    if edit.loop:
        decoded, first = torch.nn.functional.pad(decoded, (begin, size))[:, :size].roll(-shift, dims=-1), 0
    placed = edit.at(codec.sample_rate, mixed=not edit.wide)
    whole, kept = torch.stack([placed.with_new(one, first) for one in decoded]), known.frames.repeat(len(codec.levels), 1)
    return StreamedChunk(whole, codes.cpu(), kept, begin - shift)


def matched_beside(made: Tensor, audio: Tensor, first: int, spans: Sequence[tuple[int, int]], rate: int) -> Tensor:
    """What was generated [N'], from sample `first` of mono audio [N] on; near borders as loud as the audio there."""
    size = round(MATCH_SECONDS * rate)
    for start, stop in spans:
        place = (start - first, min(stop - first, len(made)))
        made = matched(made, place, rate, audio[max(0, start - size) : start], audio[stop : stop + size])
    return made


def matched_within(made: Tensor, audio: Tensor, first: int, spans: Sequence[tuple[int, int]], rate: int) -> Tensor:
    """The same for variations of the audio: each span as loud as the audio there, all through."""
    size = round(JOIN_SECONDS * rate)
    for start, stop in spans:
        begin, end = max(start - size, first), min(stop + size, first + len(made), len(audio))
        part = matched_to(made[begin - first : end - first], audio[begin:end], rate)
        made = torch.cat([made[: begin - first], part, made[end - first :]])
    return made


def looped(codes: Tensor, maker: Maker, chunks: int) -> StreamedChunk:
    """So many generated chunks [B, R, T] whose seam, in the middle of them once they are turned by half, is generated anew."""
    codec, frames, margin = maker.codec, codes.shape[-1], maker.codec.margin
    half, seam = frames // 2, _seam(frames, maker.chunk_frames)
    shown = torch.ones(frames, dtype=torch.bool)
    shown[half - seam : half + seam] = False
    sealed = torch.cat(list(maker.generate(known=Known(codes.roll(half, dims=-1), shown), first_index=chunks)), dim=-1)
    codes = sealed.roll(-half, dims=-1)
    around = torch.arange(-margin, frames + margin) % frames  # each end sounds with the other one beside it
    sound = decode(codec, codes[..., around], maker.seeds)
    size, border = round(JOIN_SECONDS * codec.sample_rate), margin * codec.downsampling_ratio
    audio, after = sound[..., border:-border], sound[..., sound.shape[-1] - border :]
    # The decoder's noise is another one behind the end than at the beginning: it fades over.
    fade = torch.cos(torch.linspace(0, math.pi / 2, size + 1)[:size]).square()
    start = audio[..., :size] + (after[..., :size] - audio[..., :size]) * fade
    return StreamedChunk(torch.cat([start, audio[..., size:]], dim=-1), codes.cpu())


def cut_at(recording: Any, second: float, sample_rate: int) -> tuple[int, Tensor]:
    """A recording up to a second of it; UsageError if it is shorter."""
    rate, audio = checked_audio(recording, sample_rate, "context")
    return rate, audio[:, : samples_until(second, rate, audio.shape[-1])]


def decode(codec: SnacPretransform, codes: Tensor, seeds: Sequence[int]) -> Tensor:
    """Packed codes [B, R, T] -> audio [B, 1, samples] on the CPU, the decoder's noise of each sample from its own seed."""
    return torch.cat([codec.decode_tokens(c[None], seed=seed).float().cpu() for c, seed in zip(codes, seeds, strict=True)])


def _frames_of(
    audio: Tensor, spans: Sequence[tuple[int, int]], codec: SnacPretransform, window: int, chunk_frames: int
) -> tuple[Known, int]:
    """Codes of mono audio [N] as far as they are seen from the spans, and the sample that they begin at.

    A frame begins where the first span does. Frames that a span touches are generated whole.
    """
    size = codec.downsampling_ratio
    touched, offset = _touched(spans, size)
    first = max(0, touched[0][0] - window - chunk_frames - codec.margin)
    last = min(-(-(len(audio) - offset) // size), touched[-1][1] + 2 * chunk_frames + codec.margin)
    begin = offset + first * size
    codes = codec.tokenize(audio[begin : offset + last * size][None, None].to(codec.space.means.device))
    shown = torch.ones(last - first, dtype=torch.bool)
    for start, stop in touched:
        shown[start - first : stop - first] = False
    return Known(codes, shown), begin


def _touched(spans: Sequence[tuple[int, int]], frame: int) -> tuple[list[tuple[int, int]], int]:
    """The frames [start, stop) that spans of samples touch, and the sample that frame 0 begins at."""
    offset = spans[0][0] % frame
    return [((start - offset) // frame, -(-(stop - offset) // frame)) for start, stop in spans], offset


def chunk_places(edit: Edit, codec: SnacPretransform, chunk_frames: int) -> list[float]:
    """Where in the audio of an edit each chunk that is generated begins, in chunks; that at the seam of a loop before its end."""
    spans, turned = edit.turned(codec.sample_rate)
    touched, offset = _touched(spans, codec.downsampling_ratio)
    known = torch.ones(touched[-1][1], dtype=torch.bool)
    for start, stop in touched:
        known[start:stop] = False
    second_half = edit.size_at(codec.sample_rate) - turned if edit.loop else 0  # which comes first in what is turned
    before = offset + second_half
    return [(start + before / codec.downsampling_ratio) / chunk_frames for start in chunk_starts(known, chunk_frames)]


def seam_place(frames: int, chunk_frames: int) -> float:
    """The same of the seam of a loop that is generated."""
    return (frames - _seam(frames, chunk_frames)) / chunk_frames


def _seam(frames: int, chunk_frames: int) -> int:
    """Frames at each end of a loop that are generated anew, the other end beside them."""
    return max(1, min(chunk_frames // 4, frames // 4))
