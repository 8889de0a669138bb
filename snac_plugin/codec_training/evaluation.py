"""How good a codec is: log-mel distance and how its codes are used, on recordings it has not seen.

Letters: B batch, N audio samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from snac import SNAC

from snac_plugin.codec_training.codebooks import perplexity
from snac_plugin.codec_training.losses import log_mel_distance
from snac_plugin.codec_training.recordings import Recordings


@dataclass(frozen=True)
class CodecReport:
    """Measured on held-out recordings.

    Args:
        log_mel_db: mean absolute difference of 80-band log-mel spectrograms in decibels.
        codes: distinct codes used, one number a level.
        perplexity: exp of the entropy of the codes, one number a level; at most the number of codes counted.
        counted: codes counted, one number a level.
    """

    log_mel_db: float
    codes: tuple[int, ...]
    perplexity: tuple[float, ...]
    counted: tuple[int, ...]


@torch.no_grad()
def evaluate(model: SNAC, recordings: Recordings, seconds: float = 60.0, seed: int = 0) -> CodecReport:
    """Round-trip pieces spread evenly over recordings.

    Args:
        model: the codec.
        recordings: what to measure on, at the codec's sample rate.
        seconds: audio to measure in all, in pieces of about 3 seconds.
        seed: of the decoder's noise.
    """
    was_training = model.training
    model.eval()
    piece = model.preprocess(torch.zeros(1, 1, 3 * recordings.sample_rate)).shape[-1]
    places = [(track, start) for track in recordings.tracks for start in range(0, len(track) - piece + 1, piece)]
    wanted = max(1, round(seconds * recordings.sample_rate / piece))
    chosen = places[:: max(1, len(places) // wanted)][:wanted]
    counts = torch.zeros(model.n_codebooks, model.codebook_size)
    distance = 0.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for track, start in chosen:
            audio = torch.from_numpy(track[start : start + piece]).float()[None, None] / 32767
            made, codes = model(audio)
            distance += log_mel_distance(audio, made, recordings.sample_rate)
            for level, level_codes in enumerate(codes):
                counts[level] += torch.bincount(level_codes.flatten(), minlength=model.codebook_size)
    model.train(was_training)
    return CodecReport(
        log_mel_db=distance / len(chosen),
        codes=tuple(int(n) for n in (counts > 0).sum(1)),
        perplexity=tuple(float(p) for p in perplexity(counts)),
        counted=tuple(int(n) for n in counts.sum(1)),
    )
