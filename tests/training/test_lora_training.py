"""From `train.py` with `training.lora` to audio: what is trained and stored, resuming, strengths, merging, other models."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from small_runs import prepare, run
from torch import Tensor

from snac_plugin import load_model
from snac_plugin.checkpoints.adapters import read_adapter
from snac_plugin.checkpoints.reading import read_checkpoint
from snac_plugin.cli import main
from snac_plugin.errors import CheckpointError, UsageError

LORA = {"rank": 4, "alpha": 8.0, "dropout": 0.1}
STEPS = 4


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A base model of eight steps, which open all gates, and four steps of adapters on it, with a checkpoint every two."""
    folder = tmp_path_factory.mktemp("lora")
    base = run(prepare(folder, head="logits"), folder / "base", "--max-steps", 8)
    flags = prepare(folder, {"lora": LORA, "learning_rate": 0.02}, head="logits")
    flags += ["--pretrained-ckpt-path", str(base), "--checkpoint-every", "2"]
    newest = run(flags, folder / "run", "--max-steps", STEPS)
    return {"folder": folder, "flags": flags, "base": base, "run": folder / "run", "newest": newest}


def state(path: Path) -> dict[str, Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]


def audio(model: Any) -> Tensor:
    return model.generate(seed=1, steps=4, progress=False)


@pytest.mark.slow
def test_only_adapters_learn_and_the_base_is_stored_once(runs: dict[str, Any]) -> None:
    """Averaged weights were a copy of all that is frozen, in memory and in each checkpoint."""
    base, trained = read_checkpoint(runs["base"]).state, state(runs["newest"])
    plain = {name.replace(".base_layer.", "."): name for name in trained if ".lora_" not in name}
    for name, value in base.items():
        for prefix, part in (("diffusion.", name), ("diffusion_ema.ema_model.", name.removeprefix("model."))):
            assert torch.equal(trained[plain[prefix + part]], value), name
    learned = [value for name, value in trained.items() if ".lora_B." in name]
    assert all(value.any() for value in learned)
    weights = sum(value.nbytes for value in base.values())
    optimizer = torch.load(runs["newest"], weights_only=True)["optimizer_states"][0]["state"]
    assert len(optimizer) == len([name for name in trained if ".lora_" in name and name.startswith("diffusion.")])
    adapters = sum(value.nbytes for name, value in trained.items() if ".lora_" in name)
    assert runs["newest"].stat().st_size < weights + 3 * adapters + 120_000  # the rest are names and the codec's


@pytest.mark.slow
def test_a_resumed_training_of_adapters_is_one_that_was_not_stopped(runs: dict[str, Any], tmp_path: Path) -> None:
    """Bit for bit, dropout among it, and without the base's checkpoint, which the training's holds."""
    first = run(runs["flags"], tmp_path / "run", "--max-steps", 2)
    assert first.name == "step=00000002.ckpt"
    flags = [word for word in runs["flags"] if word not in ("--pretrained-ckpt-path", str(runs["base"]))]
    resumed, whole = state(run(flags, tmp_path / "run", "--max-steps", STEPS, "--recover")), state(runs["newest"])
    assert resumed.keys() == whole.keys()
    assert [name for name in whole if not torch.equal(resumed[name], whole[name])] == []
    ours, theirs = read_adapter(tmp_path / "run"), read_adapter(runs["run"])
    assert ours.base == theirs.base
    assert all(torch.equal(ours.weights[name], value) for name, value in theirs.weights.items())


@pytest.mark.slow
def test_the_adapter_on_the_base_is_the_model_that_was_trained(runs: dict[str, Any]) -> None:
    """What the training's checkpoint holds, what the adapter makes of the base, and what merging gives: the same weights."""
    trained = load_model(runs["newest"])
    merged = load_model(runs["base"], lora=[runs["run"]]).merge_lora()
    assert merged.state_dict().keys() == trained.state_dict().keys()
    for name, value in trained.state_dict().items():
        torch.testing.assert_close(merged.state_dict()[name], value, rtol=0, atol=1e-6, msg=name)


