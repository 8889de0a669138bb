"""The benchmarks of what is new in recordings run, and see what they are to see."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from benchmark_runs import results

pytestmark = pytest.mark.slow


def test_levels_at_joins(held_out: list[str], tmp_path: Path) -> None:
    """A model of random weights is far from the recordings, and its octaves come nearer by matching."""
    import levels_at_joins

    flags = ["--steps", "4", "--samples", "1", "--held-out-songs", "2", "--ways", "level A kept"]
    levels_at_joins.main([*held_out, *flags])
    found = results(tmp_path, "levels_at_joins")
    sizes = [np.abs(np.array(found[f"level A kept, {how}"]["differences"])[:, 1:]).mean() for how in ("as generated", "matched")]
    assert sizes[1] < sizes[0]


def test_a_quieter_octave_is_seen() -> None:
    from levels_at_joins import levels_db

    noise = torch.randn(64000, generator=torch.Generator().manual_seed(0))
    assert levels_db(noise / 2, 32000) - levels_db(noise, 32000) == pytest.approx(-6.02, abs=0.01)


def test_a_jump_at_a_join_is_seen() -> None:
    """Steady noise has none, noise that gets ten times as loud there has one, and so has a change of colour alone."""
    from levels_at_joins import jump

    noise = torch.randn(128000, generator=torch.Generator().manual_seed(0))
    dull = torch.nn.functional.avg_pool1d(noise[None], 9, 1, 4)[0] * 3
    later = torch.arange(128000) >= 64000
    assert jump(noise, 32000, 3072) == pytest.approx(1, abs=0.15)
    assert jump(torch.where(later, noise, noise / 10), 32000, 3072) > 1.3
    assert jump(torch.where(later, noise, dull), 32000, 3072) > 1.3


def test_a_long_recording_is_written_second_by_second(tmp_path: Path) -> None:
    from recording_memory import RATE, write_recording

    write_recording(tmp_path / "a.wav", 0.05)
    info = soundfile.info(tmp_path / "a.wav")
    assert (info.frames, info.channels, info.subtype) == (3 * RATE, 2, "PCM_16")
