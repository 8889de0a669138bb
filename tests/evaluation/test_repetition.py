"""Codes that come back after some bars are counted as a slow loop counts them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import LEVELS_32KHZ as LEVELS

from snac_plugin.evaluation.clips import Clips
from snac_plugin.evaluation.repetition import BARS_BEFORE, repeated, tempos_of

TEMPO = 125  # a bar is 20 frames


def draw(frames: int, size: int, clips: int = 2) -> torch.Tensor:
    return torch.randint(size, (clips, LEVELS.rows, frames), generator=torch.Generator().manual_seed(0))


def test_a_loop_repeats_wholly_and_noise_does_not() -> None:
    loop = draw(20, 4096).repeat(1, 1, 4)
    assert (repeated(loop, [TEMPO, TEMPO], LEVELS, 20) == 1).all()
    assert (repeated(loop, [TEMPO, 117], LEVELS, 20)[1] < 0.02).all(), "at another tempo bars are as long as no loop"
    assert (repeated(draw(80, 4096), [TEMPO, TEMPO], LEVELS, 20) < 0.02).all()


@pytest.mark.parametrize("first", [0, 30, 64])
def test_it_counts_what_a_slow_loop_counts(first: int) -> None:
    codes = draw(150, 6)
    found = repeated(codes, [TEMPO, 100], LEVELS, first)
    for clip, tempo in enumerate((TEMPO, 100)):
        counts = []
        for rows, per_frame in zip(LEVELS.unpack(codes[clip : clip + 1]), LEVELS.per_frame, strict=True):
            bar = 4 * 60 / tempo * 32000 / 3072 * per_frame
            places = range(max(first * per_frame, round(bar)), rows.shape[-1])
            before = [[rows[0, at - round(n * bar)] for n in BARS_BEFORE if round(n * bar) <= at] for at in places]
            counts.append((sum(rows[0, at] in past for at, past in zip(places, before, strict=True)), len(places)))
        shares = [equal / of for equal, of in [*counts, np.sum(counts, axis=0)]]
        np.testing.assert_allclose(found[clip], shares)


def test_less_than_a_bar_says_nothing() -> None:
    assert np.isnan(repeated(draw(20, 4), [TEMPO, TEMPO], LEVELS, 0)).all()


def test_the_tempo_is_that_asked_for_or_else_the_song_s(tmp_path: Path) -> None:
    files = (tmp_path / "0.flac", tmp_path / "1.flac")
    clips = Clips(torch.zeros(3, 8), np.array([0, 0, 1]), files, tmp_path, 32000, ())
    (tmp_path / "0.json").write_text('{"tempo": 120}')
    assert tempos_of(clips, ()) is None
    (tmp_path / "1.json").write_text('{"tempo": "90"}')
    assert tempos_of(clips, ()) == [120, 120, 90]
    assert tempos_of(clips, [{"tempo": 100}] * 3) == [100] * 3
    assert tempos_of(clips, [{"bpm": 100}] * 3) == [100] * 3, "it was not measured, or by the song's own tempo"
    (tmp_path / "1.json").write_text('{"bpm": 80}')
    assert tempos_of(clips, ()) == [120, 120, 80]
    (tmp_path / "1.json").write_text('{"tempo": 0}')
    assert tempos_of(clips, ()) is None
