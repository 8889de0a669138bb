"""The losses of all stages of a training window.
Letters: B batch, R rows, T frames, C chunks, L levels, N codes of a level, K codes of a codebook.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from einops import rearrange, repeat
from torch import Tensor
from torch.nn.functional import cross_entropy

from snac_plugin.config import NetworkConfig
from snac_plugin.diffusion.noise_levels import noise_levels_at, stratified
from snac_plugin.generation.context import Context
from snac_plugin.levels import Levels, chunk_sizes, pick_frames
from snac_plugin.model.conditions import Conditions
from snac_plugin.model.diffusion_model import SnacDiffusionModel
from snac_plugin.model.training_pass import KnownFrames, all_stages, unknown_frames


@dataclass(frozen=True)
class Draw:
    """The random part of a training step."""

    t: Tensor  # noise level of each chunk and level [B, C, L]
    noise: Tensor  # packed [B, R * 8, T]
    clean_codes: Tensor  # packed codes of the clean tokens [B, R, T], some replaced
    context_chunks: int  # how many earlier chunks are visible
    known: KnownFrames = ()  # frames that are shown in every sample, and not trained
    spans: tuple[int, ...] = ()  # how many codes of each level are masked together; one each by default
    perturbation: Tensor | None = None  # packed [B, R * 8, T], in the network's input alone, added to the noise


@dataclass(frozen=True)
class Share:
    """The part that one process has of a batch over all processes: samples of rank 0 first, as the data loader deals them out."""

    rank: int = 0
    ranks: int = 1

    def of(self, drawn: Tensor) -> Tensor:
        """Of what was drawn for the whole batch [B * ranks, ...], the samples of this process [B, ...]."""
        return drawn.chunk(self.ranks)[self.rank]

    def weighed(self, found: "CodeLosses") -> Tensor:
        """Mean losses of this process's frames by level, so weighed that their mean over processes is that over all frames."""
        means = found.by_level()
        if self.ranks == 1:
            return means
        frames = found.losses[0].numel() // found.per_frame[0]
        here = means.new_tensor(frames) if found.counted is None else found.counted.sum().to(means)
        everywhere = here.clone()
        torch.distributed.all_reduce(everywhere)
        return means * (self.ranks * here / everywhere.clamp(min=1))


def draw_step(
    codes: Tensor,
    levels: Levels,
    chunks: int,
    context_chunks: int,
    timesteps: Sequence[tuple[Any, ...]],
    corruption: Sequence[float],
    generator: torch.Generator,
    share: Share = Share(),
) -> Draw:
    """Draw a training step on the CPU, so that it depends on the generator's seed and on nothing else.

    Each process draws for the batch of all, so that N processes train as one with N times the batch does.

    Args:
        codes: packed codes [B, R, T] of this process.
        timesteps: arguments of `noise_levels_at` of each level: the distribution of t, its options, what was learnt of it.
        corruption: share of codes of each level that are replaced by random ones in clean tokens.
    """
    batch, frames = len(codes) * share.ranks, codes.shape[-1]
    drawn = [noise_levels_at(stratified(batch * chunks, generator), *which).view(batch, chunks) for which in timesteps]
    noise = torch.randn(batch, levels.channels, frames, generator=generator)
    clean = codes
    if any(corruption):
        shares, shape = torch.tensor([corruption[level] for level in levels.level_of_rows()])[:, None], (batch, *codes.shape[1:])
        hit = share.of(torch.rand(shape, generator=generator) < shares)
        other = share.of(torch.randint(levels.codebook_size, shape, generator=generator))
        clean = torch.where(hit.to(codes.device), other.to(codes), codes)
    t, noise = share.of(torch.stack(drawn, dim=-1)), share.of(noise)
    return Draw(t.to(codes.device), noise.to(codes.device), clean, context_chunks)


def one_shot(draw: Draw, probability: float, generator: torch.Generator, share: Share = Share()) -> Draw:
    """The draw with so many of its noise levels at 1, where the first step of generation starts."""
    if not probability:
        return draw
    batch, *shape = draw.t.shape
    hit = share.of(torch.rand(batch * share.ranks, *shape, generator=generator) < probability)
    return replace(draw, t=draw.t.masked_fill(hit.to(draw.t.device), 1.0))


def perturbed(draw: Draw, levels: Levels, amounts: Sequence[float], generator: torch.Generator, share: Share = Share()) -> Draw:
    """The draw with input perturbation (Ning et al. 2023, arXiv:2301.11706, eq. 11): the network sees

        alpha data + sigma (noise + gamma noise'),

    and its target keeps the noise alone: it learns to go on from points that are a little off. `amounts` are gamma by level.
    """
    if not any(amounts):
        return draw
    batch, *shape = draw.noise.shape
    other = share.of(torch.randn(batch * share.ranks, *shape, generator=generator))
    rows = torch.tensor([amounts[level] for level in levels.level_of_rows()]).repeat_interleave(levels.codebook_dim)
    return replace(draw, perturbation=(rows[:, None] * other).to(draw.noise))


