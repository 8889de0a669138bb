"""Flags of `train.py`: stable-audio-tools' names, with defaults that run anywhere; a `defaults.ini` of its form is read too."""

import argparse
import configparser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from snac_plugin.errors import UsageError

# name: (default, help). The names are those of stable-audio-tools' defaults.ini; the last group is ours.
FLAGS: dict[str, tuple[Any, str]] = {
    "model_config": ("", "model config to train"),
    "dataset_config": ("", "dataset config; without one, demo music is rendered and used"),
    "val_dataset_config": ("", "dataset config for validation"),
    "name": ("", "name of the run; the model config's file name by default"),
    "project": ("", "project of the logger; the run's name by default"),
    "save_dir": ("", "folder for checkpoints, demos and logs; runs/NAME by default"),
    "batch_size": (4, "samples in a batch on each device"),
    "num_workers": (1, "processes that load data"),
    "num_nodes": (1, "machines to train on"),
    "num_gpus": (-1, "GPUs to train on; -1 takes all there are"),
    "strategy": ("auto", "Lightning's strategy for several devices"),
    "precision": ("auto", "Lightning's precision; auto picks one for the device"),
    "seed": (42, "of weights, data order, crops, noise and noise levels"),
    "accum_batches": (1, "batches whose gradients are summed into one step"),
    "gradient_clip_val": (1.0, "largest norm of the gradient; 0 never clips"),
    "checkpoint_every": (1000, "steps between checkpoints; the last step is always saved"),
    "save_top_k": (3, "newest checkpoints to keep, at least 1; -1 keeps all"),
    "val_every": (-1, "steps between validations; -1 never validates"),
    "recover": (False, "go on from the newest checkpoint of the run folder, if there is one"),
    "ckpt_path": ("", "training checkpoint to go on from"),
    "pretrained_ckpt_path": ("", "checkpoint whose weights a new run starts from: a file, or snac_dit_tiny"),
    "pretransform_ckpt_path": ("", "not taken: the codec is named in the model config"),
    "remove_pretransform_weight_norm": ("", "pre_load or post_load: compute the codec's weights from their norms only once"),
    "logger": ("tensorboard", "tensorboard, wandb, comet or none"),
    "max_steps": (-1, "steps of the run; -1 trains until it is stopped"),
    "accelerator": ("auto", "Lightning's accelerator: auto, cpu, gpu or mps"),
}
ACCELERATORS = ("auto", "cpu", "gpu", "mps")
LOGGERS = ("tensorboard", "wandb", "comet", "none")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Flags over `defaults.ini` (or --config-file) over the table above; UsageError for what either cannot hold."""
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument("--config-file")
    named = first.parse_known_args(argv)[0].config_file
    if named is not None and not Path(named).is_file():
        raise UsageError("--config-file", f"no file {named}", "a file of defaults, in stable-audio-tools' form")
    defaults = {name: default for name, (default, _) in FLAGS.items()} | read_defaults(Path(named or "defaults.ini"))
    parser = argparse.ArgumentParser("train.py", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--config-file", default="defaults.ini", help="defaults of all flags, in stable-audio-tools' form")
    for name, (default, text) in FLAGS.items():
        kind: dict[str, Any] = {"type": type(default)}
        if isinstance(default, bool):
            kind = {"type": _boolean, "nargs": "?", "const": True}
        parser.add_argument(f"--{name.replace('_', '-')}", default=defaults[name], help=text, **kind)
    parser.add_argument("--resume", dest="recover", action="store_true", default=argparse.SUPPRESS, help="the same as --recover")
    args = parser.parse_args(argv)
    if not args.model_config:
        parser.error("--model-config is needed, for example model_configs/snac_dit.json")
    args.logger = args.logger or "none"  # as stable-audio-tools takes an empty name
    if args.logger not in LOGGERS:
        parser.error(f"--logger: found {args.logger!r}, expected one of {', '.join(LOGGERS)}")
    if args.accelerator not in ACCELERATORS:
        raise UsageError("--accelerator", repr(args.accelerator), f"one of {', '.join(ACCELERATORS)}")
    if args.pretransform_ckpt_path:
        advice = "The model config names the codec, with its weights: model.pretransform.config.codec."
        raise UsageError("--pretransform-ckpt-path", args.pretransform_ckpt_path, "nothing", advice)
    if args.remove_pretransform_weight_norm not in ("", "pre_load", "post_load"):
        raise UsageError("--remove-pretransform-weight-norm", repr(args.remove_pretransform_weight_norm), "pre_load or post_load")
    if args.num_gpus > 1 and args.accelerator in ("cpu", "mps"):
        raise UsageError("--num-gpus", args.num_gpus, f"-1 or 1 with --accelerator {args.accelerator}, which is one device")
    if args.save_top_k != -1 and args.save_top_k < 1:
        raise UsageError("--save-top-k", args.save_top_k, "-1 or at least 1", "Without a checkpoint a run would leave no model.")
    if args.val_every > 0 and args.dataset_config and not args.val_dataset_config:
        raise UsageError("--val-every", args.val_every, "--val-dataset-config beside it", "Nothing is held out of a dataset.")
    if args.val_dataset_config and args.val_every <= 0:
        raise UsageError("--val-dataset-config", args.val_dataset_config, "--val-every above 0 beside it")
    return args


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
