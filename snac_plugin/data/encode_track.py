"""Encode one track: in this process, or in another that gets the track and gives back its codes."""

import functools
import json
import logging
import math
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.data.audio import UnreadableAudio, read_mono
from snac_plugin.data.audio_file import SILENCE, SILENT
from snac_plugin.data.audio_folders import AudioFile
from snac_plugin.data.metadata_module import load_get_metadata
from snac_plugin.errors import UsageError
from snac_plugin.files import printable

log = logging.getLogger(__name__)

CPU_PIECE_SECONDS = 10.0  # longer pieces are no faster on a CPU, and take gigabytes

Check = Callable[[Any, Mapping[str, Any]], None]  # of a file and its metadata; UsageError for what the model cannot train on


def unchecked(file: Any, metadata: Mapping[str, Any]) -> None:
    """The check of a caller who has none."""


class Track(NamedTuple):
    file: AudioFile
    name: str  # of its codes in the folder, without an ending
    metadata_module: str | None = None  # the dataset's `custom_metadata_module`
    json_beside: bool = False  # whether its metadata are the JSON file beside it
    start: int = 0  # its first sample, at the codec's rate


class Encoded(NamedTuple):
    codes: np.ndarray  # packed [R, T], int16
    frames: int  # that are not silence behind the end
    metadata: dict[str, Any]


class Encoder:
    """Encodes tracks with a codec, on the codec's device.

    Args:
        min_frames: shorter tracks are followed by silence.
        check: of each track's metadata.
    """

    def __init__(self, pretransform: SnacPretransform, min_frames: int, check: Check = unchecked) -> None:
        self.pretransform, self.min_frames, self.check = pretransform, min_frames, check
        self.device = next(pretransform.parameters()).device
        self._loaded = functools.lru_cache(load_get_metadata)

    def read(self, track: Track) -> Encoded | str:
        """Codes and metadata of a track, or why there are none."""
        try:
            audio = read_mono(track.file.path, self.pretransform.sample_rate)
        except UnreadableAudio as error:
            return error.reason
        return self.encode(track, audio)

    def encode(self, track: Track, audio: Tensor | UnreadableAudio) -> Encoded | str:
        """As `read`, of audio [1, N] that was read ahead."""
        if isinstance(audio, UnreadableAudio):
            return audio.reason
        audio = audio[..., track.start :]
        if not audio.shape[-1] or audio.abs().max() < SILENCE:
            return SILENT
        info = self._metadata(track, audio)
        if isinstance(info, str):
            return info
        levels, samples = self.pretransform.levels, audio.shape[-1]
        frames = levels.frames_for(samples)
        lacking = max(frames, self.min_frames) * levels.frame_samples - samples
        padded = torch.nn.functional.pad(audio, (0, lacking))[None].to(self.device)
        return Encoded(self._codes(padded).cpu().numpy().astype(np.int16), frames, _serialisable(info, track))

    def _codes(self, audio: Tensor) -> Tensor:
        usual, levels = self.pretransform.piece_frames, self.pretransform.levels
        if self.device.type == "cpu":  # the codes are the same
            short = round(CPU_PIECE_SECONDS * levels.frames_per_second / levels.grid_frames) * levels.grid_frames
            self.pretransform.piece_frames = min(usual, max(short, levels.grid_frames))
        try:
            return self.pretransform.tokenize(audio)[0]
        finally:
            self.pretransform.piece_frames = usual

    def _metadata(self, track: Track, audio: Tensor) -> dict[str, Any] | str:
        """stable-audio-tools' metadata of a whole track, and what its module adds; or why it is left out."""
        path, rate = track.file.path, self.pretransform.sample_rate
        info: dict[str, Any] = {
            "path": str(path),
            "relpath": os.path.relpath(path, track.file.folder),
            "timestamps": (0.0, 1.0),
            "seconds_start": 0,
            "seconds_total": math.ceil(audio.shape[-1] / rate),
            "padding_mask": torch.ones(audio.shape[-1]),
            "sample_rate": rate,
        }
        if (get_metadata := self._loaded(track.metadata_module)) is None:
            return info
        try:
            info |= get_metadata(info, audio)
        except Exception as error:  # whatever a user's module raises
            return f"its custom_metadata_module failed ({type(error).__name__}: {error})"
        if info.get("__reject__"):
            return "rejected by its custom_metadata_module"
        try:
            self.check(path, info)
        except UsageError as error:
            return str(error)
        return info


def _serialisable(info: Mapping[str, Any], track: Track) -> dict[str, Any]:
    """The part of a track's metadata that a JSON file can hold; arrays become lists."""
    kept = {}
    for key, value in info.items():
        if key == "padding_mask" or key.startswith("__"):
            continue
        try:
            kept[key] = json.loads(json.dumps(value, default=lambda array: array.tolist()))
        except (TypeError, ValueError, AttributeError):
            unknown = "%s: its metadata %r is of type %s, which JSON cannot hold: left out"
            log.warning(unknown, printable(track.file.path), key, type(value).__name__)
    return kept
