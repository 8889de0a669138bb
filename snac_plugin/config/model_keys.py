"""The model config of `diffusion_snac_dit`: stable-audio-tools' top-level keys, every section checked."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import ConfigDict, Field

from snac_plugin.config.conditioner_keys import FILLED_IN, OUR_CONDITIONERS
from snac_plugin.config.conditioner_keys import NUMBER_TYPES as NUMBER_TYPES
from snac_plugin.config.network_keys import DiffusionSection
from snac_plugin.config.section import AtLeastOne, ListOf, Positive, Section
from snac_plugin.config.training_keys import TrainingSection
from snac_plugin.diffusion.model_type import ModelType


def is_context(kind: str) -> bool:
    """Whether conditioners of this type give the context: latents for the network's own input projections, or nothing."""
    return kind == "snac_context"


class PretransformConfig(Section):
    codec: str = Field(min_length=1, description="hub id, folder with config.json and weights, or a shipped codec's name")
    piece_seconds: Positive = Field(default=10.0, description="long audio is encoded in pieces of so many seconds")
    model_half: bool = Field(default=False, description="run the codec in half precision")


class PretransformSection(Section):
    type: Literal["snac_hierarchical"] = Field(default="snac_hierarchical", description="the pretransform's type")
    iterate_batch: bool = Field(default=False, description="encode and decode one sample at a time, to save memory")
    config: PretransformConfig = Field(description="the codec")


def _keys_by_type(schema: dict[str, Any]) -> None:
    """Tell editors the keys of this package's own conditioners."""
    schema["allOf"] = [
        {"if": {"properties": {"type": {"const": kind}}}, "then": {"properties": {"config": section.model_json_schema()}}}
        for kind, section in OUR_CONDITIONERS.items()
    ]


class ConditionerSection(Section):
    """One conditioner; the `config` of stable-audio-tools' own ones is checked by their constructors."""

    model_config = ConfigDict(json_schema_extra=_keys_by_type)

    id: str = Field(description="key of the metadata it reads")
    type: str = Field(description="the conditioner's type")
    config: dict[str, Any] = Field(description="arguments of its constructor")


class ConditioningSection(Section):
    configs: tuple[ConditionerSection, ...] = Field(strict=False, description="the conditioners")
    cond_dim: AtLeastOne = Field(description="channels of every conditioner that sets no output_dim")
    default_keys: dict[str, str] = Field(default={}, description="metadata key to read in place of a missing one")
    pre_encoded_keys: ListOf[str] = Field(default=(), description="keys whose metadata holds finished conditioning tensors")

    @property
    def keys(self) -> list[str]:
        """Keys of the metadata that some conditioner reads."""
        return sorted({key for c in self.configs for key in (c.id, self.default_keys.get(c.id, c.id))})

    @property
    def needed(self) -> list[str]:
        """Ids of the conditioners that each sample needs metadata for: it may do without context, and its position is known."""
        return [c.id for c in self.configs if c.type not in FILLED_IN]

    def read_of(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """What conditioners read of metadata: under each one's id, or where that is missing under the key that stands in for it."""
        read = {c.id if c.id in metadata else self.default_keys.get(c.id) for c in self.configs}
        return {key: metadata[key] for key in self.keys if key in read and key in metadata}


def conditions_missing(metadata: Mapping[str, Any], ids: Iterable[str], default_keys: Mapping[str, str]) -> list[str]:
    """The conditioners, of those named, for which metadata holds nothing under their id or the key that stands in for it."""
    return [name for name in ids if name not in metadata and default_keys.get(name) not in metadata]


class ModelSection(Section):
    pretransform: PretransformSection = Field(description="audio to latents and back")
    conditioning: ConditioningSection | None = Field(default=None, description="the conditioners; null: none")
    diffusion: DiffusionSection = Field(description="the network and its inputs")
    io_channels: AtLeastOne = Field(description="channels of packed latents: the codec's codes per frame times 8")


class SnacModelConfig(Section):
    model_type: ModelType = Field(description="the model's type")
    sample_size: AtLeastOne = Field(description="audio samples of the training window: (context_chunks + 1) chunks")
    sample_rate: AtLeastOne = Field(description="audio samples per second: the codec's")
    audio_channels: AtLeastOne = Field(default=1, description="1: SNAC is mono")
    model: ModelSection = Field(description="what is built")
    training: TrainingSection | None = Field(default=None, description="how it is trained; null: not at all")
