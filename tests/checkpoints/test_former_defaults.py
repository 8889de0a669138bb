"""A checkpoint from before a default changed goes on being the model that it was; a new one notes its version."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny import tiny_model_config, write_tiny_codec

import snac_plugin
from snac_plugin.checkpoints.reading import read_checkpoint
from snac_plugin.checkpoints.writing import save_unwrapped
from snac_plugin.errors import CheckpointError
from snac_plugin.plugin import builders
from snac_plugin.plugin.training_builders import training_wrapper


@pytest.fixture(scope="module")
def explicit(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A config that says what was the default once."""
    sampling = {"steps": 4, "sampler": "euler"}
    return tiny_model_config(write_tiny_codec(tmp_path_factory.mktemp("codec")), head="velocity", sampling=sampling)


@pytest.fixture(scope="module")
def silent(explicit: dict[str, Any]) -> dict[str, Any]:
    """The same config without head and sampler."""
    config = copy.deepcopy(explicit)
    del config["model"]["diffusion"]["config"]["head"], config["model"]["diffusion"]["config"]["sampling"]["sampler"]
    return config


def former_checkpoint(folder: Path, ending: str, explicit: dict[str, Any], silent: dict[str, Any]) -> Path:
    """A velocity model as it was written when velocity was the default: the config as it was read, and no version."""
    torch.manual_seed(0)
    state = {n: v.contiguous() for n, v in builders.model(explicit).state_dict().items() if not n.startswith("pretransform.")}
    path = folder / f"former.{ending}"
    if ending == "ckpt":
        torch.save({"state_dict": state, "model_config": silent, "snac_codec": None}, path)
    else:
        save_file(state, str(path), metadata={"model_config": json.dumps(silent)})
    return path


@pytest.mark.parametrize("ending", ["ckpt", "safetensors"])
@pytest.mark.parametrize("beside", [False, True])
def test_a_former_checkpoint_generates_what_it_generated(
    explicit: dict[str, Any], silent: dict[str, Any], tmp_path: Path, ending: str, beside: bool
) -> None:
    """Also with its config given beside it, as from a hub repository."""
    path = former_checkpoint(tmp_path, ending, explicit, silent)
    model = snac_plugin.load_model(path, silent if beside else None)
    network = model.config.model.diffusion.config
    assert (network.head, network.sampling.sampler) == ("velocity", "euler")
    told = snac_plugin.load_model(path, explicit)
    assert torch.equal(model.generate(seed=3), told.generate(seed=3))


@pytest.mark.parametrize("ending", ["ckpt", "safetensors"])
def test_what_is_written_of_a_former_checkpoint_still_is_that_model(
    explicit: dict[str, Any], silent: dict[str, Any], tmp_path: Path, ending: str
) -> None:
    checkpoint = read_checkpoint(former_checkpoint(tmp_path, "ckpt", explicit, silent))
    assert checkpoint.model_config is not None
    model, path = snac_plugin.load_model(checkpoint), tmp_path / f"again.{ending}"
    save_unwrapped(model, path, checkpoint.model_config, None)
    assert snac_plugin.load_model(path).config == model.config


@pytest.mark.parametrize("ending", ["ckpt", "safetensors"])
def test_a_new_config_that_says_nothing_gives_the_best(silent: dict[str, Any], tmp_path: Path, ending: str) -> None:
    model, path = builders.model(silent), tmp_path / f"new.{ending}"
    save_unwrapped(model, path, silent, None)
    assert read_checkpoint(path).model_config == silent, "the config is kept as it was written"
    loaded = snac_plugin.load_model(path).config.model.diffusion.config
    assert (loaded.head, loaded.sampling.sampler) == ("logits", "pingpong-codes")


def test_training_notes_the_version_and_resumes_a_former_run(explicit: dict[str, Any], silent: dict[str, Any]) -> None:
    new, former = (training_wrapper(config, builders.model(config)) for config in (silent, explicit))
    written: dict[str, Any] = {"state_dict": new.state_dict()}
    new.on_save_checkpoint(written)
    assert new.diffusion.model.network.config.head == "logits"
    new.on_load_checkpoint(written)
    earlier: dict[str, Any] = {"state_dict": former.state_dict()}
    former.on_save_checkpoint(earlier)
    earlier = {"state_dict": earlier["state_dict"], "model_config": silent, "snac_codec": earlier["snac_codec"]}
    former.on_load_checkpoint(dict(earlier))
    with pytest.raises(
        CheckpointError, match=r'head "velocity", expected "logits".*Set model\.diffusion\.config\.head to "velocity"'
    ):
        new.on_load_checkpoint(dict(earlier))
