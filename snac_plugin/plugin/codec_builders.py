"""Builders of SNAC codecs to train: an autoencoder of a `snac` encoder, a `snac_rvq` bottleneck and a `snac` decoder."""

import functools
import math
import os
from collections.abc import Callable, Mapping
from typing import Any

from snac import SNAC
from torch import nn

from snac_plugin.codec.load import load_codec
from snac_plugin.codec_training.bottleneck import SnacBottleneck
from snac_plugin.codec_training.demo import CodecDemoCallback
from snac_plugin.codec_training.encoder_decoder import SnacDecoder, SnacEncoder, snac_of
from snac_plugin.codec_training.wrapper import SnacCodecTrainingWrapper
from snac_plugin.config import CodecTraining, check_codec_config, check_codec_section, snac_config
from snac_plugin.config.optimizers import check_installed
from snac_plugin.errors import ConfigError
from snac_plugin.levels import padded_to
from snac_plugin.plugin.memory_check import check_memory, weights_of

ARGUMENTS = {
    "encoder": ("encoder_dim", "encoder_rates", "attn_window_size", "depthwise"),
    "decoder": ("latent_dim", "decoder_dim", "decoder_rates", "attn_window_size", "noise", "depthwise"),
    "bottleneck": ("latent_dim", "codebook_size", "codebook_dim", "vq_strides"),
}
"""Which of SNAC's constructor arguments each part takes."""


def autoencoder(config: Mapping[str, Any], build: Callable[[dict[str, Any]], Any]) -> Any:
    """An autoencoder whose three parts have the weights of one SNAC model.

    Args:
        config: a whole model config, or the part of it that a pretransform of stable-audio-tools has.
        build: stable-audio-tools' builder, which calls the builders of the three parts.
    """
    section = check_codec_config(config).model if "model_type" in config else check_codec_section(config["model"])
    codec = None if section.pretrained is None else load_codec(section.pretrained)
    geometry = snac_config(section, config["sample_rate"], None if codec is None else codec.config, config.get("sample_size"))
    check_memory("model", weights_of(functools.partial(SNAC, **geometry)))
    built = build({**config, "model": _complete(config["model"], section, geometry)})
    built.snac_config, built.min_length = geometry, padded_to(geometry)
    if codec is not None:
        snac_of(built).load_state_dict(codec.model.state_dict())
        built.bottleneck.restart()
    return built


def _complete(model: Mapping[str, Any], section: Any, geometry: dict[str, Any]) -> dict[str, Any]:
    """The config's `model` with all arguments of all three parts, as each of them is built alone."""
    bottleneck, from_scratch = section.bottleneck.config, section.pretrained is None
    arguments = {**geometry, "latent_dim": geometry["encoder_dim"] * 2 ** len(geometry["encoder_rates"])}
    training = bottleneck.model_dump(include={"start_vectors", "warmup_noise", "level_dropout", "visits"})
    training["codebook_starts"] = section.codebook_starts
    training["keep_lengths"] = not from_scratch if bottleneck.keep_lengths is None else bottleneck.keep_lengths
    more = {"encoder": {"pad_to": section.encoder.config.pad_to or padded_to(geometry)}, "decoder": {}, "bottleneck": training}
    parts = {
        part: {**model[part], "config": {name: arguments[name] for name in names} | more[part]} for part, names in ARGUMENTS.items()
    }
    hop = math.prod(geometry["encoder_rates"])
    return {**model, "latent_dim": arguments["latent_dim"], "downsampling_ratio": hop, "io_channels": 1, **parts}


def _part(part_class: type[nn.Module], name: str, config: Mapping[str, Any]) -> Any:
    """One part from its section `model.<name>`, frozen if `requires_grad` is false."""
    try:
        built = part_class(**config.get("config", {}))
    except TypeError as error:  # a part beside parts of other types gets no arguments from `_complete`
        expected = f"the arguments of {part_class.__name__}"
        raise ConfigError(f"model.{name}.config", str(error).split("() ")[-1], expected) from error
    if not config.get("requires_grad", True):
        built.freeze() if isinstance(built, SnacBottleneck) else built.requires_grad_(False)
    return built


encoder = functools.partial(_part, SnacEncoder, "encoder")
decoder = functools.partial(_part, SnacDecoder, "decoder")
bottleneck = functools.partial(_part, SnacBottleneck, "bottleneck")


def training_wrapper(config: Mapping[str, Any], model: Any) -> SnacCodecTrainingWrapper:
    """The Lightning module that trains a codec of this whole config, seeded by Lightning's `seed_everything`."""
    training = _training_section(config)
    check_installed(training.optimizer_configs)
    fresh = training.start_from_data and config["model"].get("pretrained") is None
    return SnacCodecTrainingWrapper(model, training, dict(config), fresh, int(os.environ.get("PL_GLOBAL_SEED", "0")))


def demo_callback(config: Mapping[str, Any], demo_dl: Any = None, **_: Any) -> CodecDemoCallback:
    """Demos of the recordings of `demo_dl`, by default of the training data."""
    demo = _training_section(config).demo
    return CodecDemoCallback(demo_dl, demo.demo_every, demo.num_demos)


def _training_section(config: Mapping[str, Any]) -> CodecTraining:
    training = check_codec_config(config).training
    if training is None:
        raise ConfigError("training", "nothing", "a training section", "See model_configs/snac_codec_tiny.json.")
    return training