class CodeLosses(NamedTuple):
    """The loss of each code that is not known, and what it was computed from: an entry for each trained level."""

    losses: list[Tensor]  # [B * C or B, N]
    counted: Tensor | None  # frames that are not padding, as a mask over those that are not known
    per_frame: list[int]  # codes in a frame
    outputs: list[Tensor]  # of the network [B * C or B, N, 8 or K]: velocities, or logits
    levels: tuple[int, ...]  # that are trained
    t: Tensor  # noise level of each chunk and level [B * C, 1, L] or [B, C, L]
    frames: list[int]  # of each chunk, that are not known

    def by_level(self) -> Tensor:
        """Mean over samples and codes [len(stages)]."""
        return torch.stack(
            [_masked_mean(loss, self.counted, count) for loss, count in zip(self.losses, self.per_frame, strict=True)]
        )

    def by_sample(self) -> Tensor:
        """Mean over the codes of each sample [B * C or B, len(stages)]."""
        masks = [None] * len(self.losses[0]) if self.counted is None else self.counted.split(1)
        samples = zip(masks, *(loss.split(1) for loss in self.losses), strict=True)
        return torch.stack([self._replace(counted=mask, losses=losses).by_level() for mask, *losses in samples])


def stage_losses(*window: Any, share: Share = Share(), **options: Any) -> tuple[Tensor, list[Tensor]]:
    """Mean loss of each level [len(stages)], and the network's outputs; arguments as of `code_losses`.

    With several processes the losses are weighed so that their mean over processes is that of the whole batch.
    """
    found = code_losses(*window, **options)
    return share.weighed(found), found.outputs


def code_losses(
    model: SnacDiffusionModel,
    codes: Tensor,
    draw: Draw,
    conditions: Conditions,
    frame_mask: Tensor | None,
    before: Context | None = None,
    stages: Sequence[int] | None = None,
) -> CodeLosses:
    """Losses of all codes of a window that are not known.

    Args:
        codes: packed codes of the window [B, R, T].
        frame_mask: [B, T] bool, False where a frame is padding; such frames are neither seen nor counted.
        before: chunks before the window, seen like those in it but not trained; unseen in a draw without context, whose chunks
            become samples.
        stages: levels that are trained, all by default.
    """
    conditions = _fitted(conditions, model.network.config, codes.shape[-1], before if draw.context_chunks else None)
    if draw.context_chunks == 0:
        codes, draw, conditions, frame_mask = _chunks_as_samples(model, codes, draw, conditions, frame_mask)
    levels, sizes = model.levels, chunk_sizes(codes.shape[-1], model.network.config.chunk_frames)
    draw = in_own_noise(model, draw, sizes)
    data, clean = model.space.from_codes(codes), model.space.from_codes(draw.clean_codes)
    t, noise = _spread(model, draw).to(data), draw.noise.to(data)
    noised = model.objective.noised(data, noise, t)
    visible, chunks_before, visible_mask = _after_context(model, clean, frame_mask, before if draw.context_chunks else None)
    seen = noised if draw.perturbation is None else model.objective.noised(data, noise + draw.perturbation.to(data), t)
    trained = tuple(range(len(levels)) if stages is None else stages)
    outputs = all_stages(
        model.network,
        visible,
        seen,
        draw.t.to(data),
        conditions,
        frame_mask=visible_mask,
        context_chunks=draw.context_chunks,
        chunks_before=chunks_before,
        stages=trained,
        known=draw.known,
    )
    unknown = _unknown(draw.known, sizes)

    def denoised(by_level: Sequence[Tensor]) -> list[Tensor]:
        pairs = zip(by_level, levels.per_frame, strict=True)
        return [pick_frames(x, unknown, count) if unknown else x for x, count in pairs]

    if model.network.config.head != "velocity":
        points, times = denoised(levels.unpack_latents(noised)), denoised(levels.unpack_latents(t))
        outputs = [model.logits(i, o, points[i], times[i][..., 0]) for i, o in zip(trained, outputs, strict=True)]
        losses = _cross_entropies(model, trained, outputs, denoised(levels.unpack(codes)), points, times)
    else:
        velocities = denoised(levels.unpack_latents(model.path.target(data, noise, t)))
        losses = [(o.float() - velocities[i].float()).square().mean(dim=-1) for i, o in zip(trained, outputs, strict=True)]
    counted = frame_mask[:, unknown] if frame_mask is not None and unknown else frame_mask
    frames = [len(unknown_frames(size, here)) for size, here in zip(sizes, draw.known or ((),) * len(sizes), strict=True)]
    return CodeLosses(losses, counted, [levels.per_frame[i] for i in trained], outputs, trained, draw.t, frames)


def _cross_entropies(
    model: SnacDiffusionModel,
    trained: Sequence[int],
    logits: Sequence[Tensor],
    targets: Sequence[Tensor],
    points: Sequence[Tensor],
    times: Sequence[Tensor],
) -> list[Tensor]:
    """Of the codes of trained levels [B, N], from logits [B, N, K], as the objective weighs them; the rest are of all levels."""
    by_class = [one.transpose(1, 2).float() for one in logits]
    losses = [cross_entropy(one, targets[i], reduction="none") for i, one in zip(trained, by_class, strict=True)]
    return [model.objective.weighed(one, points[i], times[i][..., 0]) for i, one in zip(trained, losses, strict=True)]


