"""Demos while a codec trains: the same few recordings through it and back, beside what they were."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from stable_audio_tools.training.autoencoders import AutoencoderDemoCallback
from stable_audio_tools.training.utils import log_audio, log_image
from torch import Tensor

from snac_plugin.codec_training.examples import example_audio
from snac_plugin.codec_training.losses import log_mel_distance
from snac_plugin.codec_training.wrapper import SnacCodecTrainingWrapper
from snac_plugin.config import check_codec_config
from snac_plugin.levels import Levels
from snac_plugin.output.pictures import sample_picture, to_image
from snac_plugin.output.sample_files import write_sample

log = logging.getLogger(__name__)
DEMO_SEED = 0


def create_codec_demo_callback(config: Mapping[str, Any], demo_dl: Any = None, **_: Any) -> CodecDemoCallback:
    """The callback for a model config; `demo_dl` gives the recordings, the training data by default."""
    training = check_codec_config(config).training
    assert training is not None, "checked when the training wrapper was made"
    return CodecDemoCallback(demo_dl, training.demo.demo_every, training.demo.num_demos)


class CodecDemoCallback(AutoencoderDemoCallback):
    """Round trips with the averaged weights, in `demos/` of the run folder and in the logger.

    Args:
        demo_dl: data loader; its first examples are used each time.
        demo_every: training steps between demos.
        num_demos: how many examples.
    """

    def __init__(self, demo_dl: Any, demo_every: int, num_demos: int) -> None:
        pl.Callback.__init__(self)  # stable-audio-tools' own starts a copy of the data loader here, workers and all
        self.demo_dl, self.demo_every, self.max_demos, self.last_demo_step = demo_dl, demo_every, num_demos, -1
        self._reals: Tensor | None = None

    @rank_zero_only
    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: pl.Trainer, module: SnacCodecTrainingWrapper, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Make a demo when it is time, as stable-audio-tools counts: after steps 1, 1 + demo_every, ..."""
        if (trainer.global_step - 1) % self.demo_every or self.last_demo_step == trainer.global_step:
            return
        self.last_demo_step = trainer.global_step
        try:
            self._demo(trainer, module)
        except Exception:  # whatever goes wrong in a demo, hours of training must not end with it
            log.exception("The demo at step %d failed; training goes on", trainer.global_step)

    def _demo(self, trainer: pl.Trainer, module: SnacCodecTrainingWrapper) -> None:
        if self._reals is None:
            loader = self.demo_dl if self.demo_dl is not None else trainer.train_dataloader
            self._reals = torch.cat(list(example_audio(loader, self.max_demos)))[: self.max_demos]
        codec = module.best_codec
        was_training = codec.training
        codec.eval()
        with torch.random.fork_rng(devices=[module.device] if module.device.type == "cuda" else []):
            torch.manual_seed(DEMO_SEED)
            latents, info = codec.encode(self._reals.to(module.device), return_info=True)
            made = codec.decode(latents)[..., : self._reals.shape[-1]].float().cpu()
        codec.train(was_training)
        levels = Levels.from_snac_config(codec.snac_config)
        for index, (real, copy, codes) in enumerate(zip(self._reals, made, info["codes"].cpu(), strict=True)):
            distance = log_mel_distance(real[None], copy[None], levels.sample_rate)
            settings = {"step": trainer.global_step, "log_mel_db": round(distance, 3), "what": "the recording, then its round trip"}
            self._show(trainer, f"round_trip_{index}", torch.cat([real, copy], dim=-1), codes, levels, settings)

    def _show(self, trainer: pl.Trainer, name: str, audio: Tensor, codes: Tensor, levels: Levels, settings: dict[str, Any]) -> None:
        folder = Path(trainer.default_root_dir) / "demos" / f"step_{trainer.global_step:08d}"
        twice = torch.cat([codes, codes], dim=-1)  # under the recording and under its round trip
        title = f"{name}, step {trainer.global_step}, log-mel distance {settings['log_mel_db']:.2f} dB"
        rate = levels.sample_rate
        files = write_sample(folder, name, audio, rate, codes=twice, levels=levels, settings=settings, title=title)
        if isinstance(trainer.logger, TensorBoardLogger):
            writer = trainer.logger.experiment
            writer.add_audio(name, audio.clamp(-1, 1), trainer.global_step, sample_rate=rate)
            picture = to_image(sample_picture(audio, rate, twice, levels, title))
            writer.add_image(name, picture, trainer.global_step, dataformats="HWC")
        else:
            log_audio(trainer.logger, name, str(files.wav), rate)
            log_image(trainer.logger, f"{name}_picture", str(files.picture))
