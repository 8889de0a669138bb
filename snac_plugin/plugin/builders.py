"""Builders of diffusion models over SNAC's codes, as stable-audio-tools' factories call them: config in, object out."""

import logging
from collections.abc import Mapping
from typing import Any

from stable_audio_tools.models.conditioners import MultiConditioner, create_multi_conditioner_from_conditioning_config

from snac_plugin.codec.load import load_codec
from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.config import check_against_codec, check_model_config, check_pretransform_config
from snac_plugin.config.conditioner_keys import check_conditioner
from snac_plugin.config.model_keys import is_context
from snac_plugin.config.model_rules import COND_INPUTS
from snac_plugin.diffusion.objectives import OBJECTIVES
from snac_plugin.errors import ConfigError
from snac_plugin.generation.context import Conditioners, SnacContextConditioner
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.model.backbones import network_of
from snac_plugin.model.conditioners import ChunkPosition, ClassMixture, Quality
from snac_plugin.model.diffusion_model import SnacDiffusionModel
from snac_plugin.plugin.memory_check import check_memory, network_weights

_log = logging.getLogger(__name__)


def model(config: Mapping[str, Any]) -> SnacDiffusion:
    """A `diffusion_snac_dit` model from a whole model config; a ConfigError or a CodecError if that does not fit or load."""
    checked = check_model_config(dict(config))
    codec = pretransform(config["model"]["pretransform"], checked.sample_rate)
    check_against_codec(checked, codec.levels, codec.codec_name)
    diffusion, conditioning = checked.model.diffusion, config["model"].get("conditioning")
    conditioner = MultiConditioner({})
    if conditioning is not None:
        configs = [_with_chunks(info, diffusion.config) for info in conditioning["configs"]]
        conditioner = _conditioner({**conditioning, "configs": configs}, codec)
        read = {name for key in COND_INPUTS for name in getattr(diffusion, key)}
        if unread := [c["id"] for c in configs if c["id"] not in read]:
            _log.warning("conditioners that change nothing, as no list of model.diffusion names them: %s", ", ".join(unread))
    masks = OBJECTIVES[diffusion.diffusion_objective].masks
    check_memory("model.diffusion.config", network_weights(diffusion.config, codec.levels, masks))
    network = network_of(diffusion.config, codec.levels, masks)
    weights = diffusion.config.sampling.weights(codec.levels.names)
    core = SnacDiffusionModel(network, diffusion.diffusion_objective, codec.space, weights)
    return SnacDiffusion(checked, core, Conditioners.of(conditioner, checked.model.conditioning), codec)


def _conditioner(conditioning: dict[str, Any], codec: SnacPretransform) -> MultiConditioner:
    try:
        return create_multi_conditioner_from_conditioning_config(conditioning, pretransform=codec)
    except TypeError as error:  # "NumberConditioner.__init__() got an unexpected keyword argument 'min'"
        expected = "the arguments of stable-audio-tools' conditioners"
        raise ConfigError("model.conditioning.configs", str(error), expected) from error


def _with_chunks(info: Mapping[str, Any], network: Any) -> dict[str, Any]:
    """A conditioner's config; what depends on chunks is taken from the network's config."""
    if info["type"] == "chunk_position":
        return {**info, "config": {**info["config"], "before": network.context_chunks}}
    if not is_context(info["type"]):
        return dict(info)
    return {**info, "config": {"chunks": network.context_chunks, **info.get("config", {}), "chunk_frames": network.chunk_frames}}


def context_conditioner(config: Mapping[str, Any], pretransform: Any) -> SnacContextConditioner:
    """A `snac_context` conditioner over the model's codec; a ConfigError without one, or for other keys than `chunks`."""
    options = {key: value for key, value in config.items() if key != "output_dim"}
    if pretransform is None or options.keys() != {"chunks", "chunk_frames"}:
        keys = f"a snac_context with the keys {', '.join(sorted(options))}"
        found = "no codec for snac_context" if pretransform is None else keys
        raise ConfigError("model.conditioning.configs", found, "a diffusion_snac_dit model; the only key of snac_context is chunks")
    return SnacContextConditioner(pretransform, **options)


def class_mixture(config: Mapping[str, Any], _: Any) -> ClassMixture:
    checked = check_conditioner("class_mixture", config)
    return ClassMixture(checked.output_dim, checked.classes)


def quality(config: Mapping[str, Any], _: Any) -> Quality:
    checked = check_conditioner("quality", config)
    return Quality(checked.output_dim, checked.thresholds)


def chunk_position(config: Mapping[str, Any], _: Any) -> ChunkPosition:
    """A `chunk_position`; only models of this package know which chunk they generate."""
    if "before" not in config:
        raise ConfigError("model.conditioning.configs", "a chunk_position", "a diffusion_snac_dit model, which generates chunks")
    checked = check_conditioner("chunk_position", {key: value for key, value in config.items() if key != "before"})
    return ChunkPosition(checked.output_dim, checked.most_chunks, config["before"])


def pretransform(config: Mapping[str, Any], sample_rate: int) -> SnacPretransform:
    """A `snac_hierarchical` pretransform from `model.pretransform` for a model at this sample rate, frozen unless `enable_grad`."""
    checked = check_pretransform_config(config)
    codec = load_codec(checked.config.codec)
    if sample_rate != codec.levels.sample_rate:
        raise ConfigError("sample_rate", sample_rate, f"{codec.levels.sample_rate}, the sample rate of codec {codec.name!r}")
    options = checked.config.model_dump(exclude={"codec"})
    built = SnacPretransform(codec, **options, iterate_batch=checked.iterate_batch)
    built.enable_grad = checked.enable_grad
    return built.eval().requires_grad_(built.enable_grad)
