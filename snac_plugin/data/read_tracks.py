"""Reading whole tracks, a few ahead of whoever takes them.

Letters: N audio samples.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor
from torchaudio.transforms import Resample

from snac_plugin.data.scan import why_unreadable

__all__ = ["read_track", "read_tracks"]


def read_track(path: str | Path, sample_rate: int) -> Tensor:
    """A whole audio file as mono audio [1, N] in [-1, 1], made as stable-audio-tools' SampleDataset makes it.

    Raises:
        soundfile.LibsndfileError: it cannot be read.
    """
    samples, found_rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    audio = torch.from_numpy(np.ascontiguousarray(samples.T))
    if found_rate != sample_rate:
        audio = Resample(found_rate, sample_rate)(audio)
    return audio.clamp(-1, 1).mean(dim=0, keepdim=True)


def read_tracks(paths: Sequence[str | Path], sample_rate: int, workers: int) -> Iterator[Tensor | str]:
    """Of each file its audio [1, N] or the reason why there is none, in order.

    Args:
        paths: the files.
        sample_rate: of the audio returned.
        workers: threads that read ahead; 0 reads when the next track is asked for.
    """
    if workers < 1:
        yield from (_read(path, sample_rate) for path in paths)
        return
    waiting: deque[Future[Tensor | str]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for path in paths:
            waiting.append(pool.submit(_read, path, sample_rate))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        yield from (future.result() for future in waiting)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read(path: str | Path, sample_rate: int) -> Tensor | str:
    try:
        return read_track(path, sample_rate)
    except (soundfile.LibsndfileError, OSError) as error:
        return why_unreadable(error)
