"""Check the config of a SNAC codec in training, and work out the one SNAC config that its three parts make."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from snac_plugin.config.codec_training_keys import (
    BottleneckConfig,
    CodecModelConfig,
    CodecSection,
    CodecTraining,
    DecoderConfig,
    EncoderConfig,
)
from snac_plugin.config.model_rules import MOST_WEIGHTS
from snac_plugin.config.optimizers import optimizer_problems
from snac_plugin.config.section import Section
from snac_plugin.config.validation import Problem, raise_problems, show, validated
from snac_plugin.levels import STRIDES, are_strides, nearest_multiples, padded_to

HEAD = 64
"""Dimensions of one of SNAC's attention heads."""

NEEDED = ("encoder_dim", "encoder_rates", "decoder_dim", "decoder_rates", "vq_strides")
KEYS: tuple[str, ...] = (*NEEDED[:4], "attn_window_size", "codebook_size", "codebook_dim", "vq_strides", "noise", "depthwise")
CONFIGS: dict[str, type[Section]] = {"encoder": EncoderConfig, "decoder": DecoderConfig, "bottleneck": BottleneckConfig}
PARTS_WITH = {key: tuple(part for part, config in CONFIGS.items() if key in config.model_fields) for key in KEYS}
"""The parts whose config holds each key of a SNAC config.json."""


def check_codec_config(config: Mapping[str, Any], source: str = "model config") -> CodecModelConfig:
    """A codec's whole model config, checked without reading `model.pretrained`; ConfigError with every problem."""
    return validated(CodecModelConfig, config, source, _problems)


def check_codec_section(section: Mapping[str, Any]) -> CodecSection:
    """`model` of such a config alone, as a pretransform of stable-audio-tools gives it."""
    return validated(CodecSection, section, "model config", within=("model",))


def snac_config(
    section: CodecSection, sample_rate: int, pretrained: Mapping[str, Any] | None = None, sample_size: int | None = None
) -> dict[str, Any]:
    """The contents of the config.json that SNAC makes the codec from; `pretrained` is that of `model.pretrained`.

    ConfigError: numbers are missing, contradict each other or `model.pretrained`, or make no codec.
    """
    configs = {part: getattr(section, part).config for part in section.parts}
    written = {part: config.model_dump(mode="json", exclude_unset=True) for part, config in configs.items()}
    base = None if pretrained is None else json.loads(json.dumps(pretrained))  # lists in place of tuples
    problems, geometry = [], {"sampling_rate": sample_rate}
    for key, parts in PARTS_WITH.items():
        values = {f"model.{part}.config.{key}": written[part][key] for part in parts if key in written[part]}
        default = getattr(configs[parts[0]], key) if base is None else base[key]
        first = next(iter(values), "")
        geometry[key] = values.get(first, default)
        for path, value in values.items():
            if base is not None and value != base[key]:
                advice = "Leave the key out: it is taken from there."
                problems.append(Problem(path, show(value), f"{show(base[key])}, as in {section.pretrained}", advice))
            elif value != geometry[key]:
                problems.append(Problem(path, show(value), f"{show(geometry[key])}, as at {first}"))
    if base is not None and sample_rate != base["sampling_rate"]:
        problems.append(Problem("sample_rate", show(sample_rate), f"{base['sampling_rate']}, as in {section.pretrained}"))
    raise_problems(problems, "model config")
    advice = "model_configs/snac_codec_tiny.json has all of them."
    missing = [f"model.{PARTS_WITH[key][0]}.config.{key}" for key in NEEDED if geometry[key] is None]
    raise_problems([Problem(path, "nothing", "this key, or model.pretrained", advice) for path in missing], "model config")
    raise_problems(_geometry_problems(section, geometry, sample_size), "model config")
    return geometry


