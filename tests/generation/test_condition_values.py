"""Values of conditions that a model was not built for, and guidance that cannot act, are said."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from stable_audio_tools.inference.generation import generate_diffusion_cond
from tiny import CHUNK_FRAMES, tiny_model_config, write_tiny_codec

from snac_plugin.errors import UsageError
from snac_plugin.generation.request import Request
from snac_plugin.generation.settings import check_request
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.plugin import builders

FITS = {"bpm": 120, "style": "house", "bars": 8}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    config = tiny_model_config(write_tiny_codec(tmp_path_factory.mktemp("codec")), global_cond_dim=24, head="logits")
    configs = [
        {"id": "bpm", "type": "number", "config": {"min_val": 60, "max_val": 200}},
        {"id": "genre", "type": "list", "config": {"options": ["house", "jazz"]}},
        {"id": "bars", "type": "int", "config": {}},
    ]
    config["model"]["conditioning"] = {"configs": configs, "cond_dim": 8, "default_keys": {"genre": "style"}}
    config["model"]["diffusion"]["global_cond_ids"] = ["bpm", "genre", "bars"]
    config["training"]["demo"]["demo_cond_from_batch"] = True
    return config


@pytest.fixture(scope="module")
def model(config: dict[str, Any]) -> SnacDiffusion:
    torch.manual_seed(0)
    return builders.model(config)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bpm": 900}, "conditioning: bpm: found 900, expected a number from 60 to 200"),
        ({"bpm": "fast"}, 'conditioning: bpm: found "fast", expected a number from 60 to 200'),
        ({"bars": 513}, "conditioning: bars: found 513, expected a number from 0 to 512"),
        ({"style": "hause"}, 'conditioning: style: found "hause", expected one of house, jazz. Did you mean "house"?'),
    ],
)
def test_a_value_outside_the_trained_range_is_refused(model: SnacDiffusion, wrong: dict[str, Any], message: str) -> None:
    """stable-audio-tools clamps numbers and takes unknown names for no class, without a word."""
    conditioning = FITS | wrong
    for call in (
        lambda: check_request(Request(conditioning=conditioning), model.config, "ABCD"),
        lambda: model.generate(conditioning=conditioning, progress=False),
        lambda: model.generate(conditioning=FITS, negative_conditioning=conditioning, progress=False),
        lambda: generate_diffusion_cond(model, steps=4, conditioning=[conditioning], sample_size=3072 * CHUNK_FRAMES, device="cpu"),
    ):
        with pytest.raises(UsageError) as error:
            call()
        assert message in str(error.value)


def test_values_that_fit_and_no_class_are_taken(model: SnacDiffusion) -> None:
    for style in ("jazz", "", None):
        check_request(Request(conditioning=FITS | {"style": style, "bpm": [60]}), model.config, "ABCD")


def test_training_data_out_of_range_still_counts_as_the_nearest(model: SnacDiffusion) -> None:
    near, far = ({"bpm": bpm, "style": "pop", "bars": 1} for bpm in (200, 900))
    one, other = (model.conditions([entry]).embedding for entry in (near, far))
    assert one is not None
    assert other is not None
    assert torch.equal(one, other)


def test_a_model_that_cannot_be_guided_by_its_classes_says_so(config: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """Checkpoints from before `guided_global_cond` never trained without their classes."""
    diffusion = config["model"]["diffusion"]
    former = {**diffusion, "config": {**diffusion["config"], "guided_global_cond": False}}
    model = builders.model({**config, "model": {**config["model"], "diffusion": former}})
    with caplog.at_level(logging.WARNING):
        model.generate(conditioning=FITS, cfg_scale=3.0, progress=False, seed=1)
    assert "cfg_scale 3 does not act on bpm, genre, bars" in caplog.text
    caplog.clear()
    model.generate(conditioning=FITS, cfg_scale=3.0, negative_conditioning=FITS | {"bpm": 70}, progress=False, seed=1)
    assert not caplog.text


def test_guidance_acts_on_classes(model: SnacDiffusion, tmp_path: Path) -> None:
    for parameter in model.model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    one, other = (model.generate(conditioning=FITS, cfg_scale=s, seed=1, progress=False, return_codes=True)[1] for s in (1, 7))
    assert not torch.equal(one, other)
