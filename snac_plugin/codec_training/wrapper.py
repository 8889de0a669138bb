"""stable-audio-tools' autoencoder trainer for a SNAC codec, with what a quantiser needs: codebooks that start from data, its own
losses, measures of how its codes are used. Letters: B batch, N audio samples, K codes, D codebook dimensions.
"""

import copy
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from stable_audio_tools.training.autoencoders import AutoencoderTrainingWrapper
from stable_audio_tools.training.losses import ValueLoss
from stable_audio_tools.training.utils import create_optimizer_from_config, create_scheduler_from_config
from torch import Tensor

from snac_plugin.checkpoints.notes import put_config
from snac_plugin.checkpoints.weights import check_weights
from snac_plugin.codec_training.bottleneck import SnacBottleneck, broadcast_from_first
from snac_plugin.codec_training.codebooks import perplexity
from snac_plugin.codec_training.encoder_decoder import compile_parts, snac_of
from snac_plugin.codec_training.examples import example_audio
from snac_plugin.codec_training.losses import LinesLoss
from snac_plugin.codec_training.starting_weights import initialise_from_data
from snac_plugin.config import CodecTraining
from snac_plugin.config.optimizers import failures_named, optimizer_configs_named, try_optimizers
from snac_plugin.diffusion.seeds import mixed_seed
from snac_plugin.spectra.mel import log_mel_distance

log = logging.getLogger(__name__)
LOSS_ADVICE = "Lists of sizes are equally long, no window longer than its transform, and none than sample_size."
QUANTISER_LOSSES = {"commitment": 1.0, "centring": 0.1}

SCALING_EXAMPLES, VALIDATION_SEED = 32, 1
IN_THE_PROGRESS_BAR = ("train/loss", "train/mrstft_loss", "_perplexity")
"""Endings of the names of values that the progress bar shows."""


