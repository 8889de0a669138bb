"""The list of files that `scan` writes, and what of a dataset is read: the files of its list, or all that can be read."""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snac_plugin.data.audio_file import UnreadableAudio
from snac_plugin.data.audio_folders import AudioFile, Rejected, Scan, scan_audio
from snac_plugin.data.file_measures import Measures, measure
from snac_plugin.errors import ConfigError
from snac_plugin.files import printable, read_json_object, write_whole

log = logging.getLogger(__name__)

CONTENT = "audio files that were scanned"
AGAIN = "Scan the dataset again: python -m snac_plugin scan."


def write_list(path: Path, files: Sequence[tuple[AudioFile, Measures]], rejected: Sequence[Rejected]) -> Path:
    """Write the list of accepted files, with their measures, and of rejected ones, with the reasons."""
    accepted = [{"path": os.path.abspath(file.path), "note": file.note, **found._asdict()} for file, found in files]
    left_out = [{"path": os.path.abspath(each.path), "reason": each.reason} for each in rejected]
    return write_whole(path, json.dumps({"content": CONTENT, "files": accepted, "rejected": left_out}, indent=1) + "\n")


def scan_dataset(config: Mapping[str, Any], sample_rate: int | None = None, *, sort: bool = True) -> list[Scan]:
    """Of each folder of an audio_dir dataset config the files that can be read; with a list of `files`, those of them alone.

    Raises:
        ConfigError: the list is none, or its files are gone, have changed or lie elsewhere.
    """
    scans = [scan_audio([entry["path"]], sample_rate, sort=sort) for entry in config["datasets"]]
    if config.get("files") is None:
        return scans
    listed = _read_list(Path(config["files"]))
    found = {os.path.abspath(each.path) for scan in scans for kind in scan for each in kind}
    if gone := [path for path in listed if path not in found]:
        what = f"{len(gone)} of {len(listed)} files that are not in the folders of the dataset (first: {printable(gone[0])})"
        raise ConfigError(config["files"], what, "files that are there", AGAIN)
    if changed := [path for path, about in listed.items() if _has_changed(path, about)]:
        what = f"{len(changed)} of {len(listed)} files that have changed since (first: {printable(changed[0])})"
        raise ConfigError(config["files"], what, "files as they were when they were scanned", AGAIN)
    if len(found) > len(listed):
        log.info("%d audio files are not in the list %s and not read", len(found) - len(listed), config["files"])
    return [
        Scan([f for f in files if os.path.abspath(f.path) in listed], [r for r in rejected if os.path.abspath(r.path) in listed])
        for files, rejected in scans
    ]


def _read_list(path: Path) -> dict[str, Mapping[str, Any]]:
    """What is noted of each file, by its absolute path."""
    content = read_json_object(path)
    if content is None or content.get("content") != CONTENT or not isinstance(content.get("files"), list):
        raise ConfigError(f"files: {path}", "something else", "a list that the command scan wrote", AGAIN)
    try:
        return {entry["path"]: {key: entry[key] for key in ("bytes", "mtime_ns", "digest")} for entry in content["files"]}
    except (TypeError, KeyError):
        raise ConfigError(f"files: {path}", "a list that was changed", "one as the command scan wrote it", AGAIN) from None


def _has_changed(path: str, about: Mapping[str, Any]) -> bool:
    """By size and time; where the time alone is another, as that of a copy, by the samples."""
    now = os.stat(path)
    if now.st_size != about["bytes"] or now.st_mtime_ns == about["mtime_ns"]:
        return bool(now.st_size != about["bytes"])
    try:
        return measure(Path(path)).digest != about["digest"]
    except UnreadableAudio:
        return True
