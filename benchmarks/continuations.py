"""Do continuations stay with their context, do they drift, and can chunk borders be heard?

    python benchmarks/continuations.py --ckpt FILE

Continues held-out songs by 20 chunks after two chunks of context, and measures, with the songs' own continuations (through the
codec and back) beside:

* tempo and key of the continuation against its own context, and against the contexts of the other songs;
* level, brightness, and the model's own loss, by chunk;
* the seam: spectral flux at chunk borders over that at the starts of frames inside chunks; also for chunks that are decoded one
  by one and put together, where there is a seam to be found. `seam.png` shows it.

Needs librosa: pip install -e .[demo,dev]
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait must not spin beside other processes

import measure
import numpy as np
import songs
import torch
from seams import Continuations, Music, seam
from torch import Tensor

from snac_plugin.evaluation.held_out_losses import chunk_losses
from snac_plugin.evaluation.music_measures import COMPARISONS, TempoAndKey, agreement, brightness, level_db
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.plugin.loading import load_model

CONTEXT_CHUNKS = 2
LOSS_AT = 0.5


def continued(model: SnacDiffusion, args: argparse.Namespace) -> Continuations:
    """Continue the songs."""
    chunk_frames = model.model.network.config.chunk_frames
    past, whole = CONTEXT_CHUNKS * chunk_frames, (CONTEXT_CHUNKS + args.chunks) * chunk_frames
    held_out = songs.held_out(args, model.pretransform, whole)
    codes = torch.stack([song.codes[:, :whole] for song in held_out])
    samples = model.pretransform.downsampling_ratio
    recorded = torch.stack([song.audio(model.pretransform)[: past * samples] for song in held_out])
    generated = model.generate(
        context=list(recorded),
        chunks=args.chunks,
        steps=args.steps,
        sampler=args.sampler,
        cfg_scale=args.cfg_scale,
        batch_size=len(held_out),
        seed=args.seed,
        match=False,  # the model's own level
        return_codes=True,
    )
    assert isinstance(generated, tuple)
    seeds = list(range(len(held_out)))
    pieces = generated[1].to(model.device).split(chunk_frames, dim=-1)
    return Continuations(
        contexts=recorded.numpy(),
        generated=Music(torch.cat([codes[..., :past], generated[1]], dim=-1), generated[0][:, 0].numpy()),
        real=Music(codes, model.decode(codes.to(model.device), seeds)[:, 0, past * samples :].numpy()),
        patched=np.concatenate([model.decode(piece, seeds)[:, 0].numpy() for piece in pieces], axis=-1),
        chunk=chunk_frames * samples,
        frame=samples,
        rate=model.sample_rate,
    )


def agreement_rows(continuations: Continuations) -> list[list[str]]:
    """Rows: does a continuation share tempo and key with its own context more than with other songs' contexts?"""
    rate, last = continuations.rate, continuations.generated.audio.shape[-1] // continuations.chunk
    span = max(1, last // 5)
    contexts = [TempoAndKey.of(audio, rate) for audio in continuations.contexts]
    rows = []
    for name, music in (("generated", continuations.generated), ("real", continuations.real)):
        for first in sorted({1, last - span + 1}):
            after = [TempoAndKey.of(audio, rate) for audio in continuations.chunks(music.audio, first, first + span - 1)]
            cells = [f"{name}, chunks {first} to {first + span - 1}"]
            for compare in COMPARISONS.values():
                own, others = agreement(after, contexts, np.arange(len(contexts)), compare)
                mean, error = songs.mean_and_error(torch.from_numpy(own - others))
                cells += [f"{own.mean():.2f}", f"{others.mean():.2f}", f"{mean:+.2f} ± {error:.2f}"]
            rows.append(cells)
    return rows


def drift(model: SnacDiffusion, continuations: Continuations, seed: int) -> tuple[list[list[str]], dict[str, Any]]:
    """Rows: level, brightness and loss by chunk, generated and real, and their slopes; and all values."""
    count = continuations.generated.audio.shape[-1] // continuations.chunk
    kinds: dict[str, Callable[[np.ndarray], float]] = {
        "level": level_db,
        "brightness": lambda audio: brightness(audio, continuations.rate),
    }
    values: dict[str, np.ndarray] = {}  # [S, chunks]
    for name, music in (("generated", continuations.generated), ("real", continuations.real)):
        cut = np.split(music.audio, count, axis=-1)
        for kind, function in kinds.items():
            values[f"{kind}, {name}"] = np.array([[function(audio) for audio in part] for part in cut]).T
        values[f"loss, {name}"] = _losses(model, music.codes, seed)
    rows = []
    for chunk in sorted({1, *range(5, count, 5), count}):
        rows.append([str(chunk), *(f"{found[:, chunk - 1].mean():,.{_digits(kind)}f}" for kind, found in values.items())])
    slopes = {kind: songs.mean_and_error(torch.from_numpy(_slopes(found))) for kind, found in values.items()}
    shown = (f"{mean:+,.{_digits(kind) + 1}f} ± {error:,.{_digits(kind) + 1}f}" for kind, (mean, error) in slopes.items())
    rows.append(["per chunk", *shown])
    return rows, {kind: found.tolist() for kind, found in values.items()} | {"slopes": slopes}


def _losses(model: SnacDiffusion, codes: Tensor, seed: int) -> np.ndarray:
    """The model's loss of each chunk given the two before it, mean over levels [S, chunks]."""
    frames = model.model.network.config.chunk_frames
    noise = torch.randn(len(codes), model.levels.channels, frames, generator=torch.Generator().manual_seed(seed))
    found = []
    for start in range(CONTEXT_CHUNKS * frames, codes.shape[-1], frames):
        past, chunk = codes[..., start - CONTEXT_CHUNKS * frames : start], codes[..., start : start + frames]
        found.append(chunk_losses(model, chunk, past, noise, LOSS_AT).mean(dim=1).cpu())
    return torch.stack(found, dim=1).numpy()


def _slopes(values: np.ndarray) -> np.ndarray:
    """Least-squares slope of each row."""
    x = np.arange(values.shape[1]) - (values.shape[1] - 1) / 2
    return (values * x).sum(axis=1) / max((x**2).sum(), 1e-10)


def _digits(kind: str) -> int:
    return 0 if kind.startswith("brightness") else 2


def main(argv: Sequence[str] | None = None) -> None:
    """Generate, measure, report."""
    parser = measure.parser(__doc__)
    parser.add_argument("--ckpt", type=Path, required=True, metavar="FILE", help="checkpoint, of training or unwrapped")
    parser.add_argument("--chunks", type=int, default=20, help="chunks to continue by")
    parser.add_argument("--steps", type=int, help="denoising steps of a chunk in all; the model config's by default")
    parser.add_argument("--sampler", help="for all levels; the model config's by default")
    parser.add_argument("--cfg-scale", type=float, help="guidance by the context; the model config's by default")
    songs.add_arguments(parser, held_out=10, seconds=None)
    args = parser.parse_args(argv)
    device = measure.start(args)
    model = load_model(args.ckpt, device=device)
    started = time.perf_counter()
    continuations = continued(model, args)
    taken = time.perf_counter() - started
    agreeing = agreement_rows(continuations)
    drifting, by_chunk = drift(model, continuations, args.seed)
    seams, ratios = seam(continuations, args.out)
    _report(args, device, continuations, taken, (agreeing, drifting, seams), {"by_chunk": by_chunk, "seam": ratios})


def _report(
    args: argparse.Namespace,
    device: torch.device,
    continuations: Continuations,
    taken: float,
    tables: tuple[list[list[str]], list[list[str]], list[list[str]]],
    data: dict[str, Any],
) -> None:
    agreeing, drifting, seams = tables
    compared = ("own", "others", "own minus others")
    header = ["", *(f"{what}: {c}" for what in COMPARISONS for c in compared)]
    paragraphs = [
        f"Continuations: {len(continuations.contexts)} held-out songs, {CONTEXT_CHUNKS} chunks of context, {args.chunks} "
        f"chunks of {continuations.chunk / continuations.rate:.3f} s (made in {taken:.0f} s); differences and ratios ± "
        "standard error over songs. "
        f"{measure.machine(device)}.",
        measure.table(header, agreeing),
        measure.table(["chunk", *(f"{kind}" for kind in data["by_chunk"] if kind != "slopes")], drifting),
        measure.table(["flux at borders over flux inside", "borders", "ratio"], seams),
    ]
    measure.report(args, device, "continuations", paragraphs, data)


if __name__ == "__main__":
    main()
