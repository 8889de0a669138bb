"""What a folder of pre-encoded tracks says about itself, details.json, and whether another folder may become one."""

import os
from pathlib import Path
from typing import Any

from snac_plugin.errors import UsageError
from snac_plugin.files import printable, read_json_object

DETAILS = "details.json"
CONTENT = "packed codes of a SNAC codec"


def read_details(folder: str | Path) -> dict[str, Any] | None:
    """The details.json of a folder of codes, in it or above it; None for a folder of anything else."""
    folder = Path(folder).resolve()
    return next((found for place in (folder, *folder.parents) if (found := details_in(place)) is not None), None)


def details_in(folder: Path) -> dict[str, Any] | None:
    details = read_json_object(folder / DETAILS)
    return details if details is not None and details.get("content") == CONTENT else None


def check_output(where: str, folder: Path) -> None:
    """UsageError, with `where` as its flag or argument, for a folder with files that no pre-encoding wrote; hidden ones may be."""
    for place, folders, files in os.walk(folder):
        if details_in(Path(place)) is not None:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if others := sorted(name for name in files if not name.startswith(".")):
            found = f"{printable(folder)} with {printable(os.path.relpath(os.path.join(place, others[0]), folder))} in it"
            raise UsageError(where, found, "a new folder, an empty one, or that of an earlier pre-encoding", "Name another folder.")
