"""Check the config of a SNAC codec in training, and work out the one SNAC config that its three parts make."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from snac_plugin.config.codec_training_keys import CodecModelConfig, CodecSection, CodecTraining
from snac_plugin.config.error_messages import Problem, config_error, problems_of, show
from snac_plugin.config.model_rules import optimizer_problems
from snac_plugin.config.section import Section

HEAD = 64
"""Dimensions of one of SNAC's attention heads."""

PLACES: dict[str, tuple[str, ...]] = {
    "encoder_dim": ("encoder",),
    "encoder_rates": ("encoder",),
    "decoder_dim": ("decoder",),
    "decoder_rates": ("decoder",),
    "attn_window_size": ("encoder", "decoder"),
    "codebook_size": ("bottleneck",),
    "codebook_dim": ("bottleneck",),
    "vq_strides": ("bottleneck",),
    "noise": ("decoder",),
    "depthwise": ("encoder", "decoder"),
}
"""The parts whose config holds each key of a SNAC config.json."""


class _Around(Section):
    """Just so much of a model config that paths are right."""

    model: CodecSection


def check_codec_config(config: Mapping[str, Any], source: str = "model config") -> CodecModelConfig:
    """A whole model config of a codec, checked as far as that goes without `model.pretrained`.

    Raises:
        ConfigError: with every problem: JSON path, what was found, what was expected.
    """
    data = dict(config)
    try:
        checked = CodecModelConfig.model_validate(data)
    except ValidationError as error:
        raise config_error(problems_of(error, CodecModelConfig, data), source) from None
    if problems := [*_training_problems(checked.training), *_rest_problems(checked.model, checked.training)]:
        raise config_error(problems, source)
    return checked


def check_codec_section(section: Mapping[str, Any], source: str = "model config") -> CodecSection:
    """`model` of such a config alone, as a pretransform of stable-audio-tools gives it.

    Raises:
        ConfigError: with every problem.
    """
    data = {"model": dict(section)}
    try:
        return _Around.model_validate(data).model
    except ValidationError as error:
        raise config_error(problems_of(error, _Around, data), source) from None


def snac_config(
    section: CodecSection, sample_rate: int, pretrained: Mapping[str, Any] | None = None, sample_size: int | None = None
) -> dict[str, Any]:
    """The contents of the config.json that SNAC makes the codec from.

    Args:
        section: `model`, checked.
        sample_rate: of the model config.
        pretrained: the config.json of `model.pretrained`, if there is one.
        sample_size: of the model config, if it has one.

    Raises:
        ConfigError: numbers are missing, contradict each other or `model.pretrained`, or make no codec.
    """
    if problems := list(_contradictions(section, sample_rate, pretrained)):
        raise config_error(problems, "model config")
    made = {key: _value(section, key, pretrained) for key in PLACES}
    if problems := [Problem(*row) for row in _missing(made)]:
        raise config_error(problems, "model config")
    made = {"sampling_rate": sample_rate, **made}
    if problems := list(_problems(section, made, sample_size)):
        raise config_error(problems, "model config")
    return made


def padded_to(config: Mapping[str, Any]) -> int:
    """Samples that audio is padded to a multiple of, by the contents of a config.json."""
    return math.prod(config["encoder_rates"]) * math.lcm(config["vq_strides"][0], config["attn_window_size"] or 1)


def _given(section: CodecSection, key: str) -> dict[str, Any]:
    """By JSON path, what the config itself says of a key."""
    parts = ((part, getattr(section, part).config) for part in PLACES[key])
    return {f"model.{part}.config.{key}": _plain(getattr(c, key)) for part, c in parts if key in c.model_fields_set}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _value(section: CodecSection, key: str, pretrained: Mapping[str, Any] | None) -> Any:
    given = list(_given(section, key).values())
    if given:
        return given[0]
    if pretrained is not None:
        return pretrained[key]
    return _plain(getattr(getattr(section, PLACES[key][0]).config, key))


def _contradictions(section: CodecSection, sample_rate: int, pretrained: Mapping[str, Any] | None) -> Iterator[Problem]:
    for key in PLACES:
        given = _given(section, key)
        first = next(iter(given), "")
        for path, value in given.items():
            if pretrained is not None and value != _plain(pretrained[key]):
                expected = f"{show(pretrained[key])}, as in {section.pretrained}"
                yield Problem(path, show(value), expected, "Leave the key out: it is taken from there.")
            elif value != given[first]:
                yield Problem(path, show(value), f"{show(given[first])}, as at {first}")
    if pretrained is not None and sample_rate != pretrained["sampling_rate"]:
        yield Problem("sample_rate", show(sample_rate), f"{pretrained['sampling_rate']}, as in {section.pretrained}")


