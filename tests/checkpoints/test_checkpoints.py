"""Checkpoints that fit are read, whoever wrote them; those that do not are named with what to do."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from weights_of import own

import snac_plugin
from snac_plugin.checkpoints.notes import replace_codec_by_note, replace_note_by_codec
from snac_plugin.checkpoints.reading import load_weights, read_checkpoint
from snac_plugin.checkpoints.writing import save_unwrapped
from snac_plugin.cli import main
from snac_plugin.errors import CheckpointError
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.plugin import builders


def save(path: Path, **content: Any) -> Path:
    torch.save(content, path)
    return path


def lightning(model: SnacDiffusion) -> dict[str, Tensor]:
    """The names of a training wrapper's weights; averages are ones, so that they can be told."""
    averaged = {"diffusion_ema.ema_model." + n.removeprefix("model."): torch.ones_like(v) for n, v in own(model).items()}
    return {"diffusion." + name: value for name, value in own(model).items()} | averaged | {"diffusion_ema.step": torch.tensor(3)}


@pytest.mark.parametrize("ema", [True, False])
def test_training_checkpoint_is_read_by_the_models_own_names(model: SnacDiffusion, tmp_path: Path, ema: bool) -> None:
    """Averaged weights unless the others are asked for."""
    path = save(tmp_path / "a.ckpt", state_dict=lightning(model))
    checkpoint = read_checkpoint(path, ema)
    assert checkpoint.state.keys() == own(model).keys()
    assert all(bool((value == 1).all()) for value in checkpoint.state.values()) == ema
    assert checkpoint.path == path
    assert checkpoint.model_config is None


@pytest.mark.parametrize("ending", ["ckpt", "safetensors"])
def test_unwrapped_checkpoint_holds_all_that_a_model_needs_but_the_codec(
    model: SnacDiffusion, config: dict[str, Any], tmp_path: Path, ending: str
) -> None:
    path, codec = tmp_path / "deep" / f"model.{ending}", {"name": "x", "fingerprint": model.pretransform.fingerprint}
    save_unwrapped(model, path, config, codec)
    assert not any(name.startswith("pretransform") for name in read_checkpoint(path).state)
    loaded = snac_plugin.load_model(path)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert all(torch.equal(value, own(model)[name]) for name, value in own(loaded).items())
    assert read_checkpoint(path).codec == codec
    assert loaded.config == model.config


def test_half_the_size_costs_rounding_and_nothing_else(model: SnacDiffusion, config: dict[str, Any], tmp_path: Path) -> None:
    sizes = []
    for half in (False, True):
        path = tmp_path / f"{half}.safetensors"
        save_unwrapped(model, path, config, None, half)
        sizes.append(path.stat().st_size)
        assert path.stat().st_mode & 0o044
    assert sizes[1] < 0.6 * sizes[0]
    loaded = own(snac_plugin.load_model(path))
    for name, value in own(model).items():
        assert loaded[name].dtype == value.dtype
        torch.testing.assert_close(loaded[name], value, rtol=1e-3, atol=1e-5)


def test_checkpoint_of_stable_audio_tools_with_the_codec_inside_is_read(model: SnacDiffusion, tmp_path: Path) -> None:
    """Its export_model writes every weight, the frozen codec's too."""
    path = save(tmp_path / "export.ckpt", state_dict=model.state_dict())
    assert read_checkpoint(path).state.keys() == own(model).keys()
    load_weights(model, path)


def test_weights_of_another_head_of_the_same_shape_are_refused(config: dict[str, Any], tmp_path: Path) -> None:
    path, configs = tmp_path / "mine.safetensors", [copy.deepcopy(config) for _ in range(2)]
    for head, changed in zip(("logits", "posterior"), configs, strict=True):
        changed["model"]["diffusion"]["config"]["head"] = head
    save_unwrapped(builders.model(configs[0]), path, configs[0], None)
    load_weights(builders.model(configs[0]), path)
    with pytest.raises(CheckpointError, match=r'found weights of the head "logits", expected "posterior".* Set .*head to "logits"'):
        load_weights(builders.model(configs[1]), path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.ckpt", None, r"gone.ckpt: found no such file, expected a checkpoint \(.ckpt or .safetensors\)"),
        (
            "damaged.ckpt",
            b"PK\x03\x04 not a zip",
            "damaged.ckpt: found a file that was cut off or damaged .* expected a checkpoint of this package",
        ),
        ("empty.ckpt", b"", "empty.ckpt: found an empty file"),
        ("text.ckpt", b"not weights", "text.ckpt: found a file that cannot be read"),
        ("damaged.safetensors", b"\xff" * 40, "damaged.safetensors: found a file that cannot be read .* Copy the file again"),
    ],
)
def test_file_that_cannot_be_read(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        snac_plugin.load_model(tmp_path / name)


def test_folder_and_other_pickles_are_no_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="found a folder, expected a checkpoint"):
        read_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="found a file without a state_dict"):
        read_checkpoint(save(tmp_path / "other.ckpt", weights={}))


