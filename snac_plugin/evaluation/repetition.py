"""How much of music repeats its own codes of some bars before. Letters: P clips, S songs, R rows, T frames, N codes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snac_plugin.config.condition_values import number_in, single
from snac_plugin.evaluation.clips import Clips
from snac_plugin.evaluation.music_measures import TEMPO_KEYS
from snac_plugin.files import read_json_object
from snac_plugin.generation.option import Metadata
from snac_plugin.levels import Levels

BEATS_OF_A_BAR, BARS_BEFORE = 4, (1, 2, 4, 6)
WITHOUT_TEMPO = 'repetition is not measured: a bar is found from a number "tempo" or "bpm" in the JSON file beside each song'


def tempos_of(clips: Clips, metadata: Sequence[Metadata]) -> list[float] | None:
    """Beats a minute of each clip [P], as its conditions or the file beside its song say; None where one has none."""
    beside: list[Any] = [read_json_object(file.with_suffix(".json")) or {} for file in clips.files]
    found = [_tempo_in(metadata[index] if metadata else {}, beside[song]) for index, song in enumerate(clips.songs)]
    tempos = [tempo for tempo in found if tempo is not None and tempo > 0]
    return tempos if len(tempos) == len(found) else None


def _tempo_in(*sources: Mapping[str, Any]) -> float | None:
    """What the first that names a tempo says."""
    return next((number_in(single(one[key])) for one in sources for key in TEMPO_KEYS if key in one), None)


def repeated(codes: Tensor, tempos: Sequence[float], levels: Levels, first: int) -> np.ndarray:
    """Share of codes from frame `first` on that equal the code 1, 2, 4 or 6 bars before, by clip and level, and of all: [P, L + 1].

    Codes that have nothing a bar before them do not count; NaN where none counts.

    Args:
        codes: packed codes [P, R, T], what is before `first` too.
        tempos: beats a minute of each clip [P], four to a bar; lags are rounded to whole codes.
    """
    counts = [
        [_repeats(of_level, BEATS_OF_A_BAR * 60 / tempo * levels.frames_per_second * per_frame, first * per_frame)
         for of_level, per_frame in zip(levels.unpack(clip[None]), levels.per_frame, strict=True)]
        for clip, tempo in zip(codes, tempos, strict=True)
    ]  # fmt: skip
    by_level = np.array(counts, dtype=np.float64)
    equal, of = np.concatenate([by_level, by_level.sum(axis=1, keepdims=True)], axis=1).transpose(2, 0, 1)
    return np.divide(equal, of, out=np.full_like(of, np.nan), where=of > 0)


def _repeats(codes: Tensor, bar: float, first: int) -> tuple[int, int]:
    """Of the codes [1, N] from `first` on, those that equal one some bars of so many codes before; and how many there are."""
    found = torch.zeros_like(codes, dtype=torch.bool)
    for lag in (round(bars * bar) for bars in BARS_BEFORE):
        if 0 < lag < codes.shape[-1]:
            found[..., lag:] |= codes[..., lag:] == codes[..., :-lag]
    start = max(first, round(bar))
    return int(found[..., start:].sum()), max(0, codes.shape[-1] - start)
