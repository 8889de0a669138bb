"""Files that a data loader would drop without a word are found before training, each with its reason."""

import os

import numpy as np
import pytest
import soundfile
from stable_audio_tools.data.dataset import get_audio_filenames

from snac_plugin.data.audio_folders import AudioFile, scan_audio


def sound(seconds=0.5, rate=32000, channels=1):
    return np.random.default_rng(0).uniform(-0.5, 0.5, (round(seconds * rate), channels)).astype(np.float32)


def write(path, rate=32000, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound(rate=rate, channels=2), rate, **options)
    return path


def reasons(folder):
    return {path.name: reason for path, reason in scan_audio([folder]).rejected}


def test_finds_what_stable_audio_tools_finds(tmp_path):
    for name in ("a.wav", "b/c.flac", "b/d/e.OGG", "f.mp3"):
        write(tmp_path / name, format=name.rpartition(".")[2].upper())
    write(tmp_path / "g.aif", format="AIFF")
    write(tmp_path / "h.opus", rate=48000, format="OGG", subtype="OPUS")
    write(tmp_path / ".hidden.wav")
    (tmp_path / "notes.txt").write_text("not audio")
    files, rejected = scan_audio([tmp_path])
    assert not rejected
    assert [str(file.path) for file in files] == sorted(get_audio_filenames(str(tmp_path)))
    assert all(file.seconds == pytest.approx(0.5, abs=0.1) for file in files)


def test_keeps_the_folder_that_each_file_was_found_under(tmp_path):
    for name in ("one", "two"):
        write(tmp_path / name / "a.wav")
    files, _ = scan_audio([tmp_path / "two", tmp_path / "one"])
    expected = [AudioFile(tmp_path / name / "a.wav", str(tmp_path / name), 0.5) for name in ("two", "one")]
    assert files == expected


def test_each_bad_file_is_named_with_its_reason(tmp_path):
    whole = write(tmp_path / "whole.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("this is no audio")
    soundfile.write(tmp_path / "no_samples.wav", np.zeros((0, 1)), 32000)
    (tmp_path / "song.m4a").touch()
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    found = reasons(tmp_path)
    assert found.keys() == {"cut.flac", "empty.wav", "text.wav", "no_samples.wav", "song.m4a", "gone.wav"}
    assert found["empty.wav"] == "empty: 0 bytes"
    assert found["no_samples.wav"] == "holds no samples"
    assert "convert it to one of .wav" in found["song.m4a"]
    assert "Format not recognised" in found["text.wav"]
    assert str(tmp_path) not in found["text.wav"], "the path is said already"
    assert "No such file" in found["gone.wav"]


def test_file_that_reads_although_cut_off_is_kept(tmp_path):
    """A wav file without its end is shorter, and stable-audio-tools trains on it."""
    whole = write(tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(whole[: len(whole) // 2])
    files, rejected = scan_audio([tmp_path])
    assert not rejected
    assert files[0].seconds == pytest.approx(0.25, abs=0.01)


def test_links_are_followed_and_loops_end(tmp_path):
    write(tmp_path / "music" / "a.wav")
    write(tmp_path / "elsewhere" / "b.wav")
    os.symlink(tmp_path / "music", tmp_path / "music" / "self")
    os.symlink(tmp_path / "elsewhere", tmp_path / "music" / "more")
    assert [file.path.name for file in scan_audio([tmp_path / "music"]).files] == ["a.wav", "b.wav"]