def test_truncated_checkpoint(model: SnacDiffusion, tmp_path: Path) -> None:
    """A full disk, a download cut off."""
    path = save(tmp_path / "cut.ckpt", state_dict=own(model))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(CheckpointError, match=r"cut.ckpt: found a file that was cut off"):
        read_checkpoint(path)


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    """A checkpoint from elsewhere must not be able to do anything."""

    class Harm:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "harm",)

    path = save(tmp_path / "evil.ckpt", state_dict={}, harm=Harm())
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_checkpoint(path)
    assert not (tmp_path / "harm").exists()


def test_checkpoint_without_a_config_takes_one_from_a_mapping_or_a_file(
    model: SnacDiffusion, config: dict[str, Any], tmp_path: Path
) -> None:
    path, written = save(tmp_path / "bare.ckpt", state_dict=own(model)), tmp_path / "config.json"
    written.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"found no model config inside, .* Give the config it was trained with"):
        snac_plugin.load_model(path)
    for given in (config, written, str(written)):
        assert own(snac_plugin.load_model(path, given)).keys() == own(model).keys()


def test_safetensors_of_anyone_needs_no_notes(model: SnacDiffusion, config: dict[str, Any], tmp_path: Path) -> None:
    save_file(own(model), str(tmp_path / "plain.safetensors"))
    assert own(snac_plugin.load_model(tmp_path / "plain.safetensors", config)).keys() == own(model).keys()


def test_weights_of_another_config_are_counted_and_named(model: SnacDiffusion, config: dict[str, Any], tmp_path: Path) -> None:
    state = own(model)
    first, second, third = sorted(state)[:3]
    del state[first]
    state[second] = torch.zeros(7)
    state["model.network.other"] = torch.zeros(1)
    path = save(tmp_path / "other.ckpt", state_dict=state, model_config=config)
    shapes = f"([7] in place of {list(own(model)[second].shape)})"
    message = (
        f"found 1 weights missing, first {first}; 1 weights not in the model, first model.network.other; "
        f"1 weights of another shape, first {second} {shapes}, expected the weights of this model config"
    )
    with pytest.raises(CheckpointError, match=re.escape(message)):
        snac_plugin.load_model(path)
    assert third in state


def test_another_codec_is_named_with_both_fingerprints(model: SnacDiffusion, config: dict[str, Any], tmp_path: Path) -> None:
    """Codes of one codec mean nothing to another: the sound would be noise, without an error."""
    noted = {"name": "elsewhere/snac", "fingerprint": "0123456789ab"}
    path = save(tmp_path / "a.ckpt", state_dict=own(model), model_config=config, snac_codec=noted)
    message = (
        rf"codec 'elsewhere/snac' \(fingerprint 0123456789ab\), expected codec .* \(fingerprint {model.pretransform.fingerprint}\)"
    )
    with pytest.raises(CheckpointError, match=message):
        snac_plugin.load_model(path)
    with pytest.raises(CheckpointError, match=message):
        replace_note_by_codec({"state_dict": {}, "snac_codec": noted}, model, "diffusion.")


def test_the_same_codec_under_another_name_is_taken(model: SnacDiffusion, config: dict[str, Any], tmp_path: Path) -> None:
    """A folder that moved, or the hub's name for a local copy."""
    noted = {"name": "moved", "fingerprint": model.pretransform.fingerprint}
    snac_plugin.load_model(save(tmp_path / "a.ckpt", state_dict=own(model), model_config=config, snac_codec=noted))


def test_codec_leaves_a_checkpoint_and_comes_back(model: SnacDiffusion) -> None:
    whole = {"diffusion." + name: value for name, value in model.state_dict().items()} | {"other": torch.zeros(1)}
    checkpoint: dict[str, Any] = {"state_dict": dict(whole)}
    replace_codec_by_note(checkpoint, model, "diffusion.")
    assert checkpoint["state_dict"].keys() == {"diffusion." + name for name in own(model)} | {"other"}
    replace_note_by_codec(checkpoint, model, "diffusion.")
    assert checkpoint["state_dict"].keys() == whole.keys()


def test_a_write_that_fails_leaves_the_old_file(
    model: SnacDiffusion, config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(content: Any, file: Any) -> None:
        file.write(b"half")
        raise OSError("disk full")

    (tmp_path / "model.ckpt").write_bytes(b"old")
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="disk full"):
        save_unwrapped(model, tmp_path / "model.ckpt", config, None)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"model.ckpt": b"old"}


def test_a_checkpoint_is_read_once_and_weights_stay_on_disk(
    model: SnacDiffusion, config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its optimiser's state, twice the weights, is of no use here."""
    real, reads = torch.load, []

    def load(path: Any, **options: Any) -> Any:
        if Path(path).suffix == ".ckpt":
            reads.append(options.get("mmap"))
        return real(path, **options)

    path = save(tmp_path / "a.ckpt", state_dict=lightning(model), model_config=config)
    monkeypatch.setattr(torch, "load", load)
    snac_plugin.load_model(path)
    assert reads == [True]
    assert main(["unwrap", "--ckpt-path", str(path), "--name", str(tmp_path / "mine")]) == 0
    assert reads == [True, True]
    load_weights(model, read_checkpoint(tmp_path / "mine.ckpt"))


def test_a_checkpoint_of_an_old_torch_is_read(model: SnacDiffusion, tmp_path: Path) -> None:
    torch.save({"state_dict": own(model)}, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    assert read_checkpoint(tmp_path / "old.ckpt").state.keys() == own(model).keys()
