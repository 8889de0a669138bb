"""The whole model as its user holds it: codec, conditioners and network, with `generate`."""

import inspect
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from snac_plugin.checkpoints.weights import is_codec_weight, model_weights
from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.config import SnacModelConfig
from snac_plugin.config.model_keys import is_context
from snac_plugin.config.model_rules import SPATIAL
from snac_plugin.errors import UsageError
from snac_plugin.generation.adapted import Adapted
from snac_plugin.generation.autoguided import Autoguided
from snac_plugin.generation.batch import per_sample, sample_seeds
from snac_plugin.generation.chunks import StepCallback, chunks_for, generate_chunks
from snac_plugin.generation.conditioned_model import ConditionedModel
from snac_plugin.generation.context import Conditioners, ContextInput, channels_to_widen, checked_recording, stereo_ends
from snac_plugin.generation.decoding import StreamedChunk, decoded_chunks, wide_chunks
from snac_plugin.generation.editing import Generate, Maker, cut_at, decode, edit_of, edited, looped, matched_beside, matched_within
from snac_plugin.generation.matching import MATCH_SECONDS
from snac_plugin.generation.option import Metadata
from snac_plugin.generation.option_rules import check_recording
from snac_plugin.generation.request import Request, with_options
from snac_plugin.generation.settings import check_request
from snac_plugin.generation.width import WIDTH_SECONDS
from snac_plugin.model.diffusion_model import SnacDiffusionModel

log = logging.getLogger(__name__)
TOKENS = "codes"
SHORT_CONTEXT_SECONDS = 2
SHORT_CONTEXT = "The context has %.2f s: what continues so little may differ much from it. The model takes up to %.1f s."
GUIDES_NO_GLOBAL = "cfg_scale %g does not act on %s: this model never trained without it. Give negative_conditioning."


