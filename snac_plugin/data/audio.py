"""Audio files as tensors: whole, in part, at one rate, as mono, several ahead of time.

Whatever reads audio here reads it so: training, pre-encoding, evaluation, continuation.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchaudio.transforms import Resample

from snac_plugin.data.audio_file import NOT_FINITE, UnreadableAudio, blocks, opened


def read_audio(path: str | Path, convert_to: int | None = None) -> tuple[int, Tensor]:
    """Sample rate and audio [channels, N], float32, finite, of a file, whose rate can be converted to `convert_to`.

    Raises:
        UnreadableAudio: it is not there, cannot be read, holds no samples, more than fit into memory or such that are not finite,
            or has another rate.
    """
    with opened(path, convert_to) as file:
        try:
            audio = torch.from_numpy(file.read(dtype="float32", always_2d=True)).T.contiguous()
        except MemoryError:
            raise UnreadableAudio(Path(path), f"its header says {file.frames:,} samples, which memory does not hold") from None
        if not audio.shape[-1]:
            raise UnreadableAudio(Path(path), "holds no samples")
        if not audio.isfinite().all():
            raise UnreadableAudio(Path(path), NOT_FINITE)
        return file.samplerate, audio


def read_part(path: str | Path, start: int, stop: int) -> Tensor:
    """Samples [start, stop) of a file as audio [channels, stop - start], bit for bit those of `read_audio`; raises as `blocks`."""
    return torch.from_numpy(np.concatenate([*blocks(path, start, stop)]).T.copy())


def read_converted(path: str | Path, sample_rate: int) -> Tensor:
    """A file as audio [channels, N] at a rate, converted as stable-audio-tools' SampleDataset does; raises as `read_audio`."""
    rate, audio = read_audio(path, sample_rate)
    return audio if rate == sample_rate else Resample(rate, sample_rate)(audio)


def read_mono(path: str | Path, sample_rate: int) -> Tensor:
    """A file as mono audio [1, N] in [-1, 1], made as stable-audio-tools' SampleDataset makes it; raises as `read_audio`."""
    return read_converted(path, sample_rate).clamp(-1, 1).mean(dim=0, keepdim=True)


def read_mono_ahead(paths: Sequence[str | Path], sample_rate: int, workers: int) -> Iterator[Tensor | UnreadableAudio]:
    """Of each file, in order, its mono audio [1, N] or why there is none; `workers` threads read ahead, 0 read on demand."""

    def read(path: str | Path) -> Tensor | UnreadableAudio:
        try:
            return read_mono(path, sample_rate)
        except UnreadableAudio as error:
            return error

    if workers < 1:
        yield from map(read, paths)
        return
    waiting: deque[Future[Tensor | UnreadableAudio]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for path in paths:
            waiting.append(pool.submit(read, path))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        yield from (future.result() for future in waiting)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
