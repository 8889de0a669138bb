"""Look through folders of audio before a long run: what will be read, what will not, and why.

stable-audio-tools' data loader prints a file that it cannot read and puts a random other one in its place.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import soundfile
from tqdm import tqdm

from snac_plugin.config.dataset import AUDIO_ENDINGS

__all__ = ["AudioFile", "Rejected", "Scan", "scan_audio"]

OTHER_ENDINGS = (
    ".3gp", ".aac", ".ac3", ".aifc", ".aiff", ".amr", ".ape", ".au", ".caf", ".m4a", ".m4b", ".mka", ".mp2", ".mp4", ".oga",
    ".ra", ".spx", ".tta", ".w64", ".webm", ".wma", ".wv",
)  # fmt: skip
"""Audio that stable-audio-tools passes over in a folder."""


class AudioFile(NamedTuple):
    """A file that can be read.

    Args:
        path: the file.
        folder: the folder it was found under, as it was given.
        seconds: its length, as its header says.
    """

    path: Path
    folder: str
    seconds: float


class Rejected(NamedTuple):
    """A file that cannot be used, and why."""

    path: Path
    reason: str


class Scan(NamedTuple):
    """What a scan found, each list in the order of the folders and sorted by path within one."""

    files: list[AudioFile]
    rejected: list[Rejected]


def scan_audio(folders: Iterable[str | Path], progress: bool = False) -> Scan:
    """Open every audio file under some folders and read its header; hidden files are passed over.

    Half a millisecond a file: a FLAC file that was cut off is found too, a sample that is wrong is not.

    Args:
        folders: searched with all their sub-folders.
        progress: show a bar, for folders with very many files.
    """
    files: list[AudioFile] = []
    rejected: list[Rejected] = []
    for folder in folders:
        for path in tqdm(_candidates(Path(folder)), desc=f"Looking through {folder}", unit="file", disable=not progress):
            found = _look_at(path)
            if isinstance(found, str):
                rejected.append(Rejected(path, found))
            else:
                files.append(AudioFile(path, str(folder), found))
    return Scan(files, rejected)


def why_unreadable(error: Exception) -> str:
    """What soundfile says about a file it cannot read, without the path."""
    return f"cannot be read as audio ({str(error).rpartition(': ')[2].strip(' .') or type(error).__name__})"


def _look_at(path: Path) -> float | str:
    """Seconds of audio in a file, or why there are none to be had."""
    ending = path.suffix.lower()
    if ending not in AUDIO_ENDINGS:
        return f"{ending} files are not looked for; convert it to one of {', '.join(AUDIO_ENDINGS)}"
    try:
        if path.stat().st_size == 0:
            return "empty: 0 bytes"
        with soundfile.SoundFile(str(path)) as file:
            if file.frames == 0:
                return "holds no samples"
            if file.format != "MP3":  # which is read as far as it goes, and in which seeking is slow
                file.seek(file.frames - 1)
            return float(file.frames / file.samplerate)
    except soundfile.LibsndfileError as error:
        return why_unreadable(error)
    except OSError as error:
        return f"cannot be opened ({error.strerror or error})"


def _candidates(folder: Path) -> list[Path]:
    """Every file under a folder whose name ends like audio, sorted."""
    endings = (*AUDIO_ENDINGS, *OTHER_ENDINGS)
    return sorted(path for path in _walk(folder) if path.name.lower().endswith(endings) and not path.name.startswith("."))


def _walk(folder: Path) -> Iterator[Path]:
    """All files under a folder; links to folders are followed, but none twice on the way down."""
    above: dict[str, set[str]] = {}
    for here, folders, names in os.walk(folder, followlinks=True):
        seen = above.pop(here, set()) | {os.path.realpath(here)}
        folders[:] = [name for name in folders if os.path.realpath(os.path.join(here, name)) not in seen]
        above.update({os.path.join(here, name): seen for name in folders})
        yield from (Path(here, name) for name in names)
