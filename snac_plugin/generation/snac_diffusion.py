"""The whole model as its user holds it: codec, conditioners and network, with `generate`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from stable_audio_tools.models.conditioners import MultiConditioner
from stable_audio_tools.models.diffusion import ConditionedDiffusionModelWrapper
from torch import Tensor

from snac_plugin.checkpoints.weights import is_codec_weight, model_weights
from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.config import SnacModelConfig
from snac_plugin.errors import Mismatch
from snac_plugin.generation.chunks import StepCallback, chunks_for, generate_chunks
from snac_plugin.generation.context import Context, Given, context_of
from snac_plugin.generation.decoding import Piece, decoded_pieces
from snac_plugin.generation.settings import settings_from
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
        kinds = {c.id: c.type for c in config.model.conditioning.configs} if config.model.conditioning else {}
        super().__init__(
            model,
            conditioner,
            io_channels=config.model.io_channels,
            sample_rate=config.sample_rate,
            min_input_length=pretransform.downsampling_ratio,
            diffusion_objective="rectified_flow",  # what stable-audio-tools' samplers see of any objective; see `forward`
            pretransform=pretransform,
            cross_attn_cond_ids=list(diffusion.cross_attention_cond_ids),
            global_cond_ids=list(diffusion.global_cond_ids),
            input_concat_ids=list(diffusion.input_concat_ids),
            prepend_cond_ids=[name for name in diffusion.prepend_cond_ids if kinds[name] != "snac_context"],
        )
        self.config = config
        self.sample_size = config.sample_size
        self.levels = model.levels
        self.context_ids = [name for name in diffusion.prepend_cond_ids if kinds[name] == "snac_context"]

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load weights by the model's own names or its training wrapper's, averaged ones first; a missing codec stays as it is."""
        codec = {
            name: value for source in (self.state_dict(), state_dict) for name, value in source.items() if is_codec_weight(name)
        }
        return super().load_state_dict(codec | model_weights(state_dict), strict=strict, assign=assign)

    def get_conditioning_inputs(self, conditioning_tensors: dict[str, Any], negative: bool = False) -> dict[str, Any]:
        """stable-audio-tools' conditioning inputs, and the context: latents [B, R * 8, S] with their mask [B, S]."""
        inputs = super().get_conditioning_inputs(conditioning_tensors, negative)
        for name in [] if negative else self.context_ids:
            latents, mask = conditioning_tensors[name]
            if latents.shape[1]:
                inputs |= {"context": latents.transpose(1, 2), "context_mask": mask}
        return inputs

    def context(self, metadata: Sequence[Mapping[str, Any]]) -> Context | None:
        """The context that a batch of metadata names under the id of its `snac_context` conditioner, as codes."""
        given = [next((entry[name] for name in self.context_ids if entry.get(name) is not None), None) for entry in metadata]
        network = self.model.network.config
        return context_of(given, self.pretransform, network.chunk_frames, network.context_chunks, self.device)

    def conditions(self, metadata: Sequence[Mapping[str, Any]], device: torch.device | str | None = None) -> Conditions:
        """Conditioning inputs of a batch of metadata, besides its context."""
        others = [{name: value for name, value in entry.items() if name not in self.context_ids} for entry in metadata]
        tensors = self.conditioner(others, self.device if device is None else device)
        return Conditions.of(self.get_conditioning_inputs(tensors))

    @torch.no_grad()
    def generate(self, *, return_codes: bool = False, **options: Any) -> Tensor | tuple[Tensor, Tensor]:
        """Generate audio.

        Args:
            return_codes: return the packed codes too.
            options: those of `stream`.

        Returns:
            [B, 1, samples] float on the CPU; with `return_codes` also the codes [B, R, T], whole chunks.
        """
        pieces = list(self.stream(**options))
        audio = torch.cat([piece.audio for piece in pieces], dim=-1)
        return (audio, torch.cat([piece.codes for piece in pieces], dim=-1)) if return_codes else audio

    @torch.no_grad()
    def stream(
        self,
        *,
        chunks: int | None = None,
        seconds: float | None = None,
        sample_size: int | None = None,
        context: Given | Sequence[Given] = None,
        steps: int | Sequence[int] | Mapping[str, int] | None = None,
        sampler: str | None = None,
        temperature: float | None = None,
        cfg_scale: float | None = None,
        cfg_rescale: float | None = None,
        cfg_interval: tuple[float, float] | None = None,
        conditioning: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        negative_conditioning: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        batch_size: int = 1,
        seed: int = -1,
        progress: bool = True,
        callback: StepCallback | None = None,
    ) -> Iterator[Piece]:
        """Generate audio piece by piece, a chunk each, in memory that does not grow with its length.

        Args:
            chunks: length in chunks (6.144 s each at 32 kHz); one by default.
            seconds: length in seconds, in place of chunks.
            sample_size: length in audio samples, in place of both.
            context: what to continue: audio [N] or [channels, N] at the model's rate, (rate, audio) or packed codes [R, T];
                one for all samples, or a list with one a sample. Only what follows it is generated.
            steps: denoising steps of a chunk in all, one a level in order, or by level name; the config's by default.
            sampler: stable-audio-tools' name of the sampler, for all levels.
            temperature: below 1 the sampler pingpong-codes draws likely codes more often; for all levels.
            cfg_scale, cfg_rescale, cfg_interval: classifier-free guidance; see `Guidance`.
            conditioning: metadata of the samples, or one for all.
            negative_conditioning: metadata that guidance leads away from.
            batch_size: number of samples.
            seed: of the first sample, the next one's is one more; -1 draws one.
            progress: show a bar that names chunk and level.
            callback: told (chunk, level, step) after each step.

        Yields:
            Pieces of all samples; the last is cut to the length asked for.
        """
        network = self.config.model.diffusion.config
        samples, seeds = self.length(chunks, seconds, sample_size), sample_seeds(seed, batch_size)
        told = _per_sample(conditioning, batch_size)
        before = self._context(context, told)
        settings = settings_from(
            network.sampling,
            self.levels.names,
            steps=steps,
            sampler=sampler,
            temperature=temperature,
            cfg_scale=cfg_scale,
            cfg_rescale=cfg_rescale,
            cfg_interval=cfg_interval,
        )
        count = chunks_for(self.levels, network.chunk_frames, samples)
        generated = generate_chunks(
            self.model.eval(),
            self.conditions(told),
            seeds,
            settings,
            count,
            negative=None if negative_conditioning is None else self.conditions(_per_sample(negative_conditioning, batch_size)),
            context=None if before is None else before.codes,
            context_mask=None if before is None else before.mask,
            progress=progress,
            callback=callback,
        )
        yield from decoded_pieces(self.pretransform, generated, count, seeds, samples, before)

    def _context(self, context: Given | Sequence[Given], told: Sequence[Mapping[str, Any]]) -> Context | None:
        """The context given directly, or else in the metadata."""
        if context is None:
            return self.context(told)
        given: list[Given] = list(context) if isinstance(context, list) else [cast(Given, context)] * len(told)
        if len(given) != len(told):
            raise Mismatch("context", f"{len(given)} recordings", f"one, or {len(told)}: one a sample")
        network = self.model.network.config
        if network.context_chunks == 0:
            raise Mismatch("context", "a recording", "none: this model was built with context_chunks 0")
        return context_of(given, self.pretransform, network.chunk_frames, network.context_chunks, self.device)

    def decode(self, codes: Tensor, seeds: Sequence[int]) -> Tensor:
        """Packed codes [B, R, T] -> audio [B, 1, samples] on the CPU, the decoder's noise of each sample from its own seed."""
        audio = [self.pretransform.decode_tokens(c[None], seed=seed).float().cpu() for c, seed in zip(codes, seeds, strict=True)]
        return torch.cat(audio)

    def length(self, chunks: int | None = None, seconds: float | None = None, sample_size: int | None = None) -> int:
        """Audio samples that a request asks for: of one chunk if it says nothing."""
        asked = {"chunks": chunks, "seconds": seconds, "sample_size": sample_size}
        given = {name: value for name, value in asked.items() if value is not None}
        if len(given) > 1:
            raise Mismatch("length", " and ".join(f"{name} {value}" for name, value in given.items()), f"one of {', '.join(asked)}")
        for name, value in given.items():
            if not 0 < value < math.inf:
                raise Mismatch(name, value, "a number above 0")
        if sample_size is not None:
            return sample_size
        if seconds is not None:
            return max(1, round(seconds * self.sample_rate))
        return (chunks or 1) * self.config.model.diffusion.config.chunk_frames * self.levels.frame_samples


def sample_seeds(seed: int, batch_size: int) -> list[int]:
    """The seed of each sample: consecutive ones from `seed`, or from a random one for -1."""
    if batch_size < 1:
        raise Mismatch("batch_size", batch_size, "1 or more")
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
