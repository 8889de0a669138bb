"""The whole model as its user holds it: codec, conditioners and network, with `generate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from stable_audio_tools.models.conditioners import MultiConditioner
from stable_audio_tools.models.diffusion import ConditionedDiffusionModelWrapper
from torch import Tensor

from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.config import SnacModelConfig
from snac_plugin.errors import Mismatch
from snac_plugin.generation import StepCallback, chunks_for, generate_chunks, settings_from
from snac_plugin.model.conditions import Conditions
from snac_plugin.model.diffusion_model import SnacDiffusionModel


class SnacDiffusion(ConditionedDiffusionModelWrapper):
    """A `diffusion_snac_dit` model.

    Args:
        config: the checked model config.
        model: network and objective.
        conditioner: the conditioners of the config, possibly none.
        pretransform: the codec.
    """

    def __init__(
        self, config: SnacModelConfig, model: SnacDiffusionModel, conditioner: MultiConditioner, pretransform: SnacPretransform
    ) -> None:
        diffusion = config.model.diffusion
        super().__init__(
            model,
            conditioner,
            io_channels=config.model.io_channels,
            sample_rate=config.sample_rate,
            min_input_length=pretransform.downsampling_ratio,
            diffusion_objective=diffusion.diffusion_objective,
            pretransform=pretransform,
            cross_attn_cond_ids=list(diffusion.cross_attention_cond_ids),
            global_cond_ids=list(diffusion.global_cond_ids),
            input_concat_ids=list(diffusion.input_concat_ids),
            prepend_cond_ids=list(diffusion.prepend_cond_ids),
        )
        self.config = config
        self.sample_size = config.sample_size
        self.levels = model.levels

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def conditions(self, metadata: Sequence[Mapping[str, Any]], device: torch.device | str | None = None) -> Conditions:
        """Conditioning inputs of a batch of metadata."""
        tensors = self.conditioner(list(metadata), self.device if device is None else device)
        inputs = self.get_conditioning_inputs(tensors)
        return Conditions(
            cross=inputs["cross_attn_cond"],
            cross_mask=_bool(inputs["cross_attn_mask"]),
            embedding=inputs["global_cond"],
            prepended=inputs["prepend_cond"],
            prepended_mask=_bool(inputs["prepend_cond_mask"]),
            concat=inputs["input_concat_cond"],
        )

    @torch.no_grad()
    def generate(
        self,
        *,
        chunks: int | None = None,
        seconds: float | None = None,
        sample_size: int | None = None,
        steps: int | Sequence[int] | Mapping[str, int] | None = None,
        sampler: str | None = None,
        cfg_scale: float | None = None,
        cfg_rescale: float | None = None,
        cfg_interval: tuple[float, float] | None = None,
        conditioning: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        negative_conditioning: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        batch_size: int = 1,
        seed: int = -1,
        progress: bool = True,
        callback: StepCallback | None = None,
        return_codes: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Generate audio.

        Args:
            chunks: length in chunks (6.144 s each at 32 kHz); one by default.
            seconds: length in seconds, in place of chunks.
            sample_size: length in audio samples, in place of both.
            steps: denoising steps of a chunk in all, one a level in order, or by level name; the config's by default.
            sampler: stable-audio-tools' name of the sampler, for all levels.
            cfg_scale, cfg_rescale, cfg_interval: classifier-free guidance; see `Guidance`.
            conditioning: metadata of the samples, or one for all.
            negative_conditioning: metadata that guidance leads away from.
            batch_size: number of samples.
            seed: of the first sample, the next one's is one more; -1 draws one.
            progress: show a bar that names chunk and level.
            callback: told (chunk, level, step) after each step.
            return_codes: return the packed codes too.

        Returns:
            [B, 1, samples] float on the CPU; with `return_codes` also the codes [B, R, T], whole chunks.
        """
        frames = self.config.model.diffusion.config.chunk_frames
        samples = self._samples(chunks, seconds, sample_size)
        seeds = sample_seeds(seed, batch_size)
        settings = settings_from(
            self.config.model.diffusion.config.sampling,
            self.levels.names,
            steps=steps,
            sampler=sampler,
            cfg_scale=cfg_scale,
            cfg_rescale=cfg_rescale,
            cfg_interval=cfg_interval,
        )
        generated = generate_chunks(
            self.model.eval(),
            self.conditions(_per_sample(conditioning, batch_size)),
            seeds,
            settings,
            chunks_for(self.levels, frames, samples),
            negative=None if negative_conditioning is None else self.conditions(_per_sample(negative_conditioning, batch_size)),
            progress=progress,
            callback=callback,
        )
        codes = torch.cat(list(generated), dim=-1)
        audio = self.decode(codes, seeds)[..., :samples]
        return (audio, codes.cpu()) if return_codes else audio

    def decode(self, codes: Tensor, seeds: Sequence[int]) -> Tensor:
        """Packed codes [B, R, T] -> audio [B, 1, samples] on the CPU, the decoder's noise of each sample from its own seed."""
        audio = [self.pretransform.decode_tokens(c[None], seed=seed).float().cpu() for c, seed in zip(codes, seeds, strict=True)]
        return torch.cat(audio)

    def _samples(self, chunks: int | None, seconds: float | None, sample_size: int | None) -> int:
        given = [value for value in (chunks, seconds, sample_size) if value is not None]
        if len(given) > 1 or any(value <= 0 for value in given):
            raise Mismatch("length", given, "one of chunks, seconds or sample_size, above 0")
        if sample_size is not None:
            return sample_size
        if seconds is not None:
            return round(seconds * self.sample_rate)
        return (chunks or 1) * self.config.model.diffusion.config.chunk_frames * self.levels.frame_samples


def sample_seeds(seed: int, batch_size: int) -> list[int]:
    """The seed of each sample: consecutive ones from `seed`, or from a random one for -1."""
    if seed < -1:
        raise Mismatch("seed", seed, "0 or more, or -1 for a random one")
    first = int(np.random.randint(0, 2**31)) if seed == -1 else seed
    return [first + i for i in range(batch_size)]


def _per_sample(conditioning: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None, batch_size: int) -> list[Mapping[str, Any]]:
    if conditioning is None or isinstance(conditioning, Mapping):
        return [conditioning or {}] * batch_size
    if len(conditioning) != batch_size:
        raise Mismatch("conditioning", f"{len(conditioning)} samples", f"{batch_size}, the batch size, or one for all")
    return list(conditioning)


def _bool(mask: Tensor | None) -> Tensor | None:
    return None if mask is None else mask.bool()