def in_own_noise(model: SnacDiffusionModel, draw: Draw, sizes: Sequence[int]) -> Draw:
    """The draw with noise and noise levels as the objective has them in each stage, known frames left out."""
    if not model.objective.masks:
        return draw
    levels, t, noise = model.levels, draw.t.clone(), draw.noise.clone()
    known = draw.known or ((),) * len(sizes)
    for chunk, (size, known_here) in enumerate(zip(sizes, known, strict=True)):
        frames = [sum(sizes[:chunk]) + frame for frame in unknown_frames(size, known_here)]
        parts, spans = levels.unpack_latents(noise[..., frames]), draw.spans or (1,) * len(levels)
        own = [model.objective.own_noise(part, span) for part, span in zip(parts, spans, strict=True)]
        noise[..., frames] = levels.pack_latents(own)
        counts = torch.tensor([part.shape[1] for part in parts], device=t.device)
        t[:, chunk] = model.objective.own_level(t[:, chunk], counts)
    return replace(draw, t=t, noise=noise)


def _spread(model: SnacDiffusionModel, draw: Draw) -> Tensor:
    """The noise level of each entry of packed latents [B, R * 8, T]."""
    rows, levels = draw.t[:, :, list(model.levels.level_of_rows())], model.levels
    spread = repeat(rows, "b c r -> b (r d) (c f)", d=levels.codebook_dim, f=model.network.config.chunk_frames)
    return spread[..., : draw.noise.shape[-1]]


def _fitted(conditions: Conditions, network: NetworkConfig, frames: int, before: Context | None) -> Conditions:
    """Conditions of a window of so many frames, and of the chunks before it."""
    past = 0 if before is None else before.codes.shape[-1] // network.chunk_frames
    chunks = len(chunk_sizes(frames, network.chunk_frames))
    return conditions.fitted(frames).of_chunks(network.context_chunks - past, past + chunks)


def _unknown(known: KnownFrames, sizes: Sequence[int]) -> list[int]:
    """The frames of a window that are denoised, where some are known; else none are named."""
    starts = [sum(sizes[:chunk]) for chunk in range(len(known))]
    chunks = zip(starts, sizes[: len(known)], known, strict=True)
    return [start + frame for start, size, known_here in chunks for frame in unknown_frames(size, known_here)]


def _after_context(
    model: SnacDiffusionModel, clean: Tensor, frame_mask: Tensor | None, before: Context | None
) -> tuple[Tensor, int, Tensor | None]:
    """Clean latents [B, R * 8, T] after those of the chunks before the window, the number of these chunks, the mask of both."""
    if before is None:
        return clean, 0, frame_mask
    latents = torch.cat([model.space.from_codes(before.codes), clean], dim=-1)
    mask = torch.ones_like(clean[:, 0], dtype=torch.bool) if frame_mask is None else frame_mask
    return latents, before.codes.shape[-1] // model.network.config.chunk_frames, torch.cat([before.mask, mask], dim=-1)


def _masked_mean(loss: Tensor, frame_mask: Tensor | None, per_frame: int) -> Tensor:
    """Mean of [B, N] over codes that are not padding."""
    if frame_mask is None:
        return loss.mean()
    mask = frame_mask.repeat_interleave(per_frame, dim=1).to(loss)
    return (loss * mask).sum() / mask.sum().clamp(min=1)


def _chunks_as_samples(
    model: SnacDiffusionModel, codes: Tensor, draw: Draw, conditions: Conditions, frame_mask: Tensor | None
) -> tuple[Tensor, Draw, Conditions, Tensor | None]:
    """Make each chunk a sample: without context the chunks of a window are independent."""
    size = model.network.config.chunk_frames
    chunks = codes.shape[-1] // size
    if chunks <= 1 or codes.shape[-1] % size:
        return codes, draw, conditions, frame_mask

    def fold(x: Tensor) -> Tensor:
        return rearrange(x, "b r (c t) -> (b c) r t", c=chunks)

    other = None if draw.perturbation is None else fold(draw.perturbation)
    t = rearrange(draw.t, "b c l -> (b c) 1 l")
    folded = Draw(t, fold(draw.noise), fold(draw.clean_codes), 0, draw.known[:1], draw.spans, other)
    others = replace(conditions, concat=None).map(lambda x: x.repeat_interleave(chunks, dim=0))
    if (rows := conditions.embedding) is not None and rows.ndim == 3:  # one for tokens of no chunk, then each chunk's
        pairs = torch.stack([rows[:, :1].expand(-1, chunks, -1), rows[:, 1:]], dim=2)
        others = replace(others, embedding=rearrange(pairs, "b c two d -> (b c) two d"))
    conditions = replace(others, concat=None if conditions.concat is None else fold(conditions.concat))
    mask = None if frame_mask is None else rearrange(frame_mask, "b (c t) -> (b c) t", c=chunks)
    return fold(codes), folded, conditions, mask
