"""What `run_gradio.py` says when it cannot open a page; that it does open one is in tests/interface."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from plain_stable_audio import diffusion_cond
from tiny import tiny_model_config, write_tiny_codec

from snac_plugin.cli import main, run_gradio
from snac_plugin.interface import page
from snac_plugin.plugin import builders


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ckpt-path", "nowhere.ckpt"], "nowhere.ckpt: found no such file"),
        (["--ckpt-path", "BARE"], "no model config inside"),
        (["--username", "me"], "--username and --password: found one of them"),
        (["--ckpt-path", "BARE", "--pretrained-name", "a/model"], "found both, expected one of them"),
        (["--ckpt-path", "BARE", "--pretransform-ckpt-path", "codec.ckpt"], "The codec is named in the model config"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    torch.save({"state_dict": {}}, tmp_path / "bare.ckpt")
    given = [str(tmp_path / "bare.ckpt") if argument == "BARE" else argument for argument in arguments]
    assert main(["run_gradio", *given]) == 1
    assert message in capsys.readouterr().err


def on_hub(folder: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any]) -> None:
    """Let the hub hold what a folder does."""
    import huggingface_hub

    (folder / "model_config.json").write_text(json.dumps(config))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda name, filename: str(folder / filename))


def test_a_model_on_the_hub_goes_to_the_device_and_its_samples_to_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import save_file

    config, made = tiny_model_config(write_tiny_codec(tmp_path / "codec")), {}
    own = {n: v for n, v in builders.model(config).state_dict().items() if not n.startswith("pretransform.")}
    save_file(own, tmp_path / "model.safetensors")
    on_hub(tmp_path, monkeypatch, config)
    monkeypatch.setattr(page, "create_page", lambda config, model, title, **options: made.update(options, model=model))
    flags = ["--pretrained-name", "a/model", "--out", str(tmp_path / "out")]
    run_gradio._page(run_gradio.parser().parse_args([*flags, "--device", "cpu"]))
    assert made["folder"] == str(tmp_path / "out")
    assert made["checkpoint"] == "a/model"
    assert main(["run_gradio", *flags, "--device", "cuda:99"]) == 1
    assert "device: found 'cuda:99'" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--device", "--out"])
def test_flags_that_another_page_does_not_have_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    on_hub(tmp_path, monkeypatch, diffusion_cond())
    assert main(["run_gradio", "--pretrained-name", "a/plain", flag, "cpu"]) == 1
    assert f"{flag}: found a value, expected none" in capsys.readouterr().err
