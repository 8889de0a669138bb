"""What one browser made: a folder of its own with the samples, the recordings that they came from, and an index."""

import contextlib
import filecmp
import hashlib
import json
import shutil
import threading
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from snac_plugin.files import digest_of, fitting_name, read_json_object, short_digest, write_whole
from snac_plugin.output.make_samples import Sample

INDEX = "history.json"
GENERATIONS = 6
"""How far back the tree of a sample goes; the cards of the first ones there have the rest."""


@dataclass(frozen=True)
class Entry:
    """A sample in the history."""

    name: str  # of its files, without their ending
    audio: str  # of its audio file
    seed: int
    seconds: float
    mode: str
    recordings: tuple[str, ...] = ()  # names, relative to the folder, of what it was made from
    favourite: bool = False

    @property
    def parents(self) -> tuple[str, ...]:
        """Names of the samples that it came from."""
        return tuple(Path(one).stem for one in self.recordings if "/" not in one)


class History:
    """The samples of one browser, newest first; they survive whatever happens to the page."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._changing = folder, threading.Lock()
        self._in_use = Counter[Path]()  # copies of recordings, by how many requests read them

    def entries(self) -> list[Entry]:
        """Those whose audio is still there."""
        found = (read_json_object(self.folder / INDEX) or {}).get("samples", [])
        entries = [Entry(**{**one, "recordings": tuple(one["recordings"])}) for one in found]
        return [one for one in entries if (self.folder / one.audio).is_file()]

    def entry(self, name: str) -> Entry | None:
        return next((one for one in self.entries() if one.name == name), None)

    def audio(self, entry: Entry) -> Path:
        return self.folder / entry.audio

    def picture(self, entry: Entry) -> Path:
        return self.folder / f"{entry.name}.png"

    def settings(self, entry: Entry) -> dict[str, Any]:
        return read_json_object(self.folder / f"{entry.name}.json") or {}

    def add(self, samples: Sequence[Sample], mode: str, recordings: Sequence[Path]) -> None:
        """Put samples in front; `recordings`, in the folder, are what they came from."""
        sources = tuple(path.relative_to(self.folder).as_posix() for path in recordings)
        new = [Entry(s.files.wav.stem, s.files.wav.name, s.seed, s.settings["seconds"], mode, sources) for s in samples]
        names = {one.name for one in new}
        with self._changing:
            before = self.entries()
            stars = {one.name for one in before if one.favourite}  # the same settings give the same sample
            new = [replace(one, favourite=one.name in stars) for one in new]
            self._write([*reversed(new), *(one for one in before if one.name not in names)])

    def mark(self, name: str) -> None:
        """Make a sample a favourite, or no longer."""
        with self._changing:
            self._write([replace(e, favourite=not e.favourite) if e.name == name else e for e in self.entries()])

    def delete(self, name: str) -> None:
        """Take a sample, its files and copies of recordings that it alone came from away; what is not in the history stays."""
        with self._changing:
            entries = self.entries()
            for gone in (one for one in entries if one.name == name):
                self._write([one for one in entries if one is not gone])
                for file in self._files(gone):
                    file.unlink(missing_ok=True)
                self._remove_unused(self.folder / one for one in gone.recordings)

    def keep(self, path: str | Path) -> Path:
        """A recording that was put in, as a file of the folder: a sample of the history itself, or a copy under `recordings`.

        The copy stays until `let_go` is called as often.
        """
        path = Path(path)
        own = self.folder / path.name
        if own.is_file() and filecmp.cmp(path, own, shallow=False):
            return own
        kept = self.folder / "recordings" / short_digest(path) / fitting_name(path.name, 25)
        with self._changing:
            if not kept.exists():
                kept.parent.mkdir(parents=True, exist_ok=True)
                write_whole(kept, lambda part: shutil.copyfile(path, part))
            self._in_use[kept] += 1
        return kept

    def let_go(self, recordings: Iterable[Path]) -> None:
        """Take copies of recordings away again that no sample came from and no other request reads."""
        copies = [*recordings]
        with self._changing:
            self._in_use -= Counter(copies)
            self._remove_unused(copies)

    def _remove_unused(self, recordings: Iterable[Path]) -> None:
        used = {self.folder / one for entry in self.entries() for one in entry.recordings}
        for copy in {*recordings} - used - self._in_use.keys():
            if copy.parent.parent == self.folder / "recordings":
                copy.unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # the same recording by another name lies there
                    copy.parent.rmdir()

    def pack(self, path: Path) -> None:
        """Write a zip with the files of all samples, and the recordings that they came from: settings alone only name these."""
        entries = self.entries()
        recordings = (self.folder / one for entry in entries for one in entry.recordings)
        files = [*(file for entry in entries for file in self._files(entry)), *(one for one in recordings if one.is_file())]
        with zipfile.ZipFile(path, "w") as archive:
            for file in dict.fromkeys(files):
                archive.write(file, file.relative_to(self.folder).as_posix())

    def _files(self, entry: Entry) -> list[Path]:
        files = (self.audio(entry), self.picture(entry), self.folder / f"{entry.name}.json")
        return [file for file in files if file.is_file()]

    def recording(self, name: str, digest: str = "") -> Path | None:
        """The file of this browser that settings name, by path or digest, or by its name where one file alone has it."""
        known = {(self.folder / one) for entry in self.entries() for one in (*entry.recordings, entry.audio)}
        found = [path for path in known if path.name == Path(name).name and path.is_file()]
        if digest:
            return next((path for path in found if digest_of(path).startswith(digest)), None)
        same = [path for path in found if str(path) == name]
        return same[0] if same else found[0] if len(found) == 1 else None

    def _write(self, entries: Sequence[Entry]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.folder / INDEX, json.dumps({"samples": [asdict(one) for one in entries]}, indent=1))


class Histories:
    """The histories of all browsers under one folder, each found by a secret that its browser alone knows."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._known = folder, dict[str, History]()

    def of(self, secret: str) -> History:
        """Folders bear a digest of the secret: who sees a path cannot claim its history."""
        name = hashlib.sha256(secret.encode()).hexdigest()[:16]
        return self._known.setdefault(name, History(self._folder / name))


