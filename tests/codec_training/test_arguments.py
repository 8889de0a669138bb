"""Arguments that torch and the losses take only in part are refused when a training is built, and named with their section."""

import copy
from typing import Any

import pytest
import torch
from codec_runs import codec_config
from stable_audio_tools.models import create_model_from_config

from snac_plugin import register
from snac_plugin.codec_training.wrapper import SnacCodecTrainingWrapper
from snac_plugin.errors import ConfigError
from snac_plugin.plugin.codec_builders import training_wrapper

register()


def wrapper(part: str = "", **arguments: Any) -> SnacCodecTrainingWrapper:
    """A codec's training with other arguments of a loss."""
    torch.manual_seed(0)
    config = codec_config(use_ema=False)
    if part:
        config["training"]["loss_configs"][part]["config"] |= arguments
    return training_wrapper(config, create_model_from_config(config))


@pytest.mark.parametrize(
    ("part", "arguments"),
    [
        ("spectral", {"hop_sizes": [128]}),
        ("spectral", {"win_lengths": [1024, 128]}),
        ("spectral", {"fft_sizes": [16384, 128], "win_lengths": [16384, 128]}),
        ("spectral", {"fft_sizes": []}),
        ("spectral", {"colour": "red"}),
        ("spectral", {"hop_sizes": [128, "a"]}),
        ("discriminator", {"n_ffts": [256, 128]}),
        ("discriminator", {"hop_lengths": [0]}),
        ("discriminator", {"filters": "many"}),
    ],
)
def test_losses_that_fail_when_built_or_at_their_first_use_are_named(part: str, arguments: dict[str, Any]) -> None:
    """Each was a raw error, some of them after the data was read and the weights were scaled."""
    with pytest.raises(ConfigError, match=r"training\.loss_configs: found what fails with: .*equally long") as told:
        wrapper(part, **arguments)
    assert "\n" not in str(told.value), "torch lists all its signatures"


MEL = {"n_mels": [5, 10], "window_lengths": [128, 256], "pow": 1.0, "log_weight": 1.0, "mag_weight": 0.0}


@pytest.mark.parametrize("changed", [{"n_mels": [5]}, {"window_lengths": [0, 256]}, {"window_lengths": ["a", "b"]}, {"pow": "two"}])
def test_a_mel_loss_that_fails_at_its_first_use_is_named(changed: dict[str, Any]) -> None:
    config = codec_config(use_ema=False)
    config["training"]["loss_configs"]["mrmel"] = {"config": MEL | changed, "weights": {"mrmel": 1.0}}
    with pytest.raises(
        ConfigError, match=r"training\.loss_configs(: found what fails|\.mrmel\.config\.n_mels: found \[5\], expected 2)"
    ):
        training_wrapper(config, create_model_from_config(config))


@pytest.mark.parametrize("measure", ["stft", "mel"])
def test_a_measure_that_fails_at_its_first_use_is_named(measure: str) -> None:
    """It ended a training at its first validation."""
    config = codec_config(use_ema=False)
    config["training"]["eval_loss_configs"] = {measure: {"fft_size": 128, "win_length": 1024}}
    with pytest.raises(ConfigError, match=r"training\.(eval_)?loss_configs: found what fails with: "):
        training_wrapper(config, create_model_from_config(config))


def test_trying_the_losses_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """No weight, no buffer, no mode and no draw."""
    tried = wrapper()
    after = torch.rand(3)
    monkeypatch.setattr(SnacCodecTrainingWrapper, "_try_losses", lambda *_: None)
    plain = wrapper()
    assert torch.equal(after, torch.rand(3))
    states = copy.deepcopy(plain.state_dict()), tried.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert [module.training for module in tried.modules()] == [module.training for module in plain.modules()]
