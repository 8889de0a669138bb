"""The tables of `choices.py`.

Letters: S songs, W windows of a song, P noise levels, B batch, R rows, T frames, L levels, N audio samples.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import measure
import numpy as np
import songs
import torch
from songs import signed
from torch import Tensor

from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.diffusion.sampler_names import CODE_SAMPLER
from snac_plugin.evaluation.clips import decode
from snac_plugin.evaluation.confidence_intervals import Estimate
from snac_plugin.evaluation.frechet_distance import Distances, distances, encoder_features
from snac_plugin.levels import Levels

REAL, RANDOM = "real, the same places", "random codes"


def chunk_distances(
    codec: SnacPretransform, whole: Sequence[songs.Song], kinds: Mapping[str, Tensor], frames: int, batch: int, seed: int
) -> Distances:
    """Frechet distances of chunks to the songs' recordings, as `evaluate.py` measures them.

    Args:
        codec: the codec.
        whole: the songs.
        kinds: by name, packed codes of chunks [S * W, R, T], those of each song in turn.
        frames: of a chunk.
        batch: chunks decoded at once.
        seed: of decoder, halves and resamples.
    """
    samples, real = frames * codec.downsampling_ratio, []
    for song in whole:
        audio = song.audio(codec)
        real.append(audio[: len(audio) // samples * samples].unflatten(0, (-1, samples)))
    made = {name: decode(codec, codes, batch, seed).unflatten(0, (len(whole), -1)) for name, codes in kinds.items()}
    features = {name: [_features(codec, chunks) for chunks in audio] for name, audio in made.items()}
    return distances([_features(codec, chunks) for chunks in real], features, unpaired=[RANDOM], seed=seed)


def _features(codec: SnacPretransform, chunks: Tensor) -> np.ndarray:
    """Of all patches of chunks [W, N]."""
    return np.concatenate(list(encoder_features(codec, chunks[:, None])))


def cost_rows(found: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Rows: what a variant costs, and its scores over all levels and noise levels beside the base's."""
    base = torch.tensor(found["base"]["scores"]).mean(dim=(2, 3))
    rows = []
    for name, run in found.items():
        scores = torch.tensor(run["scores"]).mean(dim=(2, 3))
        minutes = "not measured" if run["minutes"] is None else f"{run['minutes']:.1f}"
        cells = [name, f"{run['step_seconds']:.3g}", str(run["steps"]), minutes]
        for kind, (digits, factor) in enumerate(((3, 1), (2, 100))):
            mean, _ = songs.mean_and_error(factor * scores[kind])
            apart = songs.mean_and_error(factor * (scores[kind] - base[kind]))
            cells += [f"{mean:.{digits}f}", "" if name == "base" else signed(*apart, digits)]
        rows.append(cells)
    return rows


def score_rows(found: Mapping[str, Mapping[str, Any]], noise_levels: Sequence[float]) -> list[list[str]]:
    """Rows: error and hits by noise level, variant and level."""
    runs = {name: torch.tensor(run["scores"]) for name, run in found.items()}
    runs = {"noised point alone": torch.tensor(found["base"]["alone"])} | runs
    rows = []
    for index, t in enumerate(noise_levels):
        for name, scores in runs.items():
            error, hits = scores[:, :, index].transpose(1, 2)  # [L, S] each
            shown = [songs.mean_and_error(values) for values in error]
            rows.append([f"{t:g}", name, *(f"{m:.3f} ± {e:.3f}" for m, e in shown), *(f"{100 * h.mean():.1f}" for h in hits)])
    return rows


def distinct(levels: Levels, codes: Tensor) -> str:
    """How many codes of each level are used in chunks [B, R, T]."""
    return " / ".join(f"{len(level.unique()):,}" for level in levels.unpack(codes))


