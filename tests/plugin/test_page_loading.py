"""What stable-audio-tools' own loaders do with this package's checkpoints and configs."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from plain_stable_audio import diffusion_cond
from safetensors.torch import save_file
from tiny import tiny_model_config, write_tiny_codec

import snac_plugin
from snac_plugin.checkpoints.places import hub_config, hub_weights
from snac_plugin.errors import CheckpointError, ConfigError, UsageError
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.plugin import builders

AVERAGED = "diffusion_ema.ema_model."


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    snac_plugin.register()
    return tiny_model_config(write_tiny_codec(tmp_path / "codec"))


def trained(model: SnacDiffusion) -> dict[str, torch.Tensor]:
    """A training checkpoint's weights: zeros, their averages twos; no codec."""
    own = {name: value for name, value in model.state_dict().items() if not name.startswith("pretransform.")}
    state = {f"diffusion.{name}": torch.zeros_like(value) for name, value in own.items()}
    return state | {AVERAGED + n.removeprefix("model."): torch.full_like(v, 2) for n, v in own.items() if n.startswith("model.")}


def holds_averages(model: SnacDiffusion, codec: dict[str, torch.Tensor]) -> bool:
    """Whether a model got the averaged weights and kept its codec."""
    state = model.state_dict()
    own = all(bool((state[name] == 2).all()) for name in state if name.startswith("model."))
    return own and all(torch.equal(state[f"pretransform.{name}"], value) for name, value in codec.items())


def cloned(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_copy_state_dict_takes_a_training_checkpoint(config: dict[str, Any]) -> None:
    """Its train.py --pretrained-ckpt-path copies equal names alone: none of these."""
    from stable_audio_tools.models.utils import copy_state_dict

    model = builders.model(config)
    codec = cloned(model.pretransform)
    copy_state_dict(model, trained(model))
    assert holds_averages(model, codec)
    with pytest.raises(CheckpointError, match="1 weights not in the model, first elsewhere"):
        copy_state_dict(model, cloned(model) | {"elsewhere": torch.zeros(1)})


def test_copy_state_dict_of_plain_models_is_as_ever() -> None:
    from stable_audio_tools.models.factory import create_model_from_config
    from stable_audio_tools.models.utils import copy_state_dict

    snac_plugin.register()
    model = create_model_from_config(diffusion_cond())
    first, *_ = names = list(model.state_dict())
    before = cloned(model)
    copy_state_dict(model, {first: torch.full_like(before[first], 3), "elsewhere": torch.zeros(1)})
    assert bool((model.state_dict()[first] == 3).all())
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in names[1:])


def test_get_pretrained_model_loads_an_unwrapped_checkpoint(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It loads strictly, and the codec is in no checkpoint of ours."""
    from stable_audio_tools.models import pretrained

    own = {n: torch.full_like(v, 2) for n, v in builders.model(config).state_dict().items() if not n.startswith("pretransform.")}
    save_file(own, tmp_path / "model.safetensors")
    (tmp_path / "model_config.json").write_text(json.dumps(config))
    monkeypatch.setattr(pretrained, "hf_hub_download", lambda name, filename, repo_type: str(tmp_path / filename))
    model, _ = pretrained.get_pretrained_model("someone/model")
    assert holds_averages(model, cloned(builders.model(config).pretransform))


def test_a_model_loads_strictly_all_the_same(config: dict[str, Any]) -> None:
    model = builders.model(config)
    codec = cloned(model.pretransform)
    model.load_state_dict(trained(model))
    assert holds_averages(model, codec)
    state = trained(model)
    gone = next(name for name in state if name.startswith(AVERAGED))
    del state[gone], state["diffusion.model." + gone.removeprefix(AVERAGED)]
    with pytest.raises(RuntimeError, match="Missing key"):
        model.load_state_dict(state)
    other = {name: value + 1 if name.startswith("pretransform.") else value for name, value in cloned(model).items()}
    model.load_state_dict(other)
    assert all(torch.equal(value, other[name]) for name, value in model.state_dict().items()), "a codec that is given counts"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"model_type": "diffusion_snac_dit",,}', "line 1, column"),
        ('{"model_type": "diffusion_snac_dit", "sample_rate": 1, "sample_rate": 2}', "the key .* twice"),
        (None, "found no such file, expected a JSON file"),
        ("[]", "expected one JSON object"),
    ],
)
def test_a_broken_config_is_said_to_be_broken(tmp_path: Path, text: str | None, message: str) -> None:
    snac_plugin.register()
    from stable_audio_tools.interface.gradio import create_ui

    if text is not None:
        (tmp_path / "model.json").write_text(text)
    with pytest.raises(ConfigError, match=message):
        create_ui(str(tmp_path / "model.json"), "some.ckpt")


@pytest.mark.parametrize("fetch", [hub_config, hub_weights])
def test_a_model_that_the_hub_does_not_have_is_named(fetch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for name in ("owner/typo", "no/such/name"):
        with pytest.raises(UsageError, match=f"--pretrained-name: found '{name}', .*expected a model of the hub within reach"):
            fetch(name)
