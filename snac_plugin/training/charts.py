"""Charts beside the loss: loss by noise level, use of codes, speed; and the checkpoint that validates best."""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from snac_plugin.training.stage_losses import CodeLosses

log = logging.getLogger(__name__)

BUCKETS = 10
"""Of noise levels from 0 to 1, each with a chart of its own."""
EVERY, USE_EVERY = 10, 50
"""Steps between two looks at the losses by noise level, and at the use of codes."""
WORSE = 5
"""Validations in a row without a better one, after which the log says so."""
NO_LOWER = "%s was lowest at step %d (%.4f) and has not been lower in %d validations: more steps may not help; %s is of then"
BEST = "best.ckpt"
WATCHED = "val/avg_loss"


def for_charts(found: CodeLosses, step: int) -> CodeLosses | None:
    """What a step's charts are made of; its logits, which are large, only where they are looked at."""
    if step % EVERY:
        return None
    outputs = [] if step % USE_EVERY else [each.detach() for each in found.outputs]
    return found._replace(losses=[each.detach() for each in found.losses], outputs=outputs)


@torch.no_grad()
def losses_by_noise(found: CodeLosses, names: Sequence[str]) -> dict[str, Tensor]:
    """Mean loss of each level in each tenth of the noise levels that a step has drawn: "noise/A_0.3" is t from 0.3 to 0.4."""
    values = {}
    for level, losses, count in zip(found.levels, found.losses, found.per_frame, strict=True):
        repeats = torch.tensor(found.frames, device=losses.device) * count
        bucket = (found.t[..., level] * BUCKETS).long().clamp(0, BUCKETS - 1).repeat_interleave(repeats, dim=1)
        mask = torch.ones_like(losses) if found.counted is None else found.counted.repeat_interleave(count, dim=1).to(losses)
        for each in bucket.unique().tolist():
            here = mask * (bucket == each)
            if here.any():
                values[f"noise/{names[level]}_{each / BUCKETS:.1f}"] = (losses * here).sum() / here.sum()
    return values


@torch.no_grad()
def codes_used(found: CodeLosses, names: Sequence[str]) -> dict[str, Tensor]:
    """How many codes of each level the network gives a share to: exp of the entropy of its mean probabilities, 1 to 4,096.

    A network that has lost its variety gives few.
    """
    values = {}
    for level, logits in zip(found.levels, found.outputs, strict=False):  # no outputs are kept in most steps
        mean = logits.float().softmax(dim=-1).flatten(0, -2).mean(dim=0)
        values[f"codes/used_{names[level]}"] = torch.special.entr(mean).sum().exp()
    return values


class Charts(pl.Callback):
    """Writes what one process sees of each step straight to the logger: a chart has a point only where there is something to tell.

    `seconds` of audio are in an item of a batch.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._since: float | None = None

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        found = getattr(pl_module, "last_losses", None)
        if found is not None and trainer.is_global_zero:
            names = pl_module.levels.names
            _write(trainer, losses_by_noise(found, names) | (codes_used(found, names) if pl_module.gives_logits else {}))
        pl_module.last_losses = None
        now = time.perf_counter()
        if self._since is not None:
            items = len(batch[0]) * trainer.world_size
            _write(trainer, {"speed/audio_seconds_per_second": items * self.seconds / (now - self._since)})
        self._since = now

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = None  # the next step's time would have it in


def _write(trainer: pl.Trainer, values: Mapping[str, Any]) -> None:
    step = trainer.fit_loop.epoch_loop._batches_that_stepped  # as Lightning numbers its own
    for logger in trainer.loggers if trainer.is_global_zero else ():
        logger.log_metrics({name: float(value) for name, value in values.items()}, step=step)


class KeepBest(pl.Callback):
    """Saves `best.ckpt` whenever the validation loss is the lowest so far, and says when it has not been for a while.

    Lightning's ModelCheckpoint forgets the lowest loss where a run's folder was moved, and a worse checkpoint takes its place.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / BEST
        self.best, self.step, self.worse = float("inf"), 0, 0

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if WATCHED not in trainer.callback_metrics or trainer.sanity_checking:
            return
        loss = float(trainer.callback_metrics[WATCHED])
        if loss < self.best:
            self.best, self.step, self.worse = loss, trainer.global_step, 0
            trainer.save_checkpoint(self.path)
            return
        self.worse += 1
        if self.worse % WORSE == 0 and trainer.is_global_zero:
            log.warning(NO_LOWER, WATCHED, self.step, self.best, self.worse, self.path)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "step": self.step, "worse": self.worse}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.step, self.worse = (state_dict[name] for name in ("best", "step", "worse"))
