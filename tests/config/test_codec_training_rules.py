"""Configs of a codec in training: what contradicts itself, its codec or stable-audio-tools is told with its JSON path."""

import copy
from pathlib import Path
from typing import Any

import pytest
from codec_runs import CODEC, CODEC_CONFIG
from tiny import CODEC_32KHZ

from snac_plugin.codec.load import CONFIG_KEYS
from snac_plugin.codec.places import SHIPPED
from snac_plugin.config import check_codec_config, check_codec_section, load_json, snac_config
from snac_plugin.config.codec_training_rules import PARTS_WITH
from snac_plugin.errors import ConfigError
from snac_plugin.levels import padded_to

ROOT = Path(__file__).parents[2]


def changed(path: str, value: Any) -> dict[str, Any]:
    """The example with one key set; the value "GONE" takes it out."""
    config = copy.deepcopy(CODEC_CONFIG)
    *parents, key = path.split(".")
    section: Any = config
    for parent in parents:
        section = section.setdefault(parent, {})
    if value == "GONE":
        del section[key]
    else:
        section[key] = value
    return config


def check(config: dict[str, Any], pretrained: dict[str, Any] | None = None) -> dict[str, Any]:
    checked = check_codec_config(config)
    return snac_config(checked.model, checked.sample_rate, pretrained, checked.sample_size)


def test_three_parts_make_one_snac_config() -> None:
    assert check(CODEC_CONFIG) == CODEC
    assert padded_to(CODEC) == 2048
    assert padded_to(CODEC_32KHZ) == 12288


def test_every_key_of_snac_has_a_place() -> None:
    assert PARTS_WITH.keys() | {"sampling_rate", "latent_dim"} == CONFIG_KEYS.keys()


def test_the_shipped_config_is_the_geometry_of_the_shipped_codec() -> None:
    shipped = load_json(SHIPPED / "snac_tiny_32khz" / "config.json")
    assert check(load_json(ROOT / "model_configs" / "snac_codec_tiny.json")) == shipped


