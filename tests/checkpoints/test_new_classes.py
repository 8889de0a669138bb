"""Fine-tuning with other classes than the checkpoint's: those of the same name stay what they were, wherever they stand."""

import copy
import logging
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_model_config, write_tiny_codec

from snac_plugin.checkpoints.new_classes import with_classes_by_name
from snac_plugin.checkpoints.reading import load_weights
from snac_plugin.checkpoints.writing import save_unwrapped
from snac_plugin.errors import CheckpointError
from snac_plugin.plugin import builders

KEYS = {"list": "options", "class_mixture": "classes"}


def told(folder: Path, kind: str, config: dict[str, Any]) -> dict[str, Any]:
    """A small model's config with one conditioner."""
    told = tiny_model_config(write_tiny_codec(folder), head="logits", global_cond_dim=8)
    told["model"]["conditioning"] = {"configs": [{"id": "style", "type": kind, "config": config}], "cond_dim": 8}
    told["model"]["diffusion"]["global_cond_ids"] = ["style"]
    told["training"]["demo"]["demo_cond_from_batch"] = True
    return told


@pytest.fixture(params=KEYS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def vectors(kind: str, folder: Path, before: list[str], now: list[str]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """By class, what a conditioner gives before and after its weights were loaded into one with other classes."""
    config = told(folder, kind, {KEYS[kind]: before})
    one = builders.model(config)
    save_unwrapped(one, folder / "model.ckpt", config, None)
    config = copy.deepcopy(config)
    config["model"]["conditioning"]["configs"][0]["config"][KEYS[kind]] = now
    other = builders.model(config)
    load_weights(other, folder / "model.ckpt", fine_tuned=True)

    def by_class(model: Any, names: list[str]) -> dict[str, torch.Tensor]:
        return {name: model.conditioner([{"style": name}], "cpu")["style"][0] for name in (*names, "")}

    return by_class(one, before), by_class(other, now)


def test_classes_keep_their_vectors_by_name_and_new_ones_begin_as_the_mean(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With one class more the weights did not fit; with as many in another order each got the vector of another."""
    with caplog.at_level(logging.WARNING):
        before, now = vectors(kind, tmp_path, ["house", "jazz", "rock"], ["waltz", "jazz", "house"])
    for name in ("jazz", "house", ""):
        assert torch.equal(now[name], before[name])
    torch.testing.assert_close(now["waltz"], (before["house"] + before["jazz"] + before["rock"]) / 3)
    where = f"{tmp_path / 'model.ckpt'}: conditioner style: classes that are"
    assert caplog.messages == [
        f"{where} new, and begin as the mean of the others: waltz",
        f"{where} not in the model, and left out: rock",
    ]


@pytest.mark.parametrize("now", [["jazz", "house"], ["house", "jazz", "waltz"], ["house", "blues"]])
def test_only_fine_tuning_takes_other_classes(kind: str, now: list[str], tmp_path: Path) -> None:
    """In another order they were taken for each other, and a checkpoint of a training that went on noted the new names for good."""
    config = told(tmp_path, kind, {KEYS[kind]: ["house", "jazz"]})
    save_unwrapped(builders.model(config), tmp_path / "model.ckpt", config, None)
    load_weights(builders.model(config), tmp_path / "model.ckpt")
    config["model"]["conditioning"]["configs"][0]["config"][KEYS[kind]] = now
    other, message = builders.model(config), rf'conditioner style, {KEYS[kind]} \["house", "jazz"\], expected .*fine-tune from it'
    with pytest.raises(CheckpointError, match=message):
        load_weights(other, tmp_path / "model.ckpt")


def test_the_same_classes_in_another_order_are_no_news(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        before, now = vectors(kind, tmp_path, ["house", "jazz"], ["jazz", "house"])
    assert all(torch.equal(now[name], value) for name, value in before.items())
    assert caplog.messages == []


def test_classes_of_a_config_in_python_are_those_of_its_json(kind: str, tmp_path: Path) -> None:
    """A tuple comes back from a .safetensors file as a list."""
    config = told(tmp_path, kind, {KEYS[kind]: ("house", "jazz")})
    model = builders.model(config)
    save_unwrapped(model, tmp_path / "model.safetensors", config, None)
    load_weights(model, tmp_path / "model.safetensors")


@pytest.mark.parametrize("damaged", [{"model": 3}, {"model": {"conditioning": {"configs": [{"id": "style"}, 5]}}}, None])
def test_a_config_that_is_damaged_says_nothing_of_classes(damaged: Any, tmp_path: Path) -> None:
    model = builders.model(told(tmp_path, "list", {"options": ["house"]}))
    state = model.state_dict()
    assert with_classes_by_name(model, state, damaged, "a.ckpt") == state


def test_numbers_of_another_range_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """120 of 60 to 180 is the same to the network as 0.5 of 0 to 1."""
    config = told(tmp_path, "number", {"max_val": 180})
    save_unwrapped(builders.model(config), tmp_path / "model.ckpt", config, None)
    for same in ({"max_val": 180}, {"min_val": 0, "max_val": 180}):
        load_weights(builders.model(told(tmp_path, "number", same)), tmp_path / "model.ckpt", fine_tuned=True)
    assert caplog.messages == []
    load_weights(
        builders.model(told(tmp_path, "number", {"min_val": 60, "max_val": 180})), tmp_path / "model.ckpt", fine_tuned=True
    )
    assert "conditioner style: 60 to 180, and was trained on 0 to 180: its weights take the same" in caplog.messages[0]
    with pytest.raises(CheckpointError, match="conditioner style, min_val 0, expected 60, as in the model config"):
        load_weights(builders.model(told(tmp_path, "number", {"min_val": 60, "max_val": 180})), tmp_path / "model.ckpt")


@pytest.mark.parametrize(
    ("kind", "was", "now", "said"),
    [
        ("chunk_position", {"most_chunks": 16}, {}, "64, and was trained on 16"),
        ("quality", {"thresholds": [1, 2, 3, 4]}, {"thresholds": [10, 20, 30, 40]}, r"\[10, .*\], and was trained on \[1, "),
    ],
)
def test_positions_and_scores_of_another_range_are_told(
    kind: str, was: dict[str, Any], now: dict[str, Any], said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Chunk 8 of 16 is the same to the network as 32 of 64, and score 5 was the best class, and the worst."""
    config = told(tmp_path, kind, was)
    save_unwrapped(builders.model(config), tmp_path / "model.ckpt", config, None)
    load_weights(builders.model(config), tmp_path / "model.ckpt")
    load_weights(builders.model(config), tmp_path / "model.ckpt", fine_tuned=True)
    assert caplog.messages == []
    other = builders.model(told(tmp_path, kind, now))
    load_weights(other, tmp_path / "model.ckpt", fine_tuned=True)
    assert re.search(f"conditioner style: {said}.*: its weights take the same number", caplog.messages[0])
    with pytest.raises(CheckpointError, match=f"conditioner style, {next(iter(was))} .*as in the model config"):
        load_weights(other, tmp_path / "model.ckpt")
