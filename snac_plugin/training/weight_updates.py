"""How a training step changes weights: optimizer, rate by phase, clipping, moving averages; what checkpoints hold of it."""

import math
from typing import Any

import torch
from stable_audio_tools.training.diffusion import DiffusionCondTrainingWrapper
from stable_audio_tools.training.utils import create_optimizer_from_config, create_scheduler_from_config

from snac_plugin.config import TrainingSection
from snac_plugin.config.optimizers import optimizer_configs_named, try_optimizers
from snac_plugin.errors import CheckpointError
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.training.averages import PowerAverages
from snac_plugin.training.callbacks import AVERAGED
from snac_plugin.training.clipping import RunningNorm
from snac_plugin.training.curriculum import Curriculum
from snac_plugin.training.uncertainty import Uncertainty
from snac_plugin.training.unused_weights import UnusedWeights

NORMS, POWER_AVERAGES = "snac_gradient_norms", "snac_averages"
"""In a checkpoint: what `training.clip_grad_deviations` has learnt, and the averages of `training.ema_lengths`."""


class WeightUpdates(DiffusionCondTrainingWrapper):
    """stable-audio-tools' training wrapper with all that happens after the gradient."""

    def __init__(self, model: SnacDiffusion, training: TrainingSection, curriculum: Curriculum) -> None:
        optimizer_configs = training.optimizer_configs
        super().__init__(
            model,
            lr=training.learning_rate if optimizer_configs is None else None,
            mask_padding=training.mask_padding,
            mask_padding_dropout=training.mask_padding_dropout,
            use_ema=training.use_ema,
            optimizer_configs=None if optimizer_configs is None else optimizer_configs.as_dict(),
            pre_encoded=training.pre_encoded,
            cfg_dropout_prob=training.cfg_dropout_prob,
            validation_timesteps=list(training.validation_timesteps),
            p_one_shot=training.p_one_shot,
        )
        try_optimizers(self.optimizer_configs)
        self.curriculum = curriculum
        self.clip_grad_norm = training.clip_grad_norm
        self.uncertainty = Uncertainty(len(model.levels)) if training.uncertainty else None
        self.averages = PowerAverages(training.ema_lengths) if training.ema_lengths else None
        self.norms = None if training.clip_grad_deviations is None else RunningNorm(training.clip_grad_deviations)
        self._unused: UnusedWeights | None = None  # in a training by several processes
        self._average_updated = False

    def configure_optimizers(self) -> Any:
        """stable-audio-tools' optimiser and scheduler; a ConfigError if torch does not know or take them."""
        config = self.optimizer_configs["diffusion"]
        weights = [*self.diffusion.parameters(), *([] if self.uncertainty is None else self.uncertainty.parameters())]
        with optimizer_configs_named():
            optimizer = create_optimizer_from_config(config["optimizer"], weights)
            if "scheduler" not in config:
                return [optimizer]
            scheduler = create_scheduler_from_config(config["scheduler"], optimizer)
            return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    def on_after_backward(self) -> None:
        if self._unused is not None:
            self._unused.empty(lambda used: self.trainer.strategy.reduce(used, reduce_op="sum"))

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """A step at the phase's share of the scheduled learning rate; schedulers never see the share."""
        scale = self.curriculum.at(self.global_step).learning_rate_scale
        scheduled = [group["lr"] for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            group["lr"] *= scale
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        self.diffusion.model.network.normalise_weights()
        if self.averages is not None:
            self.averages.update(self.diffusion, self.global_step + 1)
        for group, rate in zip(optimizer.param_groups, scheduled, strict=True):
            group["lr"] = rate
        if self._unused is not None:
            self._unused.used.zero_()

    def configure_gradient_clipping(self, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        """`training.clip_grad_norm` and `training.clip_grad_deviations`; without either what the trainer was told."""
        if not self.clip_grad_norm and self.norms is None:
            return super().configure_gradient_clipping(optimizer, *args, **kwargs)
        learnt = math.inf if self.norms is None else self.norms.limit
        weights = [p for group in optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(weights, min(learnt, self.clip_grad_norm or math.inf))
        if self.norms is not None:
            self.norms.add(float(norm))
            if math.isfinite(learnt):
                self.log("train/grad_norm_limit", learnt)

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """Log the learning rate, and the gradient's norm before it is clipped."""
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        self.log_dict({"train/lr": optimizer.param_groups[0]["lr"], "train/grad_norm": torch.nn.utils.get_total_norm(gradients)})

    def on_before_zero_grad(self, *args: Any, **kwargs: Any) -> None:
        """Take the step before into the moving average, but not twice."""
        if not self._average_updated:
            super().on_before_zero_grad(*args, **kwargs)
        self._average_updated = False

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.norms is not None:
            checkpoint[NORMS] = self.norms.state()
        if self.averages is not None:
            checkpoint[POWER_AVERAGES] = self.averages.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """An error if the checkpoint lacks what an option of the config has learnt."""
        self._average_updated = checkpoint.get(AVERAGED, False)
        if self.norms is not None:
            self.norms.restore(_kept(checkpoint, NORMS, "training.clip_grad_deviations"))
        if self.averages is not None:
            self.averages.restore(_kept(checkpoint, POWER_AVERAGES, "training.ema_lengths"))


def _kept(checkpoint: dict[str, Any], note: str, key: str) -> Any:
    """What a checkpoint holds for an option; a CheckpointError where it was trained without."""
    if note not in checkpoint:
        advice = f"Leave {key} out, or start a new run from its weights: --pretrained-ckpt-path."
        raise CheckpointError("checkpoint", f"one of a training without {key}", "one with it", advice)
    return checkpoint[note]
