"""Turn a training checkpoint into one for inference: averaged weights, by the model's own names, with the config inside.

    python -m snac_plugin unwrap --ckpt-path runs/snac_dit/checkpoints/step=00001000.ckpt --name my_model

The flags are those of stable-audio-tools' unwrap_model.py, which knows only its own model types. --average writes the mean of the
weights of several checkpoints, as of a training and of a fine-tuning that began from it.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from snac_plugin.checkpoints.places import CONFIG, WEIGHTS
from snac_plugin.cli.arguments import add_lora, check_paths
from snac_plugin.cli.command_parser import CommandParser
from snac_plugin.errors import UsageError
from snac_plugin.files import LONGEST_NAME, check_folder

OF_A_FOLDER = (*WEIGHTS, CONFIG, "README.md")


def parser() -> CommandParser:
    made = CommandParser("unwrap", description=__doc__)
    made.add_argument("--ckpt-path", required=True, metavar="FILE", help="training checkpoint")
    made.add_argument("--model-config", metavar="FILE", help="model config, for a checkpoint without one inside")
    same = "other checkpoints of one network with the same conditioners"
    mean = f"{same}: the mean of their weights and its own is written; one named twice counts twice"
    made.add_argument("--average", nargs="+", default=[], metavar="FILE", help=mean)
    add_lora(made)
    add_result(made)
    return made


def add_result(made: CommandParser) -> None:
    """Flags of what `write_result` writes."""
    made.add_argument(
        "--name", default="exported_model", metavar="PATH", help="path of the result without its ending (%(default)s)"
    )
    made.add_argument("--use-safetensors", action="store_true", help="write .safetensors in place of .ckpt")
    folder = "make --name a folder with model.safetensors, model_config.json and a card: what the hub takes"
    made.add_argument("--folder", action="store_true", help=folder)
    made.add_argument("--half", action="store_true", help="store float16, at half the size")


def main(argv: Sequence[str]) -> int:
    args = parser().parse_args(argv)

    check_paths(args)
    check_result(args)

    from snac_plugin.checkpoints.averaging import mean_of
    from snac_plugin.checkpoints.reading import read_checkpoint
    from snac_plugin.plugin.loading import load_model

    checkpoint = mean_of([read_checkpoint(path) for path in (args.ckpt_path, *args.average)])
    config = checkpoint.config_for(args.model_config)
    model = load_model(checkpoint, config, lora=args.lora or ()).merge_lora()
    write_result(args, model, config, checkpoint)
    return 0


def check_result(args: argparse.Namespace) -> None:
    """UsageError for a --name that no file or folder can have, or that is a folder of other things."""
    path = _result(args)
    check_folder("--name", args.name if args.folder else path.parent)
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise UsageError("--name", args.name, f"a name of {LONGEST_NAME} bytes at most, its ending too")
    others = sorted(name for name in _names_in(path.parent) if name not in OF_A_FOLDER) if args.folder else []
    if others:
        found, advice = f"{args.name} with {others[0]} in it", "A model folder holds nothing else: it is handed on as it is."
        raise UsageError("--name", found, "a new folder, an empty one, or that of a model", advice)


def _names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if not path.name.startswith(".")] if folder.exists() else []


def _result(args: argparse.Namespace) -> Path:
    """The file to write."""
    if args.folder:
        return Path(args.name) / WEIGHTS[0]
    return Path(f"{args.name}{'.safetensors' if args.use_safetensors else '.ckpt'}")


def write_result(args: argparse.Namespace, model: Any, config: dict[str, Any], checkpoint: Any) -> None:
    """Write a model that was made from a checkpoint for inference, and say where."""
    from snac_plugin.checkpoints.model_folder import write_beside
    from snac_plugin.checkpoints.writing import save_unwrapped
    from snac_plugin.generation.condition_inputs import condition_inputs

    path = _result(args)
    replaced = ", in place of what was there" if path.exists() else ""
    save_unwrapped(model, path, config, checkpoint.codec, args.half)
    if args.folder:
        needed = {one.name: one.default for one in condition_inputs(model.config) if one.needed and one.default is not None}
        write_beside(path, model, config, checkpoint.codec, checkpoint.steps, needed)
    print(f"model: {path.parent if args.folder else path}{replaced}")
    if args.folder and Path(codec := config["model"]["pretransform"]["config"]["codec"]).is_dir():
        print(f"{codec}, its codec, is a folder of this machine: hand it on, too, and put its place into the config")