RATES = "model.decoder.config.decoder_rates"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("model.latent_dim", 128, r"model\.latent_dim: found 128, expected 64: encoder_dim \* 2"),
        ("model.decoder.config.latent_dim", 8, r"model\.decoder\.config\.latent_dim: found 8, expected 64"),
        ("model.downsampling_ratio", 384, r"model\.downsampling_ratio: found 384, expected 512, the product of encoder_rates"),
        ("sample_size", 5000, r"sample_size: found 5000, expected a multiple of 2048.* Nearest: 4096 or 6144"),
        ("sample_size", 100, r"sample_size: found 100, .* Nearest: 2048"),
        (RATES, [8, 8, 2], rf"{RATES}: found \[8, 8, 2\], product 128, expected rates whose product is 512"),
        ("model.decoder.config.depthwise", False, r"model\.decoder\.config\.depthwise: found false, expected true, as at"),
        ("model.bottleneck.config.vq_strides", [4, 3], r"model\.bottleneck\.config\.vq_strides: found \[4, 3\], expected strides"),
        ("model.bottleneck.config.vq_stride", [4], r"vq_stride: found an unknown key .*Did you mean \"vq_strides\""),
        ("model.bottleneck.config.start_vectors", 10**7, r"start_vectors: found 10000000, expected a number of at most 1000000"),
        ("model.bottleneck.config.level_dropout", 2, r"level_dropout: found 2, expected a number of at most 1"),
        ("model.bottleneck.config.level_dropout", [0.7, 0.4], r"level_dropout: found \[0\.7, 0\.4\], expected at most \d shares"),
        ("model.bottleneck.config.level_dropout", [0.1] * 4, r"level_dropout: found .*, expected at most \d shares"),
        ("model.encoder.config.encoder_dim", "GONE", r"encoder_dim: found nothing, expected this key, or model\.pretrained"),
        ("model.encoder.config.encoder_rates", [2, 0], r"encoder_rates\[1\]: found 0, expected a number of at least 1"),
        ("model.encoder.config.pad_to", 1000, r"pad_to: found 1000, expected a multiple of 2048"),
        ("model.encoder.type", "oobleck", r"model\.encoder\.type: found \"oobleck\", expected 'snac'"),
        ("model.decoder.config.decoder_dim", 24, r"decoder_dim: found 24, expected a multiple of 16"),
        ("audio_channels", 2, r"audio_channels: found 2, expected 1"),
        ("model.io_channels", 2, r"model\.io_channels: found 2, expected 1"),
        ("training.optimizer_configs.discriminator", "GONE", r"optimizer_configs\.discriminator: found nothing, expected an"),
        ("training.optimizer_configs.autoencoder.scheduler", {"type": "InverseLR", "config": {}}, r"one scheduler, .*neither"),
        ("training.optimizer_configs.autoencoder.optimizer.type", "AdmW", r"optimizer\.type: .*Did you mean \"AdamW\""),
        ("training.loss_configs.spectral.weights", {}, r"spectral\.weights\.mrstft: found nothing"),
        ("training.loss_configs.discriminator.weights", {"adversarial": 1.0}, r"feature_matching: found nothing"),
        ("training.loss_configs.spectral", "GONE", r"training\.loss_configs\.spectral: found nothing"),
        ("model.encoder.requires_grad", False, r"model\.encoder\.requires_grad: found false, expected true: without model\.pretr"),
        ("training.warmup_step", 1, r"training\.warmup_step: found an unknown key .*Did you mean \"warmup_steps\""),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_by_its_path(path: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(changed(path, value))


@pytest.mark.parametrize(("starts", "warmup", "found"), [(None, 0, r"null, which is \[0\]"), ([0, 5], 5, r"\[0, 5\]")])
def test_codebooks_start_before_the_encoder_rests(starts: list[int] | None, warmup: int, found: str) -> None:
    """From there on steps stand still, and a start that is still due never comes: the codes would stay random."""
    config = changed("model.bottleneck.config.codebook_starts", starts)
    config["training"] |= {"encoder_freeze_on_warmup": True, "warmup_steps": warmup}
    message = rf"codebook_starts: found {found}, expected steps before training\.warmup_steps, {warmup}.*encoder_freeze_on_warmup"
    with pytest.raises(ConfigError, match=message):
        check(config)
    config["training"]["warmup_steps"] = 6
    check(config)
    config["training"]["warmup_steps"] = 0
    config["model"] = {"pretrained": "x/y", **PARTS}
    check_codec_config(config)


@pytest.mark.parametrize("changes", [{"model.encoder.config.encoder_dim": 10**8}, {"model.bottleneck.config.codebook_size": 10**9}])
def test_a_codec_that_no_machine_holds_is_refused(changes: dict[str, Any]) -> None:
    """It was built until the memory was full."""
    for path, value in changes.items():
        with pytest.raises(ConfigError, match=r"model: found .*: about .* weights, expected at most 1e\+11 weights"):
            check(changed(path, value))


def test_attention_wants_heads_of_64() -> None:
    config = changed("model.encoder.config.attn_window_size", 32)
    config["model"]["decoder"]["config"] |= {"attn_window_size": 32, "decoder_dim": 32}
    config["sample_size"] = 512 * 32
    with pytest.raises(ConfigError, match=r"decoder_dim: found 32, expected a multiple of 64, for attention"):
        check(config)


PARTS = {"encoder": {"type": "snac"}, "bottleneck": {"type": "snac_rvq"}, "decoder": {"type": "snac"}}


def test_a_pretrained_codec_gives_its_geometry() -> None:
    section = check_codec_section({"pretrained": "x/y", **PARTS})
    assert snac_config(section, 24000, CONFIG_KEYS | CODEC) == CODEC


@pytest.mark.parametrize(
    ("changes", "rate", "message"),
    [
        ({"bottleneck": {"type": "snac_rvq", "config": {"codebook_size": 4096}}}, 24000,
         r"model\.bottleneck\.config\.codebook_size: found 4096, expected 64, as in x/y\. Leave the key out"),
        ({"decoder": {"type": "snac", "config": {"noise": False}}}, 24000, r"noise: found false, expected true"),
        ({"latent_dim": 8}, 24000, r"model\.latent_dim: found 8, expected 64"),
        ({}, 32000, r"sample_rate: found 32000, expected 24000, as in x/y"),
    ],
)  # fmt: skip
def test_a_contradiction_with_the_pretrained_codec_is_named(changes: dict[str, Any], rate: int, message: str) -> None:
    section = check_codec_section({"pretrained": "x/y", **PARTS, **changes})
    with pytest.raises(ConfigError, match=message):
        snac_config(section, rate, CONFIG_KEYS | CODEC)


def test_an_optimizer_of_the_codec_has_a_learning_rate() -> None:
    """Its parts learn at shares of it."""
    where = "training.optimizer_configs.autoencoder.optimizer.config"
    with pytest.raises(ConfigError, match=rf"{where}\.lr: found nothing, expected a learning rate"):
        check_codec_config(changed(where, {"betas": [0.8, 0.99]}))
