"""Builders of this package's types, one a kind, as stable-audio-tools' factories call them: config in, object out.

Each imports what it needs when it is called: registering must not import torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from snac_plugin.errors import ConfigError


def model(config: Mapping[str, Any]) -> Any:
    """A `diffusion_snac_dit` model from a whole model config, which is checked first."""
    from stable_audio_tools.models.conditioners import MultiConditioner, create_multi_conditioner_from_conditioning_config

    from snac_plugin.config import check_against_codec, check_model_config
    from snac_plugin.generation.context import Conditioners
    from snac_plugin.generation.snac_diffusion import SnacDiffusion
    from snac_plugin.model.diffusion_model import SnacDiffusionModel
    from snac_plugin.model.network import SnacDiT

    checked = check_model_config(dict(config))
    codec = pretransform(config["model"]["pretransform"], checked.sample_rate)
    check_against_codec(checked, codec.levels, codec.codec_name)
    diffusion, conditioning = checked.model.diffusion, config["model"].get("conditioning")
    conditioner = MultiConditioner({})
    if conditioning is not None:
        configs = [_with_geometry(info, diffusion.config) for info in conditioning["configs"]]
        conditioner = create_multi_conditioner_from_conditioning_config({**conditioning, "configs": configs}, pretransform=codec)
    codebooks = [codec.level_codebook(level) for level in range(len(codec.levels))]
    network = SnacDiT(diffusion.config, codec.levels)
    weights = diffusion.config.sampling.weights(codec.levels.names)
    core = SnacDiffusionModel(network, diffusion.diffusion_objective, codebooks, weights)
    return SnacDiffusion(checked, core, Conditioners.of(conditioner), codec)


def _with_geometry(info: Mapping[str, Any], network: Any) -> dict[str, Any]:
    """A conditioner's config; that of `snac_context` takes the length of its chunks from the network it is for."""
    if info["type"] != "snac_context":
        return dict(info)
    return {**info, "config": {"chunks": network.context_chunks, **info.get("config", {}), "chunk_frames": network.chunk_frames}}


def context_conditioner(config: Mapping[str, Any], pretransform: Any) -> Any:
    """A `snac_context` conditioner over the model's own codec."""
    from snac_plugin.generation.context import SnacContextConditioner

    options = {key: value for key, value in config.items() if key != "output_dim"}
    if pretransform is None or options.keys() != {"chunks", "chunk_frames"}:
        found = (
            f"a snac_context with the keys {', '.join(sorted(options))}"
            if pretransform is not None
            else "no codec for snac_context"
        )
        raise ConfigError("model.conditioning.configs", found, "it in a diffusion_snac_dit model, with no key but chunks")
    return SnacContextConditioner(pretransform, **options)


def pretransform(config: Mapping[str, Any], sample_rate: int) -> Any:
    """A `snac_hierarchical` pretransform, frozen unless the config says `enable_grad`.

    Args:
        config: `model.pretransform`.
        sample_rate: samples per second of the model it is for.

    Raises:
        ConfigError: a key or value that the type does not take, or a codec at another sample rate.
    """
    from snac_plugin.codec.load import load_codec
    from snac_plugin.codec.pretransform import SnacPretransform
    from snac_plugin.config import check_pretransform_config

    checked = check_pretransform_config(config)
    codec = load_codec(checked.config.codec)
    if sample_rate != codec.levels.sample_rate:
        raise ConfigError("sample_rate", sample_rate, f"{codec.levels.sample_rate}, the sample rate of codec {codec.name!r}")
    options = checked.config.model_dump(exclude={"codec"})
    built = SnacPretransform(codec, **options, iterate_batch=checked.iterate_batch)
    built.enable_grad = checked.enable_grad
    return built.eval().requires_grad_(built.enable_grad)


def autoencoder(config: Mapping[str, Any], build: Callable[[dict[str, Any]], Any]) -> Any:
    """An autoencoder of `snac` encoder, `snac_rvq` bottleneck and `snac` decoder, whose weights are one SNAC model's.

    Args:
        config: a whole model config, or the part of it that a pretransform of stable-audio-tools has.
        build: stable-audio-tools' builder, which calls the builders of the three parts.

    Raises:
        ConfigError: the config does not fit.
        CodecError: `model.pretrained` cannot be loaded.
    """
    from snac_plugin.codec.load import load_codec
    from snac_plugin.codec_training.parts import snac_of
    from snac_plugin.config import check_codec_config, check_codec_section, padded_to, snac_config

    section = check_codec_config(config).model if "model_type" in config else check_codec_section(config["model"])
    codec = None if section.pretrained is None else load_codec(section.pretrained)
    geometry = snac_config(section, config["sample_rate"], None if codec is None else codec.config, config.get("sample_size"))
    built = build({**config, "model": _parts(config["model"], section, geometry)})
    built.snac_config, built.min_length = geometry, padded_to(geometry)
    if codec is not None:
        snac_of(built).load_state_dict(codec.model.state_dict())
        built.bottleneck.restart()
    return built


