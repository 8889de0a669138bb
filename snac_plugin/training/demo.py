"""Demos in training: generated samples, and the codec's round trip of a training example."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl

from snac_plugin.config import DemoSection
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.output.demo_logging import DemoCallback, log_demo
from snac_plugin.training.wrapper import SnacDiffusionTrainingWrapper

DEMO_SEED = 0


class SnacDemoCallback(DemoCallback):
    """Samples made with the averaged weights, by the settings of stable-audio-tools' demo callback."""

    def __init__(self, demo: DemoSection) -> None:
        super().__init__(demo.demo_every)
        self.demo = demo

    def make_demos(self, trainer: pl.Trainer, module: SnacDiffusionTrainingWrapper, batch: Any) -> None:
        """The codec's round trip of the batch's first example, then samples at each guidance scale."""
        with averaged_weights(module) as model:
            codes = module.codes(batch[0][:1])[:1]
            settings = {"what": "a sample of the training data through the codec and back"}
            log_demo(trainer, "codec_round_trip", model.decode(codes, [DEMO_SEED])[0], codes[0].cpu(), model.levels, settings)
            for scale in self.demo.demo_cfg_scales:
                self._samples(trainer, model, batch[1], float(scale))

    def _samples(self, trainer: pl.Trainer, model: SnacDiffusion, metadata: Any, scale: float) -> None:
        demo, section = self.demo, model.config.model.conditioning
        entries = metadata[: demo.num_demos] if demo.demo_cond_from_batch else demo.demo_cond
        conditioning = [section.read_of(entry) if section else {} for entry in entries]  # a batch's hold paths and masks too
        count = len(conditioning) or demo.num_demos
        options: dict[str, Any] = {"steps": demo.demo_steps, "cfg_scale": scale, "sample_size": model.sample_size}
        batch = model.generate(
            **options, conditioning=conditioning or None, batch_size=count, seed=DEMO_SEED, progress=False, return_codes=True
        )
        for index, (audio, codes) in enumerate(zip(*batch, strict=True)):
            settings = {**options, "seed": DEMO_SEED + index} | ({"conditioning": conditioning[index]} if conditioning else {})
            log_demo(trainer, f"demo_cfg_{scale:g}_{index}", audio, codes, model.levels, settings)


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
