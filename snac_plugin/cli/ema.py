"""Rebuild a moving average of any length from the snapshots of a training with `training.ema_lengths`, as a model for inference.

    python -m snac_plugin ema --run runs/snac_dit --length 0.08 --name my_model --use-safetensors

A length is the standard deviation of the average over the training's steps, as a share of these: 0.05 to 0.15 are usual.
"""

from collections.abc import Sequence
from pathlib import Path

from snac_plugin.cli.command_parser import CommandParser
from snac_plugin.errors import UsageError
from snac_plugin.files import check_folder


def parser() -> CommandParser:
    made = CommandParser("ema", defaults=True, description=__doc__)
    made.add_argument("--run", required=True, help="folder of the training")
    made.add_argument("--length", type=float, required=True, help="length of the average, up to 0.28")
    made.add_argument("--step", type=int, help="step at which it ends: one with a snapshot; the last by default")
    made.add_argument("--name", default="exported_model", help="path of the result without its ending")
    made.add_argument("--use-safetensors", action="store_true", help="write .safetensors in place of .ckpt")
    made.add_argument("--half", action="store_true", help="store float16, at half the size")
    return made


def main(argv: Sequence[str]) -> int:
    args = parser().parse_args(argv)
    if not Path(args.run).is_dir():
        raise UsageError("--run", args.run, "the folder of a training")
    if not 0.001 <= args.length <= 0.28:
        raise UsageError("--length", args.length, "a number from 0.001 to 0.28")
    check_folder("--name", Path(args.name).parent)

    from snac_plugin.checkpoints.averages import rebuilt
    from snac_plugin.checkpoints.writing import save_unwrapped
    from snac_plugin.plugin.loading import load_model

    checkpoint, error, count = rebuilt(Path(args.run), args.length, args.step)
    model = load_model(checkpoint)
    path = Path(f"{args.name}{'.safetensors' if args.use_safetensors else '.ckpt'}")
    save_unwrapped(model, path, checkpoint.config_for(), checkpoint.codec, args.half)
    print(f"{count} averages of snapshots up to step {checkpoint.steps:,}; error of the profile {error:.2%}\nmodel: {path}")
    return 0
