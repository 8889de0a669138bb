"""Rebuild a moving average of any length from the snapshots of a training with `training.ema_lengths`, as a model for inference.

    python -m snac_plugin ema --run runs/snac_dit --length 0.08 --name my_model --use-safetensors

A length is the standard deviation of the average over the training's steps, as a share of these: 0.05 to 0.15 are usual.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from snac_plugin.cli.command_parser import CommandParser
from snac_plugin.cli.unwrap import add_result, check_result, write_result
from snac_plugin.errors import UsageError


def parser() -> CommandParser:
    made = CommandParser("ema", description=__doc__)
    made.add_argument("--run", required=True, metavar="FOLDER", help="folder of the training")
    made.add_argument("--length", type=float, required=True, metavar="SHARE", help="length of the average, up to 0.28")
    made.add_argument("--step", type=int, metavar="N", help="step at which it ends: one with a snapshot; the last by default")
    add_result(made)
    return made


def main(argv: Sequence[str]) -> int:
    args = parser().parse_args(argv)
    if not os.path.isdir(args.run):
        raise UsageError("--run", args.run, "the folder of a training")
    if not 0.001 <= args.length <= 0.28:
        raise UsageError("--length", args.length, "a number from 0.001 to 0.28")
    check_result(args)

    from snac_plugin.checkpoints.ema_snapshots import rebuilt
    from snac_plugin.plugin.loading import load_model

    checkpoint, error, count = rebuilt(Path(args.run), args.length, args.step)
    print(f"{count} averages in snapshots up to step {checkpoint.steps:,} give its profile with an error of {error:.2%}")
    write_result(args, load_model(checkpoint), checkpoint.config_for(), checkpoint)
    return 0
