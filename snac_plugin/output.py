"""A sample on disk: its audio, its picture, and everything that made it. Each file appears whole or not at all."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from torch import Tensor

from snac_plugin.atomic import write_whole
from snac_plugin.errors import AudioError
from snac_plugin.levels import Levels
from snac_plugin.pictures import save_picture

__all__ = ["SampleFiles", "write_sample", "write_wav"]

HEADER = 128  # bytes of a wav file in which libsndfile puts its chunks


@dataclass(frozen=True)
class SampleFiles:
    """The files of one sample."""

    wav: Path
    picture: Path
    json: Path


def write_sample(
    folder: str | Path,
    name: str,
    audio: Tensor,
    sample_rate: int,
    *,
    codes: Tensor | None = None,
    levels: Levels | None = None,
    settings: Mapping[str, Any],
    title: str | None = None,
) -> SampleFiles:
    """Write NAME.wav, NAME.png and NAME.json; the same sample gives the same bytes.

    A sample of that name with the same settings is replaced. One with other settings is kept: this one becomes NAME_2.

    Args:
        folder: where to; made if need be.
        name: without an ending, as "seed_42".
        audio: mono audio, [1, N] or [N], in [-1, 1].
        sample_rate: samples per second.
        codes: its packed codes [R, T], for the picture.
        levels: the codec's geometry; needed with codes.
        settings: what made it; written as JSON.
        title: above the picture; the name by default.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    noted = json.dumps(dict(settings), indent=2, ensure_ascii=False, default=str) + "\n"
    files = _free_names(folder, name, noted)
    write_wav(files.wav, audio, sample_rate)
    save_picture(files.picture, audio, sample_rate, codes, levels, files.wav.stem if title is None else title)
    write_whole(files.json, lambda part: part.write_text(noted, encoding="utf-8"))
    return files


def write_wav(path: str | Path, audio: Tensor, sample_rate: int) -> Path:
    """Write mono audio, [1, N] or [N], as a wav file of 32-bit floats.

    Raises:
        AudioError: more than one channel.
    """
    samples = audio.detach().float().cpu().squeeze().numpy()
    if samples.ndim > 1:
        raise AudioError("audio", f"shape {list(audio.shape)}", "one channel: [1, samples] or [samples]")

    def write(part: Path) -> None:
        soundfile.write(part, np.atleast_1d(samples), sample_rate, subtype="FLOAT", format="WAV")
        _drop_time_of_writing(part)

    return write_whole(path, write)


def _drop_time_of_writing(path: Path) -> None:
    """libsndfile notes the clock in a float file's PEAK chunk (id, size, version, time), so no two runs would be equal."""
    with path.open("r+b") as file:
        start = file.read(HEADER).find(b"PEAK")
        if start >= 0:
            file.seek(start + 12)
            file.write(bytes(4))


def _free_names(folder: Path, name: str, noted: str) -> SampleFiles:
    """The first of NAME, NAME_2, ... that is free, or taken by a sample with these very settings."""
    for count in itertools.count(1):
        stem = name if count == 1 else f"{name}_{count}"
        files = SampleFiles(*(folder / f"{stem}.{ending}" for ending in ("wav", "png", "json")))
        if files.json.exists():
            if files.json.read_bytes() == noted.encode():
                return files
        elif not files.wav.exists():
            return files
    raise AssertionError("count() has no end")
