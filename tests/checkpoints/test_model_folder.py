"""A folder that `unwrap --folder` wrote is a model: for every command, for stable-audio-tools, and on the hub."""

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from tiny import conditioned_model_config, tiny_model_config, write_tiny_codec

import snac_plugin
from snac_plugin.checkpoints.writing import save_unwrapped
from snac_plugin.cli import main
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.plugin import builders


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parent = tmp_path_factory.mktemp("made")
    config = tiny_model_config(write_tiny_codec(parent / "codec"))
    model = builders.model(config)
    save_unwrapped(model, parent / "trained.ckpt", config, {"name": "mine", "fingerprint": model.pretransform.fingerprint})
    flags = ["--ckpt-path", str(parent / "trained.ckpt"), "--name", str(parent / "my_model")]
    assert main(["unwrap", *flags, "--folder"]) in (0, None)
    return parent / "my_model"


def audio_of(model: SnacDiffusion) -> torch.Tensor:
    return model.generate(seed=1, progress=False)


def test_it_holds_weights_config_and_card(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "model.safetensors", "model_config.json"]
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: snac_plugin\n")
    assert "SNAC codec `mine`" in card
    model = snac_plugin.load_model(folder)
    assert f"chunks of {model.sample_size / model.sample_rate:.2f} s with 0 of context, conditions: none." in card
    assert f'load_model("{folder.name}")' in card
    assert huggingface_hub.ModelCard(card).data.tags == ["audio", "music", "snac", "stable-audio-tools"]


def test_a_card_that_somebody_wrote_stays(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "README.md").write_text("mine")
    assert main(["unwrap", "--ckpt-path", str(folder), "--name", str(tmp_path / "m"), "--folder"]) in (0, None)
    assert (tmp_path / "m" / "README.md").read_text() == "mine"
    assert (tmp_path / "m" / "model_config.json").is_file()


def test_a_folder_of_other_things_is_none_of_a_model(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It would be handed on with them; that of a model is written again, which is said."""
    flags = ["unwrap", "--ckpt-path", str(folder), "--folder", "--name"]
    (tmp_path / "songs").mkdir()
    (tmp_path / "songs" / "a.wav").touch()
    assert main([*flags, str(tmp_path / "songs")]) == 1
    assert "a.wav in it, expected a new folder, an empty one, or that of a model" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "songs").iterdir()] == ["a.wav"]
    for said in ("", ", in place of what was there"):
        assert main([*flags, str(tmp_path / "m")]) in (0, None)
        assert f"model: {tmp_path / 'm'}{said}\n" in capsys.readouterr().out


def test_every_way_of_loading_gives_the_same_audio(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its folder, by stable-audio-tools, and by the hub's own client from its cache, where a download would lie."""
    expected = audio_of(snac_plugin.load_model(folder.parent / "trained.ckpt"))
    assert torch.equal(audio_of(snac_plugin.load_model(folder)), expected)
    snac_plugin.register()
    from stable_audio_tools import get_pretrained_model

    model, config = get_pretrained_model(str(folder))
    assert torch.equal(audio_of(model), expected)
    assert config["model_type"] == "diffusion_snac_dit"
    place, commit = tmp_path / "hub" / "models--somebody--some-model", "0" * 40
    shutil.copytree(folder, place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert torch.equal(audio_of(snac_plugin.load_model("somebody/some-model")), expected)
    assert torch.equal(audio_of(get_pretrained_model("somebody/some-model")[0]), expected)


@pytest.mark.parametrize("demo", [{"style": {"house": 0.7, "jazz": 0.3}, "tempo": [125]}, {}])
def test_the_cards_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, demo: dict[str, Any]) -> None:
    """For a model with conditions they ended in an error: each needs a value, that of the first demo, or one that it takes.

    So they did for a folder with a space in its name.
    """
    config = conditioned_model_config(write_tiny_codec(tmp_path / "codec"))
    config["training"]["demo"] |= {"demo_cond": [demo], "demo_cond_from_batch": False} if demo else {}
    save_unwrapped(builders.model(config), tmp_path / "trained.ckpt", config, None)
    assert main(["unwrap", "--ckpt-path", str(tmp_path / "trained.ckpt"), "--name", str(tmp_path / "my model"), "--folder"]) == 0
    card = (tmp_path / "my model" / "README.md").read_text()
    (command,) = re.findall("```sh\n(.*?)```", card, re.DOTALL)
    (python,) = re.findall("```python\n(.*?)```", card, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(command.replace("generate.py", "generate").replace("\\\n", " "))[1:]) == 0
    assert (tmp_path / "output" / "seed_1.wav").is_file()
    names: dict[str, Any] = {}
    exec(python.replace("seconds=20", "seconds=1"), names)
    assert names["audio"].shape == (1, 1, 32000)
    told = "--condition style=house:0.7,jazz:0.3" if demo else "--condition style=house"
    assert told in command
