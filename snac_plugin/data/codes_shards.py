"""Pre-encoded tracks in shards: tar files as WebDataset has them.

FOLDER/shard-000000.tar             NAME.npy and NAME.json of each track, as in a folder of tracks; names hold one dot
FOLDER/details.json, dataset_config.json, filelist.txt    as in a folder of tracks
FOLDER/.unpacked/                   tracks that wait until they fill a shard
"""

import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from snac_plugin.data.codes_details import FILELIST
from snac_plugin.data.codes_folder import CodesFolder
from snac_plugin.errors import AudioError
from snac_plugin.files import write_whole
from snac_plugin.wording import counted

UNPACKED = ".unpacked"


class Packed(NamedTuple):
    """Where a track lies in a shard: first byte and length of its two files."""

    shard: Path
    codes: tuple[int, int]
    metadata: tuple[int, int]

    def read(self) -> tuple[np.ndarray, dict[str, Any]]:
        """Codes or latents [C, T], and metadata. OSError or ValueError: the shard is damaged or gone."""
        with self.shard.open("rb") as file:
            return np.lib.format.read_array(io.BytesIO(_part(file, *self.codes))), json.loads(_part(file, *self.metadata))


def _part(file: Any, start: int, length: int) -> bytes:
    file.seek(start)
    return bytes(file.read(length))


