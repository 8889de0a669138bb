"""Train a model from its config, through stable-audio-tools' factories and Lightning's trainer.

python train.py --model-config model_configs/snac_dit.json
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from stable_audio_tools.data.dataset import create_dataloader_from_config
from stable_audio_tools.models import create_model_from_config
from stable_audio_tools.training import create_demo_callback_from_config, create_training_wrapper_from_config

import snac_plugin
from snac_plugin.checkpoints.checkpoint import load_weights
from snac_plugin.cli.memory import reuse_freed_memory
from snac_plugin.cli.train_data import dataset_configs
from snac_plugin.cli.train_flags import parse
from snac_plugin.config import load_json
from snac_plugin.data.resumable_loader import repeatable, resumable
from snac_plugin.device import pick_device, pick_precision
from snac_plugin.errors import CheckpointError, ConfigError
from snac_plugin.training.callbacks import Checkpoints, StepsBar, StopOnSignal, newest_checkpoint

log = logging.getLogger(__name__)
MODEL_TYPES = ("diffusion_snac_dit", "autoencoder")


def main(argv: Sequence[str]) -> int:
    """Train until --max-steps or Ctrl-C; print where the newest checkpoint lies."""
    args = parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    newest = train(args)
    print(f"checkpoint: {newest}" if newest else "no checkpoint was saved")
    return 0


def train(args: argparse.Namespace) -> Path | None:
    """Run a training; returns its newest checkpoint.

    Args:
        args: flags as `train_flags.parse` gives them.

    Raises:
        ConfigError: a config does not fit, or the run folder holds another run.
        CheckpointError: a checkpoint is missing, or of another network or codec.
    """
    config = _model_config(args.model_config)
    snac_plugin.register()
    reuse_freed_memory()
    _quieten()
    torch.set_flush_denormal(True)  # or the CPU crawls when activations get tiny
    pl.seed_everything(args.seed, workers=True)
    run = _run_folder(args, config)
    resume = _checkpoint_to_resume(args, run)
    model = create_model_from_config(config)
    if args.pretrained_ckpt_path:
        load_weights(model, args.pretrained_ckpt_path)
    wrapper = create_training_wrapper_from_config(config, model)
    if not wrapper.automatic_optimization:
        _optimises_by_itself(args, wrapper)
    loaders = _loaders(args, config, wrapper)
    checkpoints = Checkpoints(run.folder / "checkpoints", args.checkpoint_every, args.save_top_k)
    demos = create_demo_callback_from_config(config, demo_dl=loaders[0])
    run.folder.mkdir(parents=True, exist_ok=True)
    trainer = _trainer(
        args,
        run,
        [checkpoints, demos, StepsBar(), StopOnSignal()],
        loaders[1] is not None,
        getattr(wrapper, "all_weights_learn", False),
    )
    trainer.fit(wrapper, *loaders, ckpt_path=resume)
    if checkpoints.newest is None and resume is not None:
        return Path(resume)  # that run had finished already
    return checkpoints.newest


def _model_config(path: str) -> dict[str, Any]:
    config = load_json(path)
    if config.get("model_type") not in MODEL_TYPES:
        advice = "stable-audio-tools' own train.py trains the others: python -m snac_plugin FOLDER_OF_STABLE_AUDIO_TOOLS/train.py"
        raise ConfigError(f"{path}: model_type", config.get("model_type", "nothing"), " or ".join(MODEL_TYPES), f"{advice} ...")
    return config


def _optimises_by_itself(args: argparse.Namespace, wrapper: Any) -> None:
    """stable-audio-tools' autoencoder trainer steps its two optimisers itself, and Lightning then refuses to do its part."""
    if args.accum_batches != 1:
        raise ConfigError("--accum-batches", args.accum_batches, "1 for an autoencoder", "Raise --batch-size instead.")
    wrapper.clip_grad_norm = wrapper.clip_grad_norm or args.gradient_clip_val
    args.gradient_clip_val = 0.0


@dataclass(frozen=True)
class Run:
    """Name and folder of a run."""

    name: str
    folder: Path


def _run_folder(args: argparse.Namespace, config: dict[str, Any]) -> Run:
    name = args.name or Path(args.model_config).stem
    folder = Path(args.save_dir) if args.save_dir else Path("runs") / name
    if folder.exists() and not folder.is_dir():
        raise ConfigError("--save-dir", f"{folder}, which is a file", "a folder, or a name that is not taken")
    return Run(name, folder)


def _checkpoint_to_resume(args: argparse.Namespace, run: Run) -> str | None:
    """The checkpoint that --ckpt-path or --recover asks for; refuses to mix a run with an earlier one's checkpoints."""
    newest = newest_checkpoint(run.folder / "checkpoints")
    if args.recover and not args.ckpt_path and newest is not None and not zipfile.is_zipfile(newest):
        advice = "Remove it: --recover then goes on from the one before."
        raise CheckpointError(str(newest), "a file that is not whole", "a training checkpoint", advice)
    if args.ckpt_path and not Path(args.ckpt_path).exists():
        raise CheckpointError("--ckpt-path", f"no file {args.ckpt_path}", "a training checkpoint", "They lie under --save-dir.")
    asked = Path(args.ckpt_path) if args.ckpt_path else newest if args.recover else None
    if newest is not None and (asked is None or asked.resolve() != newest.resolve()):
        advice = f"Name another --save-dir, go on from {newest.name} with --recover, or remove {newest.parent}."
        raise ConfigError("--save-dir", f"{run.folder} with checkpoints of an earlier run", "a folder of its own", advice)
    if args.recover:
        log.info("Going on from %s", asked) if asked else log.info("Nothing to go on from in %s: starting", run.folder)
    return None if asked is None else str(asked)


