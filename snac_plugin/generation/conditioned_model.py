"""What a model is told: conditioning inputs and context, from metadata and conditioners. Letters: B batch, R rows, S, T frames."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from stable_audio_tools.models.diffusion import ConditionedDiffusionModelWrapper
from torch import Tensor

from snac_plugin.diffusion.guidance import Guidance
from snac_plugin.errors import UsageError
from snac_plugin.generation.condition_inputs import may_be_left_out
from snac_plugin.generation.context import Context, ContextInput, context_of
from snac_plugin.generation.editing import chunk_places, edit_of, seam_place
from snac_plugin.generation.option import Metadata
from snac_plugin.generation.prompting import Reading, joinable, length_in_chunks, said_in, with_positions
from snac_plugin.generation.request import Request
from snac_plugin.generation.settings import check_known_frames
from snac_plugin.model.conditioners import blanks, chosen
from snac_plugin.model.conditions import Conditions

log = logging.getLogger(__name__)
NEVER_ALONE = "guidance by %s: this model never trained without that condition alone (training.condition_dropout), so it may drift."
LEFT_OUT = "nothing is said of %s: left to the model"


class ConditionedModel(ConditionedDiffusionModelWrapper):
    """The part of a `diffusion_snac_dit` model that reads metadata."""

    config: Any
    levels: Any
    context_ids: list[str]
    position_ids: list[str]
    weaker: Any  # the model that autoguidance leads away from, or None
    spatial_ids: list[str]  # conditioners that give channels for each frame

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def chunk_samples(self) -> int:
        return self.model.network.config.chunk_frames * self.levels.frame_samples

    def get_conditioning_inputs(self, conditioning_tensors: dict[str, Any], negative: bool = False) -> dict[str, Any]:
        """stable-audio-tools' conditioning inputs, and the context: latents [B, R * 8, S] with their mask [B, S].

        Where a conditioner has learnt what stands for nothing, also the inputs with that in its place, as `dropped_...`.
        """
        inputs = self._inputs(conditioning_tensors)
        if negative:  # stable-audio-tools leaves out prepended tokens
            return {f"negative_{name}": value for name, value in inputs.items()}
        if self.conditioner.learned_blanks:
            nothing = self._inputs(blanks({name: conditioning_tensors[name] for name in self.read_ids}, self.conditioner.by_id))
            inputs |= {f"dropped_{name}": nothing[name] for name in ("cross_attn_cond", "global_cond", "prepend_cond")}
        for name in self.context_ids:
            latents, mask = conditioning_tensors[name]
            if latents.shape[1]:
                inputs |= {"context": latents.transpose(1, 2), "context_mask": mask}
        if "inpaint_mask" in conditioning_tensors and "inpaint_mask" not in self.input_concat_ids:
            inputs |= self._inpainting(conditioning_tensors["inpaint_mask"][0], conditioning_tensors["inpaint_masked_input"][0])
        return inputs

    @property
    def read_ids(self) -> set[str]:
        """Ids of the conditioners that the network reads, without the context's."""
        return {*self.cross_attn_cond_ids, *self.global_cond_ids, *self.prepend_cond_ids, *self.input_concat_ids}

    def _inputs(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """stable-audio-tools' conditioning inputs from conditioners' outputs by id."""
        fitting = joinable(tensors, self.conditioner.by_id, self.global_cond_ids, self.input_concat_ids, self.spatial_ids)
        return super().get_conditioning_inputs(fitting)

    def _inpainting(self, mask: Tensor, audio: Tensor) -> dict[str, Tensor]:
        """stable-audio-tools' inpainting, a mask [B, 1, T] and latents [B, R * 8, T] where it is 1, as known frames."""
        if not mask.any():
            return {}
        check_known_frames("inpaint_mask", self.config)
        if not audio.any():
            raise UsageError("inpaint_audio", "nothing", "the recording whose parts inpaint_mask keeps")
        if (mask != mask[:1]).any():
            raise UsageError("inpaint_mask", "masks that differ", "one mask for the whole batch")
        return {"known": audio, "known_mask": mask[:, 0]}

    def context(self, metadata: Sequence[Metadata]) -> Context | None:
        """The context that a batch of metadata names under the id of its `snac_context` conditioner, as codes."""
        return self._encoded(self._pasts(metadata))

    def _pasts(self, metadata: Sequence[Metadata]) -> list[ContextInput]:
        return [next((entry[name] for name in self.context_ids if entry.get(name) is not None), None) for entry in metadata]

    def _placed(
        self,
        request: Request,
        metadata: Sequence[Metadata],
        pasts: Sequence[ContextInput],
        samples: int,
        place: tuple[float, float] | None,
    ) -> list[Metadata]:
        """Metadata with the position of each sample's chunks in its piece."""
        sizes = self.sample_rate, self.chunk_samples, self.model.network.config.chunk_frames
        first, new = [length_in_chunks(one, *sizes) for one in pasts], samples / self.chunk_samples
        if place is not None:
            begin, length = (seconds * self.sample_rate / self.chunk_samples for seconds in place)
            first, new = [begin] * len(first), length - begin
        edit = edit_of(request, self.chunk_samples, self.sample_rate)
        if edit is not None and place is None:
            new = length_in_chunks((edit.rate, edit.audio), *sizes)
        starts = [] if edit is None else chunk_places(edit, self.pretransform, sizes[-1])
        if request.loop and edit is None:
            starts = [seam_place(round(samples / self.levels.frame_samples), sizes[-1])]
        return with_positions(self.position_ids, metadata, first, new, self.config.model.conditioning, starts)

    def _told(self, metadata: Sequence[Metadata], negative: Sequence[Metadata] | None, guidance: Guidance) -> dict[str, Any]:
        """What `generate_chunks` is told: conditions, and what takes their place in the other branches of guidance."""
        training = self.config.training
        shares = {} if training is None else training.condition_dropouts([*self.read_ids])
        if never := [name for name in guidance.alone if not shares.get(name, 1.0)]:
            log.warning(NEVER_ALONE, ", ".join(never))
        if lacking := self._lacking(metadata):
            log.warning(LEFT_OUT, ", ".join(lacking))
        reading = Reading(self.condition_tensors, self.joined, self.conditioner.by_id, self.conditioner.default_keys)
        told = reading.told(metadata, negative, guidance)
        if self.weaker is not None:
            told["others"]["weaker"] = self.weaker.conditions(metadata)
        return told

    def _encoded(self, inputs: Sequence[ContextInput]) -> Context | None:
        network = self.model.network.config
        return context_of(inputs, self.pretransform, network.chunk_frames, network.context_chunks, self.device)

    def condition_tensors(self, metadata: Sequence[Metadata], device: torch.device | str | None = None) -> dict[str, Any]:
        """Conditioners' outputs [value, mask] of a batch of metadata by id, without its context.

        What metadata leaves out is dropped where training dropped it; UsageError where it did not.
        """
        lacking, held = self._lacking(metadata), may_be_left_out(self.config)
        others = [
            {name: held[name] for name, said in lacking.items() if not said[index]}
            | {name: value for name, value in entry.items() if name not in self.context_ids}
            for index, entry in enumerate(metadata)
        ]
        tensors = self.conditioner.tensors(others, self.device if device is None else device)
        tensors = {name: tensors[name] for name in self.read_ids}
        nothing = blanks({name: tensors[name] for name in lacking}, self.conditioner.by_id)
        return tensors | {name: chosen(said, tensors[name], nothing[name]) for name, said in lacking.items()}

    def _lacking(self, metadata: Sequence[Metadata]) -> dict[str, Tensor]:
        """Conditions by id that some entries of a batch leave out, as they may: which entries say them [B] bool."""
        said = {name: said_in(name, metadata, self.conditioner.default_keys) for name in may_be_left_out(self.config)}
        return {name: which for name, which in said.items() if not which.all()}

    def conditions(self, metadata: Sequence[Metadata], device: torch.device | str | None = None) -> Conditions:
        """Conditioning inputs of a batch of metadata, without its context."""
        return self.joined(self.condition_tensors(metadata, device))

    def joined(self, tensors: Mapping[str, Any]) -> Conditions:
        """Conditions from conditioners' outputs by id."""
        return Conditions.of(self._inputs(tensors))