def tracks_in(shards: Iterable[Path]) -> dict[str, Packed]:
    """The tracks of some shards by name, in their order. AudioError: a shard is no tar file, or cut off."""
    found: dict[str, Packed] = {}
    for shard in shards:
        parts: dict[str, dict[str, tuple[int, int]]] = {}
        try:
            with tarfile.open(shard, "r:") as archive:
                for member in archive:
                    name, _, ending = member.name.rpartition(".")
                    parts.setdefault(name, {})[ending] = (member.offset_data, member.size)
                assert archive.fileobj is not None
                if _part(archive.fileobj, archive.offset, tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:  # or it just stops
                    raise tarfile.ReadError(f"no header at byte {archive.offset:,}, and not its end")
        except (tarfile.TarError, OSError) as error:
            raise AudioError(str(shard), f"a shard that cannot be read ({error})", "a whole tar file", "Copy it again.") from None
        found |= {name: Packed(shard, of["npy"], of["json"]) for name, of in parts.items() if {"npy", "json"} <= of.keys()}
    return found


def listed_tracks(folder: Path) -> dict[str, Packed]:
    """The tracks of all shards in a folder and below; of those that pre_encode.py wrote, the tracks of its last dataset."""
    found = tracks_in(sorted(folder.rglob("*.tar")))
    if not (listed := folder / FILELIST).is_file():
        return found
    names = [line.removesuffix(".npy") for line in listed.read_text().splitlines()]
    if missing := [name for name in names if name not in found]:
        advice = "If pre-encoding was stopped, run it again; or copy all shards."
        raise AudioError(str(listed), f"{counted(len(missing), 'track')} in no shard (first: {missing[0]})", "all of them", advice)
    return {name: found[name] for name in names}


@dataclass
class CodesShards(CodesFolder):
    """A folder of codes in shards of at least `shard_bytes`, but for the last.

    Whenever the program is killed, no track is there twice, and none is lost but those that were to be encoded anew: the next run
    encodes them. Where none was there before, it ends with the same shards.
    """

    shard_bytes: int = 0
    packed: dict[str, Packed] = field(default_factory=dict)
    unpacked: dict[str, int] = field(default_factory=dict)  # bytes of tracks that wait

    shards = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.packed = tracks_in(sorted(self.path.glob("*.tar")))
        for path in sorted((self.path / UNPACKED).rglob("*.npy")):
            name = path.relative_to(self.path / UNPACKED).as_posix().removesuffix(".npy")
            self.unpacked[name] = self._bytes(name)
        self._remove([name for name in self.unpacked if name in self.packed])  # it was stopped before it could

    def holds(self, name: str, audio: Path) -> bool:
        """As in a folder of tracks."""
        if name not in self.packed:
            return super().holds(name, audio)
        try:
            encoding = self.packed[name].read()[1].get("encoding")
        except (OSError, ValueError):  # damaged: it is encoded again
            return False
        return self._count(name, encoding, audio)

    def begin(self, names: Iterable[str]) -> None:
        """Take tracks out that are encoded anew: a shard with such ones is taken apart once, and its others are packed again.

        Their old codes are gone from here on. A run that is killed has lost those it did not come to; the next one encodes them.
        """
        anew, inside = set(names), dict[Path, list[str]]()
        self._remove([name for name in self.unpacked if name in anew])
        for name, packed in self.packed.items():
            inside.setdefault(packed.shard, []).append(name)
        self._pack_full()  # it was stopped before it could
        for shard, there in inside.items():
            if not anew.isdisjoint(there):
                self._unpack(shard, there, anew)
                self._pack_full()

    def write(self, name: str, audio: Path, codes: Tensor, frames: int, metadata: dict[str, Any]) -> None:
        """As in a folder of tracks; what fills a shard is packed. Of a track in a shard `begin` must have been told."""
        super().write(name, audio, codes, frames, metadata)
        self.unpacked[name] = self._bytes(name)
        self._pack_full()

    def finish(self) -> None:
        """Pack what waits into a last shard."""
        if self.unpacked:
            self._pack(list(self.unpacked))

    def _pack_full(self) -> None:
        """Pack what waits into shards, each as soon as it is full; what does not fill one waits on."""
        names, size = list[str](), 0
        for name, length in list(self.unpacked.items()):
            names, size = [*names, name], size + length
            if size >= self.shard_bytes:
                self._pack(names)
                names, size = [], 0

    def _pack(self, names: list[str]) -> None:
        numbers = [int(path.stem.rpartition("-")[2]) for path in self.path.glob("shard-*.tar")]
        shard = self.path / f"shard-{max(numbers, default=-1) + 1:06d}.tar"
        write_whole(shard, lambda part: _write_tar(part, self._contents(sorted(names))), sync=True)
        self.packed |= tracks_in([shard])
        self._remove(names)

    def leftovers(self) -> list[str]:
        """As in a folder of tracks."""
        return sorted(self.packed.keys() - self.tracks.keys())

    def listed(self) -> list[str]:
        """Tracks that can be trained on."""
        return [name for name in super().listed() if name in self.packed]

    def write_dataset_config(self, random_crop: bool, drop_last: bool) -> Path:
        """As in a folder of tracks, for stable-audio-tools' loader of shards."""
        kind = {"dataset_type": "wds", "pre_encoded": True}
        return self._write_config({**kind, "random_crop": random_crop})

    def _files(self, name: str) -> tuple[Path, Path]:
        return self.path / UNPACKED / f"{name}.npy", self.path / UNPACKED / f"{name}.json"

    def _bytes(self, name: str) -> int:
        return sum(path.stat().st_size for path in self._files(name))

    def _contents(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        for name in names:
            for path in self._files(name):
                yield path.relative_to(self.path / UNPACKED).as_posix(), path.read_bytes()

    def _remove(self, names: Iterable[str]) -> None:
        for name in list(names):
            del self.unpacked[name]
            for path in self._files(name):
                path.unlink(missing_ok=True)

    def _unpack(self, shard: Path, inside: list[str], but: set[str]) -> None:
        """Take a shard with these tracks apart, without some of them."""
        kept = [name for name in inside if name not in but]
        with shard.open("rb") as file:
            for name in kept:
                codes, metadata = self._files(name)
                codes.parent.mkdir(parents=True, exist_ok=True)
                write_whole(metadata, _part(file, *self.packed[name].metadata))  # first: codes alone would be half a track
                write_whole(codes, _part(file, *self.packed[name].codes))
        shard.unlink()
        for name in inside:
            del self.packed[name]
        self.unpacked |= {name: self._bytes(name) for name in kept}


def _write_tar(path: Path, contents: Iterable[tuple[str, bytes]]) -> None:
    """The same bytes for the same contents."""
    with tarfile.open(path, "w") as archive:
        for name, content in contents:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