@pytest.mark.slow
def test_strengths_in_a_loaded_model(runs: dict[str, Any]) -> None:
    """0 and none are the base bit for bit, others are not; strengths change without loading the model again.

    Four steps of training hardly change which codes are drawn, so strengths are large here.
    """
    folder, base = runs["run"] / "lora", audio(load_model(runs["base"]))
    model = load_model(runs["base"], lora=[f"{folder}:0"])
    assert torch.equal(audio(model), base)
    full = audio(model.lora(f"{folder}:500"))
    assert not torch.equal(full, base)
    assert torch.equal(audio(model.lora((folder / "adapter_model.safetensors", 500.0))), full)
    assert model.loras == {str(folder / "adapter_model.safetensors"): 500.0}
    assert not torch.equal(audio(model.lora(f"{folder}:-500")), full)
    assert torch.equal(audio(model.lora()), base)
    assert model.loras == {}


@pytest.mark.slow
def test_a_file_alone_is_enough_and_several_add_up(runs: dict[str, Any], tmp_path: Path) -> None:
    file = shutil.copy(runs["run"] / "lora" / "adapter_model.safetensors", tmp_path / "mine.safetensors")
    whole = load_model(runs["base"], lora=[runs["run"]]).merge_lora().state_dict()
    halves = load_model(runs["base"], lora=[f"{file}:0.25", (runs["run"], 0.75)]).merge_lora().state_dict()
    for name, value in whole.items():
        torch.testing.assert_close(halves[name], value, rtol=0, atol=1e-6, msg=name)
    with pytest.raises(UsageError, match=r"lora: .* expected each adapter once"):
        load_model(runs["base"], lora=[file, f"{file}:0.5"])


@pytest.mark.slow
def test_an_adapter_of_another_model_is_refused(runs: dict[str, Any], tmp_path: Path) -> None:
    """It would fit, and sound like nothing at all."""
    other = run(prepare(tmp_path, head="logits"), tmp_path / "other", "--max-steps", 1, "--seed", "7")
    model = load_model(other)
    with pytest.raises(CheckpointError, match=r"an adapter of the model with the fingerprint \w{12}, expected one of this model"):
        model.lora(runs["run"])
    assert model.loras == {}
    with pytest.raises(CheckpointError, match=r"weights that are no adapter's.*--ckpt"):
        load_model(runs["base"], lora=[_as_safetensors(runs, tmp_path)])


def _as_safetensors(runs: dict[str, Any], folder: Path) -> Path:
    assert main(["unwrap", "--ckpt-path", str(runs["newest"]), "--name", str(folder / "whole"), "--use-safetensors"]) == 0
    return folder / "whole.safetensors"


@pytest.mark.slow
def test_commands_take_adapters(runs: dict[str, Any], tmp_path: Path) -> None:
    """A sample's settings name them, so that --settings makes it again; unwrap gives a plain checkpoint."""
    lora = f"{runs['run']}:0.5"
    common = ["generate", "--steps", "4", "--seed", "3", "--device", "cpu"]
    assert main([*common, "--ckpt", str(runs["base"]), "--lora", lora, "--out", str(tmp_path / "a")]) == 0
    settings = tmp_path / "a" / "seed_3.json"
    assert json.loads(settings.read_text())["lora"] == {str(runs["run"]): 0.5}
    assert main(["generate", "--settings", str(settings), "--out", str(tmp_path / "b"), "--device", "cpu"]) == 0
    assert (tmp_path / "b" / "seed_3.wav").read_bytes() == (tmp_path / "a" / "seed_3.wav").read_bytes()
    flags = ["--ckpt-path", str(runs["base"]), "--lora", lora, "--name", str(tmp_path / "merged"), "--use-safetensors"]
    assert main(["unwrap", *flags]) == 0
    with safe_open(str(tmp_path / "merged.safetensors"), framework="pt") as file:
        assert {*file.keys()} == read_checkpoint(runs["base"]).state.keys()
    expected = load_model(runs["base"], lora=[lora]).merge_lora().state_dict()
    for name, value in load_model(tmp_path / "merged.safetensors").state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0, msg=name)


@pytest.mark.slow
def test_what_does_not_go_together_is_told(runs: dict[str, Any], tmp_path: Path) -> None:
    """Adapters on random weights, and a training of all weights that goes on as one of adapters."""
    alone = runs["flags"][: runs["flags"].index("--pretrained-ckpt-path")]
    with pytest.raises(UsageError, match=r"--pretrained-ckpt-path: found nothing, expected the checkpoint"):
        run(alone, tmp_path / "run", "--max-steps", 1)
    with pytest.raises(CheckpointError, match=r"one of a training of all weights, expected one of training\.lora"):
        run(alone, tmp_path / "run", "--max-steps", 12, "--ckpt-path", runs["base"])
