"""SNAC's parts as stable-audio-tools takes them: the same codes and audio as SNAC."""

from typing import Any

import pytest
import torch
from codec_runs import codec_config
from snac import SNAC
from stable_audio_tools.models import create_model_from_config
from stable_audio_tools.models.factory import create_pretransform_from_config

from snac_plugin import register
from snac_plugin.codec_training.encoder_decoder import compile_parts, snac_of

register()


def autoencoder(**quantiser: Any) -> Any:
    torch.manual_seed(0)
    config = codec_config()
    config["model"]["bottleneck"]["config"] |= quantiser
    return create_model_from_config(config)


def audio(samples: int = 8192, batch: int = 2) -> torch.Tensor:
    return 0.1 * torch.randn(batch, 1, samples, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("samples", [8192, 5000])
def test_in_evaluation_they_are_one_snac_model(samples: int) -> None:
    """Padding to SNAC's grid included: other padding gives other codes at the end."""
    model = autoencoder().eval()
    whole = snac_of(model).eval()
    assert isinstance(whole, SNAC)
    with torch.no_grad():
        latents, info = model.encode(audio(samples), return_info=True)
        expected = whole.encode(audio(samples))
        assert all(torch.equal(a, b) for a, b in zip(model.bottleneck.levels.unpack(info["codes"]), expected, strict=True))
        torch.manual_seed(2)
        made = model.decode(latents)
        torch.manual_seed(2)
        assert torch.equal(made[..., :samples], whole(audio(samples))[0])
        torch.manual_seed(2)
        torch.testing.assert_close(model.decode_tokens(info["codes"]), made)


def test_the_snac_model_shares_the_weights() -> None:
    model = autoencoder()
    whole = snac_of(model)
    with torch.no_grad():
        next(whole.decoder.parameters()).zero_()
    assert not next(model.decoder.parameters()).any()
    names = {name.split(".", 1)[1] for name in whole.state_dict()}
    assert whole.state_dict().keys() == SNAC(**model.snac_config).state_dict().keys()
    assert names


def test_the_autoencoder_pads_files_to_what_snac_encodes() -> None:
    """stable-audio-tools pads to its downsampling_ratio, which SNAC's strides do not divide."""
    model = autoencoder()
    assert model.preprocess_audio_for_encoder(torch.zeros(1, 3000), 24000).shape[-1] == 4096


def test_it_is_a_pretransform_too() -> None:
    config = codec_config()["model"]
    made = create_pretransform_from_config({"type": "autoencoder", "config": config}, 24000)
    assert made.tokenize(audio(4096)).shape == (2, 7, 2)
    assert made.encoded_channels == 64


def test_fused_parts_compute_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """`training.compiled`; without the compiler here, which takes a minute."""
    monkeypatch.setattr(torch, "compile", lambda function: function)
    model = autoencoder()
    made = []
    for _ in range(2):
        torch.manual_seed(2)
        made.append(model.decoder(model.encoder(audio())))
        compile_parts(model)
    torch.testing.assert_close(made[1], made[0], atol=1e-5, rtol=1e-4)
    assert made[1].requires_grad
