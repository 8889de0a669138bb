"""Write files that appear whole or not at all, whenever the program is stopped; read JSON that may be missing."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from snac_plugin.errors import UsageError


def write_whole(path: str | Path, content: str | bytes | Callable[[Path], object]) -> Path:
    """Write a hidden file in the same folder, then give it its own name, replacing what had it; returns the path.

    `content` is text, written as UTF-8; bytes; or a function that fills the file at the path it is given.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if callable(content):
            content(part)
        else:
            part.write_bytes(content.encode() if isinstance(content, str) else content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def check_folder(where: str, path: str | Path) -> None:
    """UsageError, with `where` as its flag or argument, for a path that neither is a folder nor can become one."""
    there = next((place for place in (Path(path), *Path(path).parents) if place.exists()), None)
    if there is not None and not there.is_dir():
        raise UsageError(where, f"{there}, which is a file", "a folder, or a name that is not taken")


def read_json_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None if there is no such file or it holds anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
