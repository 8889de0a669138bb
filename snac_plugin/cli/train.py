"""Train a model from its config, through stable-audio-tools' factories and Lightning's trainer.

python train.py --model-config model_configs/snac_dit.json
"""

import argparse
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from snac_plugin.checkpoints.places import AVERAGES
from snac_plugin.cli.arguments import check_paths
from snac_plugin.cli.run_folder import checkpoint_to_resume, flags_to_go_on, run_folder
from snac_plugin.cli.run_lock import locked
from snac_plugin.cli.train_flags import parse, parser
from snac_plugin.codec.places import check_name
from snac_plugin.diffusion.model_type import MODEL_TYPE
from snac_plugin.errors import CheckpointError, ConfigError, SnacPluginError, UnwritableFile, UsageError
from snac_plugin.files import unwritable

__all__ = ["main", "parser", "train"]

MODEL_TYPES = (MODEL_TYPE, "autoencoder")


def main(argv: Sequence[str]) -> int:
    """Train until --max-steps or Ctrl-C; print where the newest checkpoint lies."""
    args = parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        newest = train(args)
    except Exception as error:
        told = error if isinstance(error, SnacPluginError) else unwritable(error)
        if not isinstance(told, UnwritableFile) or not (flags := flags_to_go_on(args)):
            raise
        advice = f"Make room; then run the same command again {flags}: it goes on from its newest checkpoint."
        raise UnwritableFile(told.where, told.found, told.expected, advice) from error
    print(f"checkpoint: {newest}" if newest else "no checkpoint was saved")
    return 0


def train(args: argparse.Namespace) -> Path | None:
    """Run a training with flags from `train_flags.parse`; returns its newest checkpoint."""
    config, folder = _model_config(args.model_config), run_folder(args)
    with locked(folder):
        resume = checkpoint_to_resume(args, folder)
        _check_paths(args, config, resume)
        return _train(args, config, folder, resume)


def _train(args: argparse.Namespace, config: dict[str, Any], folder: Path, resume: Path | None) -> Path | None:
    import snac_plugin

    snac_plugin.register()  # before the functions that it wraps are imported here

    import pytorch_lightning as pl
    import torch
    from stable_audio_tools.models import create_model_from_config
    from stable_audio_tools.training import create_demo_callback_from_config, create_training_wrapper_from_config

    from snac_plugin.checkpoints.reading import load_weights, read_checkpoint
    from snac_plugin.cli.lightning_trainer import hide_warnings, make_trainer
    from snac_plugin.cli.memory import reuse_freed_memory
    from snac_plugin.cli.train_data import data_loaders
    from snac_plugin.training.callbacks import Checkpoints, SameData, SameOptimizers, StepsBar, StopOnSignal
    from snac_plugin.training.charts import Charts, KeepBest

    reuse_freed_memory()
    hide_warnings()
    torch.set_flush_denormal(True)  # or the CPU crawls when activations get tiny
    pl.seed_everything(args.seed, workers=True)
    if resume is not None:
        checkpoint = read_checkpoint(resume)
        checkpoint.check_resumable()
        config = checkpoint.config_for(config)
    model = create_model_from_config(config)
    if args.pretrained_ckpt_path:
        fine_tuned = config["model_type"] == MODEL_TYPE and not _lora(config)  # adapters train no new conditioners
        load_weights(model, args.pretrained_ckpt_path, fine_tuned=fine_tuned)
    if args.remove_pretransform_weight_norm:
        if config["model_type"] == "autoencoder":
            found, expected = args.remove_pretransform_weight_norm, "nothing for an autoencoder: its weights are trained"
            raise UsageError("--remove-pretransform-weight-norm", found, expected)
        model.pretransform.remove_weight_norm()
    wrapper = create_training_wrapper_from_config(config, model)
    if not wrapper.automatic_optimization:
        _clip_in_wrapper(args, wrapper)
    loaders = data_loaders(args, config, wrapper)
    adapter = partial(wrapper.save_adapter, folder / "lora") if _lora(config) else None
    averages = partial(wrapper.save_averages, folder / AVERAGES) if getattr(wrapper, "averages", None) else None
    checkpoints = Checkpoints(folder / "checkpoints", args.checkpoint_every, args.save_top_k, adapter or averages)
    demos = create_demo_callback_from_config(config, demo_dl=loaders[0])
    callbacks = [checkpoints, demos, StepsBar(), StopOnSignal(), Charts(config["sample_size"] / config["sample_rate"])]
    best = [] if loaders[1] is None else [KeepBest(folder / "checkpoints")]
    callbacks += [SameData(args.batch_size, args.seed, loaders[0]), SameOptimizers(), *best]
    trainer = make_trainer(args, folder, wrapper, callbacks, loaders[1] is not None)
    _fit(trainer, wrapper, loaders, resume, checkpoints)
    if adapter is not None:
        print(f"adapter: {folder / 'lora'}")
    return checkpoints.newest or resume  # a run that had finished saves nothing new


def _fit(trainer: Any, wrapper: Any, loaders: tuple[Any, Any], resume: Path | None, checkpoints: Any) -> None:
    try:
        trainer.fit(wrapper, *loaders, ckpt_path=None if resume is None else str(resume))
    except Exception as error:  # Lightning and torch raise all kinds for a state that does not fit
        if resume is None or checkpoints.started or isinstance(error, SnacPluginError):
            raise
        expected, advice = "that of this model config's optimizers", "Start a new run from its weights: --pretrained-ckpt-path."
        raise CheckpointError(str(resume), f"the state of another training ({error})", expected, advice) from error


def _model_config(path: str) -> dict[str, Any]:
    from snac_plugin.config import load_json

    config = load_json(path)
    if config.get("model_type") not in MODEL_TYPES:
        advice = "stable-audio-tools' own train.py trains the others: python -m snac_plugin FOLDER_OF_STABLE_AUDIO_TOOLS/train.py"
        raise ConfigError(f"{path}: model_type", config.get("model_type", "nothing"), " or ".join(MODEL_TYPES), f"{advice} ...")
    for key in ("model", "training"):
        if key in config and not isinstance(config[key], dict):
            raise ConfigError(f"{path}: {key}", repr(config[key])[:80], "an object { ... }")
    return config


def _check_paths(args: argparse.Namespace, config: dict[str, Any], resume: Path | None) -> None:
    """What takes no torch to check. A run that goes on may take the config from its checkpoint, and is checked with that."""
    from snac_plugin.config import check_training_config

    check_paths(args, "ckpt_path")
    if _lora(config) is not None and not (args.pretrained_ckpt_path or resume):
        found, expected = "nothing", "the checkpoint whose weights stay as they are below the adapters of training.lora"
        raise UsageError("--pretrained-ckpt-path", found, expected, "snac_dit_tiny ships here.")
    if config["model_type"] == MODEL_TYPE and resume is None:
        check_name(check_training_config(config, args.model_config)[0].model.pretransform.config.codec)


def _lora(config: dict[str, Any]) -> Any:
    """The section training.lora, if there is one."""
    return (config.get("training") or {}).get("lora")


def _clip_in_wrapper(args: argparse.Namespace, wrapper: Any) -> None:
    """stable-audio-tools' autoencoder trainer steps its two optimizers itself; Lightning then refuses to clip or accumulate."""
    if args.accum_batches != 1:
        raise UsageError("--accum-batches", args.accum_batches, "1 for an autoencoder", "Raise --batch-size instead.")
    wrapper.clip_grad_norm = wrapper.clip_grad_norm or args.gradient_clip_val
    args.gradient_clip_val = 0.0
