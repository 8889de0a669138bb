"""Callbacks of a run: its progress bar, stopping after a signal, warnings when it goes on with other settings, checkpoints."""

import json
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint, TQDMProgressBar
from torch.optim import Optimizer
from tqdm import tqdm

from snac_plugin.checkpoints.config_inside import CONFIG, differences
from snac_plugin.checkpoints.weights import check_counts, check_optimizers
from snac_plugin.data.resumable_loader import tracks_of
from snac_plugin.errors import LostData

log = logging.getLogger(__name__)

AVERAGED = "average_updated"
"""In a checkpoint from within a step: its batches were not counted, but the moving average had taken in the step before."""

DECIDES_DATA = "decides_data"
"""In a checkpoint: what decides the order of the data and the noise of its run, by the names in FACTS."""
FACTS = {
    "batch_size": "--batch-size",
    "accum_batches": "--accum-batches",
    "processes": "the number of processes (--num-gpus, --num-nodes)",
    "seed": "--seed",
    "tracks": "the number of tracks in the data",
    "names": "the digest of the tracks' names in their order",
}
SHARED = {"batch_size", "processes"}
OF_OPTIMIZERS = ("learning_rate", "optimizer_configs", "learning_rate_scales")
"""Keys of `training` that optimizers and schedulers are built from."""
ANEW = "To change them, begin another run from its weights: --pretrained-ckpt-path."


class StepsBar(TQDMProgressBar):
    """One bar over all steps of the run, with the loss of each level."""

    def init_train_tqdm(self) -> tqdm:
        bar = super().init_train_tqdm()
        bar.set_description("Training")
        return bar

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self.train_progress_bar.reset(total=trainer.max_steps if trainer.max_steps > 0 else None)
        self.train_progress_bar.initial = trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        bar = self.train_progress_bar
        bar.n = trainer.global_step
        if trainer.global_step % max(self.refresh_rate, 1) == 0 or trainer.global_step == trainer.max_steps:
            bar.set_postfix(self.get_metrics(trainer, pl_module))

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return {name.removeprefix("train/"): f"{v:.3f}" if isinstance(v, float) else v for name, v in metrics.items()}


class StopOnSignal(pl.Callback):
    """Ctrl-C or a SIGTERM ends training on all ranks after the step in progress, so that files are whole; a second one aborts."""

    def __init__(self) -> None:
        self._previous: dict[int, Any] = {}
        self._signalled = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        def stop(number: int, _: Any) -> None:
            log.warning("%s: stopping after this step; once more aborts at once", signal.Signals(number).name)
            self._signalled = True
            self._restore()

        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, stop)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # Between the batches of one step their gradients would be lost, and a resumed run would sum others.
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        # A rank that stopped alone would leave the others waiting for its gradients.
        if trainer.strategy.reduce_boolean_decision(self._signalled, all=False):
            trainer.should_stop = True
            trainer.limit_val_batches = 0

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}


class SameData(pl.Callback):
    """Notes in each checkpoint what decides the order of the data and the noise; a run that goes on with other values is warned.

    Processes that together train on a batch of the same size read the same data.

    Args:
        loader: of `resumable`; a stream, or none, has no tracks to note.
    """

    def __init__(self, batch_size: int, seed: int, loader: Any) -> None:
        self.known = {"batch_size": batch_size, "seed": seed} | tracks_of(loader)

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint[DECIDES_DATA] = self._facts(trainer)

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        was, now = checkpoint.get(DECIDES_DATA), self._facts(trainer)
        if not isinstance(was, dict) or not trainer.is_global_zero:
            return
        was = {name: value for name, value in was.items() if name in now and isinstance(value, type(now[name]))}  # or damaged
        changed = {name for name in was if was[name] != now[name]}
        if changed >= SHARED and was["batch_size"] * was["processes"] == now["batch_size"] * now["processes"]:
            changed -= SHARED
        if "tracks" in changed:
            changed -= {"names"}
        if changed:
            said = ", ".join(f"{text} is {now[name]} and was {was[name]}" for name, text in FACTS.items() if name in changed)
            log.warning("From here on data or noise are not those of an unbroken run: %s", said)

    def _facts(self, trainer: pl.Trainer) -> dict[str, Any]:
        return {**self.known, "accum_batches": trainer.accumulate_grad_batches, "processes": trainer.world_size}


