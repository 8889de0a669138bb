"""The tables of `choices.py`.

Letters: S songs, W windows of a song, P noise levels, B batch, R rows, T frames, L levels, F features.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import measure
import numpy as np
import songs
import torch
from chunk_features import COMPONENTS, ChunkFeatures, frechet, jackknife_error, without_each_song
from torch import Tensor

from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.diffusion.sampler_names import CODE_SAMPLER
from snac_plugin.levels import Levels

SPLITS = 16


@dataclass(frozen=True)
class Distance:
    """A Frechet distance.

    Args:
        value: over all songs.
        left_out: with each song left out [S].
    """

    value: float
    left_out: np.ndarray

    def cell(self) -> str:
        return f"{self.value:.2f} ± {jackknife_error(self.left_out):.2f}"

    def minus(self, other: Distance) -> str:
        error = jackknife_error(self.left_out - other.left_out)
        return signed(self.value - other.value, error, 2)


class Reference:
    """Chunks of held-out songs, to which others are compared.

    Args:
        codec: the codec.
        whole: the songs.
        frames: of a chunk.
    """

    def __init__(self, codec: SnacPretransform, whole: Sequence[songs.Song], frames: int) -> None:
        cut = [torch.stack(song.codes.split(frames, dim=-1)[: song.codes.shape[-1] // frames]) for song in whole]
        self.features = ChunkFeatures(codec, torch.cat(cut))
        self.real = [self._rows(chunks) for chunks in cut]

    def distance(self, codes: Tensor) -> Distance:
        """Of chunks [S * W, R, T] that stand for those of each song in turn."""
        made = [self._rows(chunks) for chunks in codes.unflatten(0, (len(self.real), -1))]

        def of(which: list[int]) -> float:
            return frechet(*(np.concatenate([side[song] for song in which]) for side in (made, self.real)))

        return Distance(*without_each_song(of, len(self.real)))

    def halves(self, seed: int) -> tuple[float, float]:
        """Mean and standard deviation of the distance of one half of the songs to the other, over random halves."""
        rng, found = np.random.default_rng(seed), []
        for _ in range(SPLITS):
            one, other = np.array_split(rng.permutation(len(self.real)), 2)
            found.append(frechet(*(np.concatenate([self.real[song] for song in half]) for half in (one, other))))
        return float(np.mean(found)), float(np.std(found))

    def _rows(self, chunks: Tensor) -> np.ndarray:
        return self.features(chunks).reshape(-1, self.features.mean.shape[-1])


def signed(mean: float, error: float, digits: int) -> str:
    """A difference and its standard error, in bold where it is beyond two of them."""
    number = f"{mean:+.{digits}f}"
    return f"{f'**{number}**' if abs(mean) > 2 * error else number} ± {error:.{digits}f}"


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
    found: Mapping[str, Mapping[str, Any]], levels: Levels, reference: Reference, windows: Tensor, seed: int
) -> tuple[list[list[str]], dict[str, Any]]:
    """Rows: continuations, real chunks and random codes; and all distances."""
    steps = sorted({made["steps"] for run in found.values() for made in run["made"]})
    base = {(m["sampler"], m["steps"]): reference.distance(torch.tensor(m["codes"])) for m in found["base"]["made"]}
    rows, data = [], {}
    samplers = [(name, sampler) for name, run in found.items() for sampler in dict.fromkeys(m["sampler"] for m in run["made"])]
    for name, sampler in samplers:
        cells, cost, used = [name, sampler], [], ""
        for count in steps:
            made = next(m for m in found[name]["made"] if m["sampler"] == sampler and m["steps"] == count)
            codes = torch.tensor(made["codes"])
            there = reference.distance(codes)
            data[f"{name}, {sampler}, {count}"] = {"distance": there.value, "left_out": there.left_out.tolist()}
            cells += [there.cell(), "" if name == "base" else there.minus(base.get((sampler, count), base[CODE_SAMPLER, count]))]
            cost.append(f"{made['seconds']:.3g}")
            used = distinct(levels, codes)
        rows.append([*cells, used, *cost])
    real = windows[..., -windows.shape[-1] // 3 :].flatten(0, 1)
    mean, spread = reference.halves(seed)
    data["real, halves"] = {"distance": mean, "spread": spread}
    for name, codes in (("real, the same places", real), ("random codes", _random(levels, real, seed))):
        there = reference.distance(codes)
        data[name] = {"distance": there.value, "left_out": there.left_out.tolist()}
        rows.append([name, "", *([there.cell(), ""] * len(steps)), distinct(levels, codes), *[""] * len(steps)])
    rows.append(
        [
            "real, half the songs to the others",
            "",
            *([f"{mean:.2f} (spread {spread:.2f})", ""] * len(steps)),
            "",
            *[""] * len(steps),
        ]
    )
    return rows, data


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
    made, distances = made_rows(found, levels, Reference(codec, whole, args.chunk_frames), windows, args.seed)
    scored = [f"{kind} {name}" for kind in ("error", "right, %,") for name in levels.names]
    counted = [cell for count in steps for cell in (f"Frechet distance, {count} steps", "minus base")]
    cost = ["seconds a step", "steps", "minutes", "error", "minus base", "codes right, %", "minus base"]
    text = "\n\n".join(
        [
            f"Choices: one setting changed at a time. dim {args.dim}, depth {args.depth}, chunks of "
            f"{args.chunk_frames / levels.frames_per_second:.3f} s, batches of {args.batch_size} windows, learning rate "
            f"{args.learning_rate:g}, seed {args.seed}. {windows.shape[0]} held-out songs, {windows.shape[1]} windows each; "
            f"± standard error over songs (of Frechet distances by jackknife). {measure.machine(device)}.",
            measure.table(["", *cost], cost_rows(found)),
            f"Error of the estimate, mean over t = {', '.join(f'{t:g}' for t in args.noise_levels)} above:",
            measure.table(["t", "", *scored], score_rows(found, args.noise_levels)),
            f"Continuations by a chunk; mean and log variance of {COMPONENTS} principal components over patches, minus the "
            f"base with the same sampler, or with {CODE_SAMPLER} where it has no such row:",
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
    )
    kept = {n: {k: v for k, v in run.items() if k != "made"} for n, run in found.items()}
    costs = {n: [{k: v for k, v in m.items() if k != "codes"} for m in run["made"]] for n, run in found.items()}
    settings = {name: str(value) for name, value in vars(args).items()}
    data = {"settings": settings, "machine": measure.machine(device), "variants": kept, "made": costs, "distances": distances}
    measure.report(args.out, "choices", text, data)
