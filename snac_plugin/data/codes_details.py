"""What a folder of pre-encoded tracks says of itself in its details.json, and which other folders may become one."""

import os
from pathlib import Path
from typing import Any

from snac_plugin.errors import UsageError
from snac_plugin.files import printable, read_json_object

DETAILS, FILELIST = "details.json", "filelist.txt"
CONTENT = "packed codes of a SNAC codec"


def read_details(folder: str | Path) -> dict[str, Any] | None:
    """The details.json of a folder of codes, in it or above it; None for a folder of anything else."""
    folder = Path(folder).resolve()
    return next((found for place in (folder, *folder.parents) if (found := details_in(place)) is not None), None)


def details_in(folder: Path) -> dict[str, Any] | None:
    """The details.json in a folder, if a pre-encoding wrote it."""
    details = read_json_object(folder / DETAILS)
    return details if details is not None and details.get("content") == CONTENT else None


def check_output(where: str, folder: Path) -> None:
    """UsageError, with `where` as its flag or argument, for a folder with files of others in it; hidden ones do not count."""
    for place, folders, files in os.walk(folder):
        if details_in(Path(place)) is not None:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        # A pre-encoding that ended at its very start, killed or on a full disk, leaves the list of tracks without details.
        if others := sorted(name for name in files if name != FILELIST and not name.startswith(".")):
            found = f"{printable(folder)} with {printable(os.path.relpath(os.path.join(place, others[0]), folder))} in it"
            raise UsageError(where, found, "a new folder, an empty one, or that of an earlier pre-encoding", "Name another folder.")