def _geometry_problems(section: CodecSection, geometry: Mapping[str, Any], sample_size: int | None) -> Iterator[Problem]:
    hop, latent = math.prod(geometry["encoder_rates"]), geometry["encoder_dim"] * 2 ** len(geometry["encoder_rates"])
    weights = 2 * max(latent, geometry["decoder_dim"]) ** 2 + len(geometry["vq_strides"]) * geometry["codebook_size"] * latent
    if weights > MOST_WEIGHTS:  # it would be built until the memory is full
        sizes = {key: geometry[key] for key in ("encoder_dim", "decoder_dim", "codebook_size")}
        yield Problem("model", f"{show(sizes)}: about {weights:.1e} weights", f"at most {MOST_WEIGHTS:.0e} weights")
        return
    rates, strides = geometry["decoder_rates"], geometry["vq_strides"]
    if math.prod(rates) != hop:
        expected = f"rates whose product is {hop}, as that of encoder_rates"
        yield Problem("model.decoder.config.decoder_rates", f"{show(rates)}, product {math.prod(rates)}", expected)
    if not are_strides(strides):
        yield Problem("model.bottleneck.config.vq_strides", show(strides), STRIDES)
    holders: dict[str, Any] = {
        "": section,
        ".decoder.config": section.decoder.config,
        ".bottleneck.config": section.bottleneck.config,
    }
    for where, holder in holders.items():
        if holder.latent_dim not in (None, latent):
            expected = f"{latent}: encoder_dim * 2 ** (number of encoder_rates)"
            yield Problem(f"model{where}.latent_dim", show(holder.latent_dim), expected)
    if section.downsampling_ratio not in (None, hop):
        yield Problem("model.downsampling_ratio", show(section.downsampling_ratio), f"{hop}, the product of encoder_rates")
    yield from _width_problems(geometry, latent)
    shares, levels = section.bottleneck.config.level_dropout, len(geometry["vq_strides"])
    if isinstance(shares, tuple) and (len(shares) >= levels or sum(shares) > 1 + 1e-9):
        expected = f"at most {levels - 1} shares, of examples decoded from 1, 2, ... levels only, that sum to at most 1"
        yield Problem("model.bottleneck.config.level_dropout", show(shares), expected)
    grid = padded_to(geometry)
    if (pad := section.encoder.config.pad_to) is not None and pad % grid:
        yield Problem("model.encoder.config.pad_to", show(pad), f"a multiple of {grid}")
    if sample_size is not None and sample_size % grid:
        expected = f"a multiple of {grid}, what SNAC encodes without padding"
        yield Problem("sample_size", show(sample_size), expected, f"Nearest: {nearest_multiples(sample_size, grid)}.")


def _width_problems(geometry: Mapping[str, Any], latent: int) -> Iterator[Problem]:
    width, halvings = geometry["decoder_dim"], len(geometry["decoder_rates"])
    if width % 2**halvings:
        expected = f"a multiple of {2**halvings}: each of decoder_rates halves it"
        yield Problem("model.decoder.config.decoder_dim", show(width), expected)
    advice = "Or set attn_window_size to null in encoder and decoder."
    if geometry["attn_window_size"] is not None and latent % HEAD:
        found = f"{geometry['encoder_dim']}, so that latent_dim is {latent}"
        yield Problem("model.encoder.config.encoder_dim", found, f"a latent_dim that attention splits into heads of {HEAD}", advice)
    if geometry["attn_window_size"] is not None and width % HEAD:
        yield Problem("model.decoder.config.decoder_dim", show(width), f"a multiple of {HEAD}, for attention", advice)


def _problems(config: CodecModelConfig) -> Iterator[Problem]:
    if config.training is not None:
        yield from _optimizer_problems(config.training)
        yield from _mel_problems(config.training)
        yield from _untrained_problems(config.model, config.training)


def _mel_problems(training: CodecTraining) -> Iterator[Problem]:
    """stable-audio-tools would leave out the windows for which there are no bands."""
    config = training.loss_configs.mrmel.config if training.loss_configs.mrmel is not None else {}
    bands, windows = config.get("n_mels"), config.get("window_lengths")
    if isinstance(bands, list) and isinstance(windows, list) and len(bands) != len(windows):
        expected = f"{len(windows)} numbers, one for each of window_lengths"
        yield Problem("training.loss_configs.mrmel.config.n_mels", show(bands), expected)


def _optimizer_problems(training: CodecTraining) -> Iterator[Problem]:
    optimizers, where = training.optimizer_configs, "training.optimizer_configs"
    yield from optimizer_problems(training.learning_rate, optimizers)
    if optimizers is not None and "lr" not in optimizers.autoencoder.optimizer.config:
        yield Problem(f"{where}.autoencoder.optimizer.config.lr", "nothing", "a learning rate")
    if optimizers is None or training.loss_configs.discriminator is None:
        return
    if optimizers.discriminator is None:
        yield Problem(f"{where}.discriminator", "nothing", "an optimizer for training.loss_configs.discriminator")
    elif (optimizers.discriminator.scheduler is None) != (optimizers.autoencoder.scheduler is None):
        yield Problem(where, "one scheduler", "a scheduler for both, or for none", "stable-audio-tools would use neither.")


def _untrained_problems(section: CodecSection, training: CodecTraining) -> Iterator[Problem]:
    """What would never train: parts with random weights, codebooks whose start never comes."""
    configured = section.bottleneck.config.codebook_starts
    starts = section.codebook_starts
    if training.encoder_freeze_on_warmup and starts and max(starts) >= training.warmup_steps:
        found = show(starts) if configured is not None else f"null, which is {show(starts)}"
        expected = f"steps before training.warmup_steps, {training.warmup_steps}"
        advice = "From there on training.encoder_freeze_on_warmup leaves encoder and codebooks as they are."
        yield Problem("model.bottleneck.config.codebook_starts", found, expected, advice)
    for name in section.parts if section.pretrained is None else ():
        if not getattr(section, name).requires_grad:
            advice = "Name a codec as model.pretrained: a folder that export_codec wrote, a hub id or a shipped one."
            yield Problem(f"model.{name}.requires_grad", "false", "true: without model.pretrained its weights are random", advice)
