"""The evaluation of a checkpoint on held-out songs.

Letters: P clips, S songs, L levels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from snac_plugin.errors import Mismatch
from snac_plugin.evaluation import music
from snac_plugin.evaluation.agreement import COMPARISONS, Heard, own_and_others
from snac_plugin.evaluation.bootstrap import by_song, mean_of
from snac_plugin.evaluation.clips import Clips, read_clips
from snac_plugin.evaluation.drawing import model_picture
from snac_plugin.evaluation.frechet import distances, patch_features
from snac_plugin.evaluation.losses import KINDS, context_losses, validation_losses
from snac_plugin.evaluation.material import CODEC, DISTANCE_ROWS, FREE, GENERATED, RANDOM, REAL, Material, gather
from snac_plugin.evaluation.report import Cell, Report, Table, count
from snac_plugin.generation.settings import settings_from
from snac_plugin.generation.snac_diffusion import SnacDiffusion

NOISE_LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)


@dataclass(frozen=True)
class Plan:
    """How a model is evaluated.

    Args:
        clips: most clips.
        chunks: new chunks that a continuation has.
        seed: of clips, noise, generation and bootstrap.
        batch: clips at once.
        sampling: how audio is generated: `steps`, `sampler`, `temperature` and `cfg_scale` of `SnacDiffusion.stream`.
        conditioning: metadata of all clips.
        free: generate without context too.
        progress: show bars.
    """

    clips: int = 32
    chunks: int = 1
    seed: int = 0
    batch: int = 8
    sampling: Mapping[str, Any] = field(default_factory=dict)
    conditioning: Mapping[str, Any] = field(default_factory=dict)
    free: bool = True
    progress: bool = True


def evaluate_model(model: SnacDiffusion, folder: str | Path, plan: Plan, name: str = "model") -> tuple[Report, Figure]:
    """Losses, Frechet distances, and how continuations agree with their contexts, on the songs of a folder.

    Args:
        model: from `load_model`.
        folder: audio that it was not trained on.
        plan: how.
        name: of the model, for the report.

    Raises:
        AudioError: the folder holds fewer than two songs of (context_chunks + chunks) chunks.
        Mismatch: the model's conditioners lack something in the plan's conditioning.
    """
    try:
        model.conditions([plan.conditioning])
    except (ValueError, KeyError) as error:  # what stable-audio-tools raises for metadata that a conditioner lacks
        given = ", ".join(plan.conditioning) or "nothing"
        raise Mismatch("--conditioning", given, f"what this model's conditioners read ({error})") from error
    network = model.model.network.config
    window = (network.context_chunks + plan.chunks) * network.chunk_frames * model.levels.frame_samples
    clips = read_clips(folder, model.sample_rate, window, plan.clips, seed=plan.seed, progress=plan.progress)
    material = gather(
        model,
        clips,
        context_chunks=network.context_chunks,
        seed=plan.seed,
        batch=plan.batch,
        sampling=plan.sampling,
        conditioning=plan.conditioning,
        free=plan.free,
        progress=plan.progress,
    )
    tables = [_loss_table(model, clips, material, plan), _distance_table(model, clips, material, plan)]
    tables.append(_sound_table(clips, material, plan))
    notes = []
    if network.context_chunks == 0:
        notes.append("this model sees no context (context_chunks 0): nothing to continue, so no agreement is measured")
    elif music.have_librosa():
        tables.append(_agreement_table(clips, material, plan))
    if not music.have_librosa():
        notes.append(music.WITHOUT_LIBROSA)
    report = Report(
        f"{name} on {clips.folder}",
        _about(model, clips, plan),
        tuple(tables),
        tuple(notes),
        {
            "seed": plan.seed,
            "sampling": settings_from(network.sampling, model.levels.names, **plan.sampling).as_dict(model.levels.names),
            "codec": model.pretransform.codec_name,
            "data": clips.as_dict(),
        },
    )
    return report, model_picture(report, material, clips, model.levels)


def _about(model: SnacDiffusion, clips: Clips, plan: Plan) -> str:
    context = model.model.network.config.context_chunks
    weights = sum(p.numel() for p in model.model.network.parameters())
    return (
        f"{clips.about()}: {count(context, 'chunk')} of context and {count(plan.chunks, 'new chunk')} each. "
        f"{weights / 1e6:.1f} M weights over codec {model.pretransform.codec_name}, seed {plan.seed}. "
        "In brackets the middle 95 % of a bootstrap over songs."
    )


def _loss_table(model: SnacDiffusion, clips: Clips, material: Material, plan: Plan) -> Table:
    """Rows by level and their mean: validation loss, and what the context is worth."""
    frames, context = model.model.network.config.chunk_frames, model.model.network.config.context_chunks
    windows = material.codes[..., : (context + 1) * frames]
    training = model.config.training
    noise_levels = NOISE_LEVELS if training is None else tuple(training.validation_timesteps)
    with tqdm(total=len(windows), desc="losses", unit="clip", disable=not plan.progress) as bar:
        loss = validation_losses(model, windows, noise_levels, plan.seed, plan.conditioning, bar.update)
    columns: tuple[str, ...] = ("level", "validation loss")
    values = [loss]
    if context:
        by_kind = context_losses(model, windows, clips.songs, noise_levels, plan.seed, plan.conditioning, plan.batch)
        true, other, none = (by_kind[kind] for kind in KINDS)
        columns += ("last chunk, true context", "another song's minus true", "none minus true")
        values += [true, other - true, none - true]
    rows: list[tuple[Cell, ...]] = []
    for level, letter in enumerate(model.levels.names):
        rows.append((letter, *(mean_of(by_song(v[:, level], clips.songs), plan.seed) for v in values)))
    rows.append(("mean", *(mean_of(by_song(v.mean(axis=1), clips.songs), plan.seed) for v in values)))
    return Table("losses", _loss_title(model, noise_levels), columns, rows, digits=3)


def _loss_title(model: SnacDiffusion, noise_levels: Sequence[float]) -> str:
    where = ", ".join(f"{t:g}" for t in noise_levels)
    if model.model.network.config.head != "velocity":
        kind = f"Cross-entropy in nats, a guess has {math.log(model.levels.codebook_size):.2f}"
    else:
        kind = "Squared error of the velocity"
    return f"**Loss** ({kind}; mean over t = {where}; lower is better)"


def _distance_table(model: SnacDiffusion, clips: Clips, material: Material, plan: Plan) -> Table:
    codec, numbers = model.pretransform, range(len(clips.files))
    features = {
        name: patch_features(codec, audio[:, None])
        for name, audio in tqdm(material.kinds.items(), desc="features", unit="kind", disable=not plan.progress)
    }
    by_kind = {
        name: [
            np.concatenate(list(found[clips.songs == song] if len(found) == len(clips.songs) else found[[song]]))
            for song in numbers
        ]
        for name, found in features.items()
    }
    real = by_kind.pop(REAL)
    found = distances(real, by_kind, unpaired=(FREE, RANDOM), seed=plan.seed)
    rows: list[tuple[Cell, ...]] = [(DISTANCE_ROWS.get(name, name), estimate) for name, estimate in found.by_kind.items()]
    return Table("frechet", found.title(), ("audio", "distance"), rows, digits=3)


def _sound_table(clips: Clips, material: Material, plan: Plan) -> Table:
    """Rows by kind of audio, columns by measure, means over songs."""
    measures, rows = music.measures(clips.rate), []
    kinds = [name for name in (REAL, CODEC, GENERATED, FREE, RANDOM) if name in material.kinds]
    for name in tqdm(kinds, desc="sound", unit="kind", disable=not plan.progress):
        audio = material.kinds[name].numpy()
        songs = clips.songs if len(audio) == len(clips.songs) else np.arange(len(audio))
        values = [by_song(np.array([measure(one) for one in audio]), songs) for measure in measures.values()]
        rows.append((name, *(mean_of(v, plan.seed) for v in values)))
    return Table("sound", "**Sound**, mean over songs", ("audio", *measures), rows)


def _agreement_table(clips: Clips, material: Material, plan: Plan) -> Table:
    """Rows by kind of continuation and comparison: with its own context, with other songs', and the difference."""
    kinds = [name for name in (REAL, CODEC, GENERATED) if name in material.kinds]
    with tqdm(total=(len(kinds) + 1) * len(clips.songs), desc="tempo and key", unit="clip", disable=not plan.progress) as bar:

        def heard(audio: np.ndarray) -> Heard:
            bar.update()
            return Heard.in_audio(audio, clips.rate)

        before = [heard(audio) for audio in material.contexts.numpy()]
        after = {name: [heard(audio) for audio in material.kinds[name].numpy()] for name in kinds}
    rows: list[tuple[Cell, ...]] = []
    for what, compare in COMPARISONS.items():
        for name in kinds:
            own, others = own_and_others(after[name], before, clips.songs, compare)
            rows.append((what, name, *(mean_of(values, plan.seed) for values in (own, others, own - others))))
    title = "**Agreement** of what follows a context with that context, and with other songs' (shares of clips, or a correlation)"
    return Table("agreement", title, ("measure", "audio", "own context", "others'", "own minus others'"), rows)
