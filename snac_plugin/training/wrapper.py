"""stable-audio-tools' training wrapper, with one forward for all stages; optimiser, EMA and export are stable-audio-tools'.
Letters: B batch, R rows, T frames, L levels.
"""

import logging
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.strategies import DDPStrategy, DeepSpeedStrategy
from torch import Tensor

from snac_plugin.checkpoints.new_classes import check_classes
from snac_plugin.checkpoints.notes import (
    CODEC_NOTE,
    codec_note,
    put_config,
    replace_codec_by_note,
    replace_note_by_codec,
    saved_config,
)
from snac_plugin.checkpoints.reading import check_head
from snac_plugin.checkpoints.weights import check_weights
from snac_plugin.config import TrainingSection
from snac_plugin.diffusion.noise_levels import bin_edges, learnt_masses
from snac_plugin.diffusion.sampler_names import LEARNT
from snac_plugin.diffusion.seeds import condition_dropout_seed, gap_seed, mixed_seed, perturbation_seed
from snac_plugin.errors import AudioError, LostData, UsageError
from snac_plugin.generation.context import Context
from snac_plugin.generation.data_conditions import DataConditions
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.levels import chunk_sizes
from snac_plugin.model.conditioners import blanks, chosen
from snac_plugin.model.conditions import Conditions
from snac_plugin.model.training_pass import KnownFrames
from snac_plugin.training.batches import naming_files, padding_mask, positions
from snac_plugin.training.charts import for_charts
from snac_plugin.training.curriculum import Phase, curriculum_from_config
from snac_plugin.training.gaps import draw_gaps
from snac_plugin.training.stage_losses import CodeLosses, Draw, Share, code_losses, draw_step, one_shot, perturbed, stage_losses
from snac_plugin.training.unused_weights import UnusedWeights
from snac_plugin.training.weight_updates import WeightUpdates

log = logging.getLogger(__name__)
VALIDATION_SEED = 1
TOO_SHORT = "max_steps %d leaves levels untrained: training.curriculum trains %s from step %d on"
TO_MEND = "Correct the JSON file beside it; where codes are trained on, run pre_encode.py --overwrite then."


