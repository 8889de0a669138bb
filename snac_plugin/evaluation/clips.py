"""Clips of the songs in a folder: windows of equal length, spread over each song.

Letters: P clips, N audio samples, S songs.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from snac_plugin.data.audio import UnreadableAudio, read_mono_ahead
from snac_plugin.data.audio_folders import AudioFile, Rejected, scan_audio
from snac_plugin.errors import AudioError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clips:
    """Clips of a folder, song by song.

    Args:
        audio: [P, N] in [-1, 1].
        songs: the song of each clip [P], counted from 0.
        files: the song's files [S].
        folder: where they lie.
        rate: samples a second.
        passed_over: files that were not used, with the reason.
    """

    audio: Tensor
    songs: np.ndarray
    files: tuple[Path, ...]
    folder: Path
    rate: int
    passed_over: tuple[Rejected, ...]

    @property
    def seconds(self) -> float:
        """Of one clip."""
        return self.audio.shape[-1] / self.rate

    def about(self) -> str:
        """How many, of what, how long."""
        left = f"; {len(self.passed_over)} files passed over" if self.passed_over else ""
        return f"{len(self.songs)} clips of {self.seconds:.2f} s from {len(self.files)} songs in {self.folder}{left}"

    def as_dict(self) -> dict[str, object]:
        """For the JSON file."""
        return {
            "folder": str(self.folder),
            "songs": len(self.files),
            "clips": len(self.songs),
            "seconds": self.seconds,
            "files": [path.name for path in self.files],
            "passed_over": {path.name: reason for path, reason in self.passed_over},
        }


def read_clips(
    folder: str | Path, rate: int, samples: int, most: int, *, seed: int = 0, songs: int = 2, progress: bool = True
) -> Clips:
    """Cut clips that do not overlap out of the songs of a folder, as evenly over songs as can be.

    Args:
        folder: searched with all its sub-folders; a file is a song.
        rate: of the audio returned; other rates are resampled.
        samples: length of a clip at that rate.
        most: clips in all; of more songs than that, some are chosen by chance.
        seed: of that choice.
        songs: how few songs are too few.
        progress: show a bar.

    Raises:
        AudioError: there is no such folder, no audio in it that can be read, or too few songs are as long as a clip.
    """
    files, passed_over = _long_enough(Path(folder), rate, samples, songs)
    if len(files) > most:
        chosen = np.random.default_rng(seed).permutation(len(files))[: max(most, songs)]
        files = [files[i] for i in sorted(chosen)]
    room = [max(1, int(file.seconds * rate / samples + 1e-9)) for file in files]
    counts = _shared_out(room, most)
    audio: list[Tensor] = []
    owners: list[int] = []
    used: list[Path] = []
    tracks = read_mono_ahead([file.path for file in files], rate, 0)
    for file, count, track in tqdm(
        zip(files, counts, tracks, strict=True), total=len(files), desc="reading", unit="song", disable=not progress
    ):
        reason = track.reason if isinstance(track, UnreadableAudio) else _fault(track, samples)
        if reason or isinstance(track, UnreadableAudio):
            passed_over.append(Rejected(file.path, reason))
            continue
        cut = _windows(track[0], samples, count)
        audio += cut
        owners += [len(used)] * len(cut)
        used.append(file.path)
    if len(used) < songs:
        raise _too_few(Path(folder), len(used), passed_over, samples / rate, songs)
    for path, reason in passed_over:
        log.warning("passed over %s: %s", path, reason)
    return Clips(torch.stack(audio), np.array(owners), tuple(used), Path(folder), rate, tuple(passed_over))


def _long_enough(folder: Path, rate: int, samples: int, songs: int) -> tuple[list[AudioFile], list[Rejected]]:
    if not folder.is_dir():
        raise AudioError(str(folder), "no such folder", "a folder of audio files")
    files, rejected = scan_audio([folder])
    if not files and not rejected:
        raise AudioError(str(folder), "no audio files", "a folder of audio files: wav, flac, ogg, mp3, aif or opus")
    long = [file for file in files if math.ceil(file.seconds * rate - 1e-6) >= samples]
    short = [file for file in files if file not in long]
    passed = [*rejected, *(Rejected(file.path, f"{file.seconds:.2f} s, shorter than a clip") for file in short)]
    if len(long) < songs:
        raise _too_few(folder, len(long), passed, samples / rate, songs)
    return long, passed


def _too_few(folder: Path, found: int, passed: Sequence[Rejected], seconds: float, songs: int) -> AudioError:
    first = f" ({passed[0].path.name}: {passed[0].reason})" if passed else ""
    what = f"{found} songs of {seconds:.2f} s or more, {len(passed)} other files{first}"
    return AudioError(str(folder), what, f"at least {songs} songs as long as one clip", "Give longer songs, or more of them.")


def _shared_out(room: Sequence[int], most: int) -> list[int]:
    """How many clips each song gives: one each, then one more in turn while there is room and `most` is not reached."""
    counts = [1] * len(room)
    while sum(counts) < most:
        free = [i for i, count in enumerate(counts) if count < room[i]]
        if not free:
            break
        for i in sorted(free, key=lambda i: counts[i])[: most - sum(counts)]:
            counts[i] += 1
    return counts


def _windows(track: Tensor, samples: int, count: int) -> list[Tensor]:
    """So many clips of a track [N], spread evenly over it; fewer where it turned out shorter than its header said."""
    count = max(1, min(count, track.shape[-1] // samples))
    room = track.shape[-1] - samples
    starts = [room // 2] if count == 1 else [round(room * i / (count - 1)) for i in range(count)]
    return [track[start : start + samples] for start in starts]


def _fault(track: Tensor, samples: int) -> str:
    if track.shape[-1] < samples:
        return f"{track.shape[-1]} samples, shorter than a clip"
    return "" if torch.isfinite(track).all() else "holds values that are not finite"
