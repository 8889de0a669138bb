"""Lightning's trainer from the flags of `train.py`."""

import argparse
import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException

from snac_plugin.checkpoints.writing import WholeCheckpoints
from snac_plugin.cli.run_folder import run_name
from snac_plugin.device import pick_device, pick_precision
from snac_plugin.errors import UsageError


def make_trainer(
    args: argparse.Namespace, folder: Path, wrapper: Any, callbacks: Sequence[pl.Callback], validates: bool
) -> pl.Trainer:
    """The trainer of a run in `folder`; `validates` if there is data for it. UsageError: Lightning rejects a flag's value."""
    device = pick_device({"auto": None, "gpu": "cuda"}.get(args.accelerator, args.accelerator))
    accelerator = {"cuda": "gpu"}.get(device.type, device.type)
    # Lightning counts batches here, and steps everywhere else.
    val_every = args.val_every * args.accum_batches if validates and args.val_every > 0 else None
    there = torch.cuda.device_count() if accelerator == "gpu" else 0
    on_cpu = args.accelerator == "cpu"  # asked for by name: there --num-gpus counts processes
    if args.num_gpus > max(there, 1) and not on_cpu:
        raise UsageError("--num-gpus", args.num_gpus, f"-1, or at most the {there} that are here", "doctor says what is installed.")
    devices = (there if args.num_gpus < 0 else args.num_gpus) if accelerator == "gpu" else max(args.num_gpus, 1) if on_cpu else 1
    finds_unused_weights = getattr(wrapper, "finds_unused_weights", False)
    try:
        return pl.Trainer(
            accelerator=accelerator,
            devices=devices,
            num_nodes=args.num_nodes,
            strategy=strategy(args.strategy, finds_unused_weights, devices * args.num_nodes),
            precision=pick_precision(device) if args.precision == "auto" else args.precision,
            accumulate_grad_batches=args.accum_batches,
            gradient_clip_val=args.gradient_clip_val,
            callbacks=list(callbacks),
            plugins=[] if args.strategy.startswith("deepspeed") else [WholeCheckpoints()],  # DeepSpeed writes folders of its own
            logger=_logger(args, str(folder)),
            log_every_n_steps=1,
            max_steps=args.max_steps,
            max_epochs=-1,
            default_root_dir=str(folder),
            num_sanity_val_steps=0,
            limit_val_batches=1.0 if val_every else 0,
            check_val_every_n_epoch=None,
            val_check_interval=val_every or 1_000_000_000,
            use_distributed_sampler=False,
            enable_model_summary=False,
        )
    except (ValueError, TypeError, MisconfigurationException) as error:
        raise UsageError("the flags", "values that Lightning does not take", "values that it does", str(error)) from error


def strategy(name: str, finds_unused_weights: bool, devices: int) -> Any:
    """Lightning's strategy for --strategy, on `devices` of all nodes.

    Plain DDP would wait for weights without a gradient: of a discriminator in warm-up, of a frozen encoder. It searches for them
    in each step, but for trainings that see to it themselves.
    """
    if name == "auto" and not finds_unused_weights and devices > 1:
        return "ddp_find_unused_parameters_true"
    if name != "deepspeed":
        return name
    from pytorch_lightning.strategies import DeepSpeedStrategy

    return DeepSpeedStrategy(stage=2, contiguous_gradients=True, overlap_comm=True, reduce_scatter=True, load_full_weights=True)


def _logger(args: argparse.Namespace, folder: str) -> Any:
    name = run_name(args)
    if args.logger == "wandb":
        return pl.loggers.WandbLogger(project=args.project or name, name=name, save_dir=folder)
    if args.logger == "comet":
        return pl.loggers.CometLogger(project_name=args.project or name, experiment_name=name, save_dir=folder)
    return pl.loggers.TensorBoardLogger(folder, name="tensorboard", version="") if args.logger == "tensorboard" else False


def hide_warnings() -> None:
    """Hide warnings that this set of packages prints in every run and that call for no action."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("pytorch_lightning.utilities.rank_zero", "lightning_fabric.utilities.seed"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=FutureWarning)
    workers, folder = "does not have many workers|persistent_workers", "Checkpoint directory .* exists and is not empty"
    for message in ("In 2.9, this function's implementation", f".*({workers}|but have no `val_dataloader`|{folder})"):
        warnings.filterwarnings("ignore", message=message)
