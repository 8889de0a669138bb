"""The mean of checkpoints: known numbers, and what has no mean."""

import copy
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from weights_of import own

import snac_plugin
from snac_plugin.checkpoints.averaging import mean_of
from snac_plugin.checkpoints.reading import read_checkpoint
from snac_plugin.checkpoints.writing import save_unwrapped
from snac_plugin.cli import main
from snac_plugin.errors import CheckpointError
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.plugin import builders

CODEC = {"name": "codec", "fingerprint": "0123456789ab"}


def saved(path: Path, config: dict[str, Any], value: float | None = None, **more: Any) -> Path:
    """A checkpoint of a model all of whose weights have one value, or random ones."""
    made = builders.model(config)
    if value is not None:
        for weight in made.model.parameters():
            torch.nn.init.constant_(weight, value)
    save_unwrapped(made, path, config, more.pop("codec", None), **more)
    return path


def test_unwrap_writes_the_mean_by_weight(model: SnacDiffusion, config: dict[str, Any], tmp_path: Path) -> None:
    """One, five and six have the mean four; a checkpoint named twice counts twice; the first one's config is written."""
    trained = copy.deepcopy(config)
    trained["training"]["infill"] = {"share": 0.5}
    files = [
        saved(tmp_path / "a.safetensors", trained, 1.0),
        saved(tmp_path / "b.ckpt", config, 5.0),
        saved(tmp_path / "c.safetensors", config, 6.0, half=True),
    ]
    first, second, third = map(str, files)
    for others, mean in (([second, third], 4.0), ([second, second, second], 4.0)):
        flags = ["--ckpt-path", first, "--average", *others, "--name", str(tmp_path / "mean"), "--use-safetensors"]
        assert main(["unwrap", *flags]) == 0
        loaded = snac_plugin.load_model(tmp_path / "mean.safetensors")
        assert all(bool((weight == mean).all()) for weight in loaded.model.parameters())
        assert loaded.config.training is not None
        assert loaded.config.training.infill is not None


def test_the_mean_of_random_weights_is_theirs_in_double_precision(config: dict[str, Any], tmp_path: Path) -> None:
    one, other = (read_checkpoint(saved(tmp_path / f"{seed}.safetensors", config)) for seed in (1, 2))
    mean = mean_of([one, other])
    for name, value in mean.state.items():
        expected = (one.state[name].double() + other.state[name].double()) / 2
        assert value.dtype == torch.float32
        assert torch.equal(value, expected.float()), name
    assert all(torch.equal(value, one.state[name]) for name, value in mean_of([one, one]).state.items())
    assert mean_of([one]) is one


def test_weights_that_have_nothing_in_common_are_told(
    config: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Two random networks; one with a bit of noise on its weights is still the same."""
    first, other = (read_checkpoint(saved(tmp_path / f"{seed}.safetensors", config)) for seed in (1, 2))
    near = replace(first, state={name: value + 0.01 * torch.randn(value.shape) for name, value in first.state.items()})
    mean_of([first, near])
    assert caplog.messages == []
    mean_of([first, other])
    assert re.search(r"1.safetensors and .*2.safetensors have little in common \(cosine of their weights -?0\.\d", caplog.text)


def test_other_networks_codecs_and_weights_have_no_mean(config: dict[str, Any], tmp_path: Path) -> None:
    """Weights of two heads may have the same shapes: their mean would be noise, without a word."""
    mine, other = copy.deepcopy(config), copy.deepcopy(config)
    mine["model"]["diffusion"]["config"] |= {"head": "logits", "sampling": {"steps": 8}}
    other["model"]["diffusion"]["config"]["head"] = "posterior"
    first = read_checkpoint(saved(tmp_path / "mine.safetensors", mine, codec=CODEC))
    with pytest.raises(CheckpointError, match=r"other\.ckpt: found another value of model\.diffusion\.config\.head in its config"):
        mean_of([first, read_checkpoint(saved(tmp_path / "other.ckpt", other))])
    codec = CODEC | {"fingerprint": "ba9876543210"}
    with pytest.raises(CheckpointError, match=r"codec fingerprint ba9876543210, expected 0123456789ab, as in .*mine"):
        mean_of([first, read_checkpoint(saved(tmp_path / "codec.ckpt", mine, codec=codec))])
    state = own(builders.model(mine))
    name = sorted(state)[0]
    torch.save({"state_dict": {**state, name: torch.zeros(7)}}, tmp_path / "bare.ckpt")
    with pytest.raises(CheckpointError, match=r"bare\.ckpt: found 1 weights of another shape, first .*expected those of .*mine"):
        mean_of([first, read_checkpoint(tmp_path / "bare.ckpt")])
    mine["model"]["diffusion"]["config"]["sampling"] = {"steps": 12}
    mean_of([first, read_checkpoint(saved(tmp_path / "sampled.ckpt", mine))])


def test_networks_with_other_conditioners_have_no_mean(config: dict[str, Any], tmp_path: Path) -> None:
    """Of a fine-tuning that added a condition it was said that it can be averaged with what it began from."""
    told = copy.deepcopy(config)
    kind = {"id": "tempo", "type": "number", "config": {"min_val": 60, "max_val": 200}}
    told["model"]["conditioning"] = {"configs": [kind], "cond_dim": 8}
    told["model"]["diffusion"]["global_cond_ids"] = ["tempo"]
    told["model"]["diffusion"]["config"]["global_cond_dim"] = 8
    told["training"]["demo"]["demo_cond_from_batch"] = True
    first, other = (
        read_checkpoint(saved(tmp_path / f"{name}.ckpt", one, 1.0)) for name, one in (("plain", config), ("tuned", told))
    )
    with pytest.raises(CheckpointError, match=r"model\.conditioning.* Only weights of one network with the same conditioners"):
        mean_of([first, other])
