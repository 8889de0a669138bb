"""Does context help? Losses on held-out songs with the true context, another song's, and none; and does the curriculum?

    python benchmarks/context.py

Trains a small model on demo music with `train.py`'s own trainer: once with the curriculum (no context, one chunk, two chunks),
once with full context from the start, on equally many supervised codes. At the end of each phase both are tested on songs they
never heard: loss of each level of the third chunk of a window, given the two chunks before it, two chunks of another song, or
nothing, under the same noise at the same noise levels. Finished trainings and tests are kept and used again.

    python benchmarks/context.py --ckpt FILE

tests a checkpoint instead.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait must not spin beside other processes

import measure
import songs
import torch
from context_losses import KINDS, Losses, evaluate, windows_of
from context_training import PHASES, phase_ends, supervised_codes, trainings
from small_trainings import CHUNKS, PARTS, Training, add_arguments, digest, kept, run_training
from songs import signed

from snac_plugin.cli.demo_songs import kind_from
from snac_plugin.config import load_json
from snac_plugin.device import pick_precision
from snac_plugin.levels import Levels
from snac_plugin.plugin.loading import load_model


def main(argv: Sequence[str] | None = None) -> None:
    """Train, test, report."""
    args = _parser().parse_args(argv)
    device = measure.start(args)
    if args.ckpt is not None:
        _test_checkpoint(args, device)
        return
    if args.steps % PARTS:
        raise SystemExit(f"--steps: found {args.steps}, expected a multiple of {PARTS}")
    codec, window = songs.codec_of(load_json(args.model_config)), CHUNKS * args.chunk_frames
    held_out = windows_of(songs.held_out(args, codec, window), args.windows, window)
    codes = args.codes or songs.demo_codes(codec, "train", args.music, args.songs, args.seconds, window, kind_from(args))
    both = trainings(args, codec.levels, codes)
    minutes, losses = {}, {}
    for training in both:
        training.folder.mkdir(parents=True, exist_ok=True)
        dataset = songs.dataset_config(codes, window, training.folder / "dataset.json")
        minutes[training.name] = run_training(training, args, dataset)
        for step in phase_ends(args.steps):
            losses[training.name, step] = tested(training.checkpoint(step), args, held_out, device)
    _report(args, device, codec.levels, both, losses, minutes, _held_out(held_out))


def _test_checkpoint(args: argparse.Namespace, device: torch.device) -> None:
    model = load_model(args.ckpt, device=device)
    window = CHUNKS * model.model.network.config.chunk_frames
    held_out = windows_of(songs.held_out(args, model.pretransform, window), args.windows, window)
    losses, names = evaluate(model, held_out, args.noise_levels, args.seed), model.levels.names
    header = ["", "level", *KINDS, *(f"{kind} minus true" for kind in KINDS[1:])]
    paragraphs = [
        f"Losses of {args.ckpt} on {_held_out(held_out)}. {measure.machine(device)}.",
        measure.table(header, context_rows("checkpoint", losses, names)),
        by_noise_level(losses, args.noise_levels, names),
    ]
    measure.report(args, device, "context_of_checkpoint", paragraphs, {"losses": losses.as_dict(), "checkpoint": str(args.ckpt)})


def _parser() -> argparse.ArgumentParser:
    parser = measure.parser(__doc__)
    parser.add_argument("--ckpt", type=Path, metavar="FILE", help="test this checkpoint and train nothing")
    add_arguments(parser, batch_size=4, heads=2, chunk_frames=16)
    songs.add_arguments(parser, held_out=16, seconds=60.0)
    parser.add_argument("--windows", type=int, default=4, help="windows of each held-out song")
    parser.add_argument("--noise-levels", type=float, nargs="+", default=[0.3, 0.6, 0.9], help="t to test at")
    parser.add_argument("--steps", type=int, default=1200, help="training steps of each training")
    return parser


def tested(checkpoint: Path, args: argparse.Namespace, windows: torch.Tensor, device: torch.device) -> Losses:
    """Losses of a checkpoint, kept beside it."""
    about = {"seed": args.seed, "t": args.noise_levels, "windows": digest(windows), "precision": pick_precision(device)}

    def test() -> dict[str, Any]:
        return evaluate(load_model(checkpoint, device=device), windows, args.noise_levels, args.seed).as_dict()

    return Losses.from_dict(kept(checkpoint.with_suffix(".losses.json"), about, test))


def context_rows(title: str, losses: Losses, names: str) -> list[list[str]]:
    """Rows of the table: levels, by what the context is; gains of more than two standard errors in bold."""
    rows = []
    for level, name in enumerate(names):
        means = [f"{losses.mean(kind, level):.3f}" for kind in KINDS]
        rows.append([title, name, *means, *(signed(*losses.gain(kind, level)) for kind in KINDS[1:])])
    return rows


def by_noise_level(losses: Losses, noise_levels: Sequence[float], names: str) -> str:
    """Where context helps: gain over no context, by level and noise level."""
    rows = [
        [name, *(signed(*losses.gain("none", level, index)) for index in range(len(noise_levels)))]
        for level, name in enumerate(names)
    ]
    return measure.table(["loss without context minus with the true one", *(f"t = {t:g}" for t in noise_levels)], rows)


def curriculum_rows(losses: Mapping[tuple[str, int], Losses], ends: Mapping[int, int], names: str) -> list[list[str]]:
    """Rows that compare both trainings with the true context, at equal numbers of supervised codes."""
    rows = []
    for step, codes in ends.items():
        ours, other = losses["curriculum", step], losses["full context", step]
        for level, name in enumerate(names):
            apart = songs.mean_and_error(other.true(level) - ours.true(level))
            rows.append([f"{codes:,}", name, f"{ours.mean('true', level):.3f}", f"{other.mean('true', level):.3f}", signed(*apart)])
    return rows


def _held_out(windows: torch.Tensor) -> str:
    return f"{windows.shape[0]} held-out songs, {windows.shape[1]} windows each; differences ± standard error over songs"


def _report(
    args: argparse.Namespace,
    device: torch.device,
    levels: Levels,
    both: Sequence[Training],
    losses: Mapping[tuple[str, int], Losses],
    minutes: Mapping[str, float | None],
    held_out: str,
) -> None:
    ends = {step: supervised_codes(both[0].config, levels, args.batch_size, step) for step in phase_ends(args.steps)}
    assert ends == {step: supervised_codes(both[1].config, levels, args.batch_size, step) for step in ends}
    rows: list[list[Any]] = []
    for name in ("curriculum", "full context"):
        for phase, step in zip(PHASES, ends, strict=True):
            title = f"{name}, after phase {phase!r}" if name == "curriculum" else name
            rows += context_rows(f"{title} ({step} steps)", losses[name, step], levels.names)
    taken = ", ".join(f"{name} {'not measured' if m is None else f'{m:.1f} minutes'}" for name, m in minutes.items())
    seconds = args.chunk_frames / levels.frames_per_second
    paragraphs = [
        f"Context: losses of the third chunk ({seconds:.3f} s) of a window, mean over t = "
        f"{', '.join(f'{t:g}' for t in args.noise_levels)}. dim {args.dim}, depth {args.depth}, {args.steps} steps of "
        f"{args.batch_size} windows ({taken}). {held_out}. {measure.machine(device)}.",
        measure.table(["trained", "level", *KINDS, *(f"{kind} minus true" for kind in KINDS[1:])], rows),
        by_noise_level(losses["curriculum", args.steps], args.noise_levels, levels.names),
        measure.table(
            ["supervised codes", "level", "curriculum", "full context from the start", "difference"],
            curriculum_rows(losses, ends, levels.names),
        ),
    ]
    kept = {f"{name}, {step}": found.as_dict() for (name, step), found in losses.items()}
    data = {"supervised_codes": ends, "minutes": minutes, "losses": kept}
    measure.report(args, device, "context", paragraphs, data)


if __name__ == "__main__":
    main()