def _missing(made: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    for key in ("encoder_dim", "encoder_rates", "decoder_dim", "decoder_rates", "vq_strides"):
        if made[key] is None:
            advice = "model_configs/snac_codec_tiny.json has all of them."
            yield f"model.{PLACES[key][0]}.config.{key}", "nothing", "this key, or model.pretrained", advice


def _problems(section: CodecSection, made: Mapping[str, Any], sample_size: int | None) -> Iterator[Problem]:
    hop, latent = math.prod(made["encoder_rates"]), made["encoder_dim"] * 2 ** len(made["encoder_rates"])
    strides = made["vq_strides"]
    if math.prod(made["decoder_rates"]) != hop:
        found = f"{show(made['decoder_rates'])}, product {math.prod(made['decoder_rates'])}"
        yield Problem("model.decoder.config.decoder_rates", found, f"rates whose product is {hop}, as that of encoder_rates")
    if any(a < b or a % b for a, b in itertools.pairwise(strides)):
        yield Problem(
            "model.bottleneck.config.vq_strides", show(strides), "strides from coarse to fine, each a multiple of the next"
        )
    whole = "encoder_dim * 2 ** (number of encoder_rates)"
    for path, size in (
        ("model.latent_dim", section.latent_dim),
        ("model.decoder.config.latent_dim", section.decoder.config.latent_dim),
        ("model.bottleneck.config.latent_dim", section.bottleneck.config.latent_dim),
    ):
        if size is not None and size != latent:
            yield Problem(path, show(size), f"{latent}: {whole}")
    if section.downsampling_ratio is not None and section.downsampling_ratio != hop:
        yield Problem("model.downsampling_ratio", show(section.downsampling_ratio), f"{hop}, the product of encoder_rates")
    yield from _width_problems(made, latent)
    grid = padded_to(made)
    if (pad := section.encoder.config.pad_to) is not None and pad % grid:
        yield Problem("model.encoder.config.pad_to", show(pad), f"a multiple of {grid}")
    if sample_size is not None and sample_size % grid:
        close = " or ".join(str(n) for n in sorted({max(sample_size // grid, 1) * grid, -(-sample_size // grid) * grid}))
        yield Problem(
            "sample_size", show(sample_size), f"a multiple of {grid}, what SNAC encodes without padding", f"Nearest: {close}."
        )


def _width_problems(made: Mapping[str, Any], latent: int) -> Iterator[Problem]:
    if made["decoder_dim"] % 2 ** len(made["decoder_rates"]):
        expected = f"a multiple of {2 ** len(made['decoder_rates'])}: each of decoder_rates halves it"
        yield Problem("model.decoder.config.decoder_dim", show(made["decoder_dim"]), expected)
    if made["attn_window_size"] is None:
        return
    advice = "Or set attn_window_size to null in encoder and decoder."
    if latent % HEAD:
        found = f"{made['encoder_dim']}, so that latent_dim is {latent}"
        yield Problem("model.encoder.config.encoder_dim", found, f"a latent_dim that attention splits into heads of {HEAD}", advice)
    if made["decoder_dim"] % HEAD:
        yield Problem("model.decoder.config.decoder_dim", show(made["decoder_dim"]), f"a multiple of {HEAD}, for attention", advice)


def _training_problems(training: CodecTraining | None) -> Iterator[Problem]:
    if training is None:
        return
    losses, optimizers = training.loss_configs, training.optimizer_configs
    where = "training.optimizer_configs"
    if (optimizers is None) == (training.learning_rate is None):
        found = "neither learning_rate nor optimizer_configs" if optimizers is None else "both learning_rate and optimizer_configs"
        yield Problem("training", found, "one of them")
    if losses.discriminator is not None:
        for name in ("adversarial", "feature_matching"):
            if name not in losses.discriminator.weights:
                yield Problem(f"training.loss_configs.discriminator.weights.{name}", "nothing", "the weight of this loss")
    if "mrstft" not in losses.spectral.weights:
        yield Problem("training.loss_configs.spectral.weights.mrstft", "nothing", "the weight of this loss")
    if optimizers is None:
        return
    yield from optimizer_problems(f"{where}.autoencoder", optimizers.autoencoder)
    if optimizers.discriminator is not None:
        yield from optimizer_problems(f"{where}.discriminator", optimizers.discriminator)
    if losses.discriminator is None:
        return
    if optimizers.discriminator is None:
        yield Problem(f"{where}.discriminator", "nothing", "an optimizer for training.loss_configs.discriminator")
    elif (optimizers.discriminator.scheduler is None) != (optimizers.autoencoder.scheduler is None):
        yield Problem(where, "one scheduler", "a scheduler for both, or for none", "stable-audio-tools would use neither.")


def _rest_problems(section: CodecSection, training: CodecTraining | None) -> Iterator[Problem]:
    """What would rest untrained: parts with random weights, codebooks whose start never comes."""
    if training is None:
        return
    own = section.bottleneck.config.codebook_starts
    starts = own if own is not None else (0,) if section.pretrained is None else ()
    if training.encoder_freeze_on_warmup and starts and max(starts) >= training.warmup_steps:
        yield Problem(
            "model.bottleneck.config.codebook_starts",
            show(starts) if own is not None else f"null, which is {show(starts)}",
            f"steps before training.warmup_steps, {training.warmup_steps}",
            "From there on training.encoder_freeze_on_warmup leaves encoder and codebooks as they are.",
        )
    if section.pretrained is not None:
        return
    advice = "Name a codec as model.pretrained: a folder that export_codec wrote, a hub id or a shipped one."
    for name in ("encoder", "bottleneck", "decoder"):
        if not getattr(section, name).requires_grad:
            yield Problem(f"model.{name}.requires_grad", "false", "true: without model.pretrained its weights are random", advice)
