"""Files that a data loader would drop without a word are found before training, each with its reason."""

import os

import numpy as np
import pytest
import soundfile
from stable_audio_tools.data.dataset import get_audio_filenames

from snac_plugin.data.audio import read_audio
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


KINDS = {"a.wav": "WAV", "b.aif": "AIFF", "rf64.wav": "RF64", "c.ogg": "OGG", "d.opus": "OGG", "e.mp3": "MP3"}


@pytest.mark.parametrize("name", KINDS)
def test_file_that_reads_although_cut_off_is_kept_and_named(tmp_path, caplog, name):
    """A wav file without its end is shorter, and is trained on; but its user hears of it, and of no whole file."""
    subtype = {"subtype": "OPUS"} if name == "d.opus" else {}
    soundfile.write(tmp_path / name, sound(4, rate=48000, channels=2), 48000, format=KINDS[name], **subtype)
    assert not scan_audio([tmp_path]).rejected
    assert not caplog.messages
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    files, rejected = scan_audio([tmp_path])
    assert not rejected
    rate, audio = read_audio(tmp_path / name)
    assert 0.1 < audio.shape[-1] / rate < 3
    assert name == "e.mp3" or files[0].seconds == audio.shape[-1] / rate
    assert len(caplog.messages) == 1
    assert f"{name}: cut off: " in caplog.messages[0]


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000])
def test_a_wav_file_that_came_through_a_pipe_is_whole(tmp_path, caplog, length):
    """ffmpeg, arecord and sox write these lengths where they cannot know any."""
    content = bytearray(write(tmp_path / "a.wav").read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = length.to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(content)
    assert scan_audio([tmp_path]).files[0].seconds == 0.5
    assert not caplog.messages


def test_a_tag_with_a_picture_before_an_mp3_is_not_its_audio(tmp_path, caplog):
    whole = write(tmp_path / "a.mp3", format="MP3").read_bytes()
    tag = b"ID3\x04\0\0" + bytes([0, 1, 0, 0]) + b"\0" * 16384
    for length, said in ((len(whole), 0), (len(whole) // 2, 1)):
        (tmp_path / "a.mp3").write_bytes(tag + whole[:length])
        assert len(scan_audio([tmp_path]).files) == 1
        assert len(caplog.messages) == said


def test_rates_that_no_codec_can_take_are_rejected(tmp_path):
    """A header of 1 Hz made 24 GB of an ordinary file, and 7,999 Hz a filter of gigabytes."""
    for name, rate in (("one.wav", 1), ("odd.wav", 7999), ("low.wav", 8000), ("ntsc.wav", 44056), ("fast.wav", 192000)):
        soundfile.write(tmp_path / name, sound(), rate)
    scan = scan_audio([tmp_path], 32000)
    assert [file.path.name for file in scan.files] == ["fast.wav", "low.wav", "ntsc.wav"]
    assert "its header says 7,999 Hz, which cannot be converted to 32,000 Hz" in dict(scan.rejected)[tmp_path / "odd.wav"]
    assert len(scan_audio([tmp_path], 7999).files) == 1, "no conversion, no fault"


def test_links_are_followed_and_loops_end(tmp_path):
    write(tmp_path / "music" / "a.wav")
    write(tmp_path / "elsewhere" / "b.wav")
    os.symlink(tmp_path / "music", tmp_path / "music" / "self")
    os.symlink(tmp_path / "elsewhere", tmp_path / "music" / "more")
    assert [file.path.name for file in scan_audio([tmp_path / "music"]).files] == ["a.wav", "b.wav"]
