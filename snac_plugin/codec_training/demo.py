"""Demos while a codec trains: a few recordings, each followed by its round trip through the codec."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from snac_plugin.codec_training.examples import example_audio
from snac_plugin.codec_training.wrapper import SnacCodecTrainingWrapper
from snac_plugin.levels import Levels
from snac_plugin.output.demo_logging import DemoCallback, log_demo
from snac_plugin.spectra.mel import log_mel_distance

DEMO_SEED = 0


class CodecDemoCallback(DemoCallback):
    """Round trips, with the averaged weights, of the first `num_demos` examples of a data loader, or of the training data."""

    def __init__(self, demo_dl: Any, demo_every: int, num_demos: int) -> None:
        super().__init__(demo_every)
        self.demo_dl, self.num_demos = demo_dl, num_demos
        self._recordings: Tensor | None = None

    def make_demos(self, trainer: pl.Trainer, module: SnacCodecTrainingWrapper, batch: Any) -> None:
        if self._recordings is None:
            loader = self.demo_dl if self.demo_dl is not None else trainer.train_dataloader
            self._recordings = torch.cat(list(example_audio(loader, self.num_demos)))[: self.num_demos]
        codec = module.best_codec
        was_training = codec.training
        try:
            codec.eval()
            with torch.random.fork_rng(devices=[module.device] if module.device.type == "cuda" else []):
                torch.manual_seed(DEMO_SEED)
                latents, info = codec.encode(self._recordings.to(module.device), return_info=True)
                copies = codec.decode(latents)[..., : self._recordings.shape[-1]].float().cpu()
        finally:
            codec.train(was_training)
        levels = Levels.from_snac_config(codec.snac_config)
        for index, (recording, copy, codes) in enumerate(zip(self._recordings, copies, info["codes"].cpu(), strict=True)):
            name, distance = f"round_trip_{index}", log_mel_distance(recording[None], copy[None], levels.sample_rate)
            title = f"{name}, step {trainer.global_step}, log-mel distance {distance:.2f} dB"
            settings = {"log_mel_db": round(distance, 3), "what": "the recording, then its round trip"}
            audio = torch.cat([recording, copy], dim=-1)
            log_demo(trainer, name, audio, codes.repeat(1, 2), levels, settings, title)
