"""A wav that grows on disk while it is generated: a program that is stopped leaves what was written so far."""

from __future__ import annotations

import os
from pathlib import Path

import soundfile
from torch import Tensor

from snac_plugin.errors import UsageError

# A plain wav counts its bytes in 32 bits; past that a reader sees nonsense.
LARGEST_WAV = 2**32 - 2**20
HEADER = 128  # bytes of a wav file in which libsndfile puts its chunks


class GrowingWav:
    """A wav of 32-bit floats in a hidden file, until `move_to` gives it its name.

    Args:
        folder: where it will lie; made if need be.
        name: of the hidden file.
        sample_rate: samples per second.
        channels: of the audio.
        samples: how many it will hold, if known: above 4 GiB it is written as RF64.
    """

    def __init__(self, folder: Path, name: str, sample_rate: int, channels: int, samples: int = 0) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise UsageError(str(folder), "a file where a folder must be", "a folder, or a name that is not taken") from error
        except OSError as error:
            raise UsageError(str(folder), f"no way to make it ({error.strerror})", "a folder that can be written to") from error
        self.part = folder / f".{name}.{os.getpid()}.part"
        self.folder, self.sample_rate, self.samples = folder, sample_rate, 0
        kind = "RF64" if 4 * channels * samples > LARGEST_WAV else "WAV"
        self._file = soundfile.SoundFile(self.part, "w", sample_rate, channels, subtype="FLOAT", format=kind)

    def write(self, audio: Tensor) -> None:
        """Append audio [C, N]."""
        if audio.shape[-1]:
            self._file.write(audio.detach().float().cpu().T.contiguous().numpy())
            self._file.flush()
            self.samples += audio.shape[-1]

    def move_to(self, path: Path) -> Path:
        """Close it and give it its name, replacing what had it."""
        self._file.close()
        _drop_time_of_writing(self.part)
        self.part.replace(path)
        return path

    def discard(self) -> None:
        """Close it and take it away, if it has no name yet."""
        self._file.close()
        self.part.unlink(missing_ok=True)


def _drop_time_of_writing(path: Path) -> None:
    """libsndfile notes the clock in a float file's PEAK chunk (id, size, version, time), so no two runs would be equal."""
    with path.open("r+b") as file:
        start = file.read(HEADER).find(b"PEAK")
        if start >= 0:
            file.seek(start + 12)
            file.write(bytes(4))