class SameOptimizers(pl.Callback):
    """Says which values of the keys OF_OPTIMIZERS have changed: a run that goes on keeps the checkpoint's.

    What an optimizer or a scheduler does not keep in its state, or another type of it, may still take effect.
    """

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        was, now = (_of_optimizers(config) for config in (checkpoint.get(CONFIG), pl_module.model_config))
        changes = [] if was is None else differences(was, now, "training")
        said = ", ".join(f"{path} is {json.dumps(new)} and was {json.dumps(old)}" for path, old, new in changes)
        if said and trainer.is_global_zero:
            log.warning("Without effect, or in part, as a training that goes on keeps its optimizers: %s. %s", said, ANEW)


def _of_optimizers(config: Any) -> dict[str, Any] | None:
    """What a model config says of optimizers; None where there is no config."""
    training = (config or {}).get("training")
    return None if training is None else {key: training[key] for key in OF_OPTIMIZERS if key in training}


class Checkpoints(ModelCheckpoint):
    """A checkpoint every so many steps and always one of the last step; `last.ckpt` is a link to the newest.

    `newest` is the one that this run saved last, None before the first. `keep` -1 keeps all.
    `beside` writes what else goes with one.
    """

    def __init__(self, folder: Path, every: int, keep: int, beside: Callable[[], object] | None = None) -> None:
        super().__init__(
            dirpath=str(folder),  # a Path would be written into checkpoints, which torch then refuses to read
            filename="{step:08d}",
            monitor="step",
            mode="max",
            every_n_train_steps=every,
            save_top_k=keep,
            save_on_train_epoch_end=False,
        )
        self.newest: Path | None = None
        self.beside = beside
        self.started = False  # the state of an earlier run, if any, is restored
        self._links = True

    def _save_checkpoint(self, trainer: pl.Trainer, filepath: str) -> None:
        super()._save_checkpoint(trainer, filepath)
        self.newest = Path(filepath)
        if trainer.is_global_zero and self.beside is not None:
            self.beside()
        if trainer.is_global_zero and self._links:
            self._link(self.newest)

    def _link(self, checkpoint: Path) -> None:
        new = checkpoint.with_name("last.ckpt.new")
        try:
            new.unlink(missing_ok=True)
            new.symlink_to(checkpoint.name)
            os.replace(new, checkpoint.with_name("last.ckpt"))
        except OSError as error:  # some file systems know no links, and Windows wants a privilege for them
            self._links = False
            log.warning("No link last.ckpt to the newest checkpoint in %s: %s", checkpoint.parent, error)

    def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.started = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if trainer.ckpt_path:
            theirs = [each for each in trainer.optimizers if isinstance(each, Optimizer)]  # DeepSpeed's are wrapped, and none
            check_optimizers(theirs, str(trainer.ckpt_path))
            check_counts(trainer.fit_loop.state_dict(), str(trainer.ckpt_path))
        self.started = True
        self._last_global_step_saved = trainer.global_step  # or a resumed run would save its first step again, half done

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        # Lightning logs at this count, and saves it one too low: each resumed run would log one step to the left.
        trainer.fit_loop.epoch_loop._batches_that_stepped = self._steps(trainer, pl_module)

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Count the batch that has just been trained on, and none of a step that is not whole.

        Lightning would count it later, so that a resumed run would take one batch too few into its first step.
        """
        loop, every = checkpoint["loops"]["fit_loop"], trainer.accumulate_grad_batches
        progress = loop["epoch_loop.batch_progress"]
        beyond = progress["current"]["processed"] % every
        for counts in (progress["total"], progress["current"]):
            counts |= dict.fromkeys(("ready", "started", "processed", "completed"), counts["processed"] - beyond)
        if beyond:
            checkpoint[AVERAGED] = True
        loop["epoch_loop.state_dict"]["_batches_that_stepped"] = max(trainer.global_step - 1, 0)  # where validation belongs

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Save what was trained when the data is lost, between two batches; other errors may leave weights half changed."""
        if isinstance(exception, LostData) and self._last_global_step_saved != trainer.global_step and trainer.world_size == 1:
            self._save_topk_checkpoint(trainer, self._monitor_candidates(trainer))
            log.warning("Saved %s; --recover goes on from there when the data is back", self.newest)

    @staticmethod
    def _steps(trainer: pl.Trainer, pl_module: pl.LightningModule) -> int:
        """Steps before the batch that begins."""
        loop = trainer.fit_loop.epoch_loop
        return trainer.global_step if pl_module.automatic_optimization else loop.batch_progress.total.ready - 1

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._last_global_step_saved != trainer.global_step:
            self._save_topk_checkpoint(trainer, self._monitor_candidates(trainer))
