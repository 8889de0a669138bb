"""Generated codes to audio, seamlessly and to the sample. Letters: B batch, R rows, T frames, N audio samples."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.codec.streaming import StreamDecoder
from snac_plugin.generation.context import Context
from snac_plugin.generation.joining import JOIN_SECONDS, Continuation, join
from snac_plugin.generation.matching import AROUND_SECONDS, FADE_SECONDS, matched


@dataclass(frozen=True)
class StreamedChunk:
    """What is new after a chunk, on the CPU."""

    # [B, 1, N], or [B, 2, N] with the width of recordings; ends a little before the codes do: the next chunk changes their sound
    audio: Tensor
    codes: Tensor  # packed codes of the chunk [B, R, T]
    kept: Tensor | None = None  # of an edit, [levels, T] bool: codes that were not generated
    first: int = 0  # sample of the edit's audio at which its codes begin; those of a loop go on behind its end
    past: Tensor | None = None  # packed codes that the first chunk follows [B, R, S]; what hides none of them is left out


def decoded_chunks(
    codec: SnacPretransform,
    chunks: Iterable[Tensor],
    count: int,
    seeds: Sequence[int],
    samples: int,
    context: Context | None,
    match: bool = True,
) -> Iterator[StreamedChunk]:
    """Decode `count` chunks of packed codes [B, R, T] as they come; the last is cut so that all hold `samples` samples.

    Stopped by Ctrl-C while a chunk is generated, it first yields the audio that was held back. The context is decoded too, but not
    yielded; the new audio is joined to it where it was audio, and with `match` begins at its level.
    """
    decoder = StreamDecoder(codec, seeds)
    border = _Border(codec, decoder, context, match)
    left, done = samples, 0
    try:
        for codes in chunks:
            done += 1
            audio = decoder.push(codes)
            if done == count:
                audio = torch.cat([audio, decoder.finish()], dim=-1)
            audio = border.new_part(audio, last=done == count)[..., :left]
            left -= audio.shape[-1]
            past = None if context is None or done > 1 else context.codes[..., context.mask.any(dim=0)].cpu()
            yield StreamedChunk(audio, codes.cpu(), past=past)
    except KeyboardInterrupt:
        if done:
            yield StreamedChunk(border.new_part(decoder.finish(), last=True)[..., :left], codes[..., :0].cpu())
        raise


def wide_chunks(chunks: Iterable[StreamedChunk], count: int, recordings: Sequence[Tensor], rate: int) -> Iterator[StreamedChunk]:
    """Mono audio [B, 1, N] that comes in `count` chunks, each sample as wide as the stereo recording [2, N'] it continues."""
    joins = [Continuation(recording, rate, rate, keep_width=True) for recording in recordings]
    for done, chunk in enumerate(chunks, 1):
        audio = torch.stack([join.push(one[0]) for join, one in zip(joins, chunk.audio, strict=True)])
        if done == count:
            audio = torch.cat([audio, torch.stack([join.finish() for join in joins])], dim=-1)
        yield replace(chunk, audio=audio)


class _Border:
    """Decodes the end of the context first, cuts it off, and joins the new audio to the recording's own end."""

    def __init__(self, codec: SnacPretransform, decoder: StreamDecoder, context: Context | None, match: bool) -> None:
        self.tail, self.ends = (None, ()) if context is None else (context.tail, context.ends if match else ())
        self.rate, self.size = codec.sample_rate, round(JOIN_SECONDS * codec.sample_rate)
        self.held: Tensor | None = None  # the context's audio and what is too short to be joined yet; None once the join is made
        if context is not None:
            grid = codec.levels.grid_frames
            frames = min(2 * codec.margin, context.codes.shape[-1] // grid * grid)  # enough that no cut is audible
            self.before, self.held = frames * codec.downsampling_ratio, decoder.push(context.codes[..., -frames:])
            self.needed = self.before + (round((FADE_SECONDS + AROUND_SECONDS) * self.rate) if self.ends else 1)

    def new_part(self, audio: Tensor, last: bool = False) -> Tensor:
        """The part of the decoder's next audio [B, 1, N] that is new, once there is enough to be joined or it is the last."""
        if self.held is None:
            return audio
        self.held = torch.cat([self.held, audio], dim=-1)
        if self.held.shape[-1] < self.needed and not last:
            return audio[..., :0]
        held, self.held = self.held, None
        if self.ends:
            span, none = (self.before, held.shape[-1]), held.new_zeros(0)
            pairs = zip(held[:, 0], self.ends, strict=True)
            held = torch.stack([matched(one, span, self.rate, end, none) for one, end in pairs])[:, None]
        before, new = held[..., : self.before], held[..., self.before :]
        return new if self.tail is None else join(new, self.tail[:, None, -self.size :], before[..., -self.size :])
