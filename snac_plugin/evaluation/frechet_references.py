"""What Frechet distances are read against: the floor (other recordings) and the ceilings (random codes and white noise).

Letters: P clips, N audio samples.
"""

from __future__ import annotations

import numpy as np
import torch

from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.evaluation.clips import AudioSet, decode

REAL, RANDOM, NOISE = "recordings", "random codes, decoded", "white noise as loud"
ROW_NAMES = {REAL: "recordings of other songs (floor)", RANDOM: f"{RANDOM} (ceiling)", NOISE: f"{NOISE} (ceiling)"}
"""Names of some kinds of audio in tables of distances to recordings."""


def ceilings(codec: SnacPretransform, recordings: AudioSet, batch: int, seed: int) -> dict[str, AudioSet]:
    """Random codes, decoded, a clip for each song; and white noise as loud as each clip of the recordings."""
    generator = torch.Generator().manual_seed(seed)
    frames, songs = recordings.audio.shape[-1] // codec.downsampling_ratio, np.unique(recordings.songs)
    codes = torch.randint(codec.codebook_size, (len(songs), codec.levels.rows, frames), generator=generator)
    noise = torch.randn(recordings.audio.shape, generator=generator)
    loudness = recordings.audio.square().mean(dim=-1, keepdim=True).sqrt()
    return {
        RANDOM: AudioSet(decode(codec, codes, batch, seed), songs, paired=False),
        NOISE: AudioSet(noise * loudness, recordings.songs),
    }
