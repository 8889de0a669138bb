"""What a model makes of held-out songs, and what it is held against.

Letters: P clips, R rows, T frames, N audio samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.evaluation.clips import Clips
from snac_plugin.generation.snac_diffusion import SnacDiffusion

REAL, CODEC, GENERATED, FREE = "recordings", "recordings through the codec", "continuations", "made without context"
RANDOM, NOISE = "random codes, decoded", "white noise as loud"
DISTANCE_ROWS = {REAL: "recordings of other songs (floor)", RANDOM: f"{RANDOM} (ceiling)", NOISE: f"{NOISE} (ceiling)"}
"""What some kinds are called where distances to recordings are listed."""


@dataclass(frozen=True)
class Material:
    """Audio of all kinds, a clip each.

    Args:
        contexts: the recordings' beginnings [P, N], N possibly 0.
        codes: of the whole clips [P, R, T].
        kinds: by name what follows the contexts [P, N]; of what has no context, one clip a song.
    """

    contexts: Tensor
    codes: Tensor
    kinds: dict[str, Tensor]


def encode(codec: SnacPretransform, audio: Tensor, batch: int, progress: bool = True) -> Tensor:
    """Packed codes [P, R, T] on the CPU of clips [P, N]."""
    device = codec.space.means.device
    parts = tqdm(audio.split(batch), desc="encoding", unit="batch", disable=not progress)
    return torch.cat([codec.tokenize(part[:, None].to(device)).cpu() for part in parts])


def decode(codec: SnacPretransform, codes: Tensor, batch: int, seed: int) -> Tensor:
    """Audio [P, N] on the CPU of packed codes [P, R, T]; each clip's decoder noise has its own seed."""
    device, done = codec.space.means.device, []
    for start in range(0, len(codes), batch):
        part = codes[start : start + batch]
        seeds = [seed + start + i for i in range(len(part))]
        done.append(codec.decode_tokens(part.to(device), seed=seeds)[:, 0].float().cpu())
    return torch.cat(done)


def gather(
    model: SnacDiffusion,
    clips: Clips,
    *,
    context_chunks: int,
    seed: int,
    batch: int,
    sampling: Mapping[str, Any],
    conditioning: Mapping[str, Any],
    free: bool,
    progress: bool = True,
) -> Material:
    """Continue every clip after its context, and make the ceiling.

    Args:
        model: the model.
        clips: context and what follows it, whole chunks.
        context_chunks: how many of them are context.
        seed: of the first clip; then counting up.
        batch: clips generated at once.
        sampling: how audio is generated; see `SnacDiffusion.stream`.
        conditioning: metadata of all clips.
        free: also make one clip a song without context.
        progress: show bars.
    """
    codec, chunk = model.pretransform, model.model.network.config.chunk_frames
    past = context_chunks * chunk
    codes = encode(codec, clips.audio, batch, progress)
    new = codes.shape[-1] - past
    options = {**sampling, "chunks": new // chunk, "conditioning": conditioning, "progress": False}
    kinds = {REAL: clips.audio[:, past * codec.downsampling_ratio :]}
    kinds[CODEC] = decode(codec, codes, batch, seed)[:, past * codec.downsampling_ratio :]
    if past:
        kinds[GENERATED] = _generated(model, codes[..., :past], len(codes), seed, batch, options, "continuing", progress)
    if free or not past:
        kinds[FREE] = _generated(model, None, len(clips.files), seed, batch, options, "making without context", progress)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(codec.codebook_size, (len(clips.files), codes.shape[1], new), generator=generator)
    kinds[RANDOM] = decode(codec, drawn, batch, seed)
    kinds[NOISE] = torch.randn(kinds[REAL].shape, generator=generator) * kinds[REAL].square().mean(dim=-1, keepdim=True).sqrt()
    return Material(clips.audio[:, : past * codec.downsampling_ratio], codes, kinds)


def _generated(
    model: SnacDiffusion,
    past: Tensor | None,
    count: int,
    seed: int,
    batch: int,
    options: dict[str, Any],
    doing: str,
    progress: bool,
) -> Tensor:
    """New audio [P, N] after packed codes [P, R, T], or after nothing."""
    done = []
    for start in tqdm(range(0, count, batch), desc=doing, unit="batch", disable=not progress):
        size = min(batch, count - start)
        context = None if past is None else list(past[start : start + size])
        audio = model.generate(context=context, batch_size=size, seed=seed + start, **options)
        assert isinstance(audio, Tensor)
        done.append(audio[:, 0])
    return torch.cat(done)
