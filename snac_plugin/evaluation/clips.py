"""Clips of the songs in a folder: windows of equal length, spread over each song; through a codec and back.

Letters: P clips, N audio samples, S songs, R rows, T frames.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.data.audio import UnreadableAudio, read_mono
from snac_plugin.data.audio_folders import Rejected
from snac_plugin.errors import UsageError
from snac_plugin.evaluation.long_songs import LEAST_SONGS, check_enough, long_songs
from snac_plugin.wording import counted

log = logging.getLogger(__name__)

CLIP_FRAMES = 64
ENOUGH_SONGS = 8
TOO_FEW = "%s: %d songs are too few for intervals and floors to say much; give %d or more"


@dataclass(frozen=True)
class AudioSet:
    """Clips of one kind of audio."""

    audio: Tensor  # [P, N] in [-1, 1]
    songs: np.ndarray  # the song of each clip [P], counted from 0
    paired: bool = True  # song i is song i of the recordings, or was made from it
    codes: Tensor | None = None  # packed codes [P, R, T] it was decoded from, those of a context before it too


@dataclass(frozen=True)
class Clips:
    """Clips of a folder, song by song."""

    audio: Tensor  # [P, N] in [-1, 1]
    songs: np.ndarray  # the song of each clip [P], counted from 0
    files: tuple[Path, ...]  # of each song [S]
    folder: Path
    rate: int
    passed_over: tuple[Rejected, ...]  # files that were not used
    places: tuple[tuple[int, int], ...] = ()  # of each clip: its first sample, and the length of its song

    @property
    def seconds(self) -> float:
        return self.audio.shape[-1] / self.rate

    def about(self) -> str:
        """How many clips of how many songs, and how long."""
        left = f"; {counted(len(self.passed_over), 'file')} passed over" if self.passed_over else ""
        return f"{counted(len(self.songs), 'clip')} of {self.seconds:.2f} s from {len(self.files)} songs in {self.folder}{left}"

    def as_dict(self) -> dict[str, object]:
        counts = {"folder": str(self.folder), "songs": len(self.files), "clips": len(self.songs), "seconds": self.seconds}
        passed_over = {path.name: reason for path, reason in self.passed_over}
        return {**counts, "files": [path.name for path in self.files], "passed_over": passed_over}


def clip_samples(frame_samples: int, rate: int, seconds: float | None) -> int:
    """Samples of a clip: whole frames, as many as fit into `seconds`, or 64. UsageError: not one fits."""
    if seconds is None:
        return CLIP_FRAMES * frame_samples
    frames = int(seconds * rate / frame_samples)
    if frames < 1:
        raise UsageError("--seconds", f"{seconds:g}", f"at least {frame_samples / rate:.3f}, one frame of the codec")
    return frames * frame_samples


def encode(codec: SnacPretransform, audio: Tensor, batch: int, progress: bool = True) -> Tensor:
    """Packed codes [P, R, T] on the CPU of clips [P, N]."""
    device = codec.space.means.device
    parts = tqdm(audio.split(batch), desc="encoding", unit="batch", disable=not progress)
    return torch.cat([codec.tokenize(part[:, None].to(device)).cpu() for part in parts])


def decode(codec: SnacPretransform, codes: Tensor, batch: int, seed: int) -> Tensor:
    """Audio [P, N] on the CPU of packed codes [P, R, T]; each clip's decoder noise has its own seed."""
    audio = []
    for start, part in zip(range(0, len(codes), batch), codes.to(codec.space.means.device).split(batch), strict=True):
        audio.append(codec.decode_tokens(part, seed=[seed + start + i for i in range(len(part))])[:, 0].float().cpu())
    return torch.cat(audio)


def read_clips(folder: str | Path, rate: int, samples: int, most: int, *, seed: int = 0, progress: bool = True) -> Clips:
    """Cut clips of `samples` at `rate`, without overlap, out of the songs of a folder, as evenly over songs as can be.

    A file in the folder or below it is a song. Of more songs than the `most` clips, some are drawn by `seed`.

    Raises:
        AudioError: there is no such folder, no audio in it that can be read, or fewer than two songs are as long as a clip.
    """
    folder = Path(folder)
    files, passed_over = long_songs(folder, rate, samples)
    if len(files) > most:
        drawn = np.random.default_rng(seed).permutation(len(files))[: max(most, LEAST_SONGS)]
        files = [files[i] for i in sorted(drawn)]
    counts = _clips_a_song([max(1, int(file.seconds * rate / samples + 1e-9)) for file in files], most)
    used: list[Path] = []
    windows: list[Tensor] = []
    places: list[tuple[int, int]] = []
    for file, count in zip(tqdm(files, desc="reading", unit="song", disable=not progress), counts, strict=True):
        try:
            of_song, where = _windows(file.path, rate, samples, count)
            windows.append(of_song)
            places += where
            used.append(file.path)
        except UnreadableAudio as error:
            passed_over.append(Rejected(file.path, error.reason))
    check_enough(folder, len(used), passed_over, samples / rate)
    if len(used) < ENOUGH_SONGS:
        log.warning(TOO_FEW, folder, len(used), ENOUGH_SONGS)
    for path, reason in passed_over:
        log.warning("passed over %s: %s", path, reason)
    songs = np.repeat(np.arange(len(windows)), [len(of_song) for of_song in windows])
    return Clips(torch.cat(windows), songs, tuple(used), folder, rate, tuple(passed_over), tuple(places))


def _clips_a_song(room: Sequence[int], most: int) -> list[int]:
    """How many clips each song gives: one each, then one more in turn while it has room and the sum is below `most`."""
    counts = [1] * len(room)
    while sum(counts) < most and (free := [i for i, count in enumerate(counts) if count < room[i]]):
        for i in free[: most - sum(counts)]:
            counts[i] += 1
    return counts


def _windows(path: Path, rate: int, samples: int, count: int) -> tuple[Tensor, list[tuple[int, int]]]:
    """Clips of a file [count, N], spread evenly over it, and their places; fewer if it is shorter than its header said."""
    track = read_mono(path, rate)[0]
    room = len(track) - samples
    if room < 0:
        raise UnreadableAudio(path, f"{len(track)} samples, shorter than a clip")
    count = max(1, min(count, len(track) // samples))
    starts = [room // 2] if count == 1 else [round(room * i / (count - 1)) for i in range(count)]
    return torch.stack([track[start : start + samples] for start in starts]), [(start, len(track)) for start in starts]
