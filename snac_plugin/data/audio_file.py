"""A file of audio: whether it can be read, its header, its samples in blocks. Imports no torch.

Says why a file cannot be read.
"""

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from snac_plugin.config.dataset_config import AUDIO_ENDINGS
from snac_plugin.errors import AudioError

OTHER_AUDIO_ENDINGS = (
    ".3gp", ".aac", ".ac3", ".aifc", ".aiff", ".amr", ".ape", ".au", ".caf", ".m4a", ".m4b", ".mka", ".mp2", ".mp4", ".oga",
    ".ra", ".spx", ".tta", ".w64", ".webm", ".wma", ".wv",
)  # fmt: skip
"""Audio that stable-audio-tools passes over in a folder."""


class UnreadableAudio(AudioError):
    """A file that cannot be read as audio; `reason` fits behind the path and a colon."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path, self.reason = path, reason
        found = (
            "a folder"
            if os.path.isdir(path)
            else f"a file that cannot be read: {reason}"
            if os.path.exists(path)
            else "no such file"
        )
        super().__init__(str(path), found, f"an audio file with sound in it: {', '.join(AUDIO_ENDINGS)}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.reason)


LOWEST_RATE = 1000
"""Hz; a header that says less is wrong, and the audio converted to a codec's rate would fill the memory."""

LARGEST_FILTER = 2**25
"""Weights of the filter that converts a rate: Resample makes it in memory, and two rates without a common factor need billions."""

BLOCK = 2**16
"""Samples of each channel that are in memory where a file is read or written in blocks."""

NOT_FINITE = "holds NaN or infinite samples"

SILENCE, SILENT = 1e-3, "silent: nothing above -60 dB"
"""The level under which stable-audio-tools draws another sample, and what is said of a file that has nothing above it."""

MOST_IN_A_BYTE, MOST_IN_A_BYTE_OF_MP3 = 100_000, 1_000
"""Samples: a FLAC file of silence has 65,535 in 14 bytes, an MP3 file at most 1,152 in 24."""

UNKNOWN_BYTES = 0x7FFFF000
"""Where a program wrote audio into a pipe, the header of the wav file says as much or more: no length at all."""


def read_header(path: str | Path, convert_to: int | None = None) -> tuple[float, str]:
    """Length of a file in seconds, as its header says, and what is wrong with a file that was cut off but can be read, or "".

    A FLAC file that was cut off cannot be read to its end. Raises as `read_audio`, but for what only its samples say.
    """
    with opened(path, convert_to) as file:
        if file.format != "MP3":  # an MP3 file is read as far as it goes, and seeking in it is slow
            file.seek(file.frames - 1)
        by_format = {"MP3": _mp3_lacks, "OGG": _ogg_lacks}
        lacking = by_format[file.format](path) if file.format in by_format else _lacks(file.extra_info)
        return float(file.frames / file.samplerate), f"cut off: {lacking}; what is there is used" if lacking else ""


class AudioHeader(NamedTuple):
    """What a file holds."""

    rate: int  # samples a second
    channels: int
    samples: int
    subtype: str  # libsndfile's name for how a sample is stored: PCM_16, PCM_24, FLOAT, VORBIS, ...

    @property
    def seconds(self) -> float:
        return self.samples / self.rate


