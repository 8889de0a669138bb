"""A recording continued without a click. Letters: N audio samples, C channels, J samples over which the join fades."""

import math

import numpy as np
import soxr
import torch
from torch import Tensor

from snac_plugin.generation.width import Widening

JOIN_SECONDS = 0.03


def join(audio: Tensor, recorded: Tensor, decoded: Tensor) -> Tensor:
    """New audio [..., N] begun where a recording ends, by its last samples `recorded` and the decoder's version of them [..., J].

    The difference of the two, mirrored at the border and faded out, is added to the beginning of the new audio, so that no sample
    of the recording changes and none jumps.
    """
    size = min(recorded.shape[-1], audio.shape[-1])
    fade = torch.cos(torch.linspace(0, math.pi / 2, size + 1, dtype=audio.dtype)[:size]).square()
    difference = (recorded - decoded)[..., recorded.shape[-1] - size :].flip(-1)
    return torch.cat([audio[..., :size] + difference * fade, audio[..., size:]], dim=-1)


def with_mirrored_end(audio: Tensor, rate: int) -> Tensor:
    """Audio [N] and its last 10 ms mirrored in time and value, so that a resampler does not bend its end towards zero."""
    size = min(rate // 100, len(audio) - 1)
    return torch.cat([audio, 2 * audio[-1] - audio[len(audio) - 1 - size : -1].flip(0)]) if size > 0 else audio


class Continuation:
    """New mono audio at the model's rate, brought to the rate and channels of a recording [C, N] and joined to its end."""

    def __init__(self, recording: Tensor, rate: int, model_rate: int, keep_width: bool = False) -> None:
        """`keep_width`: what follows a stereo recording is as wide as its end."""
        self.size = min(round(JOIN_SECONDS * rate), recording.shape[-1])
        self.end = recording[:, recording.shape[-1] - self.size :]
        self.skip = 0  # samples that the resampler still makes of the recording itself
        self.resampler = None if rate == model_rate else soxr.ResampleStream(model_rate, rate, 1, dtype="float32")
        self.width = Widening(recording, rate, self.size) if keep_width and len(recording) == 2 else None
        # The recording's end as this makes it, and what is too short to be joined yet; None once the join is made.
        mono_end = self.end.mean(dim=0, keepdim=True).expand(len(self.end), -1)
        self.pending: Tensor | None = mono_end if self.width is None else mono_end[:, :0]
        if self.resampler is not None:
            # The resampler first gets the end of the recording, so that it does not ring at the beginning of the new audio.
            step = rate // math.gcd(rate, model_rate)
            self.skip = min(recording.shape[-1] // step, max(1, rate // 4 // step)) * step
            end = with_mirrored_end(recording.mean(dim=0)[recording.shape[-1] - self.skip :], rate)
            self._joined(self._resampled(soxr.resample(end.numpy(), rate, model_rate)[: self.skip * model_rate // rate]))

    def push(self, audio: Tensor) -> Tensor:
        """The next new audio [N] -> what can be written of it [C, N'], N' possibly 0."""
        return self._joined(audio if self.resampler is None else self._resampled(audio.float().numpy()))

    def finish(self) -> Tensor:
        """What was held back [C, N']."""
        rest = torch.zeros(0) if self.resampler is None else self._resampled(np.zeros(0, np.float32), last=True)
        return self._joined(rest, last=True)

    def _joined(self, audio: Tensor, last: bool = False) -> Tensor:
        channels = audio.expand(len(self.end), -1) if self.width is None else self.width.push(audio, last)
        if self.pending is None:
            return channels
        self.pending = torch.cat([self.pending, channels], dim=-1)
        if self.pending.shape[-1] < 2 * self.size and not last:
            return channels[:, :0]
        made_end, ready = self.pending[:, : self.size], self.pending[:, self.size :]
        self.pending = None
        # The new audio is already joined to the mono mix: each channel adds its difference from that mix.
        return join(ready, self.end, made_end)

    def _resampled(self, samples: np.ndarray, last: bool = False) -> Tensor:
        """Samples at the recording's rate, without those that still belong to the recording."""
        assert self.resampler is not None
        resampled = self.resampler.resample_chunk(samples, last=last)
        skipped = min(self.skip, len(resampled))
        self.skip -= skipped
        return torch.from_numpy(resampled[skipped:].copy())
