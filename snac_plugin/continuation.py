"""A recording continued in a file of its own: its samples as they are, then what the model makes of it, without a click.

Letters: N audio samples, C channels, J samples over which the join fades.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor

from snac_plugin.errors import AudioError

JOIN_SECONDS = 0.03


def join(audio: Tensor, recorded: Tensor, decoded: Tensor) -> Tensor:
    """Make audio that follows a recording begin where the recording ends.

    The decoder's version of the recording's end differs from the recording. That difference, mirrored at the border and faded
    out, is added to the beginning of the new audio, so that no sample of the recording changes and none jumps.

    Args:
        audio: the new audio [..., N].
        recorded: the last samples of the recording [..., J].
        decoded: what the decoder makes of them [..., J].
    """
    size = min(recorded.shape[-1], audio.shape[-1])
    fade = torch.cos(torch.linspace(0, math.pi / 2, size + 1, dtype=audio.dtype)[:size]).square()
    difference = (recorded - decoded)[..., recorded.shape[-1] - size :].flip(-1)
    return torch.cat([audio[..., :size] + difference * fade, audio[..., size:]], dim=-1)


def read_recording(path: str | Path) -> tuple[int, Tensor]:
    """Rate and audio [C, N] of a file.

    Raises:
        AudioError: it cannot be read or holds no sound.
    """
    try:
        samples, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(str(path), f"no readable audio ({error})", "an audio file: wav, flac, ogg or mp3") from None
    if not len(samples):
        raise AudioError(str(path), "no samples", "a recording with sound in it")
    return rate, torch.from_numpy(np.ascontiguousarray(samples.T))


class Continuation:
    """Turns new mono audio at the model's rate into the recording's own rate and channels, joined to its end.

    Args:
        recording: the recording [C, N].
        rate: its sample rate.
        model_rate: the model's.
    """

    def __init__(self, recording: Tensor, rate: int, model_rate: int) -> None:
        self.recording, self.rate, self.model_rate = recording, rate, model_rate

    def samples(self, new: Iterable[Tensor]) -> Iterator[Tensor]:
        """Pieces of new audio [N] at the model's rate to pieces [C, N'] at the recording's, in step with them."""
        resampled = self._resampled(new)
        size = min(round(JOIN_SECONDS * self.rate), self.recording.shape[-1])
        first = next(resampled, None)
        if first is None:
            return
        while first.shape[-1] < size and (more := next(resampled, None)) is not None:
            first = torch.cat([first, more])
        # The model's audio is already joined to the mono mix: what is left is each channel's own share.
        mix = self.recording.mean(dim=0)
        channels = first.expand(len(self.recording), -1)
        yield join(channels, self.recording[:, -size:], mix[-size:].expand(len(self.recording), -1))
        for piece in resampled:
            yield piece.expand(len(self.recording), -1)

    def _resampled(self, new: Iterable[Tensor]) -> Iterator[Tensor]:
        """New audio at the recording's rate; the resampler first hears the recording, so that it has no edge to ring at."""
        if self.rate == self.model_rate:
            yield from new
            return
        stream = soxr.ResampleStream(self.model_rate, self.rate, 1, dtype="float32")
        lead, skip = self._lead()
        stream_out = [stream.resample_chunk(lead)]
        for piece in new:
            stream_out.append(stream.resample_chunk(piece.float().numpy()))
            ready, stream_out = np.concatenate(stream_out), []
            skipped = min(skip, len(ready))
            skip -= skipped
            if len(ready) > skipped:
                yield torch.from_numpy(ready[skipped:].copy())
        rest = np.concatenate([*stream_out, stream.resample_chunk(np.zeros(0, np.float32), last=True)])[skip:]
        if len(rest):
            yield torch.from_numpy(rest)

    def _lead(self) -> tuple[np.ndarray, int]:
        """The recording's end at the model's rate, and how many samples it makes at the recording's."""
        step = self.rate // math.gcd(self.rate, self.model_rate)
        skip = min(self.recording.shape[-1] // step, max(1, self.rate // 4 // step)) * step
        mix = self.recording.mean(dim=0).numpy()[self.recording.shape[-1] - skip :]
        return soxr.resample(mix, self.rate, self.model_rate)[: skip * self.model_rate // self.rate], skip
