"""The codec's training wrapper without a trainer: starts from data at any precision, optimisers that torch does not take."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from codec_runs import SAMPLE_SIZE, codec_config, melody, without_discriminator
from stable_audio_tools.models import create_model_from_config

from snac_plugin import register
from snac_plugin.codec_training.demo import CodecDemoCallback
from snac_plugin.codec_training.losses import LinesLoss
from snac_plugin.codec_training.wrapper import SnacCodecTrainingWrapper
from snac_plugin.errors import ConfigError
from snac_plugin.plugin.codec_builders import training_wrapper

register()


def wrapper(**training: Any) -> SnacCodecTrainingWrapper:
    torch.manual_seed(0)
    config = without_discriminator(codec_config(use_ema=False, **training))
    return training_wrapper(config, create_model_from_config(config))


def examples(count: int) -> Iterator[torch.Tensor]:
    yield torch.from_numpy(melody(seed=1)).float()[: 8 * SAMPLE_SIZE].reshape(8, 1, SAMPLE_SIZE)


def test_starts_from_data_do_not_depend_on_the_precision_around(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning calls the step under autocast; weights and codebooks would start from bfloat16."""
    plain, mixed = wrapper(), wrapper()
    for each in (plain, mixed):
        monkeypatch.setattr(each, "_examples", examples)
        with torch.autocast("cpu", torch.bfloat16, enabled=each is mixed):
            each._scale_weights()
            each._start_codebooks()
    assert all(torch.equal(value, mixed.state_dict()[name]) for name, value in plain.state_dict().items())


@pytest.mark.parametrize("wrong", [{"beta": [0.8, 0.99]}, {"lr": "fast"}, {"lr": -1.0}])
def test_optimisers_that_torch_does_not_take_are_named(wrong: dict[str, Any]) -> None:
    part = wrapper()
    part.optimizer_configs["autoencoder"]["optimizer"]["config"] |= wrong
    with pytest.raises(ConfigError, match=r"training\.optimizer_configs: found what fails with: "):
        part.configure_optimizers()


def lines_losses(part: SnacCodecTrainingWrapper) -> list[LinesLoss]:
    return [loss for loss in part.losses_gen.losses if isinstance(loss, LinesLoss)]


def test_the_loss_of_lines_reaches_the_decoder_and_is_there_only_when_asked_for() -> None:
    losses = codec_config()["training"]["loss_configs"]
    part = wrapper(loss_configs=losses | {"lines": {"weights": {"lines": 0.2}}})
    (loss,) = lines_losses(part)
    latents = torch.randn(1, part.autoencoder.latent_dim, 64, generator=torch.Generator().manual_seed(0))
    value = loss({"decoded": part.autoencoder.decode(latents)})
    value.backward()
    assert float(value.detach()) > 0
    assert all(p.grad is None for p in part.autoencoder.encoder.parameters())
    assert sum(float(p.grad.abs().sum()) for p in part.autoencoder.decoder.parameters() if p.grad is not None) > 0
    for absent in (losses, losses | {"lines": {"weights": {"lines": 0.0}}}):
        assert lines_losses(wrapper(loss_configs=dict(absent))) == []


def test_a_demo_that_fails_leaves_the_codec_in_training() -> None:
    """Without averaged weights it is the codec in training itself, whose next steps would be those of evaluation."""
    part = wrapper()
    loader = torch.utils.data.DataLoader([(torch.zeros(2, SAMPLE_SIZE), {})])  # stereo, which no codec takes
    trainer: Any = SimpleNamespace(global_step=1, train_dataloader=None)  # too little of one to log a demo to
    part.train()
    CodecDemoCallback(loader, 1, 1).on_train_batch_end(trainer, part, None, None, 0)
    assert all(module.training for module in part.autoencoder.modules())
