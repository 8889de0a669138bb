"""stable-audio-tools' datasets over the files that the scan accepted, read by the one reader.

What turns out to be unusable is named once, left out and counted; as in stable-audio-tools, a random other file comes in its
place, drawn from the item's own seed. stable-audio-tools itself prints the name each time, and calls itself for another file
until Python's stack is full.
"""

import contextlib
import functools
import io
import json
import logging
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_audio_tools.data.dataset import LocalDatasetConfig, PreEncodedDataset, SampleDataset
from torch import Tensor
from torch.utils.data import Dataset

from snac_plugin.data.audio import UnreadableAudio, read_converted
from snac_plugin.data.audio_folders import AudioFile
from snac_plugin.data.codes_shards import listed_tracks
from snac_plugin.data.metadata_module import GetMetadata, load_get_metadata
from snac_plugin.errors import LostData
from snac_plugin.files import printable
from snac_plugin.wording import counted

log = logging.getLogger(__name__)

TRIES = 1000  # files in a row that are silent or rejected by a metadata module


class _Another(BaseException):
    """Another item is wanted in place of the one being read. Not an Exception: stable-audio-tools catches those."""

    def __init__(self, reason: str = "", index: int | None = None) -> None:
        self.reason, self.index = reason, index  # why the file is never to be read again, or nothing; None: any other item


class _Replacing:
    """Before a dataset of stable-audio-tools: replaces what cannot be used in a loop, and says so."""

    filenames: list[str]
    custom_metadata_fns: dict[str, GetMetadata]

    def _watch(self, folders: Sequence[str]) -> None:
        self._folders, self._reading = folders, False
        self.left_out = torch.zeros(len(self.filenames), dtype=torch.bool).share_memory_()  # by all workers
        self.custom_metadata_fns = {path: functools.partial(_guarded, fn) for path, fn in self.custom_metadata_fns.items()}

    def __len__(self) -> int:
        return len(self.filenames)

    def __getitem__(self, index: int) -> Any:
        if self._reading:  # stable-audio-tools asks for another item
            raise _Another(index=index)
        for _ in range(TRIES):
            self._reading = True
            try:
                if self.left_out[index]:
                    raise _Another()
                return super().__getitem__(index)  # type: ignore[misc]
            except _Another as other:
                following = random.randrange(len(self)) if other.index is None else other.index
                reason = other.reason or self._fault(self.filenames[index])
                if reason and not self.left_out[index]:
                    self._leave_out(index, reason)
                index = following
            finally:
                self._reading = False
        found = f"{TRIES} files drawn in a row that are silent or left out"
        raise LostData(", ".join(self._folders), found, "audio to train on")

    def _fault(self, filename: str) -> str:
        """Why a file cannot be read, where stable-audio-tools does not say."""
        return ""

    def _leave_out(self, index: int, reason: str) -> None:
        for folder in self._folders:
            if not os.path.isdir(folder) or not os.listdir(folder):  # a disk that was unmounted leaves an empty folder
                found = f"nothing, where there were files (first missed: {self.filenames[index]})"
                raise LostData(folder, found, "the data of this training")
        self.left_out[index] = True
        count = int(self.left_out.sum())
        path = printable(self.filenames[index])
        log.warning("Left out %s: %s (%d of %d files left out so far)", path, reason, count, len(self))
        if count == len(self):
            raise LostData(
                ", ".join(self._folders), f"{counted(count, 'file')}, all of them left out", "at least one that can be used"
            )


def _guarded(get_metadata: GetMetadata, info: dict[str, Any], audio: Tensor) -> Mapping[str, Any]:
    try:
        return get_metadata(info, audio)
    except Exception as error:  # whatever a user's module raises
        raise _Another(f"its custom_metadata_module failed ({type(error).__name__}: {error})") from None


def _metadata_modules(config: Mapping[str, Any]) -> dict[str, GetMetadata]:
    """The custom_metadata_module of each dataset that has one, by its folder."""
    modules = {entry["path"]: load_get_metadata(entry.get("custom_metadata_module")) for entry in config["datasets"]}
    return {path: module for path, module in modules.items() if module is not None}


