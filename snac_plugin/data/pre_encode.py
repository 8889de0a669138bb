"""Encode whole tracks once, as integer codes, so that training need not run the codec."""

import functools
import itertools
import logging
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.data.audio import read_mono_ahead
from snac_plugin.data.audio_folders import Rejected
from snac_plugin.data.codes_details import DETAILS
from snac_plugin.data.codes_folder import CodesFolder
from snac_plugin.data.codes_shards import CodesShards
from snac_plugin.data.encode_track import Check, Encoded, Encoder, Track, unchecked
from snac_plugin.data.file_list import scan_dataset
from snac_plugin.data.metadata_module import load_get_metadata
from snac_plugin.errors import AudioError, ConfigError, UsageError
from snac_plugin.files import fitting_name, printable

log = logging.getLogger(__name__)

JSON_BESIDE = Path(__file__).with_name("demo_music") / "metadata.py"  # this metadata module needs no audio

Elsewhere = Callable[[Sequence[Track], Encoder], Iterator[Encoded | str]]
"""Encodes tracks in other processes; gives, in order, what became of each: its codes, or why there are none."""


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
    offsets: int = 1,
    check: Check = unchecked,
    elsewhere: Elsewhere | None = None,
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
        offsets: encode each track so many times, from as many samples inside its first frame: each as a track of its own.
        elsewhere: encodes in other processes, with a `check` that can be sent there; by default this process does, ahead of
            which `workers` read. What is written is the same.

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
    starts = _starts(offsets, pretransform.levels.frame_samples)
    tracks, rejected = _find_tracks(source, pretransform.sample_rate, dots=shard_bytes is None, starts=starts)
    _check_all(tracks, check)
    if shard_bytes is None:
        folder = CodesFolder(Path(output), pretransform, min_frames)
    else:
        folder = CodesShards(Path(output), pretransform, min_frames, shard_bytes=shard_bytes)
    for path, reason in rejected:
        log.warning("Left out %s: %s", printable(path), reason)
    todo = [track for track in tracks if overwrite or not folder.holds(track.name, track.file.path)]
    encoder = Encoder(pretransform, min_frames, check)
    on_cpu = encoder.device.type == "cpu"
    try:
        folder.begin(track.name for track in todo)
        if elsewhere is None:
            outcomes = _encoded_here(todo, encoder, workers if workers is not None else 0 if on_cpu else 4)
        else:
            outcomes = elsewhere(todo, encoder)
        _write_all(folder, todo, outcomes, rejected, progress)
        folder.finish()
    finally:
        folder.write_details(rejected)
    if not folder.tracks:
        raise AudioError(
            str(output), f"no track left of {len(rejected)}", "at least one that can be encoded", f"{DETAILS} has each reason."
        )
    if leftovers := folder.leftovers():
        message = "%s also holds %d tracks that are not in this dataset and not trained on: %s"
        log.warning(message, output, len(leftovers), leftovers[0])
    return folder.write_dataset_config(source.get("random_crop", True), source.get("drop_last", True))


def _starts(offsets: int, frame_samples: int) -> list[int]:
    """The samples at which a track begins to be encoded, spread over its first frame."""
    if not 1 <= offsets <= frame_samples:
        raise UsageError("offsets", offsets, f"at least 1, and at most {frame_samples}, the samples of a frame")
    return [index * frame_samples // offsets for index in range(offsets)]


def _find_tracks(
    source: Mapping[str, Any], sample_rate: int, dots: bool, starts: Sequence[int] = (0,)
) -> tuple[list[Track], list[Rejected]]:
    tracks, rejected, ids, names = [], [], set(), set[str]()
    for index, (entry, scan) in enumerate(zip(source["datasets"], scan_dataset(source, sample_rate), strict=True)):
        rejected += scan.rejected
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", entry["id"])
        name = f"{name}_{index}" if name in ids else name
        ids.add(name)
        load_get_metadata(module := entry.get("custom_metadata_module"))  # it is told at once if it cannot be
        json_beside = module is not None and Path(module).resolve() == JSON_BESIDE.resolve()
        for file, start in itertools.product(scan.files, starts):
            relative = os.path.relpath(file.path, entry["path"]) + (f"_from_{start}" if start else "")
            track = f"{name}/{_safe(relative, dots)}"
            track = track if track not in names else f"{track}_{len(names)}"
            names.add(track)
            tracks.append(Track(file, track, module, json_beside, start))
    return tracks, rejected


def _check_all(tracks: list[Track], check: Check) -> None:
    """Check what can be known without audio: UsageError for the JSON files, a warning where no module says anything."""
    wrong, loaded = [], functools.lru_cache(load_get_metadata)
    for track in (track for track in tracks if not track.start):
        info: dict[str, Any] = {"path": str(track.file.path), "seconds_start": 0, "seconds_total": math.ceil(track.file.seconds)}
        try:
            get_metadata = loaded(track.metadata_module) if track.json_beside else None
            info |= get_metadata(info, torch.zeros(1, 0)) if get_metadata else {}
        except Exception:  # its turn tells why
            continue
        try:
            if track.json_beside or track.metadata_module is None:
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


def _encoded_here(tracks: Sequence[Track], encoder: Encoder, workers: int) -> Iterator[Encoded | str]:
    audios = read_mono_ahead([track.file.path for track in tracks], encoder.pretransform.sample_rate, workers)
    for track, audio in zip(tracks, audios, strict=True):
        yield encoder.encode(track, audio)


def _write_all(
    folder: CodesFolder, tracks: Sequence[Track], outcomes: Iterator[Encoded | str], rejected: list[Rejected], progress: bool
) -> None:
    """Write tracks one by one, as they were encoded; those that could not be are added to `rejected`."""
    total = sum(track.file.seconds for track in tracks)
    layout = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s [{elapsed}<{remaining}{postfix}]"
    started, seconds, there = time.perf_counter(), 0.0, len(folder.tracks)
    with tqdm(total=total or None, desc="Encoding", bar_format=layout, disable=not (progress and tracks)) as bar:
        for track, outcome in zip(tracks, outcomes, strict=True):
            if isinstance(outcome, Encoded):
                codes = torch.from_numpy(outcome.codes)
                folder.write(track.name, track.file.path, codes, outcome.frames, outcome.metadata)
            else:
                rejected.append(Rejected(track.file.path, outcome))
                log.warning("Left out %s: %s", printable(track.file.path), outcome)
            seconds += track.file.seconds
            bar.set_postfix_str(f"{seconds / (time.perf_counter() - started):.0f}x real time", refresh=False)
            bar.update(track.file.seconds)
    took, encoded = time.perf_counter() - started, len(folder.tracks) - there
    log.info("Encoded %d tracks, %.0f s of audio in %.0f s; %d were there already", encoded, seconds, took, there)
