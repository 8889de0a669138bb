"""Generated codes to audio, chunk by chunk, seamlessly and to the sample.

Letters: B batch, R rows, T frames, N audio samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.codec.streaming import StreamDecoder
from snac_plugin.generation.context import Context
from snac_plugin.generation.joining import JOIN_SECONDS, join


@dataclass(frozen=True)
class Piece:
    """What is new after a chunk.

    Args:
        audio: [B, 1, N] on the CPU; a little behind the codes, whose last frames the next chunk still shapes.
        codes: packed codes of the chunk [B, R, T] on the CPU.
    """

    audio: Tensor
    codes: Tensor


def decoded_pieces(
    pretransform: SnacPretransform,
    chunks: Iterable[Tensor],
    count: int,
    seeds: Sequence[int],
    samples: int,
    context: Context | None,
) -> Iterator[Piece]:
    """Decode chunks as they come; the last piece is cut so that all together hold `samples` samples.

    Stopped by Ctrl-C while a chunk is generated, it first gives what was held back of those before.

    Args:
        pretransform: the codec.
        chunks: packed codes [B, R, T].
        count: how many there are.
        seeds: of the decoder's noise, one a sample.
        samples: length of the audio in all.
        context: what the audio continues: decoded before it and not given out; joined to it where it is audio.
    """
    stream = StreamDecoder(pretransform, seeds)
    lead = _Lead(pretransform, context)
    if context is not None:
        lead.take(stream.push(context.codes[..., -_lead_frames(pretransform, context) :]))
    left, done = samples, 0
    try:
        for codes in chunks:
            done += 1
            audio = stream.push(codes)
            if done == count:
                audio = torch.cat([audio, stream.finish()], dim=-1)
            audio = lead.take(audio)[..., :left]
            left -= audio.shape[-1]
            yield Piece(audio, codes.cpu())
    except KeyboardInterrupt:
        if done:
            yield Piece(lead.take(stream.finish())[..., :left], codes[..., :0].cpu())
        raise


def _lead_frames(pretransform: SnacPretransform, context: Context) -> int:
    """Frames of context to decode before the new ones: enough that no cut is heard."""
    return min(
        2 * pretransform.margin, context.codes.shape[-1] // pretransform.levels.grid_frames * pretransform.levels.grid_frames
    )


class _Lead:
    """Takes away the decoded context in front of the new audio, and joins what follows to the recording's own end."""

    def __init__(self, pretransform: SnacPretransform, context: Context | None) -> None:
        frames = 0 if context is None else _lead_frames(pretransform, context)
        self.left = frames * pretransform.downsampling_ratio
        self.tail = None if context is None else context.tail
        self.size = round(JOIN_SECONDS * pretransform.sample_rate)
        self.heard: list[Tensor] = []

    def take(self, audio: Tensor) -> Tensor:
        """The part of the decoder's next audio [B, 1, N] that is new."""
        if self.left == 0 and not self.heard:
            return audio
        own, audio = audio[..., : self.left], audio[..., self.left :]
        self.left -= own.shape[-1]
        self.heard.append(own)
        if self.left or not audio.shape[-1]:
            return audio
        decoded = torch.cat(self.heard, dim=-1)[..., -self.size :]
        self.heard = []
        return audio if self.tail is None else join(audio, self.tail[:, None, -self.size :], decoded)
