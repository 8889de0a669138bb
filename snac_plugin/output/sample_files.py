"""A sample on disk: its wav, which grows while it is generated, its picture, and everything that made it as JSON."""

import contextlib
import itertools
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import torch
from torch import Tensor

from snac_plugin.data.audio_file import BLOCK
from snac_plugin.errors import UnwritableFile, UsageError
from snac_plugin.files import make_folder, read_json_object, write_whole, writing
from snac_plugin.levels import Levels
from snac_plugin.output.formats import BYTES, FLOAT_WAV, Format
from snac_plugin.output.pictures import DrawnCodes, save_picture

log = logging.getLogger(__name__)
LENGTHS = ("seconds", "new_seconds", "chunks")  # what the settings say of the audio that was made
PICTURE_SECONDS = 120
LARGEST_WAV = 2**32 - 2**20  # a plain wav counts its bytes in 32 bits; above that a reader sees nonsense
MOST_IN_FLAC = 8  # channels
HEADER = 128  # bytes of a wav file in which libsndfile puts its chunks


class SampleFiles(NamedTuple):
    wav: Path  # or flac, or ogg
    picture: Path
    json: Path


class SampleWriter:
    """Writes NAME.wav, or in another format, as NAME.wav.part until `finish` gives it its name and adds NAME.png and NAME.json.

    A program that is stopped leaves what was written so far. The same sample gives the same bytes. `samples` is the expected
    length, if known: above 4 GiB the wav is written as RF64. Raises UsageError if the folder cannot be made, or the format does
    not take such audio.
    """

    def __init__(
        self, folder: str | Path, name: str, sample_rate: int, channels: int = 1, samples: int = 0, form: Format = FLOAT_WAV
    ) -> None:
        self.form, self.clipped = form, 0
        self.folder, self.name, self.sample_rate, self.samples = Path(folder), name, sample_rate, 0
        make_folder("folder", folder)
        if form.ending == "flac" and channels > MOST_IN_FLAC:
            raise UsageError("format", f"flac for {channels} channels", f"wav or ogg: flac has at most {MOST_IN_FLAC}")
        self._lost = False
        long = form.ending == "wav" and BYTES[form.subtype] * channels * samples > LARGEST_WAV
        kind = "RF64" if long else form.ending.upper()
        with self._writing():
            self.part = self._free_part()
            self._file = soundfile.SoundFile(self.part, "w", sample_rate, channels, subtype=form.subtype, format=kind)

    def write(self, audio: Tensor) -> None:
        """Append audio [C, N]. UnwritableFile: the disk is full, say; nothing is appended any more then."""
        self.write_samples(audio.detach().float().cpu().T.contiguous().numpy())

    def write_samples(self, samples: np.ndarray) -> None:
        """Append samples [N, C], floats or whole numbers of 32 bits; raises as `write`."""
        if self._lost:
            return
        with self._writing():
            for start in range(0, len(samples), BLOCK):  # libsndfile crashes on much Vorbis at once
                block = samples[start : start + BLOCK]
                self.clipped += int((abs(block) > 1).sum()) if self.form.clips and block.dtype.kind == "f" else 0
                self._file.write(self.form.encoded(block))
            self._file.flush()
        self.samples += len(samples)

    def finish(
        self,
        settings: Mapping[str, Any],
        *,
        codes: Tensor | DrawnCodes | None = None,
        levels: Levels | None = None,
        title: str | None = None,
        shown_from: int = 0,
        new: Sequence[tuple[int, int]] = (),
    ) -> SampleFiles:
        """Give the wav its name, and put picture and settings beside it.

        A sample of that name with the same settings is replaced. One with other settings is kept: this one becomes NAME_2.

        Args:
            codes: packed codes [R, T] from the first sample on, or with their places, for the picture; they need `levels`.
            shown_from: first sample in the picture, which shows no more than `PICTURE_SECONDS`.
            new: samples [start, stop) that are marked there as new, where there is a recording beside them.
        """
        text = json.dumps(dict(settings), indent=2, ensure_ascii=False, default=str) + "\n"
        files = self._free_names(text)
        with self._writing():
            self._close()
            if self.form.ending == "wav":
                _drop_time_of_writing(self.part)
            self.part.replace(files.wav)
        if self.clipped:
            log.warning("%s: %d samples beyond full scale were cut to it.", files.wav, self.clipped)
        shown, rate = soundfile.read(files.wav, PICTURE_SECONDS * self.sample_rate, shown_from, dtype="float32", always_2d=True)
        mono = torch.from_numpy(shown).mean(dim=1)
        marks = [(start / rate, stop / rate) for start, stop in new]
        title = files.wav.stem if title is None else title
        save_picture(files.picture, mono, rate, codes, levels, title, marks, shown_from / rate)
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
            with writing(self.folder / f"{self.name}.{self.form.ending}", soundfile.LibsndfileError):
                yield
        except UnwritableFile:
            self._lost = True
            raise

    def _free_part(self) -> Path:
        """An empty file that no other program writes; its name says what it becomes, and that it is not whole."""
        for count in itertools.count(1):
            part = self.folder / f"{self.name}.{self.form.ending}{'' if count == 1 else f'.{count}'}.part"
            with contextlib.suppress(FileExistsError):
                part.touch(exist_ok=False)
                break
        return part

    def _free_names(self, text: str) -> SampleFiles:
        """The first of NAME, NAME_2, ... that is free, or taken by a sample with these settings; 3 is 3.0."""
        asked = json.loads(text)
        for files in _names(self.folder, self.name, self.form.ending):
            if read_json_object(files.json) == asked or not (files.json.exists() or files.wav.exists()):
                break
        return files


def _names(folder: Path, name: str, ending: str) -> Iterator[SampleFiles]:
    """NAME, NAME_2, ..."""
    for count in itertools.count(1):
        stem = name if count == 1 else f"{name}_{count}"
        yield SampleFiles(*(folder / f"{stem}.{end}" for end in (ending, "png", "json")))


def finished(folder: str | Path, name: str, ending: str, settings: Mapping[str, Any]) -> tuple[SampleFiles, dict[str, Any]] | None:
    """The files of a sample with these settings, and all its settings, its lengths among them; None where there is none."""
    asked = json.loads(json.dumps(dict(settings), default=str))
    for files in _names(Path(folder), name, ending):
        found = read_json_object(files.json)
        if found is None:
            return None
        if {key: value for key, value in found.items() if key not in LENGTHS} == asked and files.wav.exists():
            return files, found
    return None


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
