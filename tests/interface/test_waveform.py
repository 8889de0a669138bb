"""The drawing of a recording: read in blocks, its loud parts where they are."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny import LEVELS_32KHZ

from snac_plugin.interface.waveform import BARS, waveform


@pytest.mark.parametrize("seconds", [0.3, 8.0])
def test_loud_parts_are_high_where_they_are(tmp_path: Path, seconds: float) -> None:
    """Eight seconds are several blocks of samples."""
    samples = np.full((round(seconds * 32000), 2), 0.1)
    samples[len(samples) // 2 :, 1] = 0.5
    soundfile.write(tmp_path / "a.wav", samples, 32000, subtype="FLOAT")
    drawn = waveform(str(tmp_path / "a.wav"), LEVELS_32KHZ)
    heights = [50 - float(top) for top in re.findall(r"M[\d.]+ ([\d.]+)V", drawn)]
    assert len(heights) == BARS
    assert heights[: BARS // 2 - 1] == pytest.approx([9.2] * (BARS // 2 - 1), abs=0.06)
    assert heights[BARS // 2 :] == pytest.approx([46.0] * (BARS // 2), abs=0.06)
    assert f'data-seconds="{seconds:.6f}"' in drawn
