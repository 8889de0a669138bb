"""Which songs are long enough to be measured. Imports nothing heavy: headers are enough."""

import contextlib
import math
from pathlib import Path
from typing import Any

from snac_plugin.config.dataset_config import AUDIO_ENDINGS
from snac_plugin.data.audio_file import UnreadableAudio, audio_header
from snac_plugin.data.audio_folders import AudioFile, Rejected, audio_paths, scan_audio
from snac_plugin.errors import AudioError
from snac_plugin.levels import Levels
from snac_plugin.wording import counted

LEAST_SONGS = 2


def window_samples(network: Any, levels: Levels, chunks: int) -> int:
    """Samples of what a model is measured on: as much context as it sees, and so many new chunks."""
    return (network.context_chunks + chunks) * network.chunk_frames * levels.frame_samples


def check_long_songs(folder: str | Path, rate: int, samples: int) -> None:
    """AudioError, as `long_songs` has it, where fewer than two headers speak of so many samples; no more of them are read."""
    found = 0
    for path in audio_paths(Path(folder), []):
        with contextlib.suppress(UnreadableAudio):
            header = audio_header(path, counted=False)
            found += path.suffix.lower() in AUDIO_ENDINGS and _long_enough(header.samples / header.rate, rate, samples)
        if found >= LEAST_SONGS:
            return
    long_songs(folder, rate, samples)


def long_songs(folder: str | Path, rate: int, samples: int) -> tuple[list[AudioFile], list[Rejected]]:
    """The songs of a folder that have at least so many samples at a rate, and its other files.

    Raises:
        AudioError: there is no such folder, no audio in it, or fewer than two songs are so long.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise AudioError(str(folder), "no such folder", "a folder of audio files")
    readable, rejected = scan_audio([folder], rate)
    if not readable and not rejected:
        raise AudioError(str(folder), "no audio files", f"a folder of audio files: {', '.join(AUDIO_ENDINGS)}")
    files = [file for file in readable if _long_enough(file.seconds, rate, samples)]
    short = [file for file in readable if not _long_enough(file.seconds, rate, samples)]
    rejected += [Rejected(file.path, f"{file.seconds:.2f} s, shorter than a clip") for file in short]
    check_enough(folder, len(files), rejected, samples / rate)
    return files, rejected


def check_enough(folder: Path, songs: int, passed_over: list[Rejected], seconds: float) -> None:
    """AudioError for fewer than two songs."""
    if songs < LEAST_SONGS:
        first = f" ({passed_over[0].path.name}: {passed_over[0].reason})" if passed_over else ""
        found = f"{counted(songs, 'song')} of {seconds:.2f} s or more, {counted(len(passed_over), 'other file')}{first}"
        expected = f"at least {LEAST_SONGS} songs as long as one clip"
        raise AudioError(str(folder), found, expected, "Give longer songs, or more of them.")


def _long_enough(seconds: float, rate: int, samples: int) -> bool:
    return math.ceil(seconds * rate - 1e-6) >= samples
