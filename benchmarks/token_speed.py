"""What tokens cost: a training step and a generated chunk, with a token for each code and with codes that share tokens.

    python benchmarks/token_speed.py --dim 1024 --depth 2 --heads 8

Weights are random: they change what is heard, not what it costs.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait must not spin, or CPU time says nothing

import measure
import timing
from generation_speed import Generator
from training_speed import Sides

PATCHES: dict[str, Any] = {"1, 1, 1, 1": 1, "1, 1, 1, 2": {"D": 2}, "1, 1, 2, 4": {"C": 2, "D": 4}, "1, 2, 4, 8": "frame"}
"""Codes of each level that share a token, and the config's `patch`."""


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and report."""
    parser = measure.parser(__doc__, repeats=3)
    measure.add_network_arguments(parser, batch_size=1)
    parser.add_argument("--steps", type=int, default=24, help="denoising steps of the chunk in all")
    args = parser.parse_args(argv)
    device = measure.start(args)
    sides: dict[tuple[str, str, str], Callable[[], object]] = {}
    for read_out in ("token", "code"):
        for name, patch in PATCHES.items():
            options = {"patch": patch, "read_out": read_out}
            trainer, generator = Sides(args, device, **options), Generator(args, device, **options)
            sides[name, read_out, "step"] = trainer.all_chunks
            sides[name, read_out, "chunk"] = partial(generator.generate, "cached", 1.0)
    for side in sides.values():
        side()  # the first one sets memory up
    _report(args, device, timing.interleaved(sides, device, repeats=args.repeats, retries=args.retries))


def _report(args: argparse.Namespace, device: Any, timings: dict[tuple[str, str, str], timing.Timing]) -> None:
    rows, data, first = [], {}, next(iter(PATCHES))
    for name, read_out, kind in timings:
        if kind == "chunk":
            continue
        cells = []
        for what in ("step", "chunk"):
            runs = timings[name, read_out, what]
            faster = timings[first, "token", what].seconds / runs.seconds
            cells += [runs.cell(), f"{faster:.2f}x"]
            data[f"{name}, {read_out}, {what}"] = runs.as_dict() | {"speed_up": faster}
        rows.append([name, read_out, *cells])
    paragraphs = [
        f"Tokens: a training step of three chunks, and a chunk of {args.steps} steps after two more; batch {args.batch_size}, "
        f"dim {args.dim}, depth {args.depth}, {args.head}, {args.chunk_frames} frames a chunk. {measure.machine(device)}.",
        measure.table(
            ["codes a token, A to D", "read out by", "training step, s (range)", "speed-up", "chunk, s (range)", "speed-up"], rows
        ),
    ]
    measure.report(args, device, "token_speed", paragraphs, {"sides": data})


if __name__ == "__main__":
    main()
