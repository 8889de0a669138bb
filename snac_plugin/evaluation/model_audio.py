"""Audio that a model makes of held-out songs: continuations, and new music without context.

Letters: P clips, R rows, T frames, N audio samples.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from snac_plugin.evaluation.clip_conditions import metadata_of
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
        CODEC: AudioSet(decode(codec, codes, options.batch, options.seed)[:, first:], clips.songs, codes=codes),
    }
    if context:
        past = codes[..., :context]
        audio, new = _generated(model, past, range(len(codes)), options)
        kinds[CONTINUED] = AudioSet(audio, clips.songs, codes=torch.cat([past, new], dim=-1))
    if options.free or not context:
        songs = np.arange(len(clips.files))
        first_of_each = np.unique(clips.songs, return_index=True)[1]  # a clip of each song, for what is said of it
        audio, new = _generated(model, None, first_of_each.tolist(), options)
        kinds[FREE] = AudioSet(audio, songs, paired=False, codes=new)
    return kinds | ceilings(codec, kinds[REAL], options.batch, options.seed)


def _generated(model: SnacDiffusion, past: Tensor | None, which: Sequence[int], options: Options) -> tuple[Tensor, Tensor]:
    """New audio [P, N] and its codes, of some clips: after packed codes [P, R, T], or without context, at the song's beginning."""
    chunk_frames, count = model.model.network.config.chunk_frames, len(which)
    if past is None:
        options = replace(options, places=())
    before = 0 if past is None else past.shape[-1] // chunk_frames
    metadata = metadata_of(model, options, which, before, options.chunks) if options.metadata else None
    audio, codes, doing = [], [], "making without context" if past is None else "continuing"
    for start in tqdm(range(0, count, options.batch), desc=doing, unit="batch", disable=not options.progress):
        size = min(options.batch, count - start)
        told = options.request.conditioning if metadata is None else metadata[start : start + size]
        made, new = model.generate(
            replace(options.request, conditioning=told),
            context=None if past is None else list(past[start : start + size]),
            batch_size=size,
            seed=options.seed + start,
            chunks=options.chunks,
            progress=False,
            return_codes=True,
        )
        audio.append(made[:, 0])
        codes.append(new.cpu())
    return torch.cat(audio), torch.cat(codes)