def _parts(given: Mapping[str, Any], section: Any, geometry: dict[str, Any]) -> dict[str, Any]:
    """`model` with everything said that the three parts need, each for itself."""
    import math

    from snac_plugin.config import padded_to

    own = section.bottleneck.config
    new = section.pretrained is None
    known = {**geometry, "latent_dim": geometry["encoder_dim"] * 2 ** len(geometry["encoder_rates"])}
    training = own.model_dump(include={"start_vectors", "warmup_noise", "level_dropout", "visits"})
    training["codebook_starts"] = own.codebook_starts if own.codebook_starts is not None else (0,) if new else ()
    training["keep_lengths"] = own.keep_lengths if own.keep_lengths is not None else not new
    keys = {
        "encoder": ("encoder_dim", "encoder_rates", "attn_window_size", "depthwise"),
        "decoder": ("latent_dim", "decoder_dim", "decoder_rates", "attn_window_size", "noise", "depthwise"),
        "bottleneck": ("latent_dim", "codebook_size", "codebook_dim", "vq_strides"),
    }
    more = {"encoder": {"pad_to": section.encoder.config.pad_to or padded_to(geometry)}, "decoder": {}, "bottleneck": training}
    parts = {part: {**given[part], "config": {key: known[key] for key in keys[part]} | more[part]} for part in keys}
    sizes = {"latent_dim": known["latent_dim"], "downsampling_ratio": math.prod(geometry["encoder_rates"]), "io_channels": 1}
    return {**given, **sizes, **parts}


def encoder(config: Mapping[str, Any]) -> Any:
    """A `snac` encoder from `model.encoder`."""
    from snac_plugin.codec_training.parts import SnacEncoder

    return _part(SnacEncoder, config, "encoder")


def decoder(config: Mapping[str, Any]) -> Any:
    """A `snac` decoder from `model.decoder`."""
    from snac_plugin.codec_training.parts import SnacDecoder

    return _part(SnacDecoder, config, "decoder")


def bottleneck(config: Mapping[str, Any]) -> Any:
    """A `snac_rvq` bottleneck from `model.bottleneck`."""
    from snac_plugin.codec_training.bottleneck import SnacBottleneck

    return _part(SnacBottleneck, config, "bottleneck")


def _part(kind: type, config: Mapping[str, Any], name: str) -> Any:
    """One part, with what stable-audio-tools makes of its `requires_grad`."""
    try:
        built = kind(**config.get("config", {}))
    except TypeError as error:  # one part alone, beside parts of other types: its constructor says what it lacks
        raise ConfigError(f"model.{name}.config", str(error).split("() ")[-1], f"the arguments of {kind.__name__}") from error
    if not config.get("requires_grad", True):
        built.freeze() if name == "bottleneck" else built.requires_grad_(False)
    return built


def codec_training_wrapper(config: Mapping[str, Any], model: Any) -> Any:
    """The Lightning module that trains a SNAC codec, stable-audio-tools' own with the quantiser's losses and measures."""
    from snac_plugin.codec_training.wrapper import create_codec_training_wrapper

    return create_codec_training_wrapper(dict(config), model)


def codec_demo_callback(config: Mapping[str, Any], **kwargs: Any) -> Any:
    """The callback that makes round trips while a SNAC codec trains."""
    from snac_plugin.codec_training.demo import create_codec_demo_callback

    return create_codec_demo_callback(dict(config), **kwargs)


def training_wrapper(config: Mapping[str, Any], model: Any) -> Any:
    """The Lightning module that trains a `diffusion_snac_dit` model."""
    from snac_plugin.training.factory import create_training_wrapper

    return create_training_wrapper(dict(config), model)


def demo_callback(config: Mapping[str, Any], **kwargs: Any) -> Any:
    """The callback that makes demos while a `diffusion_snac_dit` model trains."""
    from snac_plugin.training.factory import create_demo_callback

    return create_demo_callback(dict(config), **kwargs)


def page(config: Mapping[str, Any], model: Any, gradio_title: str | None = None) -> Any:
    """The gradio page of a `diffusion_snac_dit` model."""
    from snac_plugin.interface.page import create_page

    return create_page(dict(config), model, gradio_title=gradio_title or "")
