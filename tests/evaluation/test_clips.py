"""Clips: of equal length, without overlap, spread over songs; and what is said where there are none."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from snac_plugin.errors import AudioError, UsageError
from snac_plugin.evaluation.clips import clip_samples, read_clips
from snac_plugin.evaluation.long_songs import check_long_songs

RATE = 8000


def write(folder: Path, name: str, seconds: float, rate: int = RATE) -> None:
    folder.mkdir(exist_ok=True)
    ramp = np.linspace(0, 0.9, round(seconds * rate))
    soundfile.write(folder / name, ramp, rate, subtype="FLOAT")


def test_clips_are_spread_without_overlap(tmp_path: Path) -> None:
    write(tmp_path, "a.wav", 4)
    write(tmp_path, "b.wav", 10)
    clips = read_clips(tmp_path, RATE, RATE * 2, most=100, progress=False)
    assert clips.songs.tolist() == [0, 0, 1, 1, 1, 1, 1]
    starts = clips.audio[clips.songs == 1, 0] * 10 / 0.9
    np.testing.assert_allclose(starts, [0, 2, 4, 6, 8], atol=0.01)
    assert "7 clips of 2.00 s from 2 songs" in clips.about()


def test_few_clips_are_shared_out_over_songs(tmp_path: Path) -> None:
    for index in range(6):
        write(tmp_path, f"{index}.wav", 9)
    assert np.bincount(read_clips(tmp_path, RATE, RATE, most=8, progress=False).songs).tolist() == [2, 2, 1, 1, 1, 1]
    few = read_clips(tmp_path, RATE, RATE, most=3, progress=False)
    assert few.songs.tolist() == [0, 1, 2]
    again, other = (read_clips(tmp_path, RATE, RATE, most=3, seed=seed, progress=False) for seed in (0, 1))
    assert again.files == few.files != other.files


def test_other_rates_are_resampled(tmp_path: Path) -> None:
    write(tmp_path, "a.wav", 2, rate=16000)
    write(tmp_path, "b.wav", 2)
    clips = read_clips(tmp_path, RATE, 2 * RATE, most=4, progress=False)
    np.testing.assert_allclose(clips.audio[0, 100:-100], clips.audio[1, 100:-100], atol=0.01)


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        write(tmp_path, name, 2)
    write(tmp_path, "short.wav", 0.5)
    (tmp_path / "broken.wav").write_bytes(b"no audio")
    soundfile.write(tmp_path / "nan.wav", np.full(2 * RATE, np.nan, np.float32), RATE, subtype="FLOAT")
    clips = read_clips(tmp_path, RATE, RATE, most=9, progress=False)
    reasons = {path.name: reason for path, reason in clips.passed_over}
    assert set(reasons) == {"short.wav", "broken.wav", "nan.wav"}
    assert "shorter than a clip" in reasons["short.wav"]
    assert "NaN or infinite" in reasons["nan.wav"]
    assert "3 files passed over" in clips.about()


def test_a_folder_without_what_is_needed_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no such folder"):
        read_clips(tmp_path / "nowhere", RATE, RATE, most=4, progress=False)
    with pytest.raises(AudioError, match="no audio files"):
        read_clips(tmp_path, RATE, RATE, most=4, progress=False)
    write(tmp_path, "a.wav", 2)
    with pytest.raises(AudioError, match=r"1 song of 1\.00 s"):
        read_clips(tmp_path, RATE, RATE, most=4, progress=False)
    write(tmp_path, "b.wav", 0.5)
    with pytest.raises(AudioError, match=r"b\.wav: 0\.50 s, shorter than a clip"):
        read_clips(tmp_path, RATE, RATE, most=4, progress=False)


def test_a_clip_shorter_than_a_frame_is_told_with_the_shortest_length() -> None:
    """It was one frame long without a word."""
    with pytest.raises(UsageError, match=r"--seconds: found 0\.05, expected at least 0\.096, one frame of the codec"):
        clip_samples(3072, 32000, 0.05)
    assert [clip_samples(3072, 32000, seconds) // 3072 for seconds in (0.096, 0.3, None)] == [1, 3, 64]


@pytest.mark.parametrize(("songs", "warns"), [(2, True), (8, False)])
def test_too_few_songs_are_warned_of(tmp_path: Path, songs: int, warns: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Two songs give a floor and intervals that say nothing, and look like any others."""
    for index in range(songs):
        write(tmp_path, f"{index}.wav", 1)
    read_clips(tmp_path, RATE, RATE // 2, most=8, progress=False)
    assert ("too few for intervals and floors" in caplog.text) is warns


def test_a_look_at_headers_finds_what_measuring_finds(tmp_path: Path) -> None:
    """It counted hidden files, and did not see songs behind links, whose folder was searched twice then."""
    elsewhere = tmp_path / "elsewhere"
    for name in ("a.wav", "b.wav"):
        write(elsewhere, name, 2)
    (tmp_path / "songs").mkdir()
    (tmp_path / "songs" / "linked").symlink_to(elsewhere)
    check_long_songs(tmp_path / "songs", RATE, 2 * RATE)
    with pytest.raises(AudioError, match=r"found 0 songs of 2.00 s or more, 2 other files \(a.wav: 2.00 s, shorter"):
        check_long_songs(tmp_path / "songs", RATE, 2 * RATE + 1)
    (elsewhere / "a.wav").rename(elsewhere / ".a.wav")
    with pytest.raises(AudioError, match=r"found 1 song of 2\.00 s or more, 0 other files, "):
        check_long_songs(elsewhere, RATE, 2 * RATE)
