"""Write files that appear whole or not at all, whenever the program is stopped, or say why; read JSON that may be missing."""

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from snac_plugin.errors import UnwritableFile, UsageError

LONGEST_NAME = 255
"""Bytes in a file's name, in most file systems."""
NOTED_DIGITS = 12
"""Of a digest, in settings: enough to tell recordings apart."""


LOST_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO, errno.ENODEV, errno.ENXIO, errno.ESTALE}
"""Errors of the system that are about the disk, whatever the program was doing."""


def unwritable(error: BaseException | None, path: str | Path | None = None) -> UnwritableFile | None:
    """What to say of an error that a disk raised: as itself, within another error, or as a number in its text; else None.

    With the `path` that was being written, any error of the system counts.
    """
    while error is not None:
        in_text = re.search(r"\(os error (\d+)\)", str(error))  # as safetensors has it
        number = error.errno if isinstance(error, OSError) else int(in_text[1]) if in_text else None
        if number is not None and (path is not None or number in LOST_DISK):
            where = path or getattr(error, "filename", None) or "a file"
            advice = "Make room, or name a folder on another disk; then run the same command again."
            return UnwritableFile(
                printable(where), f"no way to write it ({os.strerror(number)})", "a disk with room for it", advice
            )
        error = error.__cause__ or error.__context__
    return None


@contextlib.contextmanager
def writing(path: str | Path, *others: type[Exception]) -> Iterator[None]:
    """Turn what a disk raises while a file is written into an UnwritableFile; `others` are errors that say no more than that."""
    try:
        yield
    except Exception as error:
        plain = OSError(errno.EIO, "") if isinstance(error, others) else error
        if told := unwritable(plain, path):
            raise told from error
        raise


def write_whole(path: str | Path, content: str | bytes | Callable[[Path], object], sync: bool = False) -> Path:
    """Write a hidden file in the same folder, then give it its own name, replacing what had it; returns the path.

    `content` is text, written as UTF-8; bytes; or a function that fills the file at the path it is given. With `sync` it is on
    the disk before it has the name, so that a machine that stops leaves no half file either: for what takes hours to make again.
    UnwritableFile: the disk is full, say.
    """
    path = Path(path)
    part = part_of(path)
    try:
        with writing(path):
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
        with contextlib.suppress(OSError):
            part.unlink()
    return path


def part_of(path: Path) -> Path:
    """A hidden name beside a path, for its content until it is whole; another at each call, so that no two writers share a file."""
    return path.with_name(f".{fitting_name(path.name, 25)}.{os.getpid()}.{secrets.token_hex(4)}.part")


def fitting_name(name: str, room: int) -> str:
    """A file's name, if need be cut so that `room` bytes can be added to it; then a digest keeps it apart from others.

    Such a name is printable.
    """
    text, raw = printable(name).encode(), os.fsencode(name)
    if len(text) <= LONGEST_NAME - room:
        return text.decode()
    return f"{text[: LONGEST_NAME - room - 13].decode('utf-8', 'ignore')}-{hashlib.sha256(raw).hexdigest()[:12]}"


def digest_of(path: str | Path) -> str:
    """SHA-256 of what a file holds."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def short_digest(path: str | Path) -> str:
    """The first digits of `digest_of`, as settings note it."""
    return digest_of(path)[:NOTED_DIGITS]


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
    try:
        there = next((place for place in (Path(path), *Path(path).absolute().parents) if place.exists()), None)
    except OSError as error:  # a name that is too long, say
        raise UsageError(where, f"{path} ({error.strerror})", "a folder, or a name that a folder can have") from None
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


def damage(path: Path) -> str:
    """What is wrong with a file of weights or with any other archive, or nothing: whether its parts have their checksums."""
    try:
        if path.stat().st_size == 0:
            return "an empty file"
        with path.open("rb") as file:
            is_archive = file.read(4) == b"PK\x03\x04"
        if not is_archive:
            return ""
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # zipfile too
        return f"a file that was cut off or damaged ({error})"
    return f"a damaged file: {damaged} does not have its checksum" if damaged else ""


def read_json_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None if there is no such file or it holds anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
