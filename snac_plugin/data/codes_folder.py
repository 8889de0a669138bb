"""A folder of pre-encoded tracks, as stable-audio-tools' PreEncodedDataset reads it.

    FOLDER/details.json                 codec, fingerprint, counts, rejected files
    FOLDER/dataset_config.json          the dataset config to train with
    FOLDER/filelist.txt                 the tracks of the dataset, which stable-audio-tools reads in place of a search
    FOLDER/ID/RELATIVE/PATH.flac.npy    packed codes [R, T], int16, one column a frame; ID is that of the source's entry
    FOLDER/ID/RELATIVE/PATH.flac.json   metadata: padding_mask (T ints), seconds_start, seconds_total, path, relpath, ...

Letters: R rows (codes per frame, all levels), T frames.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.data import crop_times
from snac_plugin.data.scan import AudioFile, Rejected
from snac_plugin.errors import AudioError, CodecError, ConfigError
from snac_plugin.files import write_whole

__all__ = ["DATASET_CONFIG", "DETAILS", "CodesFolder", "Track", "check_fingerprint", "read_details"]

DETAILS, DATASET_CONFIG, FILELIST = "details.json", "dataset_config.json", "filelist.txt"
CONTENT = "packed codes of a SNAC codec"


@dataclass(frozen=True)
class Track:
    """An audio file and where its codes go.

    Args:
        source: the audio file.
        name: of its codes in the folder, without an ending.
    """

    source: AudioFile
    name: str


@dataclass
class CodesFolder:
    """The folder, for one codec.

    Args:
        path: the folder.
        pretransform: the codec.
        min_frames: the least length of a track, in frames.
        tracks: names of the tracks it is known to hold: (frames with sound, all frames).
    """

    path: Path
    pretransform: SnacPretransform
    min_frames: int
    tracks: dict[str, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the folder is empty or holds codes of this codec, and say so in it.

        Raises:
            CodecError: it holds codes of another codec.
            AudioError: it holds something else.
        """
        if ".npy" in str(self.path.resolve()):
            raise ConfigError("output", self.path, "a path without .npy in it", "stable-audio-tools would not find the metadata.")
        if self.path.exists() and not self.path.is_dir():
            raise AudioError(str(self.path), "a file", "a folder")
        details = _details_in(self.path)
        if details is None and self.path.exists() and (other := next(self.path.rglob("*.npy"), None)):
            found = f"{other.relative_to(self.path)} and no {DETAILS} of this program"
            raise AudioError(str(self.path), found, "an empty folder, or one with codes", "Name another folder.")
        if details is not None:
            check_fingerprint(details, self.pretransform.codec_name, self.pretransform.known_as, str(self.path))
        self.path.mkdir(parents=True, exist_ok=True)
        if details is None:
            self.write_details([])

    def holds(self, track: Track) -> bool:
        """Whether the folder has this track's codes, of the audio file as it is now, long enough."""
        codes, metadata = self._files(track)
        if not codes.is_file():
            return False
        try:
            encoding = json.loads(metadata.read_text(encoding="utf-8"))["encoding"]
            current = {**self._stamp(track), "frames": encoding["frames"], "padded_frames": encoding["padded_frames"]}
        except (OSError, ValueError, KeyError, TypeError):
            return False
        if encoding != current or encoding["padded_frames"] < self.min_frames:
            return False
        self.tracks[track.name] = encoding["frames"], encoding["padded_frames"]
        return True

    def write(self, track: Track, codes: Tensor, frames: int, metadata: dict[str, Any]) -> None:
        """Write packed codes [R, T] of which `frames` columns have sound. Whenever the program stops, a track is there or not."""
        padded = codes.shape[-1]
        to, beside = self._files(track)
        to.parent.mkdir(parents=True, exist_ok=True)
        encoding = {**self._stamp(track), "frames": frames, "padded_frames": padded}
        text = json.dumps({**metadata, "padding_mask": [1] * frames + [0] * (padded - frames), "encoding": encoding})
        to.unlink(missing_ok=True)  # old codes must never lie beside new metadata
        write_whole(beside, lambda part: part.write_text(text, encoding="utf-8"))
        write_whole(to, lambda part: _save(part, codes.cpu().numpy().astype(np.int16)))
        self.tracks[track.name] = frames, padded

    def leftovers(self) -> list[str]:
        """Names of tracks in the folder that are none of the dataset's: their audio is gone, or another dataset's."""
        names = (path.relative_to(self.path).as_posix().removesuffix(".npy") for path in self.path.rglob("*.npy"))
        return sorted(name for name in names if name not in self.tracks and not Path(name).name.startswith("."))

    def write_details(self, rejected: list[Rejected]) -> None:
        """Write details.json and the list of tracks."""
        listed = "".join(f"{name}.npy\n" for name in sorted(self.tracks))
        write_whole(self.path / FILELIST, lambda part: part.write_text(listed))  # in the encoding it will be read in
        levels = self.pretransform.levels
        frames = sum(frames for frames, _ in self.tracks.values())
        details = {
            "content": CONTENT,
            "codec": self.pretransform.codec_name,
            "fingerprint": self.pretransform.fingerprint,
            "sample_rate": levels.sample_rate,
            "rows": levels.rows,
            "codebook_size": levels.codebook_size,
            "frame_samples": levels.frame_samples,
            "frames_per_second": levels.frames_per_second,
            "min_frames": self.min_frames,
            "tracks": len(self.tracks),
            "padded_tracks": sum(frames < padded for frames, padded in self.tracks.values()),
            "frames": frames,
            "seconds": round(frames / levels.frames_per_second, 3),
            "rejected": [{"path": str(path), "reason": reason} for path, reason in rejected],
        }
        _write_json(self.path / DETAILS, details)

    def write_dataset_config(self, random_crop: bool, drop_last: bool) -> Path:
        """Write the dataset config that reads this folder; returns its path."""
        entry = {
            "id": self.path.resolve().name,
            "path": str(self.path.resolve()),
            "custom_metadata_module": str(Path(str(crop_times.__file__)).resolve()),
        }
        config = {
            "dataset_type": "pre_encoded",
            "datasets": [entry],
            "latent_crop_length": self.min_frames,
            "random_crop": random_crop,
            "drop_last": drop_last,
        }
        return _write_json(self.path / DATASET_CONFIG, config)

    def _files(self, track: Track) -> tuple[Path, Path]:
        return self.path / f"{track.name}.npy", self.path / f"{track.name}.json"

    def _stamp(self, track: Track) -> dict[str, Any]:
        """What codes depend on."""
        about = track.source.path.stat()
        return {
            "fingerprint": self.pretransform.fingerprint,
            "frames_per_second": self.pretransform.levels.frames_per_second,
            "source_bytes": about.st_size,
            "source_mtime_ns": about.st_mtime_ns,
        }


