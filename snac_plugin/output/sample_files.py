"""A sample on disk: its audio, its picture, and everything that made it. Each file appears whole or not at all."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import soundfile
import torch
from torch import Tensor

from snac_plugin.files import write_whole
from snac_plugin.levels import Levels
from snac_plugin.output.growing_wav import GrowingWav
from snac_plugin.output.pictures import save_picture

__all__ = ["SampleFiles", "finish_sample", "write_sample"]

PICTURE_SECONDS = 120


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
    wav = GrowingWav(Path(folder), name, sample_rate, 1)
    try:
        wav.write(audio.reshape(1, -1))
        return finish_sample(wav, name, codes=codes, levels=levels, settings=settings, title=title)
    finally:
        wav.discard()


def finish_sample(
    wav: GrowingWav,
    name: str,
    *,
    codes: Tensor | None = None,
    levels: Levels | None = None,
    settings: Mapping[str, Any],
    title: str | None = None,
    shown_from: int = 0,
) -> SampleFiles:
    """Give a wav that has been written its name, and put picture and settings beside it; see `write_sample`.

    Args:
        wav: the audio, written.
        shown_from: first sample in the picture, which shows no more than `PICTURE_SECONDS`.
    """
    noted = json.dumps(dict(settings), indent=2, ensure_ascii=False, default=str) + "\n"
    files = _free_names(wav.folder, name, noted)
    wav.move_to(files.wav)
    shown, rate = soundfile.read(files.wav, PICTURE_SECONDS * wav.sample_rate, shown_from, dtype="float32", always_2d=True)
    mono = torch.from_numpy(shown).mean(dim=1)
    save_picture(files.picture, mono, rate, codes, levels, files.wav.stem if title is None else title)
    write_whole(files.json, lambda part: part.write_text(noted, encoding="utf-8"))
    return files


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