class AudioFiles(_Replacing, SampleDataset):
    """Random crops of audio files, made by stable-audio-tools' SampleDataset, in the order in which it lists files."""

    def __init__(
        self, config: Mapping[str, Any], files: Sequence[AudioFile], sample_rate: int, sample_size: int, audio_channels: int
    ) -> None:
        channels, crop = "mono" if audio_channels == 1 else "stereo", config.get("random_crop", True)
        with contextlib.redirect_stdout(io.StringIO()):  # it prints that it found 0 files
            super().__init__([], sample_size, sample_rate, random_crop=crop, force_channels=channels)
        self.root_paths = [entry["path"] for entry in config["datasets"]]
        self.filenames = [os.path.join(file.folder, file.path.relative_to(Path(file.folder))) for file in files]
        self.custom_metadata_fns = _metadata_modules(config)
        self._watch(self.root_paths)

    def load_file(self, filename: str) -> Tensor:
        """Audio [channels, N] of a file at the dataset's rate."""
        try:
            return read_converted(filename, self.sr)
        except UnreadableAudio as error:
            raise _Another(error.reason) from None


class _ShardedTracks(Dataset):
    """Pre-encoded tracks of shards, each read where it lies and cut as stable-audio-tools' PreEncodedDataset cuts them."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.crop, self.random_crop = config.get("latent_crop_length"), config.get("random_crop", True)
        tracks = {entry["path"]: listed_tracks(Path(entry["path"])) for entry in config["datasets"]}
        self.tracks = [(folder, packed) for folder, mine in tracks.items() for packed in mine.values()]
        self.filenames = [os.path.join(packed.shard, name) for mine in tracks.values() for name, packed in mine.items()]
        self.custom_metadata_fns = _metadata_modules(config)

    def __getitem__(self, index: int) -> Any:
        folder, packed = self.tracks[index]
        try:
            array, info = packed.read()
            mask, latents = info["padding_mask"], torch.from_numpy(array)
            last = len(mask) - 1 - mask[::-1].index(1)
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise _Another(f"cannot be read ({type(error).__name__}: {error})") from None
        if self.crop is not None:
            start = random.randint(0, last - self.crop) if self.random_crop and last > self.crop else 0
            latents, mask = latents[:, start : start + self.crop], mask[start : start + self.crop]
            info |= {"latent_crop_length": self.crop, "latent_crop_start": start}
        info |= {"latent_filename": self.filenames[index], "padding_mask": [torch.tensor(mask)]}
        if "text" in info:
            info["prompt"] = info["text"]
        if folder in self.custom_metadata_fns:
            info |= self.custom_metadata_fns[folder](info, latents)
        if info.get("__reject__"):
            raise _Another()
        info["audio"] = latents
        return latents, info


class PreEncodedShards(_Replacing, _ShardedTracks):
    """Crops of the pre-encoded tracks in local WebDataset shards: each once an epoch, from any place, so that a run can resume."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self._watch([entry["path"] for entry in config["datasets"]])


class PreEncodedFiles(_Replacing, PreEncodedDataset):
    """Crops of pre-encoded tracks, as stable-audio-tools' PreEncodedDataset lists and cuts them."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        options = ("latent_crop_length", "min_length_sec", "max_length_sec", "random_crop", "latent_extension")
        entries = config["datasets"]
        modules = [load_get_metadata(entry.get("custom_metadata_module")) for entry in entries]
        configs = [LocalDatasetConfig(entry["id"], entry["path"], fn) for entry, fn in zip(entries, modules, strict=True)]
        with contextlib.redirect_stdout(io.StringIO()):  # it prints how many files it found
            super().__init__(configs, **{key: config[key] for key in options if key in config})
        self._watch([entry["path"] for entry in entries])

    def _fault(self, filename: str) -> str:
        try:
            np.load(filename)
            json.loads(Path(filename.replace(f".{self.latent_extension}", ".json")).read_text())
        except (OSError, ValueError, EOFError) as error:
            return f"cannot be read ({type(error).__name__}: {error})"
        return ""