def _loaders(args: argparse.Namespace, config: dict[str, Any], wrapper: Any) -> tuple[Any, Any]:
    """Data loaders for training and validation, from stable-audio-tools' dataset configs."""
    train_config, val_config = dataset_configs(args, config)
    common = {
        "batch_size": args.batch_size,
        "num_workers": max(args.num_workers, 1),  # stable-audio-tools keeps its workers alive, so there must be one
        "sample_rate": config["sample_rate"],
        "sample_size": config["sample_size"],
        "audio_channels": config.get("audio_channels", 1),
    }

    def batches_so_far() -> int:
        trainer = wrapper._trainer  # none yet when stable-audio-tools' autoencoder demo reads ahead
        return trainer.global_step * trainer.accumulate_grad_batches if trainer is not None else 0

    def rank() -> tuple[int, int]:
        return (wrapper.trainer.global_rank, wrapper.trainer.world_size) if wrapper._trainer is not None else (0, 1)

    loader = resumable(create_dataloader_from_config(train_config, **common), args.seed, batches_so_far, rank)
    validation = None
    if val_config is not None:
        validation = repeatable(create_dataloader_from_config(val_config, **common, shuffle=False), args.seed)
    for each in (loader, validation):
        if each is not None:
            each.worker_init_fn = _leave_interrupts_to_the_trainer
    return loader, validation


def _leave_interrupts_to_the_trainer(_: int) -> None:
    """Ctrl-C reaches every process of a terminal; workers that died of it would take the last steps of training with them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _trainer(args: argparse.Namespace, run: Run, callbacks: list[pl.Callback], validates: bool, all_learn: bool) -> pl.Trainer:
    device = pick_device({"auto": None, "gpu": "cuda"}.get(args.accelerator, args.accelerator))
    accelerator = {"cuda": "gpu"}.get(device.type, device.type)
    # Lightning counts batches here, and steps everywhere else.
    val_every = args.val_every * args.accum_batches if validates and args.val_every > 0 else None
    precision = pick_precision(device) if args.precision == "auto" else args.precision
    devices = (torch.cuda.device_count() if args.num_gpus < 0 else args.num_gpus) if accelerator == "gpu" else 1
    try:
        return pl.Trainer(
            accelerator=accelerator,
            devices=devices,
            num_nodes=args.num_nodes,
            strategy=_strategy(args.strategy, all_learn, devices * args.num_nodes),
            precision=precision,
            accumulate_grad_batches=args.accum_batches,
            gradient_clip_val=args.gradient_clip_val,
            callbacks=callbacks,
            logger=_logger(args, run),
            log_every_n_steps=1,
            max_steps=args.max_steps,
            max_epochs=-1,
            default_root_dir=str(run.folder),
            num_sanity_val_steps=0,
            limit_val_batches=1.0 if val_every else 0,
            check_val_every_n_epoch=None,
            val_check_interval=val_every or 1_000_000_000,
            use_distributed_sampler=False,
            enable_model_summary=False,
        )
    except (ValueError, TypeError, MisconfigurationException) as error:  # it knows best what its arguments may be
        raise ConfigError("the flags", "values that Lightning does not take", "values that it does", str(error)) from error


def _strategy(name: str, all_learn: bool, devices: int) -> Any:
    """What Lightning takes as its strategy.

    Args:
        name: as --strategy gives it.
        all_learn: every weight has a gradient in every step. Plain DDP would wait for those of a discriminator in warm-up, of an
            encoder at rest, of levels that a phase leaves out.
        devices: on all nodes.
    """
    if name == "auto" and not all_learn and devices > 1:
        return "ddp_find_unused_parameters_true"
    if name != "deepspeed":
        return name
    from pytorch_lightning.strategies import DeepSpeedStrategy

    return DeepSpeedStrategy(stage=2, contiguous_gradients=True, overlap_comm=True, reduce_scatter=True, load_full_weights=True)


def _logger(args: argparse.Namespace, run: Run) -> Any:
    project = args.project or run.name
    if args.logger == "wandb":
        return pl.loggers.WandbLogger(project=project, name=run.name, save_dir=str(run.folder))
    if args.logger == "comet":
        return pl.loggers.CometLogger(project_name=project, experiment_name=run.name, save_dir=str(run.folder))
    if args.logger == "none":
        return False
    return pl.loggers.TensorBoardLogger(str(run.folder), name="tensorboard", version="")


def _quieten() -> None:
    """Hide what every run of this set prints and no user can act on."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", message="In 2.9, this function's implementation will be changed.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*persistent_workers.*")
    warnings.filterwarnings("ignore", message=".*but have no `val_dataloader`.*")
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
