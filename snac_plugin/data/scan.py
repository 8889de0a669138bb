"""Look through folders of audio before a long run: what will be read, what will not, and why.

stable-audio-tools' data loader prints a file that it cannot read and puts a random other one in its place.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from snac_plugin.data.audio import AUDIO_ENDINGS, OTHER_AUDIO_ENDINGS, UnreadableAudio, audio_seconds

__all__ = ["AudioFile", "Rejected", "Scan", "scan_audio"]


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

    Args:
        folders: searched with all their sub-folders.
        progress: show a bar, for folders with very many files.
    """
    files: list[AudioFile] = []
    rejected: list[Rejected] = []
    for folder in folders:
        for path in tqdm(_candidates(Path(folder)), desc=f"Looking through {folder}", unit="file", disable=not progress):
            ending = path.suffix.lower()
            if ending not in AUDIO_ENDINGS:
                reason = f"{ending} files are not looked for; convert it to one of {', '.join(AUDIO_ENDINGS)}"
                rejected.append(Rejected(path, reason))
                continue
            try:
                files.append(AudioFile(path, str(folder), audio_seconds(path)))
            except UnreadableAudio as error:
                rejected.append(Rejected(path, error.reason))
    return Scan(files, rejected)


def _candidates(folder: Path) -> list[Path]:
    """Every file under a folder whose name ends like audio, sorted."""
    endings = (*AUDIO_ENDINGS, *OTHER_AUDIO_ENDINGS)
    return sorted(path for path in _walk(folder) if path.name.lower().endswith(endings) and not path.name.startswith("."))


def _walk(folder: Path) -> Iterator[Path]:
    """All files under a folder; links to folders are followed, but none twice on the way down."""
    above: dict[str, set[str]] = {}
    for here, folders, names in os.walk(folder, followlinks=True):
        seen = above.pop(here, set()) | {os.path.realpath(here)}
        folders[:] = [name for name in folders if os.path.realpath(os.path.join(here, name)) not in seen]
        above.update({os.path.join(here, name): seen for name in folders})
        yield from (Path(here, name) for name in names)
