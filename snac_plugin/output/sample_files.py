"""A sample on disk: its wav, which grows while it is generated, its picture, and everything that made it as JSON."""

import contextlib
import itertools
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import soundfile
import torch
from torch import Tensor

from snac_plugin.errors import UnwritableFile
from snac_plugin.files import make_folder, write_whole, writing
from snac_plugin.levels import Levels
from snac_plugin.output.pictures import save_picture

PICTURE_SECONDS = 120
LARGEST_WAV = 2**32 - 2**20  # a plain wav counts its bytes in 32 bits; above that a reader sees nonsense
HEADER = 128  # bytes of a wav file in which libsndfile puts its chunks


class SampleFiles(NamedTuple):
    wav: Path
    picture: Path
    json: Path


class SampleWriter:
    """Writes NAME.wav as 32-bit floats into a hidden file until `finish` gives it its name and adds NAME.png and NAME.json.

    A program that is stopped leaves what was written so far. The same sample gives the same bytes. `samples` is the expected
    length, if known: above 4 GiB the wav is written as RF64. Raises UsageError if the folder cannot be made.
    """

    def __init__(self, folder: str | Path, name: str, sample_rate: int, channels: int = 1, samples: int = 0) -> None:
        self.folder, self.name, self.sample_rate, self.samples = Path(folder), name, sample_rate, 0
        make_folder("folder", folder)
        self.part, self._lost = self.folder / f".{name}.{os.getpid()}.part", False
        kind = "RF64" if 4 * channels * samples > LARGEST_WAV else "WAV"
        with self._writing():
            self._file = soundfile.SoundFile(self.part, "w", sample_rate, channels, subtype="FLOAT", format=kind)

    def write(self, audio: Tensor) -> None:
        """Append audio [C, N]. UnwritableFile: the disk is full, say; nothing is appended any more then."""
        if audio.shape[-1] and not self._lost:
            with self._writing():
                self._file.write(audio.detach().float().cpu().T.contiguous().numpy())
                self._file.flush()
            self.samples += audio.shape[-1]

    def finish(
        self,
        settings: Mapping[str, Any],
        *,
        codes: Tensor | None = None,
        levels: Levels | None = None,
        title: str | None = None,
        shown_from: int = 0,
    ) -> SampleFiles:
        """Give the wav its name, and put picture and settings beside it.

        A sample of that name with the same settings is replaced. One with other settings is kept: this one becomes NAME_2.

        Args:
            codes: packed codes [R, T], for the picture; they need `levels`.
            shown_from: first sample in the picture, which shows no more than `PICTURE_SECONDS`.
        """
        text = json.dumps(dict(settings), indent=2, ensure_ascii=False, default=str) + "\n"
        files = self._free_names(text)
        with self._writing():
            self._close()
            _drop_time_of_writing(self.part)
            self.part.replace(files.wav)
        shown, rate = soundfile.read(files.wav, PICTURE_SECONDS * self.sample_rate, shown_from, dtype="float32", always_2d=True)
        mono = torch.from_numpy(shown).mean(dim=1)
        save_picture(files.picture, mono, rate, codes, levels, files.wav.stem if title is None else title)
        write_whole(files.json, lambda part: part.write_text(text, encoding="utf-8"))
        return files

    def discard(self) -> None:
        """Close the wav and take it away, if it has no name yet."""
        self._close()
        self.part.unlink(missing_ok=True)

    def _close(self) -> None:
        """A file that cannot grow any more is closed all the same: its header has counted what it holds."""
        with contextlib.suppress(*((soundfile.LibsndfileError,) if self._lost else ())):
            self._file.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with writing(self.folder / f"{self.name}.wav", soundfile.LibsndfileError):
                yield
        except UnwritableFile:
            self._lost = True
            raise

    def _free_names(self, text: str) -> SampleFiles:
        """The first of NAME, NAME_2, ... that is free, or taken by a sample with these very settings."""
        for count in itertools.count(1):
            stem = self.name if count == 1 else f"{self.name}_{count}"
            files = SampleFiles(*(self.folder / f"{stem}.{ending}" for ending in ("wav", "png", "json")))
            same = files.json.exists() and files.json.read_bytes() == text.encode()
            if same or not (files.json.exists() or files.wav.exists()):
                break
        return files


def write_sample(
    folder: str | Path, name: str, audio: Tensor, sample_rate: int, *, settings: Mapping[str, Any], **shown: Any
) -> SampleFiles:
    """Write mono audio [1, N] or [N] in [-1, 1] as a sample; arguments as of `SampleWriter` and `SampleWriter.finish`."""
    writer = SampleWriter(folder, name, sample_rate)
    try:
        writer.write(audio.reshape(1, -1))
        return writer.finish(settings, **shown)
    finally:
        writer.discard()


def _drop_time_of_writing(path: Path) -> None:
    """libsndfile notes the clock in a float file's PEAK chunk (id, size, version, time), so no two runs would be equal."""
    with path.open("r+b") as file:
        start = file.read(HEADER).find(b"PEAK")
        if start >= 0:
            file.seek(start + 12)
            file.write(bytes(4))
