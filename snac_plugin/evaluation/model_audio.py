"""Audio that a model makes of held-out songs: continuations, and new music without context.

Letters: P clips, R rows, T frames, N audio samples.
"""

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from snac_plugin.evaluation.clips import AudioSet, Clips, decode
from snac_plugin.evaluation.frechet_distance import REAL, ceilings
from snac_plugin.evaluation.options import Options
from snac_plugin.generation.snac_diffusion import SnacDiffusion

CODEC, CONTINUED, FREE = "recordings through the codec", "continuations", "made without context"


def audio_sets(model: SnacDiffusion, clips: Clips, codes: Tensor, options: Options) -> dict[str, AudioSet]:
    """What follows the contexts of clips and their codes [P, R, T]: recorded, coded, continued; new audio; and ceilings."""
    network, codec = model.model.network.config, model.pretransform
    context = network.context_chunks * network.chunk_frames
    first = context * codec.downsampling_ratio
    kinds = {
        REAL: AudioSet(clips.audio[:, first:], clips.songs),
        CODEC: AudioSet(decode(codec, codes, options.batch, options.seed)[:, first:], clips.songs),
    }
    if context:
        kinds[CONTINUED] = AudioSet(_generated(model, codes[..., :context], len(codes), options), clips.songs)
    if options.free or not context:
        songs = np.arange(len(clips.files))
        kinds[FREE] = AudioSet(_generated(model, None, len(songs), options), songs, paired=False)
    return kinds | ceilings(codec, kinds[REAL], options.batch, options.seed)


def _generated(model: SnacDiffusion, past: Tensor | None, count: int, options: Options) -> Tensor:
    """New audio [P, N] after packed codes [P, R, T], or without context."""
    audio, doing = [], "making without context" if past is None else "continuing"
    for start in tqdm(range(0, count, options.batch), desc=doing, unit="batch", disable=not options.progress):
        size = min(options.batch, count - start)
        made = model.generate(
            options.request,
            context=None if past is None else list(past[start : start + size]),
            batch_size=size,
            seed=options.seed + start,
            chunks=options.chunks,
            progress=False,
        )
        assert isinstance(made, Tensor)
        audio.append(made[:, 0])
    return torch.cat(audio)
