"""Fine-tuning with conditioners that the checkpoint did not have: the new parts start fresh, the old ones are those that were."""

import copy
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_model_config, write_tiny_codec

from snac_plugin.checkpoints.reading import load_weights
from snac_plugin.checkpoints.writing import save_unwrapped
from snac_plugin.errors import CheckpointError
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.plugin import builders

KINDS = {
    "tempo": {"type": "number", "config": {"min_val": 60, "max_val": 200}},
    "energy": {"type": "number", "config": {}},
    "style": {"type": "list", "config": {"options": ["house", "jazz"]}},
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return tiny_model_config(write_tiny_codec(tmp_path_factory.mktemp("codec")), head="logits")


def told(plain: dict[str, Any], *names: str, cross: tuple[str, ...] = ()) -> dict[str, Any]:
    """The config with conditioners in global_cond_ids, and others in cross_attention_cond_ids."""
    config = copy.deepcopy(plain)
    configs = [{"id": name, **KINDS[name]} for name in (*names, *cross)]
    config["model"]["conditioning"] = {"configs": configs, "cond_dim": 8}
    config["model"]["diffusion"] |= {"global_cond_ids": list(names), "cross_attention_cond_ids": list(cross)}
    config["model"]["diffusion"]["config"] |= {"global_cond_dim": 8 * len(names), "cond_token_dim": 8 if cross else 0}
    config["training"]["demo"]["demo_cond_from_batch"] = True
    return config


def saved(config: dict[str, Any], folder: Path) -> tuple[SnacDiffusion, Path]:
    """A model whose every weight matters, and its checkpoint."""
    torch.manual_seed(1)
    model = builders.model(config)
    for parameter in model.model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    save_unwrapped(model, folder / "model.ckpt", config, None)
    return model, folder / "model.ckpt"


def test_new_conditioners_start_fresh_and_the_log_names_them(
    plain: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`5 weights missing` was all that one got."""
    before, path = saved(plain, tmp_path)
    after = builders.model(told(plain, "tempo", cross=("style",)))
    load_weights(after, path, fine_tuned=True)
    state = after.state_dict()
    assert all(torch.equal(state[name], value) for name, value in before.state_dict().items())
    for part in (
        "conditioner tempo",
        "conditioner style",
        "model.network.embed_global",
        "model.network.embed_cross",
        "model.network.blocks.cross",
    ):
        assert f"{path}: {part} is new, and starts fresh" in caplog.messages
    with pytest.raises(CheckpointError, match="weights missing"):
        load_weights(after, path)


def test_a_condition_behind_another_changes_nothing_at_first(plain: dict[str, Any], tmp_path: Path) -> None:
    before, path = saved(told(plain, "tempo"), tmp_path)
    after = builders.model(told(plain, "tempo", "energy"))
    load_weights(after, path, fine_tuned=True)
    metadata = [{"tempo": 100, "energy": 0.7}]
    x, t = torch.randn(1, 120, 4), torch.tensor([0.9])
    with torch.no_grad():
        one, other = (model.eval().forward(x, t, model.conditioner(metadata, "cpu")) for model in (before, after))
    assert one.any()
    assert torch.equal(one, other)


def test_a_condition_before_another_is_refused(plain: dict[str, Any], tmp_path: Path) -> None:
    """Its columns would be those of the other."""
    path = saved(told(plain, "tempo"), tmp_path)[1]
    with pytest.raises(CheckpointError, match=r"found global_cond_ids tempo, expected those ids first.*Put new ids behind them"):
        load_weights(builders.model(told(plain, "energy", "tempo")), path, fine_tuned=True)


def test_a_conditioner_that_is_gone_is_left_out(plain: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = saved(told(plain, "tempo"), tmp_path)[1]
    with caplog.at_level(logging.WARNING):
        load_weights(builders.model(plain), path, fine_tuned=True)
    assert f"{path}: conditioner tempo is not in the model, and left out" in caplog.messages


def test_other_weights_that_are_missing_still_are_an_error(plain: dict[str, Any], tmp_path: Path) -> None:
    path = saved(plain, tmp_path)[1]
    deeper = copy.deepcopy(plain)
    deeper["model"]["diffusion"]["config"]["depth"] = 3
    with pytest.raises(CheckpointError, match=r"weights missing, first model.network.blocks.2"):
        load_weights(builders.model(deeper), path, fine_tuned=True)
