"""A folder of pre-encoded tracks, as stable-audio-tools' PreEncodedDataset reads it.

FOLDER/details.json                 codec, fingerprint, counts, rejected files
FOLDER/dataset_config.json          the dataset config to train with
FOLDER/filelist.txt                 names of the tracks, which stable-audio-tools reads instead of searching the folder
FOLDER/ID/RELATIVE/PATH.flac.npy    packed codes [R, T], int16, one column a frame; ID names the entry of the dataset config
FOLDER/ID/RELATIVE/PATH.flac.json   metadata: padding_mask (T ints), seconds_start, seconds_total, path, relpath, ...
"""

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.config.shipped_codecs import how_to_get
from snac_plugin.data import crop_times
from snac_plugin.data.audio_folders import Rejected
from snac_plugin.data.codes_details import CONTENT, DETAILS, FILELIST, check_output, details_in
from snac_plugin.errors import CodecError, UsageError
from snac_plugin.files import make_folder, read_json_object, write_whole

DATASET_CONFIG = "dataset_config.json"
GEOMETRY = ("sample_rate", "rows", "codebook_size", "frame_samples", "frames_per_second")


@dataclass
class CodesFolder:
    """The codes of one codec, one file a track. A track has the name of its files in the folder, without an ending.

    Raises:
        CodecError: the folder holds codes of another codec.
        UsageError: it holds something else, is a file, or its path contains ".npy".
    """

    path: Path
    pretransform: SnacPretransform
    min_frames: int  # least length of a track
    tracks: dict[str, tuple[int, int]] = field(default_factory=dict)  # by name: (frames with sound, all frames)

    shards = False  # whether tracks lie in tar files

    def __post_init__(self) -> None:
        if ".npy" in str(self.path.resolve()):
            raise UsageError("output", self.path, "a path without .npy in it", "stable-audio-tools would not find the metadata.")
        details = details_in(self.path)
        if details is not None:
            check_fingerprint(details, self.pretransform.codec_name, self.pretransform.known_as, str(self.path))
            if ("shards" in details) != self.shards:
                kinds = ("codes, a file a track", "codes in shards")
                raise UsageError(
                    "output", f"{self.path} with {kinds[not self.shards]}", f"{kinds[self.shards]}, or an empty folder"
                )
        if details is None and self.path.exists() and (other := next(self.path.rglob("*.tar" if self.shards else "*.npy"), None)):
            found = f"{other.relative_to(self.path)} and no {DETAILS} of this program"
            raise UsageError(str(self.path), found, "an empty folder, or one with codes", "Name another folder.")
        check_output("output", self.path)
        make_folder("output", self.path)
        if details is None:
            self.write_details([])

    def holds(self, name: str, audio: Path) -> bool:
        """Whether the codes of a track are there, long enough, and made of the audio file as it is now; counts them if so."""
        codes, metadata = self._files(name)
        encoding = (read_json_object(metadata) or {}).get("encoding")
        return codes.is_file() and self._count(name, encoding, audio)

    def begin(self, names: Iterable[str]) -> None:
        """Called once, before tracks of these names are written."""

    def write(self, name: str, audio: Path, codes: Tensor, frames: int, metadata: dict[str, Any]) -> None:
        """Write packed codes [R, T], of which so many `frames` are not silence, and metadata beside them.

        Whenever the program stops, the track is there or not.
        """
        padded, array = codes.shape[-1], io.BytesIO()
        np.save(array, codes.cpu().numpy().astype(np.int16))
        to, beside = self._files(name)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.unlink(missing_ok=True)  # old codes must never lie beside new metadata
        mask = [1] * frames + [0] * (padded - frames)
        encoding = {**self._depends_on(audio), "frames": frames, "padded_frames": padded}
        write_whole(beside, json.dumps({**metadata, "padding_mask": mask, "encoding": encoding}))
        write_whole(to, array.getvalue())
        self.tracks[name] = frames, padded

    def leftovers(self) -> list[str]:
        """Names of tracks in the folder that were not counted: their audio is gone, or belongs to another dataset."""
        names = (path.relative_to(self.path).as_posix().removesuffix(".npy") for path in self.path.rglob("*.npy"))
        return sorted(name for name in names if name not in self.tracks and not Path(name).name.startswith("."))

    def write_details(self, rejected: list[Rejected]) -> None:
        """Write details.json and the list of tracks."""
        listed = "".join(f"{name}.npy\n" for name in self.listed())
        write_whole(self.path / FILELIST, lambda part: part.write_text(listed))  # in the encoding in which it will be read
        levels = self.pretransform.levels
        frames = sum(frames for frames, _ in self.tracks.values())
        details = {
            "content": CONTENT,
            "codec": self.pretransform.codec_name,
            "fingerprint": self.pretransform.fingerprint,
            **{name: getattr(levels, name) for name in GEOMETRY},
            "min_frames": self.min_frames,
            "tracks": len(self.tracks),
            "padded_tracks": sum(frames < padded for frames, padded in self.tracks.values()),
            "frames": frames,
            "seconds": round(frames / levels.frames_per_second, 3),
            **({"shards": len(list(self.path.glob("*.tar")))} if self.shards else {}),
            "rejected": [{"path": str(path), "reason": reason} for path, reason in rejected],
        }
        _write_json(self.path / DETAILS, details)

    def write_dataset_config(self, random_crop: bool, drop_last: bool) -> Path:
        """Write the dataset config that reads this folder; returns its path."""
        return self._write_config({"dataset_type": "pre_encoded", "random_crop": random_crop, "drop_last": drop_last})

    def finish(self) -> None:
        """Called when all tracks are written."""

    def listed(self) -> list[str]:
        """Tracks that can be trained on."""
        return sorted(self.tracks)

    def _write_config(self, keys: dict[str, Any]) -> Path:
        folder, module = self.path.resolve(), Path(str(crop_times.__file__)).resolve()
        entry = {"id": folder.name, "path": str(folder), "custom_metadata_module": str(module)}
        return _write_json(self.path / DATASET_CONFIG, {**keys, "datasets": [entry], "latent_crop_length": self.min_frames})

    def _count(self, name: str, encoding: Any, audio: Path) -> bool:
        """Count a track if its codes were made of an audio file as it is now, and are long enough; whether they were."""
        if not isinstance(encoding, dict) or not self._depends_on(audio).items() <= encoding.items():
            return False
        if encoding["padded_frames"] < self.min_frames:
            return False
        self.tracks[name] = encoding["frames"], encoding["padded_frames"]
        return True

    def _files(self, name: str) -> tuple[Path, Path]:
        return self.path / f"{name}.npy", self.path / f"{name}.json"

    def _depends_on(self, audio: Path) -> dict[str, Any]:
        """All that the codes of an audio file depend on; where it has changed, they are out of date."""
        about = audio.stat()
        return {
            "fingerprint": self.pretransform.fingerprint,
            "frames_per_second": self.pretransform.levels.frames_per_second,
            "source_bytes": about.st_size,
            "source_mtime_ns": about.st_mtime_ns,
        }


def check_fingerprint(details: dict[str, Any], codec: str, known_as: Sequence[str], where: str) -> None:
    """Raise a CodecError unless the codes in the folder `where` were made by a codec, known by these fingerprints."""
    if details["fingerprint"] not in known_as:
        found = f"codes of {details['codec']} (fingerprint {details['fingerprint']})"
        expected = f"codes of {codec} (fingerprint {known_as[0]})"
        advice = "Codes mean nothing to another codec."
        again = "Or encode the audio again, into another folder."
        raise CodecError(where, found, expected, f"{advice} {how_to_get(details['fingerprint'])} {again}")


def _write_json(path: Path, content: dict[str, Any]) -> Path:
    return write_whole(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
