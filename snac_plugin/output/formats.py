"""Audio files as they are written: wav, flac or ogg, at the bit depth of the recording in them. Letters: N samples, C channels."""

from typing import NamedTuple

import numpy as np

BITS = {"PCM_U8": 8, "PCM_S8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
"""Bits of whole numbers, by libsndfile's name for them."""
BYTES = {name: bits // 8 for name, bits in BITS.items()} | {"FLOAT": 4, "DOUBLE": 8, "VORBIS": 0}
# How a wav and a flac hold a recording's samples without the loss of a bit, by how the recording holds them. Samples that it holds
# in another way become floats in a wav, and 24 bits in a flac.
IN_WAV = {"PCM_S8": "PCM_U8"} | {name: name for name in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")}
IN_FLAC = {"PCM_U8": "PCM_S8", "PCM_S8": "PCM_S8", "PCM_16": "PCM_16"}


class Format(NamedTuple):
    """How samples are written."""

    ending: str = "wav"
    subtype: str = "FLOAT"  # libsndfile's name for a sample

    @classmethod
    def of(cls, ending: str | None, recorded: str = "") -> "Format":
        """The format that is asked for; of none a wav of floats.

        Args:
            recorded: how the samples of the recording are held that the file begins with or changes.
        """
        if ending is None:
            return cls()
        by_ending = {"wav": IN_WAV.get(recorded, "FLOAT"), "flac": IN_FLAC.get(recorded, "PCM_24"), "ogg": "VORBIS"}
        return cls(ending, by_ending[ending])

    def changes(self, recorded: str) -> str:
        """Why samples of a recording cannot be held as they are, or nothing."""
        if self.subtype == "VORBIS":
            return "ogg is lossy: the recording's own samples change a little, too"
        if self.ending == "flac" and recorded in ("FLOAT", "DOUBLE", "PCM_32"):
            return "flac holds 24 bits: the recording's own samples, of 32 or more, lose the rest"
        if self.subtype == "FLOAT" and recorded in ("PCM_32", "DOUBLE"):
            return "floats hold 24 bits: the recording's own samples lose the rest; --format wav keeps them all"
        return ""

    @property
    def clips(self) -> bool:
        """Whether samples are whole numbers, of which none is beyond full scale."""
        return self.subtype in BITS

    @property
    def read_as(self) -> str:
        """The type of samples that pass from whole numbers to such without a change."""
        return {"DOUBLE": "float64", "FLOAT": "float32", "VORBIS": "float32"}.get(self.subtype, "int32")

    def encoded(self, samples: np.ndarray) -> np.ndarray:
        """Samples [N, C], floats or whole numbers of 32 bits, as libsndfile must get them to change none."""
        bits = BITS.get(self.subtype)
        if bits is None or samples.dtype == np.int32:
            return samples
        steps = 2 ** (bits - 1)  # libsndfile would multiply by one less, and bits of 16-bit samples would change
        whole = np.clip(np.rint(samples.astype(np.float64) * steps), -steps, steps - 1).astype(np.int32)
        return whole << (32 - bits)


FLOAT_WAV = Format()
