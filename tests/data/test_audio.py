"""Audio files read whole or as mono at one rate; what cannot be read is named with the reason."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from snac_plugin.data.audio import UnreadableAudio, read_audio, read_mono, read_mono_ahead, read_part
from snac_plugin.data.audio_file import BLOCK, audio_header, blocks
from snac_plugin.errors import AudioError


def test_recordings_are_read_or_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((100, 2), np.float32), 44100)
    rate, audio = read_audio(tmp_path / "a.wav")
    assert (rate, audio.shape) == (44100, (2, 100))
    (tmp_path / "b.wav").write_bytes(b"no audio")
    with pytest.raises(AudioError, match=r"b\.wav: found a file that cannot be read: .*Format not recognised"):
        read_audio(tmp_path / "b.wav")
    with pytest.raises(AudioError, match=r"c\.wav: found no such file"):
        read_audio(tmp_path / "c.wav")
    with pytest.raises(AudioError, match="found a folder"):
        read_audio(tmp_path)


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "ogg"])
def test_samples_are_those_of_soundfile(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, (30_000, 2)), 32_000, format=kind.upper())
    expected, rate = soundfile.read(path, dtype="float32", always_2d=True)
    found_rate, audio = read_audio(path)
    assert found_rate == rate
    assert audio.dtype == torch.float32
    np.testing.assert_array_equal(audio.numpy(), expected.T)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_an_error(tmp_path: Path, value: float) -> None:
    """Infinite ones were clamped to 1 and went on as a click."""
    samples = np.zeros(1000)
    samples[500] = value
    soundfile.write(tmp_path / "a.wav", samples, 8000, subtype="FLOAT")
    for read in (read_audio, lambda path: read_mono(path, 8000)):
        with pytest.raises(UnreadableAudio, match="holds NaN or infinite samples"):
            read(tmp_path / "a.wav")


def test_a_header_of_more_samples_than_memory_holds_is_an_error(tmp_path: Path) -> None:
    """A FLAC file's, which ended in numpy's traceback: 2 ** 36 - 1 samples of eight channels."""
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, (50_000, 8)), 32000, "PCM_16")
    content = bytearray(path.read_bytes())
    content[21] |= 0x0F  # of the 64 bits from byte 18 on, the last 36 are the number of samples
    content[22:26] = b"\xff" * 4
    path.write_bytes(content)
    with pytest.raises(UnreadableAudio, match=r"a file that cannot be read: its header says 68,719,476,735 samples"):
        read_audio(path)


def test_a_header_of_more_samples_than_there_can_be_is_an_error(tmp_path: Path) -> None:
    """NumPy was asked for terabytes, and its error went through to the user."""
    soundfile.write(tmp_path / "a.mp3", np.random.default_rng(0).uniform(-0.5, 0.5, 32000), 32000, format="MP3")
    content = bytearray((tmp_path / "a.mp3").read_bytes())
    header = max(content.find(b"Xing"), content.find(b"Info"))
    content[header + 8 : header + 12] = b"\xff\xff\xff\x00"  # how many frames of 1,152 samples
    (tmp_path / "b.mp3").write_bytes(content)
    assert read_audio(tmp_path / "a.mp3")[1].shape[-1] >= 32000
    for read in (read_audio, audio_header, lambda path: read_part(path, 0, 10)):
        with pytest.raises(UnreadableAudio, match=r"its header says [\d,]+ samples, more than its bytes can hold"):
            read(tmp_path / "b.mp3")
    soundfile.write(tmp_path / "silent.flac", np.zeros(3_200_000), 32000)
    assert read_audio(tmp_path / "silent.flac")[1].shape == (1, 3_200_000), "few bytes may hold much silence"


def test_channels_are_averaged_and_the_rate_converted(tmp_path: Path) -> None:
    time = np.arange(44_100) / 44_100
    left = 0.5 * np.sin(2 * np.pi * 441 * time)
    soundfile.write(tmp_path / "a.wav", np.stack([left, np.zeros_like(left)], axis=1), 44_100, subtype="FLOAT")
    mono = read_mono(tmp_path / "a.wav", 32_000)
    expected = 0.25 * torch.sin(2 * torch.pi * 441 * torch.arange(32_000) / 32_000)
    assert mono.shape == (1, 32_000)
    torch.testing.assert_close(mono[0, 500:-500], expected[500:-500], atol=2e-3, rtol=0)


@pytest.mark.parametrize("workers", [0, 2])
def test_files_read_ahead_keep_their_order_and_faults(tmp_path: Path, workers: int) -> None:
    paths = [tmp_path / f"{index}.wav" for index in range(6)]
    for index, path in enumerate(paths):
        soundfile.write(path, np.full(100 + index, 0.1), 8000)
    paths[3].write_bytes(b"")
    found = list(read_mono_ahead(paths, 8000, workers))
    assert isinstance(found[3], UnreadableAudio)
    assert found[3].reason == "empty: 0 bytes"
    assert [audio.shape for audio in found if not isinstance(audio, UnreadableAudio)] == [(1, 100 + i) for i in (0, 1, 2, 4, 5)]


def test_the_error_reaches_another_process_whole(tmp_path: Path) -> None:
    error = UnreadableAudio(tmp_path, "holds no samples")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.reason) == (str(error), error.reason)


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "ogg"])
def test_a_part_is_what_the_whole_holds_there(tmp_path: Path, kind: str) -> None:
    """Bit for bit, wherever it begins, also across blocks; MP3 decoders give something else behind a place that was sought."""
    path = tmp_path / f"a.{kind}"
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (200_000, 2)).cumsum(axis=0) % 1 - 0.5
    soundfile.write(path, samples, 44_100, format=kind.upper())
    whole = read_audio(path)[1]
    header = audio_header(path)
    assert (header.rate, header.channels, header.samples) == (44_100, 2, whole.shape[-1])
    for start, stop in ((0, 10), (99, 70_001), (BLOCK - 1, 3 * BLOCK), (whole.shape[-1] - 30_000, whole.shape[-1]), (5, 5 + BLOCK)):
        assert torch.equal(read_part(path, start, stop), whole[:, start:stop])
    assert [len(block) for block in blocks(path, 10, 10 + 2 * BLOCK)] == [BLOCK, BLOCK]


def test_a_part_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(1000), 8000)
    with pytest.raises(UnreadableAudio, match="ends after 1,000 samples; 1,001 are needed"):
        read_part(tmp_path / "a.wav", 900, 1001)
    samples = np.zeros(1000)
    samples[500] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, 8000, subtype="FLOAT")
    assert read_part(tmp_path / "a.wav", 501, 1000).shape == (1, 499)
    with pytest.raises(UnreadableAudio, match="holds NaN"):
        read_part(tmp_path / "a.wav", 400, 501)
