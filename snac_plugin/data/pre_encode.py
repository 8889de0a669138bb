"""Encode whole tracks once, as integer codes, so that training need not run the codec."""

import json
import logging
import math
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.data.audio import UnreadableAudio, read_mono_ahead
from snac_plugin.data.audio_file import SILENCE, SILENT
from snac_plugin.data.audio_folders import AudioFile, Rejected
from snac_plugin.data.codes_folder import DETAILS, CodesFolder
from snac_plugin.data.codes_shards import CodesShards
from snac_plugin.data.file_list import scan_dataset
from snac_plugin.data.metadata_module import GetMetadata, load_get_metadata
from snac_plugin.errors import AudioError, ConfigError, UsageError
from snac_plugin.files import fitting_name, printable

log = logging.getLogger(__name__)

CPU_PIECE_SECONDS = 10.0  # longer pieces are no faster on a CPU, and take gigabytes


JSON_BESIDE = Path(__file__).with_name("demo_music") / "metadata.py"  # this metadata module needs no audio

Check = Callable[[Any, Mapping[str, Any]], None]  # of a file and its metadata; UsageError for what the model cannot train on


class Track(NamedTuple):
    file: AudioFile
    name: str  # of its codes in the folder, without an ending
    get_metadata: GetMetadata | None  # of the dataset's `custom_metadata_module`
    json_beside: bool = False  # whether its metadata are the JSON file beside it


def pre_encode(
    source: Mapping[str, Any],
    output: str | Path,
    pretransform: SnacPretransform,
    *,
    min_frames: int,
    progress: bool = True,
    workers: int | None = None,
    overwrite: bool = False,
    shard_bytes: int | None = None,
    check: Check = lambda file, metadata: None,
) -> Path:
    """Encode every track of a dataset into a folder that stable-audio-tools' PreEncodedDataset reads.

    Tracks already there are skipped if neither codec nor audio file has changed since, so a run that was stopped can go on.
    Tracks shorter than `min_frames` are followed by silence, which their padding mask marks. Each rejected file is logged once.

    Args:
        source: an audio_dir dataset config, checked.
        pretransform: the codec, on the device to encode on.
        min_frames: the model's window in frames, which is the length of every crop.
        workers: threads that read ahead; by default 4, or none where the codec runs on the CPU.
        overwrite: encode everything again, so that changed metadata is taken over.
        shard_bytes: pack tracks into tar files of this size, for WebDataset; None: a file a track.
        check: of each track's metadata. JSON files beside the audio are all checked before anything is encoded; what other
            metadata modules say is checked before its track is, which is left out if it does not fit.

    Returns:
        The dataset config to train with, a JSON file in the folder.

    Raises:
        ConfigError: the dataset is of another type, or the codebook too large.
        CodecError: the folder holds codes of another codec.
        UsageError: the folder holds something else.
        AudioError: no track is left.
    """
    if source.get("dataset_type") != "audio_dir":
        raise ConfigError("dataset_type", repr(source.get("dataset_type")), '"audio_dir": folders of audio are encoded')
    if pretransform.codebook_size - 1 > np.iinfo(np.int16).max:
        raise ConfigError("codebook_size", pretransform.codebook_size, "at most 32,768 codes, which int16 files hold")
    tracks, rejected = _find_tracks(source, pretransform.sample_rate, dots=shard_bytes is None)
    _check_all(tracks, check)
    if shard_bytes is None:
        folder = CodesFolder(Path(output), pretransform, min_frames)
    else:
        folder = CodesShards(Path(output), pretransform, min_frames, shard_bytes=shard_bytes)
    for path, reason in rejected:
        log.warning("Left out %s: %s", printable(path), reason)
    todo = [track for track in tracks if overwrite or not folder.holds(track.name, track.file.path)]
    on_cpu = next(pretransform.parameters()).device.type == "cpu"
    usual, grid = pretransform.piece_frames, pretransform.levels.grid_frames
    if on_cpu:  # the codes are the same
        short = round(CPU_PIECE_SECONDS * pretransform.levels.frames_per_second / grid) * grid
        pretransform.piece_frames = min(usual, max(short, grid))
    try:
        folder.begin(track.name for track in todo)
        _encode_all(folder, todo, rejected, progress, workers if workers is not None else 0 if on_cpu else 4, check)
        folder.finish()
    finally:
        pretransform.piece_frames = usual
        folder.write_details(rejected)
    if not folder.tracks:
        raise AudioError(
            str(output), f"no track left of {len(rejected)}", "at least one that can be encoded", f"{DETAILS} has each reason."
        )
    if leftovers := folder.leftovers():
        message = "%s also holds %d tracks that are not in this dataset and not trained on: %s"
        log.warning(message, output, len(leftovers), leftovers[0])
    return folder.write_dataset_config(source.get("random_crop", True), source.get("drop_last", True))


def _find_tracks(source: Mapping[str, Any], sample_rate: int, dots: bool) -> tuple[list[Track], list[Rejected]]:
    tracks, rejected, ids, names = [], [], set(), set[str]()
    for index, (entry, scan) in enumerate(zip(source["datasets"], scan_dataset(source, sample_rate), strict=True)):
        rejected += scan.rejected
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", entry["id"])
        name = f"{name}_{index}" if name in ids else name
        ids.add(name)
        get_metadata = load_get_metadata(module := entry.get("custom_metadata_module"))
        json_beside = module is not None and Path(module).resolve() == JSON_BESIDE.resolve()
        for file in scan.files:
            relative = os.path.relpath(file.path, entry["path"])
            track = f"{name}/{_safe(relative, dots)}"
            track = track if track not in names else f"{track}_{len(names)}"
            names.add(track)
            tracks.append(Track(file, track, get_metadata, json_beside))
    return tracks, rejected


