"""Demos in training: wav, spectrogram and codes of generated samples, and the codec's round trip of a real one."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from stable_audio_tools.training.diffusion import DiffusionCondDemoCallback
from stable_audio_tools.training.utils import log_audio, log_image
from torch import Tensor

from snac_plugin.config import DemoSection
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.output.pictures import sample_picture, to_image
from snac_plugin.output.sample_files import SampleFiles, write_sample
from snac_plugin.training.wrapper import SnacDiffusionTrainingWrapper

log = logging.getLogger(__name__)
DEMO_SEED = 0


class SnacDemoCallback(DiffusionCondDemoCallback):
    """stable-audio-tools' demo callback for a hierarchy: same settings, made with the averaged weights.

    Everything goes into `demos/` of the run folder and to the logger. A demo that fails is logged, and training goes on.

    Args:
        demo: the config's demo section.
    """

    def __init__(self, demo: DemoSection) -> None:
        super().__init__(
            demo_every=demo.demo_every,
            num_demos=demo.num_demos,
            demo_steps=demo.demo_steps,
            demo_conditioning=list(demo.demo_cond),
            demo_cfg_scales=list(demo.demo_cfg_scales),
            demo_cond_from_batch=demo.demo_cond_from_batch,
        )
        self.last_demo_step: int = -1

    @rank_zero_only
    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: pl.Trainer, module: SnacDiffusionTrainingWrapper, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Make a demo when it is time, as stable-audio-tools counts: after steps 1, 1 + demo_every, ..."""
        if (trainer.global_step - 1) % self.demo_every or self.last_demo_step == trainer.global_step:
            return
        self.last_demo_step = trainer.global_step
        try:
            with averaged_weights(module) as model:
                self._round_trip(trainer, module, model, batch)
                for scale in self.demo_cfg_scales:
                    self._samples(trainer, model, batch, scale)
        except Exception:  # whatever goes wrong in a demo, hours of training must not end with it
            log.exception("The demo at step %d failed; training goes on", trainer.global_step)

    def _samples(self, trainer: pl.Trainer, model: SnacDiffusion, batch: Any, scale: float) -> None:
        conditioning = batch[1][: self.num_demos] if self.demo_cond_from_batch else self.demo_conditioning or None
        count = len(conditioning) if conditioning else self.num_demos
        options: dict[str, Any] = {"steps": self.demo_steps, "cfg_scale": float(scale), "sample_size": model.sample_size}
        audio, codes = model.generate(
            **options, conditioning=conditioning, batch_size=count, seed=DEMO_SEED, progress=False, return_codes=True
        )
        for index, (sound, own) in enumerate(zip(audio, codes, strict=True)):
            settings = {**options, "seed": DEMO_SEED + index, "step": trainer.global_step}
            self._show(trainer, model, f"demo_cfg_{scale:g}_{index}", sound, own, settings)

    def _round_trip(self, trainer: pl.Trainer, module: SnacDiffusionTrainingWrapper, model: SnacDiffusion, batch: Any) -> None:
        codes = module.codes(batch[0][:1])[:1]
        settings = {"step": trainer.global_step, "what": "a sample of the training data through the codec and back"}
        self._show(trainer, model, "codec_round_trip", model.decode(codes, [DEMO_SEED])[0], codes[0].cpu(), settings)

    def _show(
        self, trainer: pl.Trainer, model: SnacDiffusion, name: str, audio: Tensor, codes: Tensor, settings: dict[str, Any]
    ) -> None:
        folder = Path(trainer.default_root_dir) / "demos" / f"step_{trainer.global_step:08d}"
        files = write_sample(folder, name, audio, model.sample_rate, codes=codes, levels=model.levels, settings=settings)
        self._log(trainer, name, audio, model, codes, files)

    def _log(self, trainer: pl.Trainer, name: str, audio: Tensor, model: SnacDiffusion, codes: Tensor, files: SampleFiles) -> None:
        if isinstance(trainer.logger, TensorBoardLogger):
            writer = trainer.logger.experiment
            writer.add_audio(name, audio.clamp(-1, 1), trainer.global_step, sample_rate=model.sample_rate)
            picture = to_image(sample_picture(audio, model.sample_rate, codes, model.levels, f"{name}, step {trainer.global_step}"))
            writer.add_image(name, picture, trainer.global_step, dataformats="HWC")
        else:
            log_audio(trainer.logger, name, str(files.wav), model.sample_rate)
            log_image(trainer.logger, f"{name}_picture", str(files.picture))


@contextlib.contextmanager
def averaged_weights(module: SnacDiffusionTrainingWrapper) -> Iterator[SnacDiffusion]:
    """The model in evaluation mode with the averaged weights in place, where there are any; the training weights come back."""
    model, online = module.diffusion, module.diffusion.model
    was_training = module.training
    module.eval()
    try:
        if module.diffusion_ema is not None:
            model.model = module.diffusion_ema.ema_model
        yield model
    finally:
        model.model = online
        module.train(was_training)