def audio_header(path: str | Path, convert_to: int | None = None, counted: bool = True) -> AudioHeader:
    """What the header of a file says; of an MP3 file, which may be wrong, samples are `counted`. Raises as `read_header`."""
    with opened(path, convert_to) as file:
        samples = file.frames
        if counted and file.format == "MP3":
            samples = sum(len(file.read(BLOCK, dtype="float32")) for _ in range(-(-samples // BLOCK)))
        return AudioHeader(file.samplerate, file.channels, samples, file.subtype)


def blocks(path: str | Path, start: int = 0, stop: int | None = None, dtype: str = "float32") -> Iterator[np.ndarray]:
    """Samples [start, stop) of a file [N, channels], up to `BLOCK` at a time: the same as if all of it were read.

    Raises:
        UnreadableAudio: as `read_audio`; or it ends before `stop`.
    """
    with opened(path, None) as file:
        if file.format == "MP3":  # what it holds behind a place that was sought is not always the same
            for left in range(start, 0, -BLOCK):
                file.read(min(left, BLOCK), dtype=dtype)
        elif start:
            file.seek(start)
        stop = file.frames if stop is None else stop
        while start < stop:
            block = file.read(min(stop - start, BLOCK), dtype=dtype, always_2d=True)
            if not len(block):
                raise UnreadableAudio(Path(path), f"ends after {start:,} samples; {stop:,} are needed")
            if not np.isfinite(block).all():
                raise UnreadableAudio(Path(path), NOT_FINITE)
            yield block
            start += len(block)


def _lacks(parsed: str) -> str:
    """What a file lacks, from libsndfile's account of how it read the header; or nothing."""
    if found := re.search(r"^ ?(?:data|SSND) : (\d+) \(should be (\d+)\)", parsed, re.MULTILINE):
        said, there = int(found[1]), int(found[2])
        if there + 1 < said < UNKNOWN_BYTES:  # a last byte that only fills a pair is often left out
            return f"{there:,} bytes of samples in place of {said:,}"
    if found := re.search(r"count (\d+) does not match", parsed):
        return f"{int(found[1]):,} samples, fewer than its header says"
    return ""


def _ogg_lacks(path: str | Path) -> str:
    """Whether the last page of an Ogg file, of at most 64 KiB, is not marked as its end."""
    with open(path, "rb") as file:
        file.seek(-min(2**17, os.fstat(file.fileno()).st_size), os.SEEK_END)
        end = file.read()
    flags = end[end.rfind(b"OggS") + 5 :][:1]
    return "" if flags and flags[0] & 4 else "its last page is not marked as the end"


def _mp3_lacks(path: str | Path) -> str:
    """What an MP3 file lacks of the bytes that the Xing or Info header in its first frame counts; or nothing."""
    with open(path, "rb") as file:
        start = file.read(10)
        tag = 0
        if start[:3] == b"ID3":  # a tag in front of the audio: its length in four times seven bits
            tag = 10 + sum(byte << 7 * (3 - place) for place, byte in enumerate(start[6:10]))
        file.seek(tag)
        frame = file.read(256)
        header = re.search(rb"(?:Xing|Info)\0\0\0(.)(.{8})", frame, re.DOTALL)
        if header is None or header[1][0] & 3 != 3:
            return ""
        said, there = int.from_bytes(header[2][4:], "big"), os.fstat(file.fileno()).st_size - tag
    return f"{there:,} bytes of {said:,}" if there < 0.99 * said else ""


def _rate_fault(rate: int, target: int) -> str:
    """Why audio of a rate cannot be converted to another, or nothing."""
    common = math.gcd(rate, target)
    if rate == target or (rate >= LOWEST_RATE and rate // common * (target // common) <= LARGEST_FILTER):
        return ""
    return f"its header says {rate:,} Hz, which cannot be converted to {target:,} Hz; convert it to a usual rate, as 44,100 Hz"


@contextmanager
def opened(path: str | Path, convert_to: int | None) -> Iterator[soundfile.SoundFile]:
    """An open file with samples of a rate that can be converted; what goes wrong while it is open becomes an UnreadableAudio."""
    path = Path(path)
    try:
        if path.stat().st_size == 0:
            raise UnreadableAudio(path, "empty: 0 bytes")
        with soundfile.SoundFile(str(path) if os.name == "nt" else os.fsencode(path)) as file:  # not every name is UTF-8
            if file.frames == 0:
                raise UnreadableAudio(path, "holds no samples")
            most = path.stat().st_size * (MOST_IN_A_BYTE_OF_MP3 if file.format == "MP3" else MOST_IN_A_BYTE)
            if file.frames > max(most, BLOCK):
                raise UnreadableAudio(path, f"its header says {file.frames:,} samples, more than its bytes can hold")
            if convert_to is not None and (fault := _rate_fault(file.samplerate, convert_to)):
                raise UnreadableAudio(path, fault)
            yield file
    except soundfile.LibsndfileError as error:
        what = str(error).rpartition(": ")[2].strip(" .") or type(error).__name__  # without the path
        raise UnreadableAudio(path, f"no audio that can be decoded ({what})") from None
    except OSError as error:
        raise UnreadableAudio(path, f"cannot be opened ({error.strerror or error})") from None
