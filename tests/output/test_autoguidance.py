"""Autoguidance from Python, the command and settings: another checkpoint that fits, or a sentence."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_model_config, write_tiny_codec

import snac_plugin
from snac_plugin.checkpoints.places import weaker_in
from snac_plugin.cli import main
from snac_plugin.errors import UsageError
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.plugin import builders

OPTIONS = ["--seed", "3", "--steps", "8", "--seconds", "0.3", "--sampler", "pingpong-codes"]


@pytest.fixture
def weaker(checkpoint: Path) -> Path:
    """The same model with other weights."""
    saved, path = torch.load(checkpoint, weights_only=False), checkpoint.with_name("early.ckpt")
    generator = torch.Generator().manual_seed(5)
    for name, value in saved["state_dict"].items():
        if name.startswith("model.network.") and value.is_floating_point():
            value.add_(0.3 * value.std() * torch.randn(value.shape, generator=generator)) if value.numel() > 1 else None
    torch.save(saved, path)
    return path


def test_the_command_settings_and_python_agree(checkpoint: Path, weaker: Path, tmp_path: Path) -> None:
    flags = ["generate", "--ckpt", str(checkpoint), *OPTIONS]
    assert main([*flags, "--out", str(tmp_path / "plain")]) == 0
    assert main([*flags, "--autoguidance", f"{weaker}:3.0", "--out", str(tmp_path / "guided")]) == 0
    (plain,), (guided,) = ([*(tmp_path / name).glob("*.wav")] for name in ("plain", "guided"))
    assert plain.read_bytes() != guided.read_bytes()
    settings = guided.with_suffix(".json")
    assert json.loads(settings.read_text())["autoguidance"] == {str(weaker): 3.0}
    assert main(["generate", "--settings", str(settings), "--out", str(tmp_path / "again")]) == 0
    (again,) = (tmp_path / "again").glob("*.wav")
    assert again.read_bytes() == guided.read_bytes()
    model = snac_plugin.load_model(checkpoint, device="cpu", autoguidance=f"{weaker}:3.0")
    options: dict[str, Any] = {
        "seed": 3,
        "steps": 8,
        "seconds": 0.3,
        "sampler": "pingpong-codes",
        "return_codes": True,
        "progress": False,
    }
    codes = model.generate(**options)[1]
    other = snac_plugin.load_model(checkpoint, device="cpu")
    assert torch.equal(other.autoguide(snac_plugin.load_model(weaker, device="cpu"), 3.0).generate(**options)[1], codes)
    assert not torch.equal(other.autoguide(None).generate(**options)[1], codes)
    assert other.autoguidance == {}


def test_models_that_do_not_fit_are_refused(model: SnacDiffusion, tmp_path: Path) -> None:
    codec, fits = write_tiny_codec(tmp_path / "codec"), {"head": "logits", "context_chunks": 1}

    def built(**network: Any) -> SnacDiffusion:
        return builders.model(tiny_model_config(codec, **network))

    one = built(**fits)
    with pytest.raises(UsageError, match=r"autoguidance: found a model of training.infill False, expected True, as of the model"):
        model.autoguide(one)
    for changed, name in (({"context_chunks": 0}, "context_chunks 0"), ({"head": "velocity"}, "head that predicts codes False")):
        with pytest.raises(UsageError, match=f"found a model of {name}, expected"):
            one.autoguide(built(**fits | changed))
    with pytest.raises(UsageError, match="autoguidance: found the model itself, expected a weaker one"):
        one.autoguide(one)  # each chunk would begin another beside it, without end
    assert one.autoguide(built(**fits | {"dim": 16, "depth": 1})).model.weaker is not None


def test_the_weaker_model_goes_where_the_model_goes(checkpoint: Path, weaker: Path) -> None:
    """On a GPU beside a weaker one on the CPU the first step failed."""
    model = snac_plugin.load_model(checkpoint).autoguide(snac_plugin.load_model(weaker))
    model.to("meta")
    assert {weight.device.type for weight in model.weaker.parameters()} == {"meta"}


def test_the_scale_stands_behind_a_colon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert weaker_in("runs/early.ckpt") == ("runs/early.ckpt", 2.0)
    assert weaker_in("runs/early.ckpt:3.0") == ("runs/early.ckpt", 3.0)
    with pytest.raises(UsageError, match="a scale from 0 up behind the colon"):
        weaker_in("runs/early.ckpt:-1")
    assert main(["generate", "--autoguidance", "nowhere.ckpt", "--out", str(tmp_path)]) == 1
    assert "nowhere.ckpt: found no such file" in capsys.readouterr().err
