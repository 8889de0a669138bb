"""The drawing of a recording: read in blocks, its loud parts where they are."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny import LEVELS_32KHZ

from snac_plugin.errors import SnacPluginError
from snac_plugin.interface.waveform import BARS, proposed_part, waveform


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
    assert f"<b>a.wav</b> · {seconds:.2f} s · 32 kHz · stereo" in drawn
    assert "snac-wave" not in waveform(str(tmp_path / "a.wav"), LEVELS_32KHZ, marked=False)


def test_what_is_no_recording_for_the_page_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "notes.wav").write_text("no music")
    soundfile.write(tmp_path / "long.wav", np.zeros(7200 * 1000), 1000, subtype="PCM_U8")
    for name, words in (
        ("empty", "empty"),
        ("notes", r"found a file that cannot be read: no audio that can be decoded \("),
        ("long", "found 120 minutes, expected at most 60 minutes"),
    ):
        with pytest.raises(SnacPluginError, match=words):
            waveform(str(tmp_path / f"{name}.wav"), LEVELS_32KHZ)


@pytest.mark.parametrize(
    ("places", "proposed"),
    [
        ((None, None), (4.0, 8.0)),
        ((1.0, None), (4.0, 8.0)),
        ((3.5, 12.0), (3.5, 12.0)),
        ((3.5, 13.0), (4.0, 8.0)),  # of a longer recording
        ((5.0, 5.0), (4.0, 8.0)),
    ],
)
def test_the_middle_third_is_proposed_where_no_part_of_a_recording_is_marked(
    places: tuple[float | None, float | None], proposed: tuple[float, float]
) -> None:
    assert proposed_part(12.0, *places) == proposed