class SnacCodecTrainingWrapper(AutoencoderTrainingWrapper):
    """Trains an autoencoder of `snac` parts.

    Args:
        model_config: the whole config as it was read, stored in checkpoints.
        fresh: scale the weights by data before the first step.
        seed: of the decoder's noise and the dropped levels, together with the global step.
    """

    def __init__(
        self, autoencoder: Any, training: CodecTraining, model_config: dict[str, Any], fresh: bool = False, seed: int = 0
    ) -> None:
        optimizers = training.optimizer_configs
        with failures_named("training.loss_configs", LOSS_ADVICE):
            super().__init__(
                autoencoder,
                sample_rate=model_config["sample_rate"],
                loss_config=training.loss_configs.model_dump(exclude_none=True),
                eval_loss_config=dict(training.eval_loss_configs),
                optimizer_configs=None if optimizers is None else optimizers.model_dump(exclude_none=True),
                lr=training.learning_rate if optimizers is None else None,
                warmup_steps=training.warmup_steps,
                warmup_mode=training.warmup_mode,
                encoder_freeze_on_warmup=training.encoder_freeze_on_warmup,
                use_ema=training.use_ema,
                ema_copy=copy.deepcopy(autoencoder) if training.use_ema else None,
                clip_grad_norm=training.clip_grad_norm,
            )
        try_optimizers(self.optimizer_configs)
        with failures_named("training.loss_configs", LOSS_ADVICE):
            self._try_losses(model_config["sample_size"])
        with failures_named("training.eval_loss_configs", LOSS_ADVICE):
            self._try(model_config["sample_size"], *(loss for name, loss in self.eval_losses.items() if name != "pesq"))
        self.training_config, self.model_config, self.fresh, self.seed = training, model_config, fresh, seed
        losses = training.loss_configs
        chosen: Mapping[Any, float] = losses.bottleneck.weights if losses.bottleneck else {}
        for name, weight in {**QUANTISER_LOSSES, **chosen}.items():
            self.losses_gen.losses.append(ValueLoss(key=f"vq/{name}_loss", weight=weight, name=f"{name}_loss"))
        if losses.lines and (weight := losses.lines.weights.get("lines", 0.0)):
            self.losses_gen.losses.append(LinesLoss(autoencoder.downsampling_ratio, weight))
        if training.compiled:
            compile_parts(autoencoder)
        self._average_frozen = False
        self._counts: Tensor | None = None

    def _try_losses(self, samples: int) -> None:
        """Run the losses once: some arguments fail only then. No weight or buffer changes and nothing is drawn."""
        self._try(samples, self.sdstft, *([self.mrmel] if hasattr(self, "mrmel") else []))
        if self.use_disc:
            self._try(samples, self.discriminator.eval().loss)
            self.discriminator.train()

    @torch.no_grad()
    def _try(self, samples: int, *losses: Callable[[Tensor, Tensor], Any]) -> None:
        audio = torch.randn(1, self.autoencoder.out_channels, samples, generator=torch.Generator().manual_seed(0))
        with torch.random.fork_rng(devices=[]):
            for loss in losses:
                loss(audio, audio)

    def on_train_start(self) -> None:
        super().on_train_start()
        if self.training_config.compiled and self.global_rank == 0:
            log.info("The first step compiles encoder and decoder, and takes longer than the others")

    @property
    def bottleneck(self) -> SnacBottleneck:
        return self.autoencoder.bottleneck

    def configure_optimizers(self) -> Any:
        """stable-audio-tools' optimisers, with a learning rate for each part of the codec; a ConfigError if torch refuses them."""
        with optimizer_configs_named():
            learners = {"autoencoder": self._parameter_groups()}
            if self.use_disc:
                learners["discriminator"] = list(self.discriminator.parameters())
            sections = [self.optimizer_configs[name] for name in learners]
            optimizers = [create_optimizer_from_config(s["optimizer"], p) for s, p in zip(sections, learners.values(), strict=True)]
            if not all("scheduler" in section for section in sections):
                return optimizers
            return optimizers, [create_scheduler_from_config(s["scheduler"], o) for s, o in zip(sections, optimizers, strict=True)]

    def _parameter_groups(self) -> list[Any]:
        rate = self.optimizer_configs["autoencoder"]["optimizer"]["config"].get("lr", self.lr)
        codec, scales = self.autoencoder, self.training_config.learning_rate_scales
        parts = (codec.encoder, scales.encoder), (codec.bottleneck, scales.projections), (codec.decoder, scales.decoder)
        groups = [{"params": [p for p in part.parameters() if p.requires_grad], "lr": scale * rate} for part, scale in parts]
        return [group for group in groups if group["params"]]

    def training_step(self, batch: tuple[Tensor, Any], batch_idx: int) -> Tensor:
        """stable-audio-tools' step on a batch of audio, after the starts from data that are due."""
        if self.fresh and int(self.bottleneck.steps) == 0:
            self._scale_weights()
        if self.bottleneck.start_is_due:
            self._start_codebooks()
        if self.encoder_freeze_on_warmup and self.global_step >= self.warmup_steps and not self._average_frozen:
            self._freeze_average()
        # Random numbers depend on seed and step alone, so that a resumed run draws the same.
        torch.manual_seed(mixed_seed(self.seed, self.global_step, self.global_rank))
        loss = super().training_step(batch, batch_idx)
        self._average_codebooks()
        self._log_usage()
        return loss

    @torch.no_grad()
    def _scale_weights(self) -> None:
        with torch.random.fork_rng(devices=[]), torch.autocast(self.device.type, enabled=False):
            torch.manual_seed(mixed_seed(self.seed, 0, 0))
            initialise_from_data(snac_of(self.autoencoder), torch.cat(list(self._examples(SCALING_EXAMPLES))).float())
        self.bottleneck.restart()
        broadcast_from_first(self.autoencoder)

    @torch.no_grad()
    def _start_codebooks(self) -> None:
        """k-means over encoded training data; the averaged codebooks start with them."""
        frame = self.autoencoder.downsampling_ratio * self.bottleneck.levels.strides[0]
        examples = -(-self.bottleneck.start_vectors * frame // self.model_config["sample_size"])
        log.info("step %d: codebooks start from %d training examples", self.global_step, examples)
        with torch.autocast(self.device.type, enabled=False):
            z = torch.cat([self.autoencoder.encoder(audio.float()) for audio in self._examples(examples)])
        self.bottleneck.start(z, torch.Generator().manual_seed(mixed_seed(self.seed, self.global_step, 1)))
        broadcast_from_first(self.autoencoder)
        for weight, average in self._codebooks_and_averages():
            average.copy_(weight)

    def _examples(self, count: int) -> Iterator[Tensor]:
        """Training audio [B, 1, N], at least `count` examples in all."""
        return (audio.to(self.device) for audio in example_audio(self.trainer.train_dataloader, count))

    def _codebooks_and_averages(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Each level's codebook [K, D] and its moving average, if there is one."""
        if self.autoencoder_ema is not None:
            pair = self.bottleneck, self.autoencoder_ema.ema_model.bottleneck
            yield from zip(*([level.codebook.weight for level in b.quantizer.quantizers] for b in pair), strict=True)

    @torch.no_grad()
    def _average_codebooks(self) -> None:
        """Copy buffers and revived codes to the averaged codec: a revived code has jumped, so its running average starts anew."""
        if self.autoencoder_ema is None:
            return
        for name, value in self.bottleneck.named_buffers():
            self.autoencoder_ema.ema_model.bottleneck.get_buffer(name).copy_(value)
        for dead, (weight, average) in zip(self.bottleneck.revived, self._codebooks_and_averages(), strict=False):
            average.copy_(torch.where(dead[:, None], weight, average))

    @torch.no_grad()
    def _freeze_average(self) -> None:
        """After the warm-up the codes are fixed, in the averaged codec too. After a resume it runs once more, without effect."""
        self._average_frozen = True
        if self.autoencoder_ema is not None:
            averaged = self.autoencoder_ema.ema_model
            averaged.encoder.load_state_dict(self.autoencoder.encoder.state_dict())
            averaged.bottleneck.load_state_dict(self.bottleneck.state_dict())

    def _log_usage(self) -> None:
        loss = self.bottleneck.codebook_loss
        values: dict[str, Any] = {} if loss is None else {"train/codebook_loss": loss}
        rows = zip(self.bottleneck.levels.names, self.bottleneck.usage(), self.bottleneck.revived, strict=False)
        for name, (used, spread), revived in rows:
            usage = {"perplexity": spread, "used": used, "revived": revived.float().sum()}
            values |= {f"train/{name}_{measure}": value for measure, value in usage.items()}
        self.log_dict(values, prog_bar=True, on_step=True)

    def log_dict(self, dictionary: Any, prog_bar: bool = False, **kwargs: Any) -> None:
        """Log all values; the progress bar shows `IN_THE_PROGRESS_BAR`."""
        shown = {name: value for name, value in dictionary.items() if prog_bar and name.endswith(IN_THE_PROGRESS_BAR)}
        super().log_dict(shown, prog_bar=True, **kwargs)
        super().log_dict({name: value for name, value in dictionary.items() if name not in shown}, **kwargs)

    @property
    def best_codec(self) -> Any:
        """The autoencoder with averaged weights where there are any."""
        return self.autoencoder if self.autoencoder_ema is None else self.autoencoder_ema.ema_model

    @torch.no_grad()
    def validation_step(self, batch: tuple[Tensor, Any], batch_idx: int) -> dict[str, float]:
        """Measure round trips with the averaged weights: stable-audio-tools' measures, log-mel distance, counts of the codes."""
        reals, codec = batch[0], self.best_codec.eval()
        reals = reals[0] if reals.ndim == 4 else reals
        cuda = [self.device] if self.device.type == "cuda" else []
        # At full precision: these are the codes and the audio that the exported codec gives.
        with torch.random.fork_rng(devices=cuda), torch.autocast(self.device.type, enabled=False):
            torch.manual_seed(mixed_seed(VALIDATION_SEED, batch_idx, 0))
            latents, info = codec.encode(reals, return_info=True)
            made = codec.decode(latents)[..., : reals.shape[-1]].float()
        values = {key: float(measure(made, reals)) * (-1 if key == "sisdr" else 1) for key, measure in self.eval_losses.items()}
        values["log_mel_db"] = log_mel_distance(reals.float().cpu(), made.cpu(), self.autoencoder.sample_rate)
        levels, size = self.bottleneck.levels, self.bottleneck.codebook_size
        counts = torch.stack([torch.bincount(c.flatten(), minlength=size) for c in levels.unpack(info["codes"])]).float()
        self._counts = counts if self._counts is None else self._counts + counts
        self.validation_step_outputs.append(values)
        return values

    def on_validation_epoch_end(self) -> None:
        """Log the means, and the perplexity of the codes of the validation data."""
        outputs, counts = self.validation_step_outputs, self._counts
        if not outputs or counts is None:
            return
        values: dict[str, Any] = {f"val/{key}": sum(o[key] for o in outputs) / len(outputs) for key in outputs[0]}
        values |= {f"val/{name}_perplexity": p for name, p in zip(self.bottleneck.levels.names, perplexity(counts), strict=True)}
        self.log_dict(values, sync_dist=True)
        self.validation_step_outputs.clear()
        self._counts = None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        put_config(checkpoint, self.model_config)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raise a CheckpointError if the checkpoint is of another codec, or of another trainer."""
        check_weights(checkpoint["state_dict"], self.state_dict(), "checkpoint")
