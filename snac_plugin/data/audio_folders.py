"""Look through folders of audio before a long run: which files can be read, which cannot, and why.

stable-audio-tools' data loader prints the name of a file that it cannot read and puts a random other one in its place.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from snac_plugin.config.dataset_config import AUDIO_ENDINGS
from snac_plugin.data.audio import OTHER_AUDIO_ENDINGS, UnreadableAudio, audio_seconds


class AudioFile(NamedTuple):
    path: Path
    folder: str  # the folder that was searched, as its caller wrote it
    seconds: float  # length, as the file's header says


class Rejected(NamedTuple):
    path: Path
    reason: str


class Scan(NamedTuple):
    files: list[AudioFile]
    rejected: list[Rejected]  # that cannot be used


def scan_audio(folders: Iterable[str | Path]) -> Scan:
    """Read the header of every audio file in some folders and below, but hidden ones: in the order of the folders, then sorted."""
    scan = Scan([], [])
    for folder in folders:
        for path in _audio_paths(Path(folder)):
            ending = path.suffix.lower()
            if ending not in AUDIO_ENDINGS:
                reason = f"{ending} files are not looked for; convert it to one of {', '.join(AUDIO_ENDINGS)}"
                scan.rejected.append(Rejected(path, reason))
                continue
            try:
                scan.files.append(AudioFile(path, str(folder), audio_seconds(path)))
            except UnreadableAudio as error:
                scan.rejected.append(Rejected(path, error.reason))
    return scan


def _audio_paths(folder: Path) -> list[Path]:
    """Files below a folder whose names end like audio, sorted; links are followed, but none to a folder on the way down to it."""
    endings, paths = (*AUDIO_ENDINGS, *OTHER_AUDIO_ENDINGS), []
    above: dict[str, set[str]] = {}
    for here, folders, names in os.walk(folder, followlinks=True):
        seen = above.pop(here, set()) | {os.path.realpath(here)}
        folders[:] = [name for name in folders if os.path.realpath(os.path.join(here, name)) not in seen]
        above.update({os.path.join(here, name): seen for name in folders})
        paths += [Path(here, name) for name in names if name.lower().endswith(endings) and not name.startswith(".")]
    return sorted(paths)