class SnacDiffusion(Adapted, Autoguided, ConditionedModel):
    """A `diffusion_snac_dit` model."""

    def __init__(
        self, config: SnacModelConfig, model: SnacDiffusionModel, conditioner: Conditioners, pretransform: SnacPretransform
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
            prepend_cond_ids=[name for name in diffusion.prepend_cond_ids if not is_context(kinds[name])],
        )
        self.config = config
        self.sample_size = config.sample_size
        self.levels = model.levels
        self.loras: dict[str, float] = {}
        self.autoguidance: dict[str, float] = {}
        self.context_ids = [name for name in diffusion.prepend_cond_ids if is_context(kinds[name])]
        self.position_ids = [name for name, kind in kinds.items() if kind == "chunk_position" and name in diffusion.global_cond_ids]
        self.spatial_ids = [name for name, kind in kinds.items() if kind in SPATIAL or name in conditioner.pre_encoded_keys]

    @property
    def reach(self) -> int:
        """Samples of a recording beside what is new that can change it, and some more."""
        network = self.model.network.config
        frames = (network.context_chunks + 2) * network.chunk_frames + self.pretransform.margin + 4
        return frames * self.levels.frame_samples + 2 * round(MATCH_SECONDS * self.sample_rate)

    @property
    def bottleneck(self) -> SimpleNamespace:
        """Where stable-audio-tools' pre_encode.py reads which of `encode`'s results are the codes."""
        return SimpleNamespace(tokens_id=TOKENS)

    def encode(self, audio: Tensor, return_info: bool = False) -> Any:
        """Audio [B, 1, N] to packed latents [B, R * 8, T], as stable-audio-tools' pre_encode.py asks an autoencoder for them.

        With `return_info` also the packed codes [B, R, T], in a dictionary under the name `bottleneck.tokens_id`.
        """
        codes = self.pretransform.tokenize(audio.float())
        latents = self.pretransform.codes_to_latents(codes)
        return (latents, {TOKENS: codes}) if return_info else latents

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load weights by the model's own names or its training wrapper's, averaged ones first; a missing codec stays as it is."""
        codec = {
            name: value for source in (self.state_dict(), state_dict) for name, value in source.items() if is_codec_weight(name)
        }
        return super().load_state_dict(codec | model_weights(state_dict), strict=strict, assign=assign)

    @torch.no_grad()
    def generate(
        self, request: Request | None = None, *, return_codes: bool = False, **options: Any
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Generate audio.

        Args:
            request: what is asked.
            return_codes: return the packed codes too.
            options: other arguments of `stream`.

        Returns:
            [B, 1, samples] float on the CPU, or [B, 2, samples] with the width of stereo recordings: what is new, or with `edit`,
            `before` and `bridge` the recordings with it; with `return_codes` also the codes [B, R, T], whole chunks, or those
            around what was changed.
        """
        chunks = list(self.stream(request, **options))
        audio = torch.cat([chunk.audio for chunk in chunks], dim=-1)
        return (audio, torch.cat([chunk.codes for chunk in chunks], dim=-1)) if return_codes else audio

    @torch.no_grad()
    def stream(
        self,
        request: Request | None = None,
        *,
        context: ContextInput | Sequence[ContextInput] = None,
        place: tuple[float, float] | None = None,
        batch_size: int = 1,
        seed: int = -1,
        progress: bool = True,
        callback: StepCallback | None = None,
        **options: Any,
    ) -> Iterator[StreamedChunk]:
        """Generate audio chunk by chunk, in memory that does not grow with its length.

        Args:
            request: what is asked: length, conditioning, steps, sampler, guidance.
            context: what to continue: audio [N] or [channels, N] at the model's rate, (rate, audio) or packed codes [R, T];
                one for all samples, or a list with one a sample. Only what follows it is generated.
            place: for models that read chunk positions, where only a part of a recording is given: the second of the whole piece at
                which the context ends, or the part that is changed begins; and the length of the piece.
            batch_size: number of samples.
            seed: of the first sample, the next one's is one more; -1 draws one.
            progress: show a bar that names chunk and level.
            callback: called with (chunk, level, step) after each step.
            options: fields of `Request` by name (`chunks`, `seconds`, `steps`, `cfg_scale`, ...), over those of `request`.

        Yields:
            Audio and codes of all samples; the last is cut to the length asked for.

        Raises:
            UsageError: an argument that does not fit the model, or metadata that no conditioner reads.
        """
        request = with_options(request or Request(), options, (*inspect.signature(self.stream).parameters, "return_codes"))
        settings = check_request(request, self.config, self.levels.names)
        if request.format is not None:
            advice = "snac_plugin.output.make_samples.make_samples writes files."
            raise UsageError("format", request.format, "none: this returns audio", advice)
        samples = request.samples(self.chunk_samples, self.sample_rate)
        seeds, chunks = sample_seeds(seed, batch_size), chunks_for(samples, self.chunk_samples)
        metadata = per_sample(request.conditioning, batch_size)
        negative = None if request.negative_conditioning is None else per_sample(request.negative_conditioning, batch_size)
        pasts = self._recordings(context, metadata, request)
        before = self._encoded(pasts)
        if self.position_ids:
            metadata = self._placed(request, metadata, pasts, samples, place)
        starts = metadata[0][self.position_ids[0]].starts if self.position_ids else ()
        shown: Any = {**self._told(metadata, negative, settings.guidance), "progress": progress, "callback": callback}
        diffusion = self.config.model.diffusion
        acts = settings.guidance.scale != 1 and negative is None and not diffusion.config.guided_global_cond
        if acts and shown["conditions"].embedding is not None:
            log.warning(GUIDES_NO_GLOBAL, settings.guidance.scale, ", ".join(diffusion.global_cond_ids))
        model = self.model.eval()
        generate: Generate = partial(generate_chunks, model, shown.pop("conditions"), seeds, settings, starts=starts, **shown)
        if request.edits or request.loop:
            made = self._edited(request, generate, seeds, samples)
            own = torch.tensor([settings.strength(level) == 0 for level in range(len(self.levels))])[:, None]
            yield made if made.kept is None else replace(made, kept=made.kept | own)
            return
        past: Any = {} if before is None else {"context": before.codes, "context_mask": before.mask}
        stream = decoded_chunks(self.pretransform, generate(chunks, **past), chunks, seeds, samples, before, request.matches)
        wide = stereo_ends(pasts, self.sample_rate, WIDTH_SECONDS + 1) if request.width == "keep" else []
        yield from wide_chunks(stream, chunks, wide, self.sample_rate) if wide else stream

    def _edited(self, request: Request, generate: Generate, seeds: Sequence[int], samples: int) -> StreamedChunk:
        """What is generated within recordings, or a loop."""
        network = self.model.network.config
        window = network.context_chunks * network.chunk_frames
        maker = Maker(generate, self.pretransform, network.chunk_frames, window, seeds)
        edit = edit_of(request, self.chunk_samples, self.sample_rate)
        if edit is not None:
            if request.width == "keep":
                channels_to_widen([(edit.rate, edit.audio)], self.sample_rate)
            match = matched_within if {"keep_levels", "strength"} & {*request.options_set} else matched_beside
            made = edited(edit, maker, match if request.matches else None)
            return replace(made, audio=edit.at(self.sample_rate).new_part(made.audio)) if request.only_new else made
        frames = round(samples / self.levels.frame_samples)  # a loop is whole frames
        if frames < 4:
            raise UsageError(
                "seconds",
                f"{samples / self.sample_rate:.3f}",
                f"{4 / self.levels.frames_per_second:.3f} s or more for a loop: four frames",
            )
        chunks = chunks_for(frames, network.chunk_frames)
        codes = torch.cat(list(generate(chunks)), dim=-1)[..., :frames]
        return looped(codes, maker, chunks)

    def _recordings(self, context: Any, metadata: Sequence[Metadata], request: Request) -> list[ContextInput]:
        """What each sample continues: by default what its metadata names."""
        inputs = self._pasts(metadata) if context is None else context if isinstance(context, list) else [context] * len(metadata)
        if len(inputs) != len(metadata):
            raise UsageError("context", f"{len(inputs)} recordings", f"one, or {len(metadata)}: one a sample")
        given = {id(one): one for one in inputs if one is not None}
        check_recording(request, bool(given))
        network = self.model.network.config
        if given and network.context_chunks == 0:
            raise UsageError("context", "a recording", "none: this model was built with context_chunks 0")
        if request.from_second is not None:
            given = {key: cut_at(one, request.from_second, self.sample_rate) for key, one in given.items()}
        for one in given.values():
            rate, content = checked_recording(one, self.sample_rate)
            if content.is_floating_point() and content.shape[-1] < SHORT_CONTEXT_SECONDS * rate:
                log.warning(SHORT_CONTEXT, content.shape[-1] / rate, network.context_chunks * self.chunk_samples / self.sample_rate)
        return [given.get(id(one)) for one in inputs]

    def decode(self, codes: Tensor, seeds: Sequence[int]) -> Tensor:
        """Packed codes [B, R, T] -> audio [B, 1, samples] on the CPU, the decoder's noise of each sample from its own seed."""
        return decode(self.pretransform, codes, seeds)
