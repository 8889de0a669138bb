"""Look through folders of audio before a long run: which files can be read, which cannot, and why.

What is accepted here is what training, pre-encoding and evaluation read, and nothing else. Only headers are read: NaN samples,
say, are found when a file is read.
"""

import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from snac_plugin.config.dataset_config import AUDIO_ENDINGS
from snac_plugin.data.audio_file import OTHER_AUDIO_ENDINGS, UnreadableAudio, read_header
from snac_plugin.files import printable

log = logging.getLogger(__name__)


class AudioFile(NamedTuple):
    path: Path
    folder: str  # the folder that was searched, as its caller wrote it
    seconds: float  # length, as the file's header says
    note: str = ""  # how a file was cut off that can be read all the same


class Rejected(NamedTuple):
    path: Path
    reason: str


class Scan(NamedTuple):
    files: list[AudioFile]
    rejected: list[Rejected]  # that cannot be used


def scan_audio(folders: Iterable[str | Path], sample_rate: int | None = None, *, sort: bool = True) -> Scan:
    """Read the header of every audio file in some folders and below, but hidden ones; a file that was cut off is logged.

    Args:
        folders: searched one after the other.
        sample_rate: what the audio is converted to; a file of a rate that cannot be is rejected.
        sort: each folder by path; or as the file system lists it, which is stable-audio-tools' order.
    """
    scan = Scan([], [])
    for folder in folders:
        paths = audio_paths(Path(folder), scan.rejected)
        for path in sorted(paths) if sort else paths:
            ending = path.suffix.lower()
            if ending not in AUDIO_ENDINGS:
                reason = f"{ending} files are not looked for; convert it to one of {', '.join(AUDIO_ENDINGS)}"
                scan.rejected.append(Rejected(path, reason))
                continue
            try:
                seconds, note = read_header(path, sample_rate)
                scan.files.append(AudioFile(path, str(folder), seconds, note))
            except UnreadableAudio as error:
                scan.rejected.append(Rejected(path, error.reason))
                continue
            if note:
                log.warning("%s: %s", printable(path), note)
    return scan


def audio_paths(folder: Path, rejected: list[Rejected]) -> Iterator[Path]:
    """Files below a folder whose names end like audio; links are followed, but none to a folder on the way down to it."""
    endings = (*AUDIO_ENDINGS, *OTHER_AUDIO_ENDINGS)
    above: dict[str, set[str]] = {}

    def closed(error: OSError) -> None:
        rejected.append(Rejected(Path(error.filename), f"a folder that cannot be opened ({error.strerror})"))

    for here, folders, names in os.walk(folder, onerror=closed, followlinks=True):
        seen = above.pop(here, set()) | {os.path.realpath(here)}
        folders[:] = [name for name in folders if os.path.realpath(os.path.join(here, name)) not in seen]
        above.update({os.path.join(here, name): seen for name in folders})
        yield from (Path(here, name) for name in names if name.lower().endswith(endings) and not name.startswith("."))