def read_details(folder: str | Path) -> dict[str, Any] | None:
    """The details.json of pre-encoded codes in a folder or above it; None if it holds something else, latents say."""
    folder = Path(folder).resolve()
    return next((found for place in (folder, *folder.parents) if (found := _details_in(place)) is not None), None)


def check_fingerprint(details: dict[str, Any], codec: str, known_as: Sequence[str], where: str) -> None:
    """Raise unless codes were made by a codec.

    Args:
        details: of the codes.
        codec: name of the codec that is to read them.
        known_as: its fingerprint, and former ones.
        where: the folder, for the message.

    Raises:
        CodecError: naming both.
    """
    if details["fingerprint"] not in known_as:
        found = f"codes of {details['codec']} (fingerprint {details['fingerprint']})"
        expected = f"codes of {codec} (fingerprint {known_as[0]})"
        raise CodecError(
            where, found, expected, "Codes mean nothing to another codec: encode the audio again, into another folder."
        )


def _details_in(folder: Path) -> dict[str, Any] | None:
    try:
        details = json.loads((folder / DETAILS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return details if isinstance(details, dict) and details.get("content") == CONTENT else None


def _write_json(path: Path, content: dict[str, Any]) -> Path:
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    return write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


def _save(path: Path, codes: np.ndarray) -> None:
    with path.open("wb") as file:  # np.save would add an ending to the name
        np.save(file, codes)
