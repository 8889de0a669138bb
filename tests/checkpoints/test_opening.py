"""A file of weights is whole and what it was when it was written, or a sentence says what is wrong with it."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from weights_of import own

from snac_plugin.checkpoints.config_inside import check_at_a_glance, config_at_once
from snac_plugin.checkpoints.reading import read_checkpoint
from snac_plugin.checkpoints.writing import save_unwrapped
from snac_plugin.errors import CheckpointError
from snac_plugin.generation.snac_diffusion import SnacDiffusion


@pytest.mark.parametrize("name", ["a.ckpt", "a.safetensors"])
def test_bytes_that_changed_are_told_or_change_nothing(
    model: SnacDiffusion, config: dict[str, Any], tmp_path: Path, name: str
) -> None:
    """Weights with flipped bytes were taken without a word. Cut at random places, and with 1 to 200 bytes changed."""
    path, random = tmp_path / name, np.random.default_rng(0)
    save_unwrapped(model, path, config, {"name": "codec", "fingerprint": "0"})
    whole, content = read_checkpoint(path), path.read_bytes()
    told = 0
    for count in (0, 1, 1, 1, 1, 3, 10, 200) * 5:
        changed = np.frombuffer(content, np.uint8).copy()
        places = random.integers(0, len(content), count) if random.random() < 0.7 else random.integers(0, 2000, count)
        changed[places] ^= random.integers(1, 256, count).astype(np.uint8)
        path.write_bytes(changed.tobytes() if count else content[: random.integers(0, len(content))])
        try:
            found = read_checkpoint(path)
        except CheckpointError as error:
            told += str(path) in str(error)
            continue
        assert found.model_config == whole.model_config
        assert found.codec == whole.codec
        assert found.state.keys() == whole.state.keys()
        assert all(torch.equal(found.state[name], value) for name, value in whole.state.items())
    assert told >= 30


def test_files_without_a_checksum_are_read(model: SnacDiffusion, tmp_path: Path) -> None:
    """As earlier versions and other programs write them."""
    save_file(own(model), tmp_path / "a.safetensors")
    assert read_checkpoint(tmp_path / "a.safetensors").state.keys() == own(model).keys()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": []}, "a file without a state_dict"),
        ({"state_dict": {3: torch.ones(1)}}, "a file without a state_dict"),
        ({"state_dict": {"a": "text"}}, "found a: str, expected named tensors"),
        (
            {"state_dict": {"a": torch.tensor([1.0, torch.nan])}},
            "NaN or infinite numbers in a, expected finite weights.* earlier checkpoint",
        ),
        ({"state_dict": {}, "model_config": "text"}, "found model_config: 'text', expected there a value of type dict"),
        ({"state_dict": {}, "snac_codec": {"name": "a"}}, "expected name and fingerprint"),
        ({"state_dict": {}, "global_step": "many"}, "found global_step: 'many'"),
    ],
)
def test_what_is_no_checkpoint_says_what_is_wrong_in_it(content: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(path)


def test_what_is_no_checkpoint_at_a_glance_is_told_without_torch(
    model: SnacDiffusion, config: dict[str, Any], tmp_path: Path
) -> None:
    """Whole files of each kind pass; those that are cut off were told only after torch was imported."""
    for name in ("a.ckpt", "a.safetensors"):
        save_unwrapped(model, tmp_path / name, config, None)
        check_at_a_glance(tmp_path / name)
        content = (tmp_path / name).read_bytes()
        for size in (0, 4, 20, *([len(content) // 2, len(content) - 30] if name == "a.ckpt" else [])):
            (tmp_path / f"cut_{name}").write_bytes(content[:size])
            with pytest.raises(
                CheckpointError, match=rf"cut_{name}: found .*expected a checkpoint of this package.* Copy the file"
            ):
                check_at_a_glance(tmp_path / f"cut_{name}")
    torch.save({"state_dict": own(model)}, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    check_at_a_glance(tmp_path / "old.ckpt")
    with zipfile.ZipFile(tmp_path / "songs.ckpt", "w") as archive:
        archive.writestr("song.wav", b"")
    with pytest.raises(CheckpointError, match="found an archive of something else"):
        check_at_a_glance(tmp_path / "songs.ckpt")
    (tmp_path / "text.ckpt").write_text("text")
    with pytest.raises(CheckpointError, match="it does not begin as files of torch do"):
        check_at_a_glance(tmp_path / "text.ckpt")


@pytest.mark.parametrize("name", ["a.ckpt", "a.safetensors"])
@pytest.mark.parametrize("version", [None, 1])
def test_the_config_is_the_same_without_torch(
    model: SnacDiffusion, config: dict[str, Any], tmp_path: Path, name: str, version: int | None
) -> None:
    """Defaults of earlier versions among it; a .ckpt told nothing until it was loaded."""
    path = tmp_path / name
    if version is None:
        save_unwrapped(model, path, config, {"name": "codec", "fingerprint": "0"})
    elif name == "a.ckpt":  # as Lightning writes one: with other things beside, some of them no plain values
        rest = {"optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}}], "dtype": torch.float16, "size": torch.Size([2])}
        torch.save({"state_dict": own(model), "model_config": config, "snac_config_version": version, **rest}, path)
    else:
        save_file(own(model), path, {"model_config": json.dumps(config), "snac_config_version": str(version)})
    assert config_at_once(path) == read_checkpoint(path).config_for()
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**config, "sample_size": 5}))
    found = config_at_once(path, other)
    assert found is not None
    assert found["sample_size"] == 5


class Runs:
    """What a checkpoint from elsewhere may hold."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


def test_a_glance_runs_no_code_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}, "model_config": {"model_type": "a"}, "other": Runs()}, "a.ckpt")
    assert config_at_once("a.ckpt") == {"model_type": "a"}
    torch.save({"state_dict": {}, "model_config": Runs()}, "b.ckpt")
    assert config_at_once("b.ckpt") is None
    assert not Path("ran").exists()
    torch.load("a.ckpt", weights_only=False)  # this one would
    assert Path("ran").exists()
