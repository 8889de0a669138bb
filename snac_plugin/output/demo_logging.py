"""Demos while something trains: when they are due, and where they are written and logged."""

import logging
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from stable_audio_tools.training.utils import log_audio, log_image
from torch import Tensor

from snac_plugin.levels import Levels
from snac_plugin.output.sample_files import write_sample

log = logging.getLogger(__name__)


class DemoCallback(pl.Callback, ABC):
    """Calls `make_demos` after the steps 1, 1 + demo_every, ..., as stable-audio-tools does; 0: never.

    A failure does not end training.
    """

    def __init__(self, demo_every: int) -> None:
        self.demo_every, self.last_demo_step = demo_every, -1

    @rank_zero_only
    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not self.demo_every or (trainer.global_step - 1) % self.demo_every or self.last_demo_step == trainer.global_step:
            return
        is_first, started = self.last_demo_step < 0, time.perf_counter()
        self.last_demo_step = trainer.global_step
        if is_first:  # or a bar that stands still for a minute looks like a hang
            log.info("Making the first demo; training goes on after it")
        try:
            self.make_demos(trainer, pl_module, batch)
            if is_first:
                log.info("The first demo took %.0f s", time.perf_counter() - started)
        except Exception:  # an error in a demo must not end hours of training
            log.exception("The demo at step %d failed; training goes on", trainer.global_step)

    @abstractmethod
    def make_demos(self, trainer: pl.Trainer, module: Any, batch: Any) -> None:
        """Make the demos of this step and give each to `log_demo`."""


def log_demo(
    trainer: pl.Trainer, name: str, audio: Tensor, codes: Tensor, levels: Levels, settings: dict[str, Any], title: str | None = None
) -> None:
    """Write a demo, audio [1, N] and packed codes [R, T], into `demos/` of the run folder, and log its audio and picture."""
    step, rate = trainer.global_step, levels.sample_rate
    folder = Path(trainer.default_root_dir) / "demos" / f"step_{step:08d}"
    settings, title = {**settings, "step": step}, title or f"{name}, step {step}"
    files = write_sample(folder, name, audio, rate, codes=codes, levels=levels, settings=settings, title=title)
    if isinstance(trainer.logger, TensorBoardLogger):
        writer = trainer.logger.experiment
        writer.add_audio(name, audio.clamp(-1, 1), step, sample_rate=rate)
        writer.add_image(name, np.asarray(Image.open(files.picture).convert("RGB")), step, dataformats="HWC")
    else:
        log_audio(trainer.logger, name, str(files.wav), rate)
        log_image(trainer.logger, f"{name}_picture", str(files.picture))
