"""What a checkpoint tells without torch, before anything heavy is imported: whether it is one, and the model config in it."""

import io
import json
import pickle
import zipfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from snac_plugin.checkpoints.places import ADVICE, EXPECTED, locate
from snac_plugin.config import load_json
from snac_plugin.config.migration import FIRST_VERSION, with_former_defaults
from snac_plugin.errors import CheckpointError

CONFIG, CONFIG_VERSION_NOTE = "model_config", "snac_config_version"
LONGEST_HEADER = 100_000_000  # bytes, as safetensors has it


def check_at_a_glance(path: str | Path) -> None:
    """CheckpointError for a checkpoint that is not there, or whose beginning or directory tells that it is none or was cut off.

    What is damaged further inside its reader tells.
    """
    file, _ = locate(path)
    if fault := _fault(file):
        raise CheckpointError(str(file), fault, EXPECTED, ADVICE)


def differences(one: Any, other: Any, path: str, without: Collection[str] = ()) -> Iterator[tuple[str, Any, Any]]:
    """Path and both values of what differs between two JSON values: None for a key that one lacks; keys `without` may differ."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted({*one, *other}):
            if key not in without:
                yield from differences(one.get(key), other.get(key), f"{path}.{key}", without)
    elif one != other:
        yield path, one, other


def _fault(file: Path) -> str:
    try:
        if not (size := file.stat().st_size):
            return "an empty file"
        with file.open("rb") as opened:
            start = opened.read(8)
        if file.suffix == ".safetensors":
            damaged = not 0 < int.from_bytes(start, "little") < min(size, LONGEST_HEADER) or _notes(file) is None
            return "a file that cannot be read (no header of safetensors)" if damaged else ""
        if not start.startswith(b"PK"):  # an archive; before torch 1.6 it was a pickle
            return "" if start.startswith(b"\x80") else "a file that cannot be read (it does not begin as files of torch do)"
        with zipfile.ZipFile(file) as archive:
            holds = any(name.endswith("data.pkl") for name in archive.namelist())
        return "" if holds else "an archive of something else"
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        return f"a file that was cut off or damaged ({error})"


def config_at_once(path: str | Path, given: str | Path | None = None) -> dict[str, Any] | None:
    """The config that `read_checkpoint(path).config_for(given)` has, if the file tells it without torch, else None.

    A file that cannot be read is None too: its reader says what is wrong with it.
    """
    file, beside = locate(path)
    safe = file.suffix == ".safetensors"
    notes = _notes(file) if safe else _notes_of_torch(file)
    if notes is None:
        return None
    try:
        version = int(notes.get(CONFIG_VERSION_NOTE, FIRST_VERSION))
        inside = notes.get(CONFIG)
        inside = json.loads(inside if safe else json.dumps(inside)) if inside is not None else None
    except (TypeError, ValueError, RecursionError):
        return None
    if given is not None or inside is None:
        place = given or beside
        return None if place is None else with_former_defaults(load_json(place), version)
    return with_former_defaults(inside, version) if isinstance(inside, dict) else None


def _notes(file: Path) -> Mapping[str, str] | None:
    """The metadata of a .safetensors file: the size of its header in 8 bytes, then the header, JSON."""
    try:
        with file.open("rb") as opened:
            size = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(size)) if size <= LONGEST_HEADER else None
    except (OSError, ValueError):
        return None
    found = header.get("__metadata__", {}) if isinstance(header, dict) else None
    return found if isinstance(found, dict) else None


class _Anything:
    """Stands for what a file of torch builds by calling code, such as tensors."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __setstate__(self, _: Any) -> None: ...

    def __setitem__(self, *_: Any) -> None: ...


class _Notes(pickle.Unpickler):
    """Reads the plain values of a file of torch. It imports nothing and runs no code of the file; weights stay on disk."""

    def find_class(self, *_: str) -> Any:
        return _Anything

    def persistent_load(self, _: Any) -> None:
        return None


def _notes_of_torch(file: Path) -> Mapping[str, Any] | None:
    """All of a torch archive's content but its weights: they lie beside its pickle."""
    try:
        with zipfile.ZipFile(file) as archive:
            entry = next(one for one in archive.infolist() if one.filename.endswith("data.pkl"))
            found = _Notes(io.BytesIO(archive.read(entry))).load() if entry.file_size <= LONGEST_HEADER else None
    except Exception:  # damaged bytes trigger whatever they happen to
        return None
    return found if isinstance(found, dict) else None