@dataclass(frozen=True)
class Origin:
    """What a sample was made from."""

    name: str
    entry: Entry | None  # None of a recording that was put in, and of a sample that was deleted
    origins: tuple["Origin", ...] = ()
    deleted: bool = False


def origins(entry: Entry, by_name: Mapping[str, Entry], generations: int = GENERATIONS) -> tuple[Origin, ...]:
    """What a sample came from, and that from: a tree, as a bridge came from two."""
    found = []
    for path in map(Path, entry.recordings if generations else ()):
        if len(path.parts) > 1:  # a copy of what was put in
            found.append(Origin(path.name, None))
        elif one := by_name.get(path.stem):
            found.append(Origin(one.name, one, origins(one, by_name, generations - 1)))
        else:
            found.append(Origin(path.stem, None, deleted=True))
    return tuple(found)


def made_from(entries: Iterable[Entry]) -> dict[str, list[str]]:
    """By the name of a sample, the names of those that were made from it."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        for parent in entry.parents:
            found.setdefault(parent, []).append(entry.name)
    return found


def descendants(name: str, made: Mapping[str, Sequence[str]]) -> int:
    """How many samples came from a sample, and from those; `made` as of `made_from`."""
    found, left = set[str](), [*made.get(name, ())]
    while left:
        if (one := left.pop()) not in found:
            found.add(one)
            left += made.get(one, ())
    return len(found - {name})


def with_origins(names: Iterable[str], by_name: Mapping[str, Entry]) -> set[str]:
    """The names of these samples and of all that they came from."""
    found, left = set[str](), [*names]
    while left:
        name = left.pop()
        if name in by_name and name not in found:
            found.add(name)
            left += by_name[name].parents
    return found
