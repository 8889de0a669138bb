"""What stable-audio-tools' pre_encode.py makes of a diffusion config is what training reads; what it cannot be says the flag."""

import numpy as np
import pytest
import torch
from tiny import CHUNK_FRAMES, tiny_model_config, write_tiny_codec

from snac_plugin.errors import AudioError
from snac_plugin.plugin import builders
from snac_plugin.plugin.training_builders import training_wrapper
from snac_plugin.training.wrapper import SnacDiffusionTrainingWrapper

FRAMES = 2 * CHUNK_FRAMES


@pytest.fixture(scope="module")
def wrapper(tmp_path_factory: pytest.TempPathFactory) -> SnacDiffusionTrainingWrapper:
    config = tiny_model_config(write_tiny_codec(tmp_path_factory.mktemp("codec")))
    config["training"]["pre_encoded"] = True
    return training_wrapper(config, builders.model(config))


@pytest.mark.parametrize("discrete", [True, False], ids=["--is-discrete", "latents"])
@pytest.mark.parametrize("half", [True, False])
def test_its_calls_give_the_codes_of_the_codec(wrapper: SnacDiffusionTrainingWrapper, discrete: bool, half: bool) -> None:
    """A diffusion model had no `encode`: an AttributeError. The calls are those of its validation_step."""
    model = wrapper.diffusion
    audio = 0.1 * torch.randn(2, 1, FRAMES * 3072, generator=torch.Generator().manual_seed(0))
    audio = audio.half() if half else audio
    if discrete:
        _, info = model.encode(audio, return_info=True)
        latents = info[model.bottleneck.tokens_id]
    else:
        latents = model.encode(audio)
    saved = latents.cpu().numpy()
    assert saved.shape == ((2, 15, FRAMES) if discrete else (2, 120, FRAMES))
    read = torch.from_numpy(np.stack(list(saved)))
    assert torch.equal(wrapper.codes(read), model.pretransform.tokenize(audio.float()))


def test_latents_of_an_autoencoder_are_refused_with_the_flag(wrapper: SnacDiffusionTrainingWrapper) -> None:
    with pytest.raises(AudioError, match=r"found latents of 64 channels, expected codes.* of 120 channels.*--is-discrete"):
        wrapper._prepare((torch.zeros(1, 64, 32), [{"path": "a.wav"}]))
