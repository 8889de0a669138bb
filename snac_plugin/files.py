"""Write files that appear whole or not at all, whenever the program is stopped; read JSON that may be missing."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from snac_plugin.errors import UsageError

LONGEST_NAME = 255
"""Bytes in a file's name, in most file systems."""


def write_whole(path: str | Path, content: str | bytes | Callable[[Path], object], sync: bool = False) -> Path:
    """Write a hidden file in the same folder, then give it its own name, replacing what had it; returns the path.

    `content` is text, written as UTF-8; bytes; or a function that fills the file at the path it is given. With `sync` it is on
    the disk before it has the name, so that a machine that stops leaves no half file either: for what takes hours to make again.
    """
    path = Path(path)
    part = path.with_name(f".{fitting_name(path.name, 25)}.{os.getpid()}.part")
    try:
        if callable(content):
            content(part)
        else:  # what is no text in the name of a file becomes an escape, which JSON reads again
            part.write_bytes(content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)
        if sync:
            _sync(part)
        part.replace(path)
        if sync:
            _sync(path.parent)
    finally:
        part.unlink(missing_ok=True)
    return path


def fitting_name(name: str, room: int) -> str:
    """A file's name, if need be cut so that `room` bytes can be added to it; then a digest keeps it apart from others.

    Such a name is printable.
    """
    text, raw = printable(name).encode(), os.fsencode(name)
    if len(text) <= LONGEST_NAME - room:
        return text.decode()
    return f"{text[: LONGEST_NAME - room - 13].decode('utf-8', 'ignore')}-{hashlib.sha256(raw).hexdigest()[:12]}"


def printable(path: str | Path) -> str:
    """A path as text: bytes that are no UTF-8 become escapes, so that it can be printed, logged and written into a text file."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk; where a system or a disk has no such thing, go on."""
    with contextlib.suppress(OSError):
        file = os.open(path, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def check_folder(where: str, path: str | Path) -> None:
    """UsageError, with `where` as its flag or argument, for a path that neither is a folder to write to nor can become one."""
    there = next((place for place in (Path(path), *Path(path).absolute().parents) if place.exists()), None)
    if there is None:
        return
    if not there.is_dir():
        raise UsageError(where, f"{there}, which is a file", "a folder, or a name that is not taken")
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        raise UsageError(where, f"{there} ({error.strerror})", "a folder that can be written to") from None


def make_folder(where: str, path: str | Path) -> Path:
    """A folder that can be written to, made if need be; raises as `check_folder`."""
    check_folder(where, path)
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(where, f"{path} ({error.strerror})", "a folder that can be written to") from None
    return Path(path)


def read_json_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None if there is no such file or it holds anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