def _check_all(tracks: list[Track], check: Check) -> None:
    """Check what can be known without audio: UsageError for the JSON files, a warning where no module says anything."""
    wrong = []
    for track in tracks:
        info: dict[str, Any] = {"path": str(track.file.path), "seconds_start": 0, "seconds_total": math.ceil(track.file.seconds)}
        try:
            info |= track.get_metadata(info, torch.zeros(1, 0)) if track.json_beside and track.get_metadata else {}
        except Exception:  # its turn tells why
            continue
        try:
            if track.json_beside or track.get_metadata is None:
                check(track.file.path, info)
        except UsageError as error:
            if not track.json_beside:
                advice = "The dataset config names no custom_metadata_module; a training needs one that says it."
                return log.warning("%s: found %s, expected %s. %s", printable(error.where), error.found, error.expected, advice)
            wrong.append(error)
    if wrong:
        first, others = wrong[0], f" {len(wrong)} files do not fit in all." if len(wrong) > 1 else ""
        raise UsageError(first.where, first.found, first.expected, first.advice + others)


def _safe(relative: str, dots: bool) -> str:
    """A name that stable-audio-tools finds again: it lists files line by line, and replaces every .npy in a path by .json.

    WebDataset wants names without `dots`: what follows the first one is the ending.
    """
    *folders, name = relative.replace(".npy", "_npy").replace("\n", "_").replace("\r", "_").split(os.sep)
    name = name if dots else name.replace(".", "_")
    return "/".join([*(fitting_name(folder, 0) for folder in folders), fitting_name(name, len(".json"))])


def _encode_all(
    folder: CodesFolder, tracks: list[Track], rejected: list[Rejected], progress: bool, workers: int, check: Check
) -> None:
    """Encode tracks one by one; what cannot be encoded is added to `rejected`."""
    audios = read_mono_ahead([track.file.path for track in tracks], folder.pretransform.sample_rate, workers)
    total = sum(track.file.seconds for track in tracks)
    layout = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s [{elapsed}<{remaining}{postfix}]"
    started, seconds, there = time.perf_counter(), 0.0, len(folder.tracks)
    with tqdm(total=total or None, desc="Encoding", bar_format=layout, disable=not (progress and tracks)) as bar:
        for track, audio in zip(tracks, audios, strict=True):
            reason = audio.reason if isinstance(audio, UnreadableAudio) else _encode(folder, track, audio, check)
            if reason:
                rejected.append(Rejected(track.file.path, reason))
                log.warning("Left out %s: %s", printable(track.file.path), reason)
            seconds += track.file.seconds
            bar.set_postfix_str(f"{seconds / (time.perf_counter() - started):.0f}x real time", refresh=False)
            bar.update(track.file.seconds)
    took, encoded = time.perf_counter() - started, len(folder.tracks) - there
    log.info("Encoded %d tracks, %.0f s of audio in %.0f s; %d were there already", encoded, seconds, took, there)


def _encode(folder: CodesFolder, track: Track, audio: Tensor, check: Check) -> str:
    """Encode the audio [1, N] of a track; returns why it was not, or nothing."""
    pretransform, levels = folder.pretransform, folder.pretransform.levels
    if audio.abs().max() < SILENCE:
        return SILENT
    path, samples = track.file.path, audio.shape[-1]
    info: dict[str, Any] = {  # stable-audio-tools' metadata of a whole track
        "path": str(path),
        "relpath": os.path.relpath(path, track.file.folder),
        "timestamps": (0.0, 1.0),
        "seconds_start": 0,
        "seconds_total": math.ceil(samples / pretransform.sample_rate),
        "padding_mask": torch.ones(samples),
        "sample_rate": pretransform.sample_rate,
    }
    if track.get_metadata is not None:
        try:
            info |= track.get_metadata(info, audio)
        except Exception as error:  # whatever a user's module raises
            return f"its custom_metadata_module failed ({type(error).__name__}: {error})"
        if info.get("__reject__"):
            return "rejected by its custom_metadata_module"
        try:
            check(path, info)
        except UsageError as error:
            return str(error)
    frames = levels.frames_for(samples)
    lacking = max(frames, folder.min_frames) * levels.frame_samples - samples
    padded = torch.nn.functional.pad(audio, (0, lacking))[None].to(next(pretransform.parameters()).device)
    folder.write(track.name, path, pretransform.tokenize(padded)[0], frames, _serialisable(info, path))
    return ""


def _serialisable(info: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The part of a track's metadata that a JSON file can hold; arrays become lists."""
    kept = {}
    for key, value in info.items():
        if key == "padding_mask" or key.startswith("__"):
            continue
        try:
            kept[key] = json.loads(json.dumps(value, default=lambda array: array.tolist()))
        except (TypeError, ValueError, AttributeError):
            unknown = "%s: its metadata %r is of type %s, which JSON cannot hold: left out"
            log.warning(unknown, printable(path), key, type(value).__name__)
    return kept
