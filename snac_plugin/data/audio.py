"""Read audio files: whole, as mono at one rate, several ahead of time, or the length only. Says why a file cannot be read."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import soundfile
import torch
from torch import Tensor
from torchaudio.transforms import Resample

from snac_plugin.config.dataset_config import AUDIO_ENDINGS
from snac_plugin.errors import AudioError

OTHER_AUDIO_ENDINGS = (
    ".3gp", ".aac", ".ac3", ".aifc", ".aiff", ".amr", ".ape", ".au", ".caf", ".m4a", ".m4b", ".mka", ".mp2", ".mp4", ".oga",
    ".ra", ".spx", ".tta", ".w64", ".webm", ".wma", ".wv",
)  # fmt: skip
"""Audio that stable-audio-tools passes over in a folder."""


class UnreadableAudio(AudioError):
    """A file that cannot be read as audio; `reason` fits behind the path and a colon."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path, self.reason = path, reason
        found = "a folder" if path.is_dir() else f"a file that cannot be read: {reason}" if path.exists() else "no such file"
        super().__init__(str(path), found, f"an audio file with sound in it: {', '.join(AUDIO_ENDINGS)}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.reason)


def read_audio(path: str | Path) -> tuple[int, Tensor]:
    """Sample rate and audio [channels, N], float32, of a file.

    Raises:
        UnreadableAudio: it is not there, cannot be read or holds no samples.
    """
    with _opened(path) as file:
        return file.samplerate, torch.from_numpy(file.read(dtype="float32", always_2d=True)).T.contiguous()


def read_mono(path: str | Path, sample_rate: int) -> Tensor:
    """A file as mono audio [1, N] in [-1, 1], made as stable-audio-tools' SampleDataset makes it; raises as `read_audio`."""
    rate, audio = read_audio(path)
    if rate != sample_rate:
        audio = Resample(rate, sample_rate)(audio)
    return audio.clamp(-1, 1).mean(dim=0, keepdim=True)


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


def audio_seconds(path: str | Path) -> float:
    """Length of a file, as its header says; a FLAC file that was cut off is found too. Raises as `read_audio`."""
    with _opened(path) as file:
        if file.format != "MP3":  # an MP3 file is read as far as it goes, and seeking in it is slow
            file.seek(file.frames - 1)
        return float(file.frames / file.samplerate)


@contextmanager
def _opened(path: str | Path) -> Iterator[soundfile.SoundFile]:
    """An open file that holds samples; what goes wrong while it is open becomes an UnreadableAudio."""
    path = Path(path)
    try:
        if path.stat().st_size == 0:
            raise UnreadableAudio(path, "empty: 0 bytes")
        with soundfile.SoundFile(str(path)) as file:
            if file.frames == 0:
                raise UnreadableAudio(path, "holds no samples")
            yield file
    except soundfile.LibsndfileError as error:
        what = str(error).rpartition(": ")[2].strip(" .") or type(error).__name__  # without the path
        raise UnreadableAudio(path, f"cannot be read as audio ({what})") from None
    except OSError as error:
        raise UnreadableAudio(path, f"cannot be opened ({error.strerror or error})") from None
