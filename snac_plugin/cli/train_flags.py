"""Flags of `train.py`: stable-audio-tools' names, with defaults that run anywhere.

A `defaults.ini` of stable-audio-tools' form in the current folder is read too.
"""

import argparse
import configparser
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snac_plugin.cli.command_parser import CommandParser
from snac_plugin.errors import UsageError

# Name: (default, help), by what they are about. The names are those of stable-audio-tools' defaults.ini,
# --max-steps and --accelerator aside.
GROUPS: dict[str, dict[str, tuple[Any, str]]] = {
    "what is trained": {
        "model_config": ("", "model config to train; required, here or in the file of defaults"),
        "dataset_config": ("", "dataset config; without one, demo music is rendered and used"),
        "pretrained_ckpt_path": ("", "checkpoint whose weights a new run starts from: a file, or snac_dit_tiny"),
        "max_steps": (-1, "steps of the run; -1 trains until it is stopped"),
        "batch_size": (4, "samples in a batch on each device"),
        "accum_batches": (1, "batches whose gradients are summed into one step"),
        "gradient_clip_val": (1.0, "largest norm of the gradient; 0 never clips"),
        "seed": (42, "of weights, data order, crops, noise and noise levels"),
    },
    "where it goes, and how it is resumed": {
        "save_dir": ("", "folder for checkpoints, demos and logs; runs/NAME by default"),
        "name": ("", "name of the run; the model config's file name by default"),
        "checkpoint_every": (1000, "steps between checkpoints; the last step is always saved"),
        "save_top_k": (3, "newest checkpoints to keep, at least 1; -1 keeps all"),
        "recover": (False, "go on from the newest checkpoint of the run folder, if there is one"),
        "ckpt_path": ("", "training checkpoint to go on from"),
    },
    "what is measured and logged": {
        "val_dataset_config": ("", "dataset config for validation"),
        "val_every": (-1, "steps between validations; -1 never validates"),
        "logger": ("tensorboard", "tensorboard, wandb, comet or none"),
        "project": ("", "project of the logger; the run's name by default"),
    },
    "the machine": {
        "accelerator": ("auto", "Lightning's accelerator: auto, cpu, gpu or mps"),
        "precision": ("auto", "Lightning's precision; auto picks one for the device"),
        "num_gpus": (-1, "GPUs to train on, or processes with --accelerator cpu; -1 takes all GPUs there are, or one process"),
        "num_nodes": (1, "machines to train on"),
        "strategy": ("auto", "Lightning's strategy for several devices"),
        "num_workers": (1, "processes that load data"),
    },
    "the codec": {
        "pretransform_ckpt_path": ("", "not taken: the codec is named in the model config"),
        "remove_pretransform_weight_norm": ("", "pre_load or post_load: compute the codec's weights from their norms only once"),
    },
}
FLAGS = {name: flag for group in GROUPS.values() for name, flag in group.items()}
ACCELERATORS = ("auto", "cpu", "gpu", "mps")
LOGGERS = ("tensorboard", "wandb", "comet", "none")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Flags over `defaults.ini` (or --config-file) over the table above; UsageError for what either cannot hold."""
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument("--config-file")
    named = first.parse_known_args(argv)[0].config_file
    if named is not None and not os.path.isfile(named):
        raise UsageError("--config-file", f"no file {named}", "a file of defaults, in stable-audio-tools' form")
    defaults = {name: default for name, (default, _) in FLAGS.items()} | read_defaults(Path(named or "defaults.ini"))
    made = parser(defaults)
    args = made.parse_args(argv)
    if not args.model_config:
        made.error("--model-config is needed, for example model_configs/snac_dit.json")
    args.logger = args.logger or "none"  # as stable-audio-tools takes an empty name
    if args.logger not in LOGGERS:
        made.error(f"--logger: found {args.logger!r}, expected one of {', '.join(LOGGERS)}")
    if args.accelerator not in ACCELERATORS:
        raise UsageError("--accelerator", repr(args.accelerator), f"one of {', '.join(ACCELERATORS)}")
    if args.pretransform_ckpt_path:
        advice = "The model config names the codec, with its weights: model.pretransform.config.codec."
        raise UsageError("--pretransform-ckpt-path", args.pretransform_ckpt_path, "nothing", advice)
    if args.remove_pretransform_weight_norm not in ("", "pre_load", "post_load"):
        raise UsageError("--remove-pretransform-weight-norm", repr(args.remove_pretransform_weight_norm), "pre_load or post_load")
    if args.num_gpus > 1 and args.accelerator == "mps":
        raise UsageError("--num-gpus", args.num_gpus, "-1 or 1 with --accelerator mps, which is one device")
    if args.save_top_k != -1 and args.save_top_k < 1:
        raise UsageError("--save-top-k", args.save_top_k, "-1 or at least 1", "Without a checkpoint a run would leave no model.")
    if args.val_every > 0 and args.dataset_config and not args.val_dataset_config:
        raise UsageError("--val-every", args.val_every, "--val-dataset-config beside it", "Nothing is held out of a dataset.")
    if args.val_dataset_config and args.val_every <= 0:
        raise UsageError("--val-dataset-config", args.val_dataset_config, "--val-every above 0 beside it")
    return args


def parser(defaults: Mapping[str, Any] | None = None) -> CommandParser:
    """All flags, with defaults of a file over those of the table."""
    made = CommandParser("train.py", usage="train.py --model-config FILE [FLAGS]", description=__doc__)
    for title, flags in GROUPS.items():
        group = made.add_argument_group(title)
        for name, (default, text) in flags.items():
            value = default if defaults is None else defaults[name]
            kind: dict[str, Any] = {"type": type(default), "metavar": _metavar(name, default)}
            if isinstance(default, bool):
                kind = {"type": _boolean, "nargs": "?", "const": True, "metavar": "true|false"}
            shown = "" if value in ("", False) else f" ({value})"
            group.add_argument(f"--{name.replace('_', '-')}", default=value, help=text + shown, **kind)
            if name == "recover":
                again = "the same as --recover"
                group.add_argument("--resume", dest="recover", action="store_true", default=argparse.SUPPRESS, help=again)
    first = made.add_argument_group("defaults")
    first.add_argument("--config-file", metavar="FILE", default="defaults.ini", help="of all flags, in stable-audio-tools' form")
    return made


def _metavar(name: str, default: Any) -> str:
    if isinstance(default, str):
        return "FILE" if name.endswith(("config", "path")) else "FOLDER" if name.endswith("dir") else "NAME"
    return "N" if isinstance(default, int) else "X"


def read_defaults(path: Path) -> dict[str, Any]:
    """The [DEFAULTS] section of a file in stable-audio-tools' form; empty when there is no file."""
    file = configparser.ConfigParser()
    file.read(path)
    section = file["DEFAULTS"] if file.has_section("DEFAULTS") else {}
    return {name: _value(f"{path}: {name}", name, text.strip("\"'")) for name, text in section.items()}


def _value(where: str, name: str, text: str) -> Any:
    if name not in FLAGS:
        raise UsageError(where, text, f"one of {', '.join(FLAGS)}")
    kind = type(FLAGS[name][0])
    try:
        return _boolean(text) if kind is bool else kind("" if text == "None" else text)
    except (ValueError, argparse.ArgumentTypeError):
        raise UsageError(where, repr(text), f"a value of type {kind.__name__}") from None


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected true or false")
    return text.lower() in ("true", "1")
