"""Generated codes to audio, seamlessly and to the sample. Letters: B batch, R rows, T frames, N audio samples."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.codec.streaming import StreamDecoder
from snac_plugin.generation.context import Context
from snac_plugin.generation.joining import JOIN_SECONDS, join


@dataclass(frozen=True)
class StreamedChunk:
    """What is new after a chunk, on the CPU."""

    audio: Tensor  # [B, 1, N]; ends a little before the codes do, because the next chunk still changes their sound
    codes: Tensor  # packed codes of the chunk [B, R, T]


def decoded_chunks(
    codec: SnacPretransform, chunks: Iterable[Tensor], count: int, seeds: Sequence[int], samples: int, context: Context | None
) -> Iterator[StreamedChunk]:
    """Decode `count` chunks of packed codes [B, R, T] as they come; the last is cut so that all hold `samples` samples.

    Stopped by Ctrl-C while a chunk is generated, it first yields the audio that was held back. The context is decoded too, but not
    yielded; the new audio is joined to it where it was audio.
    """
    decoder = StreamDecoder(codec, seeds)
    border = _Border(codec, decoder, context)
    left, done = samples, 0
    try:
        for codes in chunks:
            done += 1
            audio = decoder.push(codes)
            if done == count:
                audio = torch.cat([audio, decoder.finish()], dim=-1)
            audio = border.new_part(audio)[..., :left]
            left -= audio.shape[-1]
            yield StreamedChunk(audio, codes.cpu())
    except KeyboardInterrupt:
        if done:
            yield StreamedChunk(border.new_part(decoder.finish())[..., :left], codes[..., :0].cpu())
        raise


class _Border:
    """Decodes the end of the context first, cuts it off, and joins the new audio to the recording's own end."""

    def __init__(self, codec: SnacPretransform, decoder: StreamDecoder, context: Context | None) -> None:
        self.tail = None if context is None else context.tail
        self.size = round(JOIN_SECONDS * codec.sample_rate)
        self.left = 0  # samples of the context that are still to come
        self.decoded: list[Tensor] = []  # the context's audio, until all of it is there
        if context is not None:
            grid = codec.levels.grid_frames
            frames = min(2 * codec.margin, context.codes.shape[-1] // grid * grid)  # enough that no cut is audible
            self.left = frames * codec.downsampling_ratio
            self.new_part(decoder.push(context.codes[..., -frames:]))

    def new_part(self, audio: Tensor) -> Tensor:
        """The part of the decoder's next audio [B, 1, N] that is new."""
        if self.left == 0 and not self.decoded:
            return audio
        before, audio = audio[..., : self.left], audio[..., self.left :]
        self.left -= before.shape[-1]
        self.decoded.append(before)
        if self.left or not audio.shape[-1]:
            return audio
        decoded = torch.cat(self.decoded, dim=-1)[..., -self.size :]
        self.decoded = []
        return audio if self.tail is None else join(audio, self.tail[:, None, -self.size :], decoded)