def made_rows(
    found: Mapping[str, Mapping[str, Any]],
    codec: SnacPretransform,
    whole: Sequence[songs.Song],
    windows: Tensor,
    args: argparse.Namespace,
) -> tuple[list[list[str]], dict[str, Any]]:
    """Rows: continuations, real chunks and random codes; and all distances."""
    steps, levels = sorted(args.steps), codec.levels
    runs = {(name, made["sampler"], made["steps"]): made for name, run in found.items() for made in run["made"]}
    kinds = {", ".join(map(str, key)): torch.tensor(made["codes"]) for key, made in runs.items()}
    kinds[REAL] = windows[..., -windows.shape[-1] // 3 :].flatten(0, 1)
    kinds[RANDOM] = _random(levels, kinds[REAL], args.seed)
    apart = chunk_distances(codec, whole, kinds, args.chunk_frames, args.generate_batch, args.seed)
    rows = []
    for name, sampler in dict.fromkeys(key[:2] for key in runs):
        cells = [name, sampler]
        for count in steps:
            base = f"base, {sampler if ('base', sampler, count) in runs else CODE_SAMPLER}, {count}"
            kind = f"{name}, {sampler}, {count}"
            cells += [apart.estimate(kind).text(2), "" if name == "base" else _bold(apart.estimate(kind, minus=base))]
        cost = [f"{runs[name, sampler, count]['seconds']:.3g}" for count in steps]
        rows.append([*cells, distinct(levels, kinds[kind]), *cost])
    for name in (REAL, RANDOM, "recordings"):
        used = distinct(levels, kinds[name]) if name in kinds else ""
        title = name if name in kinds else "recordings of other songs (floor)"
        rows.append([title, "", *([apart.estimate(name).text(2), ""] * len(steps)), used, *[""] * len(steps)])
    data = {name: {"distance": value, **apart.estimate(name).as_dict()} for name, value in apart.values.items()}
    return rows, data


def _bold(difference: Estimate) -> str:
    """In bold where the interval does not hold 0."""
    shown = difference.text(2, sign="+")
    return f"**{shown}**" if difference.low > 0 or difference.high < 0 else shown


def _random(levels: Levels, like: Tensor, seed: int) -> Tensor:
    return torch.randint(levels.codebook_size, like.shape, generator=torch.Generator().manual_seed(seed))


def report(
    args: argparse.Namespace,
    device: torch.device,
    codec: SnacPretransform,
    whole: Sequence[songs.Song],
    windows: Tensor,
    found: Mapping[str, Mapping[str, Any]],
) -> None:
    """Print and write the tables."""
    levels, steps = codec.levels, sorted(args.steps)
    made, distances = made_rows(found, codec, whole, windows, args)
    scored = [f"{kind} {name}" for kind in ("error", "right, %,") for name in levels.names]
    counted = [cell for count in steps for cell in (f"Frechet distance, {count} steps", "minus base")]
    cost = ["seconds a step", "steps", "minutes", "error", "minus base", "codes right, %", "minus base"]
    paragraphs = [
        f"Choices: one setting changed at a time. dim {args.dim}, depth {args.depth}, chunks of "
        f"{args.chunk_frames / levels.frames_per_second:.3f} s, batches of {args.batch_size} windows, learning rate "
        f"{args.learning_rate:g}, seed {args.seed}. {windows.shape[0]} held-out songs, {windows.shape[1]} windows each; "
        f"± standard error over songs; in brackets the middle 95 % of a bootstrap over songs. {measure.machine(device)}.",
        measure.table(["", *cost], cost_rows(found)),
        f"Error of the estimate, mean over t = {', '.join(f'{t:g}' for t in args.noise_levels)} above:",
        measure.table(["t", "", *scored], score_rows(found, args.noise_levels)),
        "Continuations by a chunk: Frechet distance to recordings (of `evaluate.py`: in parts of the recordings' variance), "
        f"minus the base with the same sampler, or with {CODE_SAMPLER} where it has no such row:",
        measure.table(
            [
                "",
                "sampler",
                *counted,
                f"codes used {' / '.join(levels.names)}",
                *(f"seconds a chunk, {c} steps" for c in steps),
            ],
            made,
        ),
    ]
    kept = {n: {k: v for k, v in run.items() if k != "made"} for n, run in found.items()}
    costs = {n: [{k: v for k, v in m.items() if k != "codes"} for m in run["made"]] for n, run in found.items()}
    data = {"variants": kept, "made": costs, "distances": distances}
    measure.report(args, device, "choices", paragraphs, data)