class SnacDiffusionTrainingWrapper(WeightUpdates):
    """Trains every stage of every chunk of a window in one forward.

    Args:
        model_config: the whole config as it was read, for checkpoints.
        seed: of noise, noise levels and context lengths, together with the global step.
    """

    finds_unused_weights = True

    def __init__(self, model: SnacDiffusion, training: TrainingSection, model_config: dict[str, Any], seed: int = 0) -> None:
        levels, network = model.levels, model.config.model.diffusion.config
        chunks = len(chunk_sizes(model.sample_size // levels.frame_samples, network.chunk_frames))
        full_context = min(network.context_chunks, chunks - 1)
        super().__init__(model, training, curriculum_from_config(training, levels.names, full_context))
        self.chunks, self.full_context = chunks, full_context
        self.levels, self.model_config, self.seed = levels, model_config, seed
        self.infill = training.infill
        self.condition_dropout = training.condition_dropouts([*model.read_ids])
        self.said = DataConditions(model.config, TO_MEND)
        self.mask_spans, self.input_perturbation = training.spans(levels.names), training.perturbations(levels.names)
        self.timesteps, self.corruption = training.timesteps(levels.names), training.corruptions(levels.names)
        self.validation_losses: dict[float, list[Tensor]] = {}
        self._phase: Phase | None = None
        self.gives_logits = network.head != "velocity"
        self.last_losses: CodeLosses | None = None  # for charts

    def on_train_start(self) -> None:
        """Several processes wait for the gradient of every weight, and a step may leave some out."""
        late = self.curriculum.untrained(self.trainer.max_steps) if self.trainer.max_steps > 0 else {}
        if late and self.global_rank == 0:
            log.warning(TOO_SHORT, self.trainer.max_steps, " ".join(self.levels.names[n] for n in late), min(late.values()))
        strategy = self.trainer.strategy
        # Lightning's DeepSpeedStrategy is one too, but DeepSpeed hooks the same weights to reduce their gradients itself.
        if isinstance(strategy, DDPStrategy) and not isinstance(strategy, DeepSpeedStrategy):
            self._unused = UnusedWeights(self.parameters())

    def training_step(self, batch: tuple[Tensor, list[dict[str, Any]]], batch_idx: int) -> Tensor:
        """Loss of one batch, the mean over trained levels by weight."""
        phase = self._enter_phase()
        context, generator = self._context_chunks(phase, batch_idx), self._generator(batch_idx)
        share = Share(self.global_rank, self.trainer.world_size)
        # One draw for context and conditioning: guidance subtracts the output without either.
        keep = share.of(torch.rand(len(batch[1]) * share.ranks, generator=generator) >= self.cfg_dropout_prob)
        codes, frame_mask, conditions = self._prepare(batch, generator, keep, self._single_kept(len(batch[1]), batch_idx, share))
        timesteps = self._timesteps()
        draw = draw_step(codes, self.levels, self._chunks_in(codes), context, timesteps, self.corruption, generator, share)
        draw = one_shot(draw, self.p_one_shot, generator, share)
        known = self._known_frames(codes.shape[-1], context, batch_idx, phase)
        draw = self._perturbed(replace(draw, known=known, spans=self.mask_spans), batch_idx, share)
        before = self._context_before(batch[1], keep)
        window = (self.diffusion.model, codes, draw, conditions, frame_mask, before, phase.trained)
        per_level, trained = self._losses(*window, share=share)
        weights = per_level.new_tensor([phase.level_weights[level] for level in phase.trained])
        loss = (trained * weights).sum() / weights.sum()
        logged = per_level.detach()
        if share.ranks > 1:
            logged = self.trainer.strategy.reduce(logged.clone(), reduce_op="mean")
        by_name = {self.levels.names[level]: value for level, value in zip(phase.trained, logged, strict=True)}
        self._log_step((logged * weights).sum() / weights.sum(), by_name, context, len(batch[1]), loss.detach())
        return loss if self._unused is None else self._unused.reached_by(loss)

    def _losses(self, *window: Any, share: Share) -> tuple[Tensor, Tensor]:
        """The mean loss of each trained level, and what is trained: the same, or weighed by the learned uncertainty."""
        found = code_losses(*window)
        self.last_losses, plain = for_charts(found, self.global_step), share.weighed(found)
        return plain, plain if self.uncertainty is None else share.weighed(self.uncertainty.weighed(found))

    def _timesteps(self) -> list[tuple[Any, ...]]:
        """The distribution of noise levels of each level, as training has learnt it so far."""
        if self.uncertainty is None or not any(sampler in LEARNT for sampler, _ in self.timesteps):
            return [*self.timesteps]
        learnt = self.uncertainty.at(bin_edges().tolist())
        drawn: list[tuple[Any, ...]] = []
        for (sampler, options), u in zip(self.timesteps, learnt, strict=True):
            masses = (learnt_masses(sampler, options, u, self.global_step),) if sampler in LEARNT else ()
            drawn.append((sampler, options, *masses))
        return drawn

    @torch.no_grad()
    def validation_step(self, batch: tuple[Tensor, list[dict[str, Any]]], batch_idx: int) -> None:
        """Loss of each level at fixed noise levels, with all the context the window holds."""
        generator = torch.Generator().manual_seed(mixed_seed(VALIDATION_SEED, batch_idx, 0))
        context, (codes, frame_mask, conditions) = self.diffusion.context(batch[1]), self._prepare(batch)
        for t in self.validation_timesteps:
            draw = draw_step(codes, self.levels, self._chunks_in(codes), self.full_context, self.timesteps, [0.0], generator)
            fixed = Draw(torch.full_like(draw.t, t), draw.noise, codes, draw.context_chunks)
            per_level, _ = stage_losses(self.diffusion.model, codes, fixed, conditions, frame_mask, context)
            self.validation_losses.setdefault(t, []).append(per_level)

    def on_validation_epoch_end(self) -> None:
        """Log the validation losses: by level and noise level, by noise level, and their mean."""
        if not self.validation_losses:
            return
        means = {t: torch.stack(losses).mean(dim=0) for t, losses in self.validation_losses.items()}
        self.validation_losses = {}
        values = {f"val/loss_{t:g}_{n}": loss for t, mean in means.items() for n, loss in zip(self.levels.names, mean, strict=True)}
        values |= {f"val/loss_{t:g}": mean.mean() for t, mean in means.items()}
        every = torch.stack(list(means.values()))
        values |= {f"val/loss_{name}": loss for name, loss in zip(self.levels.names, every.mean(dim=0), strict=True)}
        self.log_dict(values | {"val/avg_loss": every.mean()}, sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        put_config(checkpoint, self.model_config)
        replace_codec_by_note(checkpoint, self.diffusion, "diffusion.")

    def save_averages(self, folder: Path) -> None:
        """Write a snapshot of the averages of `training.ema_lengths`."""
        assert self.averages is not None
        content: dict[str, Any] = {CODEC_NOTE: codec_note(self.diffusion)}
        put_config(content, self.model_config)
        self.averages.save(folder, self.diffusion, self.global_step, content)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the codec of this model in; an error if the checkpoint was made with another, or for another network."""
        super().on_load_checkpoint(checkpoint)
        replace_note_by_codec(checkpoint, self.diffusion, "diffusion.")
        check_head(config := saved_config(checkpoint), self.diffusion, "checkpoint")
        check_classes(self.diffusion, config, "checkpoint")
        check_weights(checkpoint["state_dict"], self.state_dict(), "checkpoint")

    @torch.no_grad()
    def codes(self, reals: Tensor) -> Tensor:
        """Packed codes [B, R, T] of a batch as a data loader gives it: audio [B, 1, N], latents [B, R * 8, T] or codes.

        An axis of size 1 before the batch, as streamed datasets have it, goes. AudioErrors: see `SnacPretransform.tokenize`.
        """
        if reals.ndim == 4 and reals.shape[0] == 1:
            reals = reals[0]
        if not reals.is_floating_point():
            return reals.long()  # pre-encoded codes: nothing else comes as integers
        pretransform, channels = self.diffusion.pretransform, self.levels.channels
        if self.pre_encoded and reals.shape[1] != channels:
            found, expected = f"latents of {reals.shape[1]} channels", f"codes, or packed latents of {channels} channels"
            advice = "Encode with this package's pre_encode.py, or with stable-audio-tools' and the flag --is-discrete."
            raise AudioError("the pre-encoded data", found, expected, advice)
        return pretransform.space.to_codes(reals.float()) if self.pre_encoded else pretransform.tokenize(reals.float())

    def _prepare(
        self,
        batch: tuple[Tensor, list[dict[str, Any]]],
        generator: torch.Generator | None = None,
        keep: Tensor | None = None,
        single: Mapping[str, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor | None, Conditions]:
        """Codes [B, R, T], frame mask [B, T] and conditioning inputs of a batch of audio, latents or codes.

        Without a generator padding is always masked, without `keep` [B] no sample's conditioning is dropped, and without `single`
        no single condition, by its id.
        """
        reals, metadata = batch
        try:
            codes = self.codes(reals)
        except AudioError as error:
            raise naming_files(error, reals, metadata) from error
        self._check_said(metadata)
        frame_mask = None
        unmasked = generator is not None and float(torch.rand(1, generator=generator)) < self.mask_padding_dropout
        if self.mask_padding and not unmasked:
            frame_mask = padding_mask(metadata, codes.shape[-1], codes.device)
        tensors = self.diffusion.condition_tensors(self._placed(metadata, codes), self.device)
        nothing = blanks(tensors, self.diffusion.conditioner.by_id)
        tensors |= {name: chosen(kept, tensors[name], nothing[name]) for name, kept in (single or {}).items()}
        conditions = self.diffusion.joined(tensors)
        if keep is not None:
            guided = self.diffusion.config.model.diffusion.config.guided_global_cond
            blank = self.diffusion.joined(nothing) if self.diffusion.conditioner.learned_blanks else None
            conditions = conditions.dropped(keep.to(self.device), guided, blank)
        return codes, frame_mask, conditions

    def _check_said(self, metadata: list[dict[str, Any]]) -> None:
        """LostData, so that what was trained is saved, for a file that does not say what its conditions need."""
        for index, entry in enumerate(metadata):
            try:
                self.said.check(entry.get("path", f"sample {index} of the batch"), entry)
            except UsageError as error:
                raise LostData(error.where, error.found, error.expected, error.advice) from None

    def _placed(self, metadata: list[dict[str, Any]], codes: Tensor) -> list[dict[str, Any]]:
        """Metadata with the position of each crop, where the model wants it."""
        names = self.diffusion.position_ids
        chunk_frames = self.diffusion.config.model.diffusion.config.chunk_frames
        return positions(metadata, names, codes.shape[-1] / chunk_frames) if names else metadata

    def _single_kept(self, batch: int, batch_idx: int, share: Share) -> dict[str, Tensor]:
        """Whether each sample keeps each single condition [B], for those that may be dropped alone."""
        generator = torch.Generator().manual_seed(condition_dropout_seed(self._batch_seed(batch_idx)))
        shares = {name: dropped for name, dropped in self.condition_dropout.items() if dropped}
        return {name: share.of(torch.rand(batch * share.ranks, generator=generator) >= dropped) for name, dropped in shares.items()}

    def _context_before(self, metadata: list[dict[str, Any]], keep: Tensor) -> Context | None:
        """The context that the metadata names, hidden from the samples whose `keep` [B] is False."""
        context = self.diffusion.context(metadata)
        return None if context is None else replace(context, mask=context.mask & keep.to(context.mask.device)[:, None])

    def _chunks_in(self, codes: Tensor) -> int:
        return len(chunk_sizes(codes.shape[-1], self.diffusion.config.model.diffusion.config.chunk_frames))

    def _generator(self, batch_idx: int) -> torch.Generator:
        """On the CPU, a pure function of seed, global step and part of an accumulated batch: the same on all ranks."""
        batch_seed = self._batch_seed(batch_idx)
        own = mixed_seed(batch_seed, self.global_rank, 0)
        random.seed(own)  # for conditioners of stable-audio-tools
        torch.manual_seed(own)  # for dropout
        return torch.Generator().manual_seed(mixed_seed(batch_seed, 0, 0))

    def _batch_seed(self, batch_idx: int) -> int:
        return mixed_seed(self.seed, self.global_step, batch_idx % max(self.trainer.accumulate_grad_batches, 1))

    def _context_chunks(self, phase: Phase, batch_idx: int) -> int:
        """The same on all ranks: a step takes as long as its slowest rank, and more context takes longer."""
        return phase.draw_context(torch.Generator().manual_seed(mixed_seed(self._batch_seed(batch_idx), 0, 1)))

    def _perturbed(self, draw: Draw, batch_idx: int, share: Share) -> Draw:
        generator = torch.Generator().manual_seed(perturbation_seed(self._batch_seed(batch_idx)))
        return perturbed(draw, self.levels, self.input_perturbation, generator, share)

    def _known_frames(self, frames: int, context: int, batch_idx: int, phase: Phase) -> KnownFrames:
        """The same in the whole batch and on all ranks, and drawn apart: without the key no other draw changes."""
        if self.infill is None:
            return ()
        infill = self.infill if phase.infill_share is None else self.infill.model_copy(update={"share": phase.infill_share})
        generator = torch.Generator().manual_seed(gap_seed(self._batch_seed(batch_idx)))
        sizes = chunk_sizes(frames, self.diffusion.config.model.diffusion.config.chunk_frames)
        return draw_gaps(infill, sizes, context, generator)

    def _enter_phase(self) -> Phase:
        phase = self.curriculum.at(self.global_step)
        if phase is not self._phase:
            if self.global_rank == 0:
                log.info("step %d: phase %s", self.global_step, phase.describe(self.levels.names))
            if self._phase is not None:  # or Lightning goes on logging the last loss of levels that are trained no more
                self.trainer._logger_connector.reset_metrics()
                assert self.trainer._results is not None
                self.trainer._results.reset()
        self._phase = phase
        return phase

    def _log_step(self, loss: Tensor, level_losses: dict[str, Tensor], context: int, batch_size: int, trained: Tensor) -> None:
        """Show the losses in the bar by the levels' names, and log them with the context's length and the phase."""
        self.log("train/loss", loss, prog_bar=True, on_step=True, batch_size=batch_size)
        self.log_dict(level_losses, prog_bar=True, logger=False, on_step=True, batch_size=batch_size)
        logged: dict[str, Any] = {f"train/loss_{name}": value for name, value in level_losses.items()}
        logged |= {"train/context_chunks": float(context), "train/phase": float(self.curriculum.index(self.global_step))}
        if self.uncertainty is not None:
            logged["train/weighed_loss"] = trained
        self.log_dict(logged, on_step=True, batch_size=batch_size)
