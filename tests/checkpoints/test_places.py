"""A checkpoint by its file, its folder, a run's folder, a shipped name, or a hub id."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError
from tiny import tiny_model_config, write_tiny_codec

import snac_plugin
from snac_plugin.checkpoints.places import locate, locate_adapter
from snac_plugin.checkpoints.shipped import model_file
from snac_plugin.codec.places import check_name
from snac_plugin.config import check_dataset_config, load_json
from snac_plugin.errors import CheckpointError, CodecError, SnacPluginError
from snac_plugin.plugin import builders


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As stable-audio-tools' models lie on the hub: weights without a config inside, and the config beside them."""
    folder = tmp_path_factory.mktemp("hub") / "model"
    folder.mkdir()
    config = tiny_model_config(write_tiny_codec(folder.parent / "codec"))
    torch.save({"state_dict": builders.model(config).state_dict()}, folder / "model.ckpt")
    (folder / "model_config.json").write_text(json.dumps(config))
    return folder


def test_a_folder_is_a_model(folder: Path) -> None:
    assert snac_plugin.load_model(folder).sample_size == snac_plugin.load_model(str(folder)).sample_size


def test_a_hub_id_is_a_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def download(name: str, filename: str) -> str:
        asked.append(f"{name}/{filename}")
        if not (folder / filename).is_file():
            raise EntryNotFoundError(f"no {filename}")
        return str(folder / filename)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    snac_plugin.load_model("somebody/some-model")
    assert asked == [f"somebody/some-model/{file}" for file in ("model_config.json", "model.safetensors", "model.ckpt")]


def test_a_run_is_its_newest_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    assert locate(tmp_path)[0] == locate(tmp_path / "checkpoints")[0] == tmp_path / "checkpoints" / "last.ckpt"
    (tmp_path / "model.safetensors").touch()
    assert locate(tmp_path) == (tmp_path / "model.safetensors", None)
    assert locate("snac_dit_tiny") == (model_file("snac_dit_tiny"), None)


def test_what_is_nowhere_says_where_it_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match=r"A folder needs one of model.safetensors, model.ckpt, last.ckpt"):
        locate(tmp_path)
    for name in ("nowhere.ckpt", "runs/nowhere.ckpt", "a/b/c"):
        with pytest.raises(CheckpointError, match=r"found no such file, expected a checkpoint .* snac_dit_tiny ships here"):
            locate(name)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", _offline)
    with pytest.raises(CheckpointError, match=r"runs/typo: found neither a file nor a folder, and .* hub \(offline\)"):
        locate("runs/typo")


def _offline(*_: Any, **__: Any) -> None:
    raise OSError("offline")


LONG = "x" * 300


@pytest.mark.parametrize(
    "read",
    [
        locate,
        locate_adapter,
        check_name,
        load_json,
        lambda name: check_dataset_config({"dataset_type": "audio_dir", "datasets": [{"id": "a", "path": name}]}),
        lambda name: check_dataset_config(
            {"dataset_type": "audio_dir", "datasets": [{"id": "a", "path": ".", "custom_metadata_module": name}]}
        ),
    ],
    ids=["checkpoint", "adapter", "codec", "JSON", "data", "module"],
)
def test_a_name_that_no_file_can_have_is_told_like_any_other(read: Callable[[str], object]) -> None:
    """Looking for it is an error of the system, not an answer: it ended in a traceback."""
    with pytest.raises(SnacPluginError, match=r"x{20}"):
        read(LONG)


def test_the_home_of_nobody_is_no_place_of_a_codec() -> None:
    """pathlib ended in a RuntimeError: no home directory."""
    with pytest.raises(CodecError, match="found '~nobody-of-that-name/codec', expected a shipped codec"):
        check_name("~nobody-of-that-name/codec")
